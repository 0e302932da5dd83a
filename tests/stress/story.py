"""Stories: what happens in one session, as a list of small events that can be printed, read again and made shorter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

LEGACY = "legacy"
MODERN = "modern"

PINNED = frozenset({"hello"})
"""The events without which the rest has no sense; they stay when a story is made shorter."""

_FAULTS = frozenset({"cut", "cut_after", "freeze", "refuse", "kill", "kill_session", "fate"})
_BREAKING = frozenset({"die", "tear", "child"})

_ARGUMENT = re.compile(r"\s*([a-z_]+)=")
_JSON = json.JSONDecoder()


@dataclass(frozen=True)
class Event:
    """One thing that the host, the network or the remote server does; `Play` has a method for each name."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        words = (f"{name}={json.dumps(value)}" for name, value in self.args.items())
        return " ".join([self.name, *words])

    @property
    def is_fault(self) -> bool:
        """Whether requests may be lost by it."""
        return self.name in _FAULTS or self.args.get("do") == "die"

    @staticmethod
    def read(line: str) -> Event:
        """The event that was printed as this line."""
        name, _, rest = line.strip().partition(" ")
        args, at = {}, 0
        while match := _ARGUMENT.match(rest, at):
            args[match[1]], at = _JSON.raw_decode(rest, match.end())
        if rest[at:].strip():
            raise ValueError(f"not an event: {line!r}")
        return Event(name, args)


@dataclass(frozen=True)
class Story:
    """The era that both sides speak, the options of the program, and what happens.

    `shell`: the options name no command. `may_end`: it is right that the program ends by itself.
    """

    era: str
    options: tuple[str, ...]
    events: tuple[Event, ...]
    shell: bool = False
    may_end: bool = False

    def __str__(self) -> str:
        marks = [*(["shell"] if self.shell else ()), *(["may-end"] if self.may_end else ())]
        return "\n".join([" ".join([self.era, *marks, *self.options]), *map(str, self.events)])

    @staticmethod
    def read(text: str) -> Story:
        """The story that was printed as this text; blank lines and those that begin with # do not count."""
        lines = [line for line in map(str.strip, text.splitlines()) if line[:1] not in ("", "#")]
        era, *words = lines[0].split()
        if era not in (LEGACY, MODERN):
            raise ValueError(f"not an era: {era!r}")
        marks = {"shell", "may-end"} & set(words)
        options = tuple(word for word in words if word not in marks)
        events = tuple(map(Event.read, lines[1:]))
        return Story(era, options, events, "shell" in marks, "may-end" in marks)

    def told(self, events: Iterable[Event]) -> Story:
        """The same session with other events."""
        return replace(self, events=tuple(events))

    def has(self, *names: str) -> bool:
        return any(event.name in names for event in self.events)

    @property
    def breaks(self) -> bool:
        """Whether requests may be lost in it."""
        return any(event.is_fault for event in self.events) or bool(
            _BREAKING & set(self.instructions())
        )

    @property
    def retries(self) -> bool:
        """Whether calls of tools that call themselves harmless may be made again."""
        return "--retry-tool-calls" in self.options

    def option(self, name: str, default: float) -> float:
        """The value of an option that takes a number."""
        return (
            float(self.options[self.options.index(name) + 1]) if name in self.options else default
        )

    def instructions(self) -> Iterator[str]:
        """What the requests ask the remote server to do, one word each."""
        for event in self.events:
            for instruction in event.args.get("do", ()) if event.name == "ask" else ():
                yield instruction.partition(" ")[0]
