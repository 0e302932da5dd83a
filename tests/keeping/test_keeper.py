"""The keeper by itself, on this machine: what it keeps, for how long, and what it leaves."""

from __future__ import annotations

import ast
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.keeper_client import ENOUGH, KeeperClient
from support.waiting import wait_until

from m2m_ssh_client.keeping import keeper_command, stream
from m2m_ssh_client.keeping.stream import HEAD, MOST, STEP, order, record

if sys.platform == "win32":
    pytest.skip("a keeper runs on POSIX", allow_module_level=True)

import pwd

from m2m_ssh_client.keeping import on_machine

# It runs on the Python of PATH, whichever runs the tests.
pytestmark = pytest.mark.interop

Keep = Callable[..., KeeperClient]
COUNT = "i=0; while read line; do i=$((i + 1)); echo $i $line; done; exit 7"


@pytest.fixture
def keep() -> Iterator[Keep]:
    """Starts the one kept server of a test."""
    clients: list[KeeperClient] = []

    def start(command: str, seconds: float = 60) -> KeeperClient:
        client = KeeperClient(command, seconds)
        clients.append(client)
        client.start()
        return client

    yield start
    for client in clients:
        client.end_server()
    wait_until(lambda: not any(map(socket_of, clients)), ENOUGH)


def socket_of(client: KeeperClient) -> list[Path]:
    return [path for each in on_machine.folders() if (path := Path(each) / client.name).exists()]


def test_a_server_goes_on_with_the_next_connection(keep: Keep) -> None:
    client = keep(COUNT)
    client.give(b"one\n")
    client.wait_for(b"1 one\n")
    client.detach()
    client.give(b"two\n")  # kept here until there is a connection
    client.attach()
    client.give(b"three\n")
    client.wait_for(b"1 one\n2 two\n3 three\n")


def test_what_came_while_nobody_was_there_is_delivered(keep: Keep) -> None:
    client = keep("read x; sleep 0.2; echo out; echo err >&2; exit 3")
    client.give(b"go\n")
    client.detach()
    client.attach()
    client.wait_for(b"out\n", stderr=b"err\n", end="3")


def test_a_status_arrives_although_the_server_ended_while_nobody_was_there(keep: Keep) -> None:
    client = keep("echo last words; exit 5")
    client.wait_for(b"last words")
    client.detach()
    client.attach(0)
    client.wait_for(end="5")


@pytest.mark.parametrize(("number", "name"), [(9, "KILL"), (40, "RT40")])
def test_a_signal_that_ended_the_server_is_named(keep: Keep, number: int, name: str) -> None:
    client = keep(f"kill -{number} $$")
    client.wait_for(end=name)


def test_a_signal_goes_to_the_server(keep: Keep) -> None:
    client = keep("trap 'echo trapped; exit 4' TERM; echo there; while :; do sleep 0.05; done")
    client.wait_for(b"there")
    client.write(stream.SIGNAL, b"TERM")
    client.wait_for(b"trapped", end="4")


def test_output_behind_which_a_child_stays_is_complete_before_the_status(keep: Keep) -> None:
    client = keep("sleep 30 & head -c 200000 /dev/zero; exit 2")
    client.wait_for(end="2")
    assert len(client.stdout) == 200_000


def test_end_of_file_ends_the_server_after_its_last_input(keep: Keep) -> None:
    client = keep(COUNT)
    client.give(b"".join(b"%d\n" % number for number in range(3000)))
    client.write(stream.CLOSE)
    client.wait_for(b"3000 2999\n", end="7")


def test_a_server_that_ignores_the_end_of_its_stdin_is_ended(keep: Keep) -> None:
    client = keep("trap '' TERM; echo there; while :; do sleep 0.05; done")
    client.wait_for(b"there")
    client.write(stream.CLOSE)
    client.detach()
    client.attach()
    client.wait_for(end="KILL")


def test_the_server_is_ended_when_nobody_comes_back_in_time(keep: Keep) -> None:
    client = keep("cat; echo $$ > /dev/null; sleep 60", seconds=0.5)
    (path,) = socket_of(client)
    client.detach()
    wait_until(lambda: not path.exists(), ENOUGH)
    with pytest.raises(AssertionError, match="gone"):
        client.attach()


def test_the_newest_client_wins_and_the_one_before_is_told(keep: Keep) -> None:
    client = keep(COUNT)
    client.give(b"one\n")
    client.wait_for(b"1 one\n")
    newer = client.another()
    newer.attach(0)
    client.wait_until_let_go()
    wait_until(lambda: client.replaced, ENOUGH)
    client.detach()
    newer.give(b"two\n")
    newer.wait_for(b"1 one\n2 two\n")
    newer.end_server()


