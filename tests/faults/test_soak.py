"""Two thousand calls through a network that fails twenty times."""

from __future__ import annotations

import random

import pytest
from faults.conftest import StartPlay
from faults.play import Play
from support.usage import descriptors, memory, threads
from support.waiting import wait_until

from m2m_ssh_client.status import report_file

pytestmark = [pytest.mark.interop, pytest.mark.cold]

CALLS = 2000
CUTS = 20
WINDOW = 50  # calls in flight at most
SEED = 20261128

MOST_GROWTH = 24 << 10  # KiB; twenty dead connections that were kept would need more


def test_two_thousand_calls_with_twenty_cuts_are_all_answered(play: StartPlay) -> None:
    stage = play("--retry-tool-calls")
    host = stage.host
    stage.begin()
    reconnect_once(stage)
    wait_until(lambda: any(report_file.folder().glob("*.json")))  # its thread has begun by then
    before = memory(host.pid), threads(host.pid), descriptors(host.pid)
    moments = random.Random(SEED)  # noqa: S311 - only to be the same each time
    kinds = moments.choices(["count", "safe", "list"], weights=[5, 4, 1], k=CALLS)
    cuts = set(moments.sample(range(WINDOW, CALLS - WINDOW), CUTS))
    ids = []
    for number, kind in enumerate(kinds):
        id_ = f"{kind}-{number}"
        ids.append(host.ask(id_, "tools/list") if kind == "list" else host.ask_tool(kind, id_))
        if number in cuts:
            stage.network.cut()
        host.answers_to(ids[: -moments.randint(1, WINDOW)])
    answers = dict(zip(ids, host.answers_to(ids), strict=True))
    stage.assert_usable()
    for id_, answer in answers.items():
        if "error" in answer:
            assert id_.startswith("count")
            assert "may or may not have run" in answer["error"]["message"]
    executed = stage.books.executions
    assert all(executed[id_] for id_ in ids if "result" in answers[id_] and "list" not in id_)
    assert CUTS // 2 <= stage.network.connections - 2 <= CUTS  # one may come before a connection
    wait_until(lambda: threads(host.pid) <= before[1] and descriptors(host.pid) <= before[2])
    assert memory(host.pid) - before[0] < MOST_GROWTH
    stage.end()


def reconnect_once(stage: Play) -> None:
    """So that what is made only once, at the first loss, is there."""
    stage.network.cut()
    stage.books.wait_until_told(2, "notifications/initialized")
    stage.assert_usable()
