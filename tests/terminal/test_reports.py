"""Progress and log messages from several threads, on one terminal."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator

import anyio
import pytest
from rich.console import Console
from support.waiting import wait_until

from m2m_ssh_client.terminal import reports

ERASE = "\x1b[2K"
BAR = "\u2501"


@pytest.fixture
def eager_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal gets."""
    screen = io.StringIO()
    made = Console(file=screen, force_terminal=True, width=80, legacy_windows=False, _environ={})
    monkeypatch.setattr(reports, "console", lambda _: made)
    return screen


@pytest.mark.usefixtures("eager_threads")
def test_a_log_line_never_stands_behind_a_bar_that_comes_and_goes(
    screen: io.StringIO,
) -> None:
    over = threading.Event()

    async def work(told: reports.Reports) -> None:
        with told:
            for done in range(20):
                await told.on_progress(done, 20, "halfway")
                with told.paused():
                    pass

    told = reports.Reports("steps")
    log = told.log_stream
    assert log is not None

    def chatter() -> None:
        while not over.is_set():
            log.write("chatter\n")

    server = threading.Thread(target=chatter)
    server.start()
    try:
        anyio.run(work, told)
    finally:
        over.set()
        server.join(10)
    lines = [line for line in screen.getvalue().split("\n") if "chatter" in line]
    assert lines
    # What was drawn on the line before was erased.
    assert not [line for line in lines if BAR in line.rpartition(ERASE)[2]]


def after_the_last_erasure(screen: io.StringIO) -> str:
    return screen.getvalue().rpartition(ERASE)[2]


def test_a_long_wait_is_said_until_the_session_is_open(
    screen: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "_MOMENT", 0.0)
    with reports.Reports("tools") as told:
        told.waiting("connecting to lab\x1b[2J")
        wait_until(lambda: "connecting to lab\\x1b[2J" in after_the_last_erasure(screen), 10)
        told.waiting("waiting for the server")
        wait_until(lambda: "waiting for" in after_the_last_erasure(screen), 10)
        told.opened()
        assert "waiting for" not in after_the_last_erasure(screen)
        written = screen.getvalue()
        told.waiting("waiting for the server")  # after a reconnect
    assert screen.getvalue() == written


def test_a_short_wait_is_not_said(screen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "_MOMENT", 600.0)
    with reports.Reports("tools") as told:
        told.waiting("connecting to lab")
        with told.paused():
            pass
        told.opened()
    assert screen.getvalue() == ""


def test_a_question_stands_on_a_line_of_its_own_during_a_wait(
    screen: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "_MOMENT", 0.0)
    with reports.Reports("tools") as told:
        told.waiting("connecting to lab")
        wait_until(lambda: "connecting" in after_the_last_erasure(screen), 10)
        with told.paused():
            screen.write("Passphrase? ")
            assert "connecting" not in after_the_last_erasure(screen)
            told.waiting("waiting for the server")
            assert screen.getvalue().endswith("Passphrase? ")
        wait_until(lambda: "waiting for" in screen.getvalue().rpartition("Passphrase? ")[2], 10)
    assert "waiting for" not in after_the_last_erasure(screen)
