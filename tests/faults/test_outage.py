"""A network that stays away for longer than requests wait, and what of the modern era outlives a loss."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from faults.conftest import StartPlay
from faults.play import PATIENT, SLACK, Play
from support.host import modern_meta

pytestmark = pytest.mark.interop

OPTIONS = ("--keepalive", "0.5", "--keepalive-count", "2", "--connect-timeout", "3")
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


def silent(stage: Play) -> None:
    stage.network.freeze(new=True)
    stage.network.wait_for_connection(2, PATIENT)


def refused(stage: Play) -> None:
    stage.network.refuse()
    stage.network.cut()
    stage.host.wait_for_stderr("refused")


def restore(stage: Play) -> None:
    stage.network.thaw()
    stage.network.accept()


@pytest.mark.parametrize("outage", [silent, refused])
def test_a_request_that_waited_too_long_is_told_that_it_was_not_sent(
    play: StartPlay, outage: Callable[[Play], None]
) -> None:
    stage = play(*OPTIONS, "--hold-timeout", "1", "--log-level", "INFO")
    stage.begin()
    outage(stage)
    stage.host.ask_tool("count", "too-early")
    (answer,) = stage.host.answers_to(["too-early"], timeout=1 + SLACK)
    assert "is being made again" in answer["error"]["message"]
    assert "was not sent" in answer["error"]["message"]
    restore(stage)
    stage.books.wait_until_told(2, "notifications/initialized", PATIENT)
    stage.assert_usable()
    assert "too-early" not in stage.books.executions
    stage.end()


@pytest.mark.parametrize("outage", [silent, refused])
def test_a_request_that_waits_is_sent_when_the_network_is_back(
    play: StartPlay, outage: Callable[[Play], None]
) -> None:
    stage = play(*OPTIONS, "--log-level", "INFO")
    stage.begin()
    outage(stage)
    stage.host.ask_tool("count", "patient")
    restore(stage)
    (answer,) = stage.host.answers_to(["patient"])
    assert "result" in answer
    stage.end()


@pytest.mark.parametrize("outage", [silent, refused])
def test_the_end_of_the_host_is_obeyed_during_an_outage(
    play: StartPlay, outage: Callable[[Play], None]
) -> None:
    stage = play(*OPTIONS, "--log-level", "INFO")
    stage.begin()
    outage(stage)
    stage.host.ask_tool("count", "never")
    stage.end()
    assert "error" in stage.host.answers["never"][0]
    assert "never" not in stage.books.executions


def test_without_reconnecting_the_first_loss_is_the_end(play: StartPlay) -> None:
    stage = play("--no-reconnect")
    stage.begin()
    stage.host.ask_tool("hold", "hold")
    stage.host.ask("list", "tools/list")
    stage.books.wait_until_told(1, "hold")
    stage.network.cut()
    for answer in stage.host.answers_to(["hold", "list"]):
        assert "was lost" in answer["error"]["message"]
    assert stage.host.wait(PATIENT) == 1
    assert stage.network.connections == 1
    stage.end(status=1)


def test_a_modern_subscription_outlives_the_connection(play: StartPlay) -> None:
    stage = play(*OPTIONS)
    host = stage.host
    assert "result" in host.request("server/discover", {"_meta": modern_meta()})
    wanted = {"notifications": {"toolsListChanged": True}, "_meta": modern_meta()}
    host.ask("listen", "subscriptions/listen", wanted)
    acknowledged = "notifications/subscriptions/acknowledged"
    host.receive_until(lambda m: m.get("method") == acknowledged)
    stage.network.cut()
    changed = host.receive_until(
        lambda m: m.get("method") == "notifications/tools/list_changed", PATIENT
    )
    assert changed["params"]["_meta"][SUBSCRIPTION] == "listen"
    stage.assert_usable()
    first, second = stage.books.told(2)[:2]
    assert (first["method"], second["id"]) == ("server/discover", "listen")
    assert not [m for m in host.others if m.get("method") == acknowledged]
    assert "listen" not in host.answers
    stage.end()
