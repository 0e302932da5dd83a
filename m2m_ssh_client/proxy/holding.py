"""The host's frames that wait for a connection, in order. Sans-I/O; times in seconds on any steady clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from m2m_ssh_client.proxy.frames import Frame, Id

FOR_EVER = float("inf")


class Held(NamedTuple):
    frame: Frame
    since: float  # when its wait began, infinite if that has no bound
    sent: bool  # once already, over a connection that was lost


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

    def add(self, frame: Frame, since: float, *, sent: bool) -> None:
        self._items.append(Held(frame, since, sent))
        self.size += len(frame.line)

    def take_all(self) -> list[Held]:
        """Everything, which is not held any more."""
        items = list(self._items)
        self._items.clear()
        self.size = 0
        return items

    def take_expired(self, now: float) -> list[Held]:
        """The frames whose wait is over, which are not held any more."""
        return self._take(lambda item: item.since + self._hold_time <= now)

    def take_request(self, id_: Id) -> bool:
        """Whether a frame with this request alone was held; it is not any more."""
        return bool(
            self._take(lambda item: [m.id for m in item.frame.messages if m.is_request] == [id_])
        )

    def _take(self, wanted: Callable[[Held], bool]) -> list[Held]:
        taken: list[Held] = []
        for item in self.take_all():
            if wanted(item):
                taken.append(item)
            else:
                self.add(item.frame, item.since, sent=item.sent)
        return taken
