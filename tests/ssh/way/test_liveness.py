"""Noticing a dead connection, with the clocks in the test's hands."""

from __future__ import annotations

import threading
import time

import pytest
from support.waiting import wait_until

from m2m_ssh_client.ssh.way import liveness
from m2m_ssh_client.ssh.way.liveness import Liveness


class Link:
    """A connection that answers probes, or does not."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.heard = time.monotonic()
        self.probes = 0
        self.silence: float | None = None
        self.dead = threading.Event()

    def probe(self) -> None:
        self.probes += 1
        if self.answers:
            self.heard = time.monotonic()

    def die(self, silence: float) -> None:
        self.silence = silence
        self.dead.set()

    def watch(self, interval: float, count: int) -> Liveness:
        watch = Liveness(interval, count, lambda: self.heard, self.probe, self.die)
        watch.start()
        return watch


@pytest.mark.parametrize("count", [1, 3])
def test_a_silent_link_is_dead_an_interval_after_the_last_probe(count: int) -> None:
    link = Link(answers=False)
    begun = time.monotonic()
    link.watch(0.2, count)
    assert link.dead.wait(5)
    silence = 0.2 * (count + 1)
    assert silence <= time.monotonic() - begun
    assert link.probes == count
    assert link.silence is not None
    assert link.silence >= silence


def test_one_unanswered_probe_allowed_is_enough_for_a_link_that_answers() -> None:
    link = Link(answers=True)
    watch = link.watch(0.1, 1)
    assert not link.dead.wait(1)
    watch.stop()
    assert link.probes >= 3


def test_an_answer_begins_the_count_anew() -> None:
    link = Link(answers=False)
    watch = link.watch(0.2, 2)
    for asked in (1, 2, 3):
        wait_until(lambda: link.probes >= asked)  # noqa: B023 - called in this turn
        link.heard = time.monotonic()
    assert not link.dead.wait(0.3)
    watch.stop()


def test_a_process_that_was_stopped_asks_before_it_gives_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    link = Link(answers=True)
    stopped = 0.0
    monotonic = time.monotonic
    wall = time.time
    watch = link.watch(0.2, 1)
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + stopped)
    monkeypatch.setattr(time, "time", lambda: wall() + stopped)
    stopped = 3600.0
    assert not link.dead.wait(1)
    watch.stop()


def test_a_link_that_answers_lives() -> None:
    link = Link(answers=True)
    watch = link.watch(0.1, 2)
    assert not link.dead.wait(1)
    watch.stop()
    assert link.probes >= 3


def test_a_link_with_traffic_is_not_probed() -> None:
    link = Link(answers=False)
    watch = link.watch(0.3, 2)
    for _ in range(20):
        link.heard = time.monotonic()
        assert not link.dead.wait(0.05)
    watch.stop()
    assert link.probes == 0


def test_an_interval_of_0_switches_it_off() -> None:
    link = Link(answers=False)
    link.watch(0, 1)
    assert not link.dead.wait(0.3)
    assert link.probes == 0


def test_a_probe_that_blocks_does_not_hold_up_the_verdict() -> None:
    link = Link(answers=False)
    release = threading.Event()

    def probe() -> None:
        release.wait(10)

    Liveness(0.1, 3, lambda: link.heard, probe, link.die).start()
    assert link.dead.wait(5)
    release.set()


def test_after_a_sleep_a_link_is_probed_at_once_and_soon_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(liveness, "_LONGEST_STEP", 0.05)
    monkeypatch.setattr(liveness, "_AFTER_SLEEP", 0.3)
    slept = 0.0
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + slept)
    link = Link(answers=False)
    link.watch(30, 3)
    assert not link.dead.wait(0.2)
    assert link.probes == 0
    slept = 3600.0
    assert link.dead.wait(3)
    assert link.probes == 1


def test_after_a_sleep_a_link_that_answers_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "_LONGEST_STEP", 0.05)
    monkeypatch.setattr(liveness, "_AFTER_SLEEP", 0.3)
    slept = 3600.0
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + slept)
    link = Link(answers=True)
    watch = link.watch(30, 3)
    slept *= 2
    assert not link.dead.wait(1)
    assert link.probes == 1
    watch.stop()