@pytest.mark.parametrize("offset", [10**6, 2**63])
def test_an_offset_that_does_not_exist_is_refused(keep: Keep, offset: int) -> None:
    client = keep("cat")
    client.detach()
    with pytest.raises(AssertionError, match="offset"):
        client.attach(offset)
    client.attach()
    client.give(b"still there")
    client.wait_for(b"still there")


def test_the_last_words_of_a_client_are_heard_although_it_listens_no_more(
    keep: Keep, tmp_path: Path
) -> None:
    """Otherwise the keeper of a server that has ended would stay for as long as it keeps one."""
    said = tmp_path / "said"
    client = keep(f"echo $PPID; while sleep 0.01; do echo still here; echo x >> {said}; done")
    client.wait_for(b"here\n")
    keeper = int(client.stdout.split()[0])
    os.kill(keeper, signal.SIGSTOP)
    client.write(stream.QUIT)
    left = client.hang_up()
    before = said.stat().st_size
    wait_until(lambda: said.stat().st_size > before, ENOUGH)
    os.kill(keeper, signal.SIGCONT)  # the first thing that it does is to pass that on
    left.wait(ENOUGH)
    wait_until(lambda: not socket_of(client), ENOUGH)


def test_an_unknown_name_is_gone() -> None:
    client = KeeperClient("cat")
    with client, pytest.raises(AssertionError, match="gone"):
        client.attach()


def test_nobody_there_lets_a_server_write_until_the_bound_and_then_wait(keep: Keep) -> None:
    size = MOST + 10 * STEP
    client = keep(f"read go; head -c {size} /dev/zero; echo; echo done >&2; read x")
    client.give(b"go\n")
    client.detach()
    client.attach()
    wait_until(lambda: client.received > MOST, ENOUGH)
    assert not client.stderr
    client.acknowledge()
    client.wait_for(stderr=b"done")
    wait_until(lambda: client.stdout.count(b"\0") == size, ENOUGH)


def test_long_output_that_waits_becomes_one_long_record(keep: Keep, tmp_path: Path) -> None:
    """So the client passes most packets on as they are."""
    go, said, size = tmp_path / "go", tmp_path / "said", 7 * 64 * 1024
    client = keep(
        f"echo $PPID; until [ -e {go} ]; do sleep 0.01; done; head -c {size} /dev/zero; echo > {said}; exec sleep 60"
    )
    client.wait_for(b"\n")
    keeper, before = int(client.stdout), client.received
    os.kill(keeper, signal.SIGSTOP)
    go.touch()
    wait_until(said.exists, ENOUGH)
    os.kill(keeper, signal.SIGCONT)
    wait_until(lambda: client.stdout.count(b"\0") == size, ENOUGH)
    assert client.received - before == HEAD.size + size


