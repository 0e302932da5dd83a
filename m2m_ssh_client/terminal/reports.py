"""Waits, progress, and log messages of the server, on stderr."""

from __future__ import annotations

import io
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.spinner import Spinner
from rich.table import Column
from rich.text import Text

from m2m_ssh_client import threads
from m2m_ssh_client.terminal.output import console
from m2m_ssh_client.text import can_show, printable, shortened

_INTERVAL = 1.0  # seconds between lines of progress, without a terminal
_MOMENT = 0.5  # seconds without the spinner, which would only flicker
_FRAMES = 10  # a second
_MOST_CHARACTERS = 200
_SPARE = 4  # columns beside the bar: ^C may wrap the line, and a part of it would stay


class Reports:
    """A context manager with callbacks for a session; on exit, bar and spinner disappear."""

    def __init__(self, what: str) -> None:
        self._console = console(sys.stderr)
        self._what = printable(what)
        self._bar = _Bar(self._console)
        self._spinner = _Spinner(self._console)
        self._paused = False
        self._next_line = 0.0

    def __enter__(self) -> Reports:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._spinner.end()
        if self._bar.tasks:
            self._bar.stop()

    def waiting(self, text: str) -> None:
        """Say what is waited for, on a terminal, once the wait is longer than a moment.

        For any thread, and until `opened`.
        """
        if self._console.is_terminal:
            self._spinner.say(printable(text))

    def opened(self) -> None:
        """Let the spinner disappear: the session is open."""
        self._spinner.end()

    @property
    def log_stream(self) -> TextIO | None:
        """A stream for log lines that writes above the bar; None without a terminal."""
        return _AboveBar(self._console) if self._console.is_terminal else None

    async def on_progress(self, done: float, total: float | None, message: str | None) -> None:
        amount = f"{done:.10g}" if total is None else f"{done:.10g}/{total:.10g}"
        text = shortened(printable(message or ""), _MOST_CHARACTERS)
        if not self._console.is_terminal:
            self._say_now_and_then(f"progress {amount} {text}".rstrip())
            return
        if not self._bar.tasks:
            self._bar.add_task(self._what, total=None, amount="")
        self._bar.update(
            self._bar.tasks[0].id,
            description=text or self._what,
            completed=done,
            total=total,
            amount=amount,
        )
        if not self._paused:
            self._bar.start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hide bar and spinner while a person is typing. For any thread."""
        self._paused = True
        self._bar.stop()
        self._spinner.hide(True)
        try:
            yield
        finally:
            self._paused = False
            self._spinner.hide(False)
            if self._bar.tasks:
                self._bar.start()

    async def on_log(self, params: Any) -> None:
        """Show a log message, given as the SDK's model of `notifications/message`."""
        data = params.data
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, default=str)
        source = f"{params.logger}: " if params.logger else ""
        self.say(f"{params.level}: {source}{text.rstrip()}")

    def say(self, text: str) -> None:
        _print(self._console, printable(text), "dim")

    def _say_now_and_then(self, line: str) -> None:
        now = time.monotonic()
        if now >= self._next_line:
            self._next_line = now + _INTERVAL
            _print(self._console, line)


class _Bar(Progress):
    """A bar on one line; a long message is shortened to leave room for it."""

    def __init__(self, console: Console) -> None:
        self._to = console
        half = Column(max_width=console.width // 2, no_wrap=True, overflow="ellipsis")
        super().__init__(
            TextColumn("{task.description}", markup=False, table_column=half),
            BarColumn(),
            TextColumn("{task.fields[amount]}", markup=False),
            console=console,
            transient=True,
        )

    def start(self) -> None:
        with _printing:
            super().start()

    def stop(self) -> None:
        with _printing:
            super().stop()

    def get_renderable(self) -> RenderableType:
        return Constrain(super().get_renderable(), max(1, self._to.width - _SPARE))


class _Spinner:
    """Says what is waited for, once the wait is longer than a moment. For any thread."""

    def __init__(self, to: Console) -> None:
        self._to = to
        self._live = Live(
            console=to, transient=True, refresh_per_second=_FRAMES, redirect_stdout=False
        )
        self._over = threading.Event()
        self._begun = self._late = self._hidden = False

    def say(self, text: str) -> None:
        frames = "dots" if can_show("⠋", self._to.encoding) else "line"
        shown = shortened(text, max(1, self._to.width - _SPARE))
        with _printing:
            self._live.update(Spinner(frames, Text(shown)))
            if not self._begun:
                self._begun = True
                threads.start("spinner", self._wait)

    def hide(self, hidden: bool) -> None:
        with _printing:
            self._hidden = hidden
            self._draw()

    def end(self) -> None:
        with _printing:
            self._over.set()
            self._draw()

    def _wait(self) -> None:
        if not self._over.wait(_MOMENT):
            with _printing:
                self._late = True
                self._draw()

    def _draw(self) -> None:
        if self._late and not self._hidden and not self._over.is_set():
            self._live.start()
        else:
            self._live.stop()


class _AboveBar(io.StringIO):
    def __init__(self, to: Console) -> None:
        super().__init__()
        self._to = to

    def write(self, line: str) -> int:
        _print(self._to, line.removesuffix("\n"), "dim")
        return len(line)


# Held while printing: a line written during the first drawing of the bar or the spinner would end
# up behind it, because rich knows what to erase only afterwards.
_printing = threading.RLock()


def _print(to: Console, line: str, style: str = "") -> None:
    with _printing:
        to.print(Text(line, style=style), soft_wrap=True)
