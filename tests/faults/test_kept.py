"""The faults of a network and of sshd, with a server that is kept: neither it nor the host notices anything."""

from __future__ import annotations

import getpass
import os
import random
import signal
import sys
from pathlib import Path

import pytest
from faults.conftest import StartPlay
from faults.play import (
    EXIT_WITHIN,
    PATIENT,
    SLACK,
    BreakableSshd,
    Play,
    is_running,
    keys,
    kill,
    tally,
    text_of,
)
from faults.test_faults import FAULTS, INITIALIZE, MAY_HAVE_RUN, QUICK, Fault
from support.fault_proxy import TO_CLIENT, TO_SERVER
from support.waiting import wait_until

if sys.platform == "win32":
    pytest.skip("sshd with POSIX shells behind it", allow_module_level=True)

pytestmark = pytest.mark.interop

KEPT = (*QUICK, "--keep", "60")
HARMFUL = {name: fault for name, fault in FAULTS.items() if fault.harmful}
LARGE = 16_000_000

every_fault = pytest.mark.parametrize("fault", HARMFUL.values(), ids=HARMFUL)
some_faults = pytest.mark.parametrize("fault", ["cut", "freeze"])


def assert_one_server(stage: Play) -> None:
    assert len(stage.books.pids) == 1, stage.host.stderr


def keepers() -> set[int]:
    """Return the processes that are keepers, of whichever test."""
    found = set()
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"a2b_base64" in command.read_bytes():
                found.add(int(command.parent.name))
        except OSError:
            continue
    return found


