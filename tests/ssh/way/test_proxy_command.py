"""ProxyCommands that are real programs: those that work, and those that do whatever a program can do wrong."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import paramiko
import pytest
from support.host import PACKAGE_PARENT
from support.sshd import Sshd, SshdKeys, make_privilege_separation_folder

from m2m_ssh_client.errors import UnreachableError
from m2m_ssh_client.ssh.way import proxy_command
from m2m_ssh_client.ssh.way.proxy_command import ProxySocket

ENOUGH = 20.0  # seconds
GONE = 2.0  # seconds: what closing may take until nothing is left
SIGKILL = 9  # a name that Windows does not have
BULK = 16 * 1024 * 1024  # bytes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a mode, path or shell of POSIX")


def python(code: str, *arguments: object) -> str:
    return " ".join([f"{sys.executable} -S -E -c '{code}'", *map(str, arguments)])


# Carries between stdin and stdout and a TCP connection, as nc does.
NETCAT = """
import socket, sys, threading, os
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def out():
    while data := sock.recv(65536):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    os._exit(0)
threading.Thread(target=out, daemon=True).start()
while data := os.read(0, 65536):
    sock.sendall(data)
sock.shutdown(socket.SHUT_WR)
threading.Event().wait()
"""
# Notes its number in a file, and ends for no signal that it can refuse.
STUBBORN = """
import os, signal, sys, threading
for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
print(os.getpid(), flush=True)
while True: threading.Event().wait(60)
"""


@pytest.fixture(autouse=True)
def _shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHELL", raising=False)


@pytest.fixture(autouse=True)
def _nothing_left_open() -> Iterator[None]:
    def descriptors() -> int:
        return len(list(Path("/dev/fd").iterdir()))

    before = descriptors()
    yield
    assert within(GONE, lambda: descriptors() <= before)


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """For what another process does, and nothing tells."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


@pytest.fixture
def start() -> Iterator[Callable[[str], ProxySocket]]:
    with ExitStack() as stack:

        def start(command: str) -> ProxySocket:
            sock = proxy_command.start(command)
            stack.callback(sock.close)
            sock.settimeout(ENOUGH)
            return sock

        yield start


Start = Callable[[str], ProxySocket]


