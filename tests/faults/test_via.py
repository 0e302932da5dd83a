"""OpenSSH's own client as the carrier (`--via ssh`): the faults of a network, and the ends of everything."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from faults.conftest import StartPlay
from faults.play import PATIENT, is_running, keys, tally, text_of
from faults.test_faults import FAULTS, INITIALIZE, MAY_HAVE_RUN
from support.fault_proxy import TO_CLIENT

if sys.platform == "win32":
    pytest.skip("sshd with POSIX shells behind it", allow_module_level=True)

pytestmark = pytest.mark.interop

VIA = ("--via", "ssh", "--keepalive", "1", "--keepalive-count", "1", "--retry-tool-calls")
LARGE = 16_000_000

some_faults = pytest.mark.parametrize("fault", ["cut", "freeze", "child-killed", "sshd-restarted"])


@some_faults
def test_with_fifty_requests_in_flight(play: StartPlay, fault: str) -> None:
    stage = play(*VIA)
    stage.begin()
    unsafe, safe = keys("count", 20), keys("safe", 20)
    for key in unsafe[:10] + safe[:10]:
        stage.host.ask_tool(key.partition("-")[0], key, later=1)
    stage.host.ask_tool("hold", "hold")
    for key in unsafe[10:] + safe[10:]:
        stage.host.ask_tool(key.partition("-")[0], key)
    stage.books.wait_until_told(1, "hold")
    FAULTS[fault].begin(stage)
    stage.books.open_gate()
    answers = stage.host.answers_to([*unsafe, "hold"])
    assert all(MAY_HAVE_RUN in str(a.get("error", MAY_HAVE_RUN)) for a in answers)
    assert tally(stage.host.answers_to(safe)) == {"result": 20}
    stage.assert_usable()
    stage.end()


def test_sixteen_megabytes_both_ways(play: StartPlay) -> None:
    stage = play(*VIA)
    stage.begin()
    stage.host.ask_tool("big", "big", bytes=LARGE)
    stage.host.ask_tool("count", "long", text="y" * LARGE)
    big, long = stage.host.answers_to(["big", "long"])
    assert text_of(big) == "x" * LARGE
    assert "result" in long
    stage.end()


def test_a_long_answer_that_is_torn(play: StartPlay) -> None:
    stage = play(*VIA)
    stage.begin()
    broken = stage.network.when(
        lambda link: link.received(TO_CLIENT) > LARGE // 4, lambda: stage.network.cut()
    )
    stage.host.ask_tool("big", "safe-big", bytes=LARGE)
    (answer,) = stage.host.answers_to(["safe-big"])
    assert broken.is_set()
    assert len(text_of(answer)) == LARGE
    stage.end()


def test_what_ssh_says_is_the_error(play: StartPlay) -> None:
    stage = play(*VIA, "-o", "IdentitiesOnly=yes", "-o", "IdentityFile=none", "-i", "/nowhere")
    stage.host.send(INITIALIZE)
    (answer,) = stage.host.answers_to([1])
    assert "ssh is not let in" in answer["error"]["message"]
    assert "Permission denied" in answer["error"]["message"]
    stage.end(status=1)


def test_nothing_is_left_of_a_session(play: StartPlay) -> None:
    stage = play(*VIA)
    stage.begin()
    (ours,) = children(stage.host.pid)
    stage.end()
    assert not is_running(ours)


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, tail = stat.read_text().rpartition(")")
        except OSError:
            continue
        if int(tail.split()[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def test_a_server_is_kept_over_it_too(play: StartPlay) -> None:
    stage = play(*VIA, "--keep", "60")
    stage.begin()
    stage.host.ask_tool("hold", "hold")
    stage.books.wait_until_told(1, "hold")
    stage.network.cut()
    stage.network.wait_for_connection(2, PATIENT)
    stage.books.open_gate()
    assert tally(stage.host.answers_to(["hold"])) == {"result": 1}
    assert len(stage.books.pids) == 1
    stage.end()