def keeper_of(stage: Play) -> int:
    """Return the keeper that is the server's parent."""
    stat = Path(f"/proc/{stage.books.pids[0]}/stat").read_text()
    shell_or_keeper = int(stat.rpartition(")")[2].split()[1])
    if shell_or_keeper in keepers():
        return shell_or_keeper
    stat = Path(f"/proc/{shell_or_keeper}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


@every_fault
def test_with_fifty_calls_in_flight(play: StartPlay, fault: Fault) -> None:
    stage = play(*KEPT)
    stage.begin()
    early, late = keys("early", 25), keys("late", 25)
    for key in early:
        stage.host.ask_tool("count", key, later=1)
    stage.host.ask_tool("hold", "hold")
    for key in late:
        stage.host.ask_tool("count", key)
    stage.books.wait_until_told(1, "hold")
    fault.begin(stage)
    everything = [*early, "hold", *late]
    if fault.lazy:
        everything.append(stage.host.ask_tool("count", "lazy"))
    stage.network.wait_for_connection(2, PATIENT)
    stage.books.open_gate()
    assert tally(stage.host.answers_to(everything)) == {"result": len(everything)}
    assert stage.books.executions == dict.fromkeys(everything, 1)
    assert_one_server(stage)
    stage.end()


@some_faults
def test_while_idle(play: StartPlay, fault: str) -> None:
    stage = play(*KEPT)
    stage.begin()
    FAULTS[fault].begin(stage)
    stage.network.wait_for_connection(2, PATIENT)
    stage.assert_usable()
    assert_one_server(stage)
    stage.end()


@some_faults
def test_in_an_answer_of_sixteen_megabytes(play: StartPlay, fault: str) -> None:
    stage = play(*KEPT)
    stage.begin()
    broken = stage.network.when(
        lambda link: link.received(TO_CLIENT) > LARGE // 4,
        lambda: FAULTS[fault].begin(stage),
    )
    stage.host.ask_tool("big", "big", bytes=LARGE)
    (answer,) = stage.host.answers_to(["big"])
    assert broken.is_set()
    assert text_of(answer) == "x" * LARGE
    assert stage.books.executions == {"big": 1}
    assert_one_server(stage)
    stage.end()


@some_faults
def test_in_an_argument_of_sixteen_megabytes(play: StartPlay, fault: str) -> None:
    stage = play(*KEPT)
    stage.begin()
    broken = stage.network.when(
        lambda link: link.received(TO_SERVER) > LARGE // 4,
        lambda: FAULTS[fault].begin(stage),
    )
    stage.host.ask_tool("count", "long", text="y" * LARGE)
    stage.host.ask_tool("count", "behind")
    assert tally(stage.host.answers_to(["long", "behind"])) == {"result": 2}
    assert broken.is_set()
    (told,) = [each for each in stage.books.told(1) if each.get("id") == "long"]
    assert told["params"]["arguments"]["text"] == "y" * LARGE
    assert_one_server(stage)
    stage.end()


def test_a_long_answer_goes_on_while_a_long_argument_does(play: StartPlay) -> None:
    """Neither side waits for the other: what comes is granted before all is sent again."""
    stage = play(*KEPT)
    stage.begin()
    broken = stage.network.when(
        lambda link: link.received(TO_CLIENT) > LARGE // 4, lambda: stage.network.cut()
    )
    stage.host.ask_tool("big", "big", bytes=LARGE)
    stage.host.ask_tool("count", "long", text="y" * LARGE)
    big, _ = stage.host.answers_to(["big", "long"])
    assert broken.is_set()
    assert text_of(big) == "x" * LARGE
    assert stage.books.executions == {"big": 1, "long": 1}
    assert_one_server(stage)
    stage.end()


def test_cut_while_the_keeper_starts(play: StartPlay) -> None:
    """As without a keeper: the first request is answered, with a result or with an error in words."""
    stage = play(*KEPT, "--connect-timeout", "4")
    ordered = 9_500  # bytes: the exec request has left
    broken = stage.network.when(
        lambda link: link.received(TO_SERVER) > ordered, lambda: stage.network.cut()
    )
    stage.host.send(INITIALIZE)
    (answer,) = stage.host.answers_to([1])
    assert broken.is_set()
    if "result" in answer:
        stage.host.notify("notifications/initialized")
        stage.assert_usable()
    else:
        assert len(answer["error"]["message"].split()) > 3
    stage.end(status=0 if "result" in answer else 1)


def test_cut_in_the_servers_answer_to_initialize(play: StartPlay) -> None:
    stage = play(*KEPT, server=("--hold", "initialize@1"))
    stage.host.send(INITIALIZE)
    stage.books.wait_until_told(1, "initialize")
    stage.network.cut()
    stage.books.open_gate()
    (answer,) = stage.host.answers_to([1])
    assert "result" in answer
    stage.host.notify("notifications/initialized")
    stage.assert_usable()
    assert_one_server(stage)
    stage.end()


def test_cut_after_cut(play: StartPlay) -> None:
    """Two hundred calls, with ten losses among them, some while it attaches again."""
    rng = random.Random(7)  # noqa: S311
    stage = play(*KEPT)
    stage.begin()
    asked = []
    for number in range(200):
        asked.append(stage.host.ask_tool("count", f"call-{number}"))
        if number % 20 == 5:
            stage.host.answers_to(asked[: rng.randrange(len(asked))])
            stage.network.cut()
    assert tally(stage.host.answers_to(asked)) == {"result": 200}
    assert stage.books.executions == dict.fromkeys(asked, 1)
    assert_one_server(stage)
    stage.end()


def test_a_question_of_the_server_stays_open(play: StartPlay) -> None:
    stage = play(*KEPT)
    stage.begin()
    stage.host.ask_tool("ask", "asking")
    question = stage.host.receive(PATIENT)
    assert question["method"] == "elicitation/create"
    stage.network.cut()
    stage.network.wait_for_connection(2, PATIENT)
    stage.host.send({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}})
    (answer,) = stage.host.answers_to(["asking"])
    assert "decline" in text_of(answer)
    assert_one_server(stage)
    stage.end()


def test_when_the_keeper_is_gone_the_promises_are_those_of_a_plain_connection(
    play: StartPlay,
) -> None:
    stage = play(*KEPT)
    stage.begin()
    stage.host.ask_tool("hold", "hold")
    stage.books.wait_until_told(1, "hold")
    kill(keeper_of(stage))
    (answer,) = stage.host.answers_to(["hold"])
    assert MAY_HAVE_RUN in answer["error"]["message"]
    stage.assert_usable()
    assert len(stage.books.pids) == 2
    stage.end()