def everything(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that nobody has reaped yet has ended.
    with suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return sys.platform != "linux"


def number_from(sock: socket.socket) -> int:
    line = b""
    while not line.endswith(b"\n"):
        line += sock.recv(1)
    return int(line)


def test_what_is_sent_and_received_passes_the_command(start: Start) -> None:
    sock = start("cat")
    sock.sendall(b"there and back")
    assert sock.recv(100) == b"there and back"
    assert sock.explain() is None


def test_it_remembers_when_it_last_received(start: Start) -> None:
    sock = start("cat")
    before = sock.last_received
    assert 0 <= time.monotonic() - before < ENOUGH
    sock.sendall(b"x")
    sock.recv(1)
    assert sock.last_received > before


def test_the_shell_replaces_itself_by_the_command(start: Start) -> None:
    sock = start(python("import os; print(os.getpid(), os.getpgrp(), os.getsid(0))"))
    numbers = set(everything(sock).split())
    assert len(numbers) == 1  # leader of a group and of a session of its own: no Ctrl-C of ours


@pytest.mark.parametrize("shell", ["", None], ids=["empty", "unset"])
def test_without_a_shell_of_the_users_it_is_the_systems(
    shell: str | None, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shell is not None:
        monkeypatch.setenv("SHELL", shell)
    assert everything(start("echo $0")) == b"/bin/sh\n"


def test_the_shell_of_the_user_gets_the_command_as_ssh_gives_it(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shell = tmp_path / "my shell"
    shell.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    shell.chmod(0o755)
    monkeypatch.setenv("SHELL", str(shell))
    assert everything(start("nc %h 'a b'")) == b"-c|exec nc %h 'a b'|"


def test_a_shell_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/no/such/shell")
    with pytest.raises(UnreachableError, match=r"No such file.*SHELL"):
        proxy_command.start("cat")


def test_pipes_and_redirections_work_as_in_a_shell(start: Start) -> None:
    assert everything(start("printf abc | tr a-c x-z 2>/dev/null")) == b"xyz"


def test_the_output_before_the_end_arrives_whole(start: Start) -> None:
    assert len(everything(start("head -c 3000000 /dev/zero"))) == 3_000_000


ENDS = [  # a command, and what is said about its end
    ("true", "the ProxyCommand (true) ended with exit status 0"),
    ("sh -c 'echo oops >&2; exit 3'", "the ProxyCommand (sh) ended with exit status 3: oops"),
    ("/no/such/program", "(program) ended with exit status 127: "),
    ("nosuchprogram-m2m", "nosuchprogram-m2m: not found"),
    ("/etc", "(etc) ended with exit status 126: "),
    ("sh -c 'kill -9 $$'", "(sh) was ended by signal 9 (Killed)"),
    ("sh -c 'kill -15 $$'", "(sh) was ended by signal 15 (Terminated)"),
    ("sh -c 'kill -1 $$'", "(sh) was ended by signal 1 (Hangup)"),
    ("sh -c 'exec >&-; sleep 60'", "(sh) closed its output"),
    ("sh -c 'echo why >&2; exec >&-; sleep 60'", "(sh) closed its output: why"),
    ("sh -c 'echo a >&2; echo >&2; echo b >&2; echo c >&2; echo d >&2'", "0: b / c / d"),
    ("sh -c 'printf unfinished >&2; exit 1'", "status 1: unfinished"),
    ("sh -c 'printf \"\\033[2J\\r\\n\" >&2; exit 1'", "status 1: \\x1b[2J"),
    ("sh -c 'echo garbage; exit 4'", "status 4"),
    ("\"/bin/sh\" -c 'exit 5'", "the ProxyCommand (sh) ended with exit status 5"),
    ("PASSWORD=hush sh -c 'exit 6'", "the ProxyCommand ended with exit status "),
    ("", "the ProxyCommand ended with exit status 0"),
]


@pytest.mark.parametrize(("command", "words"), ENDS)
def test_its_end_is_the_end_of_the_data_and_is_explained(
    command: str, words: str, start: Start
) -> None:
    sock = start(command)
    everything(sock)
    text = sock.explain()
    assert text is not None
    assert words in text
    assert "hush" not in text.replace("PASSWORD=hush: not found", "")
    sock.close()
    assert sock.explain() == text


def test_what_it_says_is_told_until_it_answers(start: Start) -> None:
    sock = start("sh -c 'echo waiting for the token >&2; exec cat'")
    assert within(ENOUGH, lambda: sock.explain() is not None)
    assert sock.explain() == "the ProxyCommand (sh) says: waiting for the token"
    sock.sendall(b"x")
    assert sock.recv(1) == b"x"
    assert sock.explain() is None


def test_its_stderr_is_shown_line_by_line(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    everything(start("sh -c 'printf \"one\\r\\n\\033]0;two\\007\\n\\n%05000d\\n\" 0 >&2'"))
    lines = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert lines[:2] == ["ProxyCommand (sh): one", "ProxyCommand (sh): \\x1b]0;two\\x07"]
    assert lines[2].startswith("ProxyCommand (sh): 000")
    assert len(lines[2]) < 400
    assert len(lines) == 3


def test_much_on_stderr_holds_up_nothing(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    sock = start("sh -c 'head -c 30000000 /dev/zero >&2; echo; head -c 100000 /dev/zero; cat >&2'")
    assert len(everything_of(sock, 100_001)) == 100_001
    sock.close()
    assert sum(len(record.getMessage()) for record in caplog.records) < 10_000


def everything_of(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data))
    return data


def test_the_command_line_is_nowhere_in_the_log(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    everything(start("/bin/true --proxy-password hush"))
    assert "(true)" in caplog.text
    assert "hush" not in caplog.text


def test_a_closed_stdin_makes_sending_fail(start: Start) -> None:
    sock = start("sh -c 'exec <&-; echo closed; sleep 60'")
    assert everything_of(sock, 7) == b"closed\n"
    with pytest.raises(BrokenPipeError):
        sock.sendall(b"x" * BULK)


@pytest.mark.parametrize("command", ["echo $$; exec cat", "echo $$; while :; do sleep 60; done"])
def test_closing_ends_the_command(command: str, start: Start) -> None:
    sock = start(f"sh -c '{command}'")
    pid = number_from(sock)
    sock.close()
    assert within(GONE, lambda: not is_running(pid))
    assert within(GONE, lambda: not [t for t in threading.enumerate() if "m2m-proxy" in t.name])
    assert sock.explain() is None  # it was we who ended it


def test_closing_kills_what_does_not_end(start: Start) -> None:
    sock = start(python(STUBBORN))
    pid = number_from(sock)
    started = time.monotonic()
    sock.close()
    assert time.monotonic() - started < proxy_command._AFTER_SIGTERM  # it is not waited for
    assert within(GONE, lambda: not is_running(pid))


def test_it_is_asked_to_end_before_it_is_killed(start: Start, tmp_path: Path) -> None:
    code = (
        "import os, signal, threading\n"
        "for number in (signal.SIGHUP, signal.SIGTERM):\n"
        f' signal.signal(number, lambda n, _: open("{tmp_path}/" + str(n), "w").close())\n'
        "print(os.getpid(), flush=True)\n"
        "while True: threading.Event().wait(0.01)"
    )
    sock = start(python(code))
    pid = number_from(sock)
    sock.close()
    assert within(GONE, lambda: not is_running(pid))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "15"]
    assert sock.explain() is None


def test_closing_ends_the_children_of_the_command_as_well(start: Start) -> None:
    sock = start("sh -c 'sleep 600 & echo $!; wait'")
    pid = number_from(sock)
    sock.close()
    assert within(GONE, lambda: not is_running(pid))


def test_stubborn_children_are_killed_as_well(start: Start, tmp_path: Path) -> None:
    script = tmp_path / "stubborn.py"
    script.write_text(STUBBORN)
    sock = start(f"sh -c '{sys.executable} -S -E {script} & wait'")
    pid = number_from(sock)
    sock.close()
    assert within(GONE, lambda: not is_running(pid))


def test_children_that_live_on_may_carry_on(start: Start) -> None:
    """As with ssh, where only the end of the output counts."""
    sock = start("sh -c 'exec 3<&0; (cat <&3) & exec 3<&-'")
    sock.sendall(b"still there")
    assert everything_of(sock, 11) == b"still there"


def test_one_that_escaped_and_holds_the_pipes_open_holds_up_nothing(
    start: Start, tmp_path: Path
) -> None:
    script = tmp_path / "stubborn.py"
    script.write_text("import os\nos.setsid()\n" + STUBBORN)
    sock = start(f"sh -c '{sys.executable} -S -E {script} & wait'")
    pid = number_from(sock)
    try:
        sock.settimeout(0.2)
        with suppress(TimeoutError):
            sock.sendall(b"x" * BULK)  # which nobody reads
        sock.close()
        assert within(GONE, lambda: not [t for t in threading.enumerate() if "m2m-proxy" in t.name])
        assert is_running(pid)  # out of reach, like any daemon
    finally:
        os.kill(pid, SIGKILL)


@pytest.mark.parametrize("command", ["cat", python(STUBBORN), "exit 1", "yes", "sleep 60"])
def test_closing_twice_and_from_many_threads_does_no_harm(command: str, start: Start) -> None:
    sock = start(command)
    threads = [threading.Thread(target=sock.close) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(ENOUGH)


def test_closing_wakes_a_reader_and_a_writer_that_wait_for_ever(start: Start) -> None:
    sock = start("sleep 60")
    sock.settimeout(None)
    ended: list[str] = []

    def read() -> None:
        with suppress(OSError):
            sock.recv(1)
        ended.append("reader")

    def write() -> None:
        with suppress(OSError):
            while True:
                sock.sendall(b"x" * 65536)
        ended.append("writer")

    threads = [threading.Thread(target=each) for each in (read, write)]
    for thread in threads:
        thread.start()
    threads[1].join(0.3)
    assert not ended
    sock.close()
    for thread in threads:
        thread.join(ENOUGH)
    assert sorted(ended) == ["reader", "writer"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_child_is_left_unreaped(start: Start) -> None:
    sock = start("sh -c 'echo $$'")
    pid = number_from(sock)
    everything(sock)
    sock.close()
    assert within(GONE, lambda: not Path(f"/proc/{pid}").exists())


@pytest.mark.timeout(120)
def test_much_data_in_both_directions_at_once_comes_through_whole(start: Start) -> None:
    sock = start("cat")
    block = os.urandom(65536)

    def write() -> None:
        for _ in range(BULK // len(block)):
            sock.sendall(block)

    writer = threading.Thread(target=write)
    writer.start()
    digest, left = hashlib.sha256(), BULK
    while left:
        data = sock.recv(65536)
        assert data
        digest.update(data)
        left -= len(data)
    writer.join(ENOUGH)
    assert digest.digest() == hashlib.sha256(block * (BULK // len(block))).digest()


def test_a_reader_that_pauses_stops_the_command(start: Start, tmp_path: Path) -> None:
    """What is under way is bounded: by what pipes, sockets and one chunk hold."""
    count = tmp_path / "count"
    code = (
        f'import os\nn = 0\nwhile True:\n n += os.write(1, b"x" * 4096)\n '
        f'open("{count}", "w").write(str(n))'
    )
    start(python(code))
    seen = [-1]

    def settled() -> bool:
        seen.append(int(count.read_text() or 0) if count.exists() else 0)
        return len(seen) > 50 and len(set(seen[-50:])) == 1 and seen[-1] > 0

    assert within(ENOUGH, settled)
    assert seen[-1] < 2 * 1024 * 1024


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@on_linux
def test_it_does_not_get_our_stdin(start: Start) -> None:
    assert everything(start("readlink /proc/self/fd/0")).startswith(b"pipe:")


@on_linux
def test_descriptors_of_ours_are_not_inherited(start: Start) -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        listed = everything(start("ls /proc/self/fd")).split()
        assert str(write).encode() not in listed
    finally:
        os.close(read)
        os.close(write)


def test_the_end_of_our_process_ends_even_a_stubborn_command() -> None:
    code = (
        "from m2m_ssh_client.ssh.way import proxy_command\n"
        f"sock = proxy_command.start({python(STUBBORN)!r})\n"
        "print(sock.recv(100).decode(), flush=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=ENOUGH,
        cwd=PACKAGE_PARENT,
        stdin=subprocess.DEVNULL,
    )
    assert not done.stderr
    assert within(GONE, lambda: not is_running(int(done.stdout)))


# With real SSH servers


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> SshdKeys:
    make_privilege_separation_folder()
    return SshdKeys.generate(tmp_path_factory.mktemp("keys"))


@contextmanager
def logged_in(sock: ProxySocket, server: Sshd) -> Iterator[paramiko.Transport]:
    transport = paramiko.Transport(sock)
    try:
        transport.start_client(timeout=ENOUGH)
        key = paramiko.Ed25519Key.from_private_key_file(str(server.keys.client_key))
        assert not transport.auth_publickey(server.username, key)
        yield transport
    finally:
        transport.close()
        transport.join(ENOUGH)
        assert not transport.is_alive()


def run(transport: paramiko.Transport, command: str, data: bytes = b"") -> bytes:
    channel = transport.open_session(timeout=ENOUGH)
    channel.settimeout(ENOUGH)
    channel.exec_command(command)

    def write() -> None:
        channel.sendall(data)
        channel.shutdown_write()

    writer = threading.Thread(target=write)
    writer.start()
    received = b"".join(iter(lambda: channel.recv(1 << 20), b""))
    writer.join(ENOUGH)
    return received


@pytest.mark.interop
@pytest.mark.timeout(120)
@pytest.mark.parametrize("way", ["netcat", "ssh -W"])
def test_a_server_is_reached_through_the_command(
    way: str, keys: SshdKeys, tmp_path: Path, start: Start
) -> None:
    with Sshd(keys, tmp_path / "target") as target, Sshd(keys, tmp_path / "gate") as gate:
        words = [repr(word) for word in gate.openssh_argv()[:-1]]
        words[-1:-1] = ["-W", f"127.0.0.1:{target.port}"]
        through = {"netcat": python(NETCAT, target.port), "ssh -W": " ".join(words)}[way]
        data = os.urandom(1 << 20) * 4
        with logged_in(start(through), target) as transport:
            assert run(transport, "cat", data) == data


@pytest.mark.interop
def test_the_end_of_the_command_ends_the_connection(
    keys: SshdKeys, tmp_path: Path, start: Start
) -> None:
    with Sshd(keys, tmp_path / "target") as target:
        pid_file = tmp_path / "pid"
        sock = start(f"sh -c 'echo $$ > {pid_file}; exec \"$@\"' - {python(NETCAT, target.port)}")
        with logged_in(sock, target) as transport:
            os.kill(int(pid_file.read_text()), SIGKILL)
            transport.join(ENOUGH)
            assert not transport.is_active()
        assert sock.explain() == "the ProxyCommand (sh) was ended by signal 9 (Killed)"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("echo HTTP/1.1 400 Bad Request", "status 0"),
        ("head -c 100000 /dev/zero", "status 0"),
        ("sh -c 'echo ssh: connect: refused >&2; exit 255'", "status 255: ssh: connect: refused"),
        ("sh -c 'echo SSH-2.0-x; exit 1'", "status 1"),
    ],
)
def test_what_ends_before_the_key_exchange_is_explained(
    command: str, words: str, start: Start
) -> None:
    sock = start(command)
    transport = paramiko.Transport(sock)
    with pytest.raises((paramiko.SSHException, EOFError)):
        transport.start_client(timeout=ENOUGH)
    transport.close()
    assert words in (sock.explain() or "")


def test_one_that_never_answers_ends_with_the_deadline(start: Start) -> None:
    sock = start("sh -c 'echo $$ >&2; exec cat >/dev/null'")
    transport = paramiko.Transport(sock)
    transport.banner_timeout = 0.2
    with pytest.raises(paramiko.SSHException):
        transport.start_client(timeout=ENOUGH)
    transport.close()
    pid = int((sock.explain() or "").rpartition(" ")[2])
    assert within(GONE, lambda: not is_running(pid))
