"""Progress and log messages from several threads, on one terminal."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator

import anyio
import pytest
from rich.console import Console

from m2m_ssh_client.terminal import reports

ERASE = "\x1b[2K"
BAR = "\u2501"


@pytest.fixture
def eager_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager_threads")
def test_a_log_line_never_stands_behind_a_bar_that_comes_and_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(
        reports,
        "console",
        lambda _: Console(
            file=screen, force_terminal=True, width=80, legacy_windows=False, _environ={}
        ),
    )
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