def test_a_server_that_was_given_up_is_started_again_as_without_a_keeper(play: StartPlay) -> None:
    stage = play(*QUICK, "--keep", "1")
    stage.begin()
    stage.host.ask_tool("hold", "hold")
    stage.books.wait_until_told(1, "hold")
    stage.network.refuse(3.0)
    stage.network.cut()
    (answer,) = stage.host.answers_to(["hold"])
    assert MAY_HAVE_RUN in answer["error"]["message"]
    wait_until(lambda: not is_running(stage.books.pids[0]), PATIENT)
    stage.assert_usable()
    assert len(stage.books.pids) == 2
    stage.end()


def test_a_client_that_is_killed_leaves_its_server_for_that_time_only(play: StartPlay) -> None:
    stage = play(*QUICK, "--keep", "2")
    stage.begin()
    keeper = keeper_of(stage)
    stage.host.kill()
    (server,) = stage.books.pids
    assert is_running(server)
    wait_until(lambda: not is_running(server) and not is_running(keeper), PATIENT)


def test_a_client_that_was_stopped_goes_on(play: StartPlay) -> None:
    """Longer than its keepalives allow: our own process cannot have noticed."""
    stage = play(*KEPT)
    stage.begin()
    stage.host.ask_tool("hold", "hold")
    stage.books.wait_until_told(1, "hold")
    os.kill(stage.host.pid, signal.SIGSTOP)
    stage.books.open_gate()
    stage.sshd.kill_sessions()
    os.kill(stage.host.pid, signal.SIGCONT)
    assert tally(stage.host.answers_to(["hold"])) == {"result": 1}
    stage.assert_usable()
    assert_one_server(stage)
    stage.end()


def test_the_end_of_a_server_is_told_with_its_status_and_last_words(play: StartPlay) -> None:
    stage = play(*KEPT, "--no-reconnect")
    stage.begin()
    stage.host.ask_tool("crash", "crash", status=3)
    (answer,) = stage.host.answers_to(["crash"])
    assert "exit status 3" in answer["error"]["message"]
    assert stage.host.wait(EXIT_WITHIN + SLACK) == 1


@pytest.mark.parametrize(
    ("path", "said"),
    [("/nowhere", "exit status 127"), ("/nowhere:{folder}", "SyntaxError")],
    ids=["no python3", "another python3"],
)
def test_where_nothing_can_be_kept_the_server_runs_as_without_the_option(
    breakable_sshd: BreakableSshd, tmp_path: Path, path: str, said: str
) -> None:
    folder = tmp_path / "programs"
    folder.mkdir()
    python3 = folder / "python3"
    python3.write_text("#!/bin/sh\necho SyntaxError: of an old version >&2; exit 1\n")
    python3.chmod(0o755)
    run = f'PATH={path.format(folder=folder)} /bin/sh -c "$SSH_ORIGINAL_COMMAND"'
    lines = ["MaxStartups 100", f"ForceCommand {run}"]
    sshd = BreakableSshd(breakable_sshd.keys, tmp_path / "sshd", lines)
    with sshd, Play(sshd, tmp_path, *KEPT) as stage:
        stage.begin()
        stage.network.cut()
        stage.network.wait_for_connection(2, PATIENT)
        stage.books.wait_until_told(2, "notifications/initialized", PATIENT)
        stage.assert_usable()
        stage.end()
        assert stage.host.stderr.count("cannot be kept") == 1
        assert said in stage.host.stderr


def test_jump_hosts_lead_to_a_keeper_too(play: StartPlay) -> None:
    jump = f"ProxyJump={getpass.getuser()}@127.0.0.1:{{breakable}}"
    stage = play(*KEPT, way=("--port", "{port}", "-o", jump))
    stage.begin()
    stage.host.ask_tool("hold", "hold")
    stage.books.wait_until_told(1, "hold")
    stage.network.cut()
    stage.network.wait_for_connection(2, PATIENT)
    stage.books.open_gate()
    assert tally(stage.host.answers_to(["hold"])) == {"result": 1}
    assert_one_server(stage)
    stage.end()
