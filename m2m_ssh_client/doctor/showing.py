"""Show the steps: as lines with details below them for a person, as JSON for a program."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console
from rich.text import Text

from m2m_ssh_client.doctor.steps import TITLES, Status, Step
from m2m_ssh_client.text import can_show, colours_are_wanted, encodable, printable, takes_escapes

_MARKS = {
    Status.OK: "✓",
    Status.WARNING: "!",
    Status.FAILED: "✗",
    Status.SKIPPED: "–",  # noqa: RUF001 - the dash is intended
}
_PLAIN_MARKS = {Status.OK: "+", Status.WARNING: "!", Status.FAILED: "x", Status.SKIPPED: "-"}
_STYLES = {
    Status.OK: "green",
    Status.WARNING: "yellow",
    Status.FAILED: "bold red",
    Status.SKIPPED: "dim",
}
_WIDTH = max(map(len, TITLES.values()))
_INDENT = " " * (_WIDTH + 4)


class Page:
    """Prints steps as lines; in colour on a terminal, unless NO_COLOR is set."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._encoding = self._stream.encoding or "utf-8"
        self._console = Console(
            file=self._stream,
            force_terminal=takes_escapes(self._stream),
            legacy_windows=False,
            highlight=False,
            soft_wrap=True,
            # With NO_COLOR alone, rich would still make lines bold or dim.
            color_system="auto" if colours_are_wanted() else None,
        )
        shows_marks = can_show("".join(_MARKS.values()) + "→", self._encoding)
        self._marks, self._arrow = (_MARKS, "→") if shows_marks else (_PLAIN_MARKS, "->")
        self._machine = ""

    def show(self, step: Step) -> None:
        if step.machine != self._machine:
            self._machine = step.machine
            self._line(Text(f"jump host {step.machine}:" if step.machine else "target machine:"))
        style = _STYLES[step.status]
        first = Text.assemble(
            (self._marks[step.status], style),
            f" {TITLES[step.name]:{_WIDTH}}  ",
            (printable(step.summary), "dim" if step.status is Status.SKIPPED else ""),
        )
        self._line(first)
        for detail in step.details:
            self._line(Text(_INDENT + printable(detail), "dim"))
        if step.advice:
            self._line(Text(f"{_INDENT}{self._arrow} {printable(step.advice)}", style))

    def _line(self, text: Text) -> None:
        shown = encodable(text.plain, self._encoding)
        # The styles do not fit the longer, escaped text.
        self._console.print(text if shown == text.plain else Text(shown))


def document(steps: Iterable[Step]) -> str:
    """Return the steps as one JSON document, in ASCII."""
    items = [
        {
            "name": step.name,
            "status": step.status.value,
            "found": {**({"machine": step.machine} if step.machine else {}), **step.found},
            "advice": step.advice,
        }
        for step in steps
    ]
    return json.dumps(items, indent=2)
