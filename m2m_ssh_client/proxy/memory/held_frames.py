"""The host's frames that wait for a connection, in order. Sans-I/O; times in seconds on any steady clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from m2m_ssh_client.proxy.frames.frame import Frame, Id, only

FOR_EVER = float("inf")


class Held(NamedTuple):
    """A frame that waits."""

    frame: Frame
    since: float
    """When its wait began, infinite if that has no bound."""
    sent: bool = False
    """Whether it went out already, over a connection that was lost."""
    ends: int = 0
    """How many servers ended or fell silent while it was open."""
    restored: bool = False
    """Whether the replay says to a fresh server what it asks for, and answers it."""


class Holding:
    """Frames in the order in which they will go out; a wait that has a bound lasts `hold_time` seconds."""

    def __init__(self, hold_time: float) -> None:
        self._hold_time = hold_time
        self._items: deque[Held] = deque()
        self.size = 0
        """In bytes."""

    def __iter__(self) -> Iterator[Held]:
        return iter(self._items)

    @property
    def next_expiry(self) -> float:
        """When the first wait is over; infinite if none has a bound."""
        return min((item.since for item in self._items), default=FOR_EVER) + self._hold_time

    def add(self, item: Held) -> None:
        self._items.append(item)
        self.size += len(item.frame.line)

    def take_all(self) -> list[Held]:
        """Take everything, which is not held any more."""
        items = list(self._items)
        self._items.clear()
        self.size = 0
        return items

    def take_expired(self, now: float) -> list[Held]:
        """Take the frames whose wait is over."""
        return self._take(lambda item: item.since + self._hold_time <= now)

    def take_restored(self) -> list[Held]:
        """Take the frames that the replay answers."""
        return self._take(lambda item: item.restored)

    def cancel(self, id_: Id) -> None:
        """Take away the request with this id, of a batch too."""
        for item in self.take_all():
            wanted = [not (m.is_request and m.id == id_) for m in item.frame.messages]
            left = only(item.frame, wanted)
            if left is not None:
                self.add(item._replace(frame=left))

    def _take(self, wanted: Callable[[Held], bool]) -> list[Held]:
        taken: list[Held] = []
        for item in self.take_all():
            if wanted(item):
                taken.append(item)
            else:
                self.add(item)
        return taken
