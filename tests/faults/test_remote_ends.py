"""The far end of the session ends, or stops, while the network is fine; and the near end is killed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import pytest
from faults.conftest import StartPlay
from faults.play import EXIT_WITHIN, PATIENT, SLACK, Play, assert_gone, kill, text_of

pytestmark = pytest.mark.interop

NOTICE_KILL_WITHIN = 2.5  # seconds
NOTICE_EXIT_WITHIN = (
    1.0  # of a process whose output stays open: half a second of quiet, and an answer
)
CHILD_LIVES = 30  # seconds, which is for ever here

# A host which dies without a word: what it was between lives on. It only passes on what it is told.
HOST_BETWEEN = """
import os, subprocess, sys, threading
client = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
print("the client is", client.pid, "!", file=sys.stderr, flush=True)
def carry(source, sink):
    while data := os.read(source, 65536):
        os.write(sink, data)
    os.close(sink)
threading.Thread(target=carry, args=(0, client.stdin.fileno()), daemon=True).start()
carry(client.stdout.fileno(), 1)
"""


def test_a_server_that_crashes_in_mid_answer_is_started_again_on_the_same_connection(
    play: StartPlay,
) -> None:
    stage = play()
    stage.begin()
    stage.host.ask_tool("count", "before")
    stage.host.ask_tool("crash", "crash", status=3)
    stage.host.ask_tool("count", "behind")
    before, crash, behind = stage.host.answers_to(["before", "crash", "behind"])
    assert "result" in before
    for answer in (crash, behind):
        assert "exit status 3" in answer["error"]["message"]
        assert "may or may not have run" in answer["error"]["message"]
    stage.assert_usable()
    assert stage.books.methods(2)[:2] == ["initialize", "notifications/initialized"]
    assert stage.network.connections == 1
    stage.end()


def test_a_server_that_ends_four_times_in_a_minute_has_to_wait_and_the_session_stays(
    play: StartPlay,
) -> None:
    stage = play("--hold-timeout", "1")
    stage.begin()
    for number in range(4):
        key = stage.host.ask_tool("crash", f"crash-{number}")
        (answer,) = stage.host.answers_to([key])
        assert "exit status 3" in answer["error"]["message"]
        if number < 3:
            stage.assert_usable()
    (answer,) = stage.host.answers_to([stage.host.ask("held", "tools/list")])
    assert "exit status 3" in answer["error"]["message"]
    assert "not sent" in answer["error"]["message"]
    assert len(stage.books.pids) == 4
    assert stage.network.connections == 1
    stage.end()


@pytest.mark.parametrize(
    ("how", "why"), [({"status": 3}, "exit status 3"), ({"signal": 9}, "ended by SIGKILL")]
)
def test_a_server_that_leaves_a_child_with_its_output_is_started_again(
    how: dict[str, int], why: str, play: StartPlay
) -> None:
    stage = play()
    stage.begin()
    began = time.monotonic()
    stage.host.ask_tool("crash", "crash", child=CHILD_LIVES, **how)
    (answer,) = stage.host.answers_to(["crash"])
    assert time.monotonic() - began < NOTICE_EXIT_WITHIN + SLACK
    assert why in answer["error"]["message"]
    assert "may or may not have run" in answer["error"]["message"]
    stage.assert_usable()
    assert stage.network.connections == 1
    stage.end()


def test_what_a_server_wrote_last_comes_although_a_child_holds_its_output(play: StartPlay) -> None:
    stage = play()
    stage.begin()
    stage.host.ask_tool("crash", "crash", child=CHILD_LIVES, bytes=5_000_000)
    (answer,) = stage.host.answers_to(["crash"])
    assert len(text_of(answer)) == 5_000_000
    stage.books.wait_until_told(2, "notifications/initialized")
    stage.assert_usable()
    assert len(stage.books.pids) == 2
    stage.end()


def test_a_server_that_exits_on_discover_is_there_for_initialize(play: StartPlay) -> None:
    stage = play(server=("--discover", "exit"))
    stage.host.ask("probe", "server/discover")
    (answer,) = stage.host.answers_to(["probe"])
    assert answer["error"]["code"] == -32601
    stage.begin()
    stage.assert_usable()
    assert stage.books.methods(1) == ["server/discover"]
    assert stage.books.methods(2)[0] == "initialize"
    assert stage.network.connections == 1
    stage.end()


def test_a_stopped_sshd_is_noticed_and_left_for_a_new_connection(play: StartPlay) -> None:
    stage = play("--keepalive", "0.5", "--keepalive-count", "2")
    stage.begin()
    stopped = stage.sshd.sessions()
    for pid in stopped:
        kill(pid, "SIGSTOP")
    try:
        began = time.monotonic()
        stage.host.ask_tool("count", "lost")
        (answer,) = stage.host.answers_to(["lost"])
        took = time.monotonic() - began
        assert "no sign of life" in answer["error"]["message"]
        assert "may or may not have run" in answer["error"]["message"]
        assert 0.5 * 2 <= took <= 0.5 * 3 + 1 + SLACK
        stage.assert_usable()
        assert stage.network.connections == 2
    finally:
        for pid in stopped:
            kill(pid, "SIGCONT")
    stage.end()
    # It lay in a buffer over there, and may have run since.
    assert stage.books.executions["lost"] <= 1


# The host is killed


def while_connecting(stage: Play) -> None:
    stage.network.wait_for_connection(1)


def while_idle(stage: Play) -> None:
    stage.begin()


def with_a_call_in_flight(stage: Play) -> None:
    stage.begin()
    stage.host.ask_tool("hold", "hold")
    stage.books.wait_until_told(1, "hold")


def while_backing_off(stage: Play) -> None:
    stage.begin()
    stage.network.refuse()
    stage.network.cut()
    stage.host.wait_for_stderr("refused", PATIENT)


@pytest.mark.parametrize(
    "get_there", [while_connecting, while_idle, with_a_call_in_flight, while_backing_off]
)
def test_the_death_of_the_host_ends_everything(
    play: StartPlay, get_there: Callable[[Play], None]
) -> None:
    host_between = (sys.executable, "-S", "-E", "-c", HOST_BETWEEN)
    stage = play("--log-level", "INFO", through=host_between)
    if get_there is while_connecting:
        stage.network.freeze(new=True)
    stage.host.wait_for_stderr("!")
    client = int(stage.host.stderr.partition("the client is ")[2].split()[0])
    try:
        get_there(stage)
        kill(stage.host.pid)
        began = time.monotonic()
        for pid in (client, *stage.books.pids):
            assert_gone(pid, began + NOTICE_KILL_WITHIN + SLACK)
    finally:
        kill(client)
    assert stage.host.wait(EXIT_WITHIN + SLACK) < 0
    assert "Traceback" not in stage.host.stderr, stage.host.stderr