def test_input_is_acknowledged_as_the_server_reads_it(keep: Keep) -> None:
    client = keep("read go; exec cat > /dev/null")
    client.give(b"\n")
    for _ in range(20):
        client.give(b"x" * (STEP // 4))
    wait_until(lambda: client.sent.start > 3 * STEP, ENOUGH)


def test_both_streams_go_on_at_the_byte_wherever_they_are_cut(keep: Keep) -> None:
    rng = random.Random(1)  # noqa: S311
    client = keep("cat")
    given = b""
    for _ in range(20):
        data = rng.randbytes(rng.randrange(1, 400_000))
        given += data
        client.give(data)
        if rng.random() < 0.5:
            client.acknowledge()
        client.detach()
        client.attach()
    wait_until(lambda: len(client.stdout) >= len(given), ENOUGH)
    assert client.stdout == given


@pytest.mark.parametrize(
    "what",
    [b"\xff" * 100, record(b"?"), record(stream.ACKNOWLEDGED, b"short"), b"x\xff\xff\xff\xff"],
)
def test_nonsense_on_the_stream_ends_the_server_since_nobody_can_go_on(
    keep: Keep, what: bytes
) -> None:
    client = keep(COUNT)
    client.say(what)
    client.wait_until_let_go()
    client.detach()
    wait_until(lambda: not socket_of(client), ENOUGH)


def test_callers_of_the_socket_that_talk_nonsense_change_nothing(keep: Keep) -> None:
    client = keep(COUNT)
    (path,) = socket_of(client)
    for text in (b"", b"?", b"A", b"A" + bytes(8), b"L" * 64):
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(ENOUGH)
            caller.connect(str(path))
            caller.sendall(text)
            caller.shutdown(socket.SHUT_WR)
            while caller.recv(100):
                pass
    client.give(b"one\n")
    client.wait_for(b"1 one\n")


def test_the_socket_is_for_its_user_alone(keep: Keep) -> None:
    client = keep("cat")
    (path,) = socket_of(client)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 | stat.S_IXUSR
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(str(path)) < 104  # the least that a system takes


def test_a_folder_that_others_can_enter_is_not_used(tmp_path: Path) -> None:
    (tmp_path / f".m2m-kept-{os.getuid()}").mkdir(mode=0o755)
    assert on_machine.folders((str(tmp_path),)) == []


def test_two_who_ask_at_once_may_both_find_the_socket_of_a_keeper_that_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    gone = str(tmp_path / "gone")
    unlink = os.unlink

    def quicker(path: str) -> None:
        unlink(path)
        unlink(path)

    monkeypatch.setattr(on_machine, "folders", lambda: [str(tmp_path), gone])
    monkeypatch.setattr(os, "unlink", quicker)
    on_machine._ask(stream.LIST, 0)
    assert not (tmp_path / "dead").exists()
    assert capfd.readouterr().out == ""


def test_a_folder_that_is_a_link_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / f".m2m-kept-{os.getuid()}").symlink_to("elsewhere")
    assert on_machine.folders((str(tmp_path),)) == []


def test_the_server_has_the_environment_that_it_would_have_without_a_keeper(keep: Keep) -> None:
    client = keep("env; echo $-; ulimit -c; umask; pwd; echo done")
    client.wait_for(b"done\n")
    shell = pwd.getpwuid(os.getuid()).pw_shell
    argv = [shell, "-c", "env; echo $-; ulimit -c; umask; pwd; echo done"]
    plain = subprocess.run(argv, capture_output=True, check=True).stdout
    differing = set(bytes(client.stdout).splitlines()) ^ set(plain.splitlines())
    assert {line.split(b"=")[0] for line in differing} <= {b"_", b"SHLVL"}


def test_the_list_names_the_server_and_ends_it(keep: Keep) -> None:
    client = keep("cat")
    client.detach()

    def said(*words: bytes) -> list[list[str]]:
        process = subprocess.run(
            ["/bin/sh", "-c", keeper_command.keeper_command()],
            input=order(*words),
            capture_output=True,
            timeout=ENOUGH,
            check=True,
        )
        return [line.split("\t") for line in process.stdout.decode().splitlines()[1:]]

    (mine,) = [line for line in said(stream.LIST, b"0") if line[4] == client.label]
    assert mine[1] == "kept"
    assert [line[0] for line in said(stream.END_SERVER, mine[0].encode())] == [mine[0]]
    wait_until(lambda: not socket_of(client), ENOUGH)


def test_the_command_is_short_enough_for_dropbear_and_csh() -> None:
    command = keeper_command.keeper_command()
    assert len(command) < 9000
    assert max(map(len, command.split())) <= 1000
    assert "!" not in command


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh", "fish", "tcsh"])
def test_every_shell_reads_the_command(shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell}")
    with KeeperClient("cat", argv=(program, "-c")) as client:
        client.start()
        client.give(b"hello")
        client.wait_for(b"hello")


def interpreters() -> Iterator[str]:
    """Yield each Python that PATH has, from 3.6 on. Its version may not be what it is called."""
    for minor in range(6, 20):
        program = shutil.which(f"python3.{minor}")
        asked = [program or "", "-c", "import sys; print(sys.version_info[1], sys.executable)"]
        if program is not None:
            said = subprocess.run(asked, capture_output=True, text=True, timeout=ENOUGH).stdout
            if said.startswith(f"{minor} "):
                yield said.split()[1]


def test_every_python_runs_it(tmp_path: Path) -> None:
    for number, program in enumerate(interpreters()):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "python3").symlink_to(program)
        path = f"PATH={folder}:{os.environ['PATH']}"
        with KeeperClient("cat", argv=("/usr/bin/env", path, "/bin/sh", "-c")) as client:
            client.start()
            client.give(b"hello")
            client.detach()
            client.attach()
            client.wait_for(b"hello")


def test_its_source_is_python_3_6() -> None:
    ast.parse(keeper_command.source(), feature_version=(3, 6))
