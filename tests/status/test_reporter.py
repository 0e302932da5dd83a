"""When reports are written; what they say is in test_snapshot.py."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from status.reports import report
from support.waiting import wait_until

from m2m_ssh_client.status import report_file, reporter
from m2m_ssh_client.status.report import Report, decoded
from m2m_ssh_client.status.reporter import reporting


class Relay:
    """Something to report about."""

    def __init__(self) -> None:
        self.report = report(state="connecting")
        self.asked = threading.Semaphore(0)
        self.changed = threading.Event()

    def prepare(self) -> Callable[[], Report]:
        def make() -> Report:
            self.asked.release()
            return self.report

        return make


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Relay:
    monkeypatch.setattr(reporter, "_PAUSE", 0.01)
    return Relay()


def written() -> list[Report | None]:
    return [decoded(content) for content in report_file.contents()]


def test_a_report_is_written_after_each_change_and_gone_at_the_end(relay: Relay) -> None:
    with reporting(relay.prepare, relay.changed):
        relay.changed.set()
        wait_until(lambda: written() == [relay.report])
        relay.report = report(state="open")
        relay.changed.set()
        wait_until(lambda: written() == [relay.report])
    assert written() == []


def test_nothing_is_written_before_the_first_change(relay: Relay) -> None:
    with reporting(relay.prepare, relay.changed):
        assert not relay.asked.acquire(timeout=0.2)
    assert not report_file.folder().exists()


def test_what_is_no_change_of_the_connection_is_noticed_too(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "_BEAT", 0.05)
    with reporting(relay.prepare, relay.changed):
        wait_until(lambda: written() == [relay.report])
        relay.report = report(requests=7)
        wait_until(lambda: written() == [relay.report])


def test_a_report_that_says_the_same_is_not_written(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    count: list[bytes] = []
    monkeypatch.setattr(report_file.ReportFile, "write", lambda _, content: count.append(content))
    with reporting(relay.prepare, relay.changed):
        for _ in range(3):
            relay.changed.set()
            assert relay.asked.acquire(timeout=10)
    assert len(count) == 1


def test_a_place_that_cannot_be_written_may_be_writable_later(relay: Relay) -> None:
    place: Path = report_file.folder()
    place.parent.mkdir(parents=True)
    place.touch()
    with reporting(relay.prepare, relay.changed):
        relay.changed.set()
        assert relay.asked.acquire(timeout=10)
        assert relay.asked.acquire(timeout=0.1) is False
        place.unlink()
        relay.changed.set()
        wait_until(lambda: place.is_dir() and written() == [relay.report])


def test_a_fault_in_a_report_ends_the_reports_alone(
    relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    def prepare() -> Callable[[], Report]:
        relay.asked.release()
        raise ZeroDivisionError

    caplog.set_level("INFO")
    with reporting(prepare, relay.changed):
        relay.changed.set()
        assert relay.asked.acquire(timeout=10)
    assert "ZeroDivisionError" in caplog.text
