"""Faults whose order decides: ends that come before other ends, and what ends or stalls whoever gets it."""

from __future__ import annotations

import pytest
from faults.conftest import StartPlay
from faults.play import PATIENT, Play, kill
from support.host import modern_meta

pytestmark = pytest.mark.interop


def begin(stage: Play, era: str) -> None:
    if era == "2025":
        stage.begin()
    else:
        assert "result" in stage.host.request("server/discover", {"_meta": modern_meta()})
        assert "result" in stage.host.request("tools/list", {"_meta": modern_meta()})


def test_a_reboot_is_waited_for_whichever_end_comes_first(play: StartPlay) -> None:
    """The process ends, then the connection; by then the session is older than a first connection may take."""
    stage = play("--connect-timeout", "2", "--log-level", "INFO", server=("--hold", "initialize@2"))
    stage.begin()
    stage.network.refuse(3)
    kill(stage.books.pids[0])
    stage.books.wait_until_told(2, "initialize", PATIENT)  # which does not answer any more
    stage.network.cut()
    stage.host.wait_for_stderr("refused", PATIENT)
    stage.assert_usable()
    stage.end()


@pytest.mark.parametrize("era", ["2025", "2026"])
def test_a_machine_that_boots_may_end_the_command_for_a_while(play: StartPlay, era: str) -> None:
    stage = play(server=("--early", "2-4"))
    begin(stage, era)
    kill(stage.books.pids[0])
    stage.host.wait_for_stderr("trying again")
    key = stage.host.ask_tool("count", "patient")
    (answer,) = stage.host.answers_to([key])
    assert "result" in answer, answer
    assert len(stage.books.pids) == 5
    stage.end()


def test_a_command_that_ends_at_once_on_the_first_start_is_reported_with_its_last_words(
    play: StartPlay,
) -> None:
    stage = play(server=("--early", "1-9"))
    answer = stage.host.initialize()
    assert "exit status 254" in answer["error"]["message"]
    assert "it printed: System is booting up" in answer["error"]["message"]
    assert len(stage.books.pids) == 1
    stage.end(status=1)


@pytest.mark.parametrize("era", ["2025", "2026"])
def test_what_ends_each_process_is_answered_after_the_second_and_the_session_stays(
    play: StartPlay, era: str
) -> None:
    stage = play()
    begin(stage, era)
    stage.host.ask("fatal", "resources/read", {"uri": "fatal"})
    (answer,) = stage.host.answers_to(["fatal"])
    assert "exit status 9, for the second time" in answer["error"]["message"]
    stage.assert_usable()
    assert len(stage.books.pids) == 3
    stage.end()


def test_what_always_stalls_past_the_keepalive_is_answered_after_the_second(
    play: StartPlay,
) -> None:
    stage = play("--keepalive", "0.3", "--keepalive-count", "2")
    stage.begin()
    stage.host.ask("slow", "resources/read", {"uri": "slow"})
    for process in (1, 2):
        stage.books.wait_until_told(process, "resources/read", PATIENT)
        stage.network.freeze()
    (answer,) = stage.host.answers_to(["slow"])
    assert "for the second time" in answer["error"]["message"]
    stage.assert_usable()
    stage.end()


def test_a_read_whose_connection_is_cut_again_and_again_is_repeated(play: StartPlay) -> None:
    stage = play()
    stage.begin()
    stage.host.ask("slow", "resources/read", {"uri": "slow"})
    for process in (1, 2, 3):
        stage.books.wait_until_told(process, "resources/read", PATIENT)
        stage.network.cut()
    stage.books.wait_until_told(4, "resources/read", PATIENT)
    stage.host.notify("notifications/cancelled", {"requestId": "slow"})
    stage.host.sent.remove("slow")
    stage.assert_usable()
    stage.end()


def test_what_the_host_cancels_never_reaches_another_process(play: StartPlay) -> None:
    stage = play("--retry-tool-calls", "--hold-timeout", "10")
    stage.begin()
    stage.host.ask("slow", "resources/read", {"uri": "slow"})
    stage.books.wait_until_told(1, "resources/read")
    stage.host.notify("notifications/cancelled", {"requestId": "slow"})
    stage.books.wait_until_told(1, "notifications/cancelled")
    stage.network.cut()
    stage.books.wait_until_told(2, "notifications/initialized", PATIENT)
    stage.assert_usable()
    assert "resources/read" not in stage.books.methods(2)
    assert "notifications/cancelled" not in stage.books.methods(2)
    stage.host.sent.remove("slow")
    stage.end()
