"""What a server tells while it works: progress and log messages, on stderr."""

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
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text

from m2m_ssh_client.terminal.output import console
from m2m_ssh_client.text import printable, shortened

_INTERVAL = 1.0  # seconds from one line of progress to the next, where there is no terminal
_MOST_CHARACTERS = 200
_SPARE = (
    4  # columns beside the bar: of a line that a terminal has to break for ^C, a part would stay
)


class Reports:
    """A context manager: the bar goes away with it. `on_progress` and `on_log` are what a session wants."""

    def __init__(self, what: str) -> None:
        self._console = console(sys.stderr)
        self._what = printable(what)
        self._bar = _Bar(self._console)
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
        if self._bar.tasks:
            self._bar.stop()

    @property
    def log_stream(self) -> TextIO | None:
        """Where log lines go in the place of stderr: above the bar, which they would tear. None: there is no bar."""
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
        """Without the bar, which writes where a person is typing."""
        self._paused = True
        self._bar.stop()
        try:
            yield
        finally:
            self._paused = False
            if self._bar.tasks:
                self._bar.start()

    async def on_log(self, params: Any) -> None:
        """Takes the SDK's model of `notifications/message`."""
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
    """One line, in which a long message gives way to the bar and the amount."""

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


class _AboveBar(io.StringIO):
    def __init__(self, to: Console) -> None:
        super().__init__()
        self._to = to

    def write(self, line: str) -> int:
        _print(self._to, line.removesuffix("\n"), "dim")
        return len(line)


# A line that another thread writes while a bar appears would stand behind that: rich knows what to erase only once it
# has drawn the bar for the first time.
_printing = threading.RLock()


def _print(to: Console, line: str, style: str = "") -> None:
    with _printing:
        to.print(Text(line, style=style), soft_wrap=True)
