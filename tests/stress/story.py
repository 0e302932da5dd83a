"""Stories: what happens in one session, as a list of small events that can be printed, read again and made shorter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

LEGACY = "legacy"
MODERN = "modern"

MANNERS = {
    MODERN: ("unsupported", "unknown", "invalid"),
    LEGACY: ("strict", "lax", "exits", "silent"),
}
"""How a server that speaks one era only takes requests of the other, by its era; see `Remote`."""

_BRIDGED = "bridged="

PINNED = frozenset({"hello"})
"""The events without which the rest has no sense; they stay when a story is made shorter."""

_OF_NETWORK = frozenset({"cut", "cut_after", "freeze", "refuse", "kill_session"})
_DEADLY = frozenset({"kill", "kill_keeper", "fate"})
_KEPT_LONG = 10.0  # seconds, longer than any connection is away
BREAKING = frozenset({"die", "tear", "child"})
"""The instructions that end the remote."""

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
        return self.is_of_network or self.name in _DEADLY or self.args.get("do") == "die"

    @property
    def is_of_network(self) -> bool:
        """Whether it is a fault that a server outlives if it is kept."""
        return self.name in _OF_NETWORK

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
    """The era that the host speaks, the options of the program, and what happens.

    `shell`: the options name no command. `may_end`: it is right that the program ends by itself.
    `bridged`: the remote speaks the other era only, in this manner; empty if it speaks the host's.
    """

    era: str
    options: tuple[str, ...]
    events: tuple[Event, ...]
    shell: bool = False
    may_end: bool = False
    bridged: str = ""

    def __str__(self) -> str:
        marks = [_BRIDGED + self.bridged] if self.bridged else []
        marks += [*(["shell"] if self.shell else ()), *(["may-end"] if self.may_end else ())]
        return "\n".join([" ".join([self.era, *marks, *self.options]), *map(str, self.events)])

    @staticmethod
    def read(text: str) -> Story:
        """The story that was printed as this text; blank lines and those that begin with # do not count."""
        lines = [line for line in map(str.strip, text.splitlines()) if line[:1] not in ("", "#")]
        era, *words = lines[0].split()
        if era not in (LEGACY, MODERN):
            raise ValueError(f"not an era: {era!r}")
        marks = {"shell", "may-end"} & set(words)
        manners = [word for word in words if word.startswith(_BRIDGED)]
        options = tuple(word for word in words if word not in {*marks, *manners})
        events = tuple(map(Event.read, lines[1:]))
        bridged = "".join(manners).removeprefix(_BRIDGED)
        if bridged and bridged not in MANNERS[MODERN if era == LEGACY else LEGACY]:
            raise ValueError(f"not a manner of such a server: {bridged!r}")
        return Story(era, options, events, "shell" in marks, "may-end" in marks, bridged)

    def told(self, events: Iterable[Event]) -> Story:
        """The same session with other events."""
        return replace(self, events=tuple(events))

    def has(self, *names: str) -> bool:
        return any(event.name in names for event in self.events)

    @property
    def bridges_legacy_host(self) -> bool:
        """Whether the host is a legacy one and the remote speaks 2026-07-28 only."""
        return bool(self.bridged) and self.era == LEGACY

    @property
    def bridges_modern_host(self) -> bool:
        """Whether the host speaks 2026-07-28 only and the remote is a legacy one."""
        return bool(self.bridged) and self.era == MODERN

    @property
    def remote_era(self) -> str:
        if not self.bridged:
            return self.era
        return MODERN if self.era == LEGACY else LEGACY

    @property
    def keeps(self) -> bool:
        """Whether the remote outlives each loss of the connection."""
        long = self.option("--keep", 0.0) >= _KEPT_LONG
        return long and "--no-reconnect" not in self.options

    @property
    def breaks(self) -> bool:
        """Whether requests may be lost in it, once the remote has heard the host."""
        faults = [event for event in self.events if event.is_fault]
        if self.keeps:
            faults = [event for event in faults if not event.is_of_network]
        return bool(faults or BREAKING & set(self.instructions()))

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
