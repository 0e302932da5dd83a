"""The host's frames that wait for a connection, in order.

Sans-I/O. Times are in seconds, on any steady clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from m2m_ssh_client.proxy.frames.frame import Frame, Id
from m2m_ssh_client.proxy.memory.open_requests import NOT_SENT, SENT_BEFORE

FOR_EVER = float("inf")


class HeldFrame(NamedTuple):
    """A frame that waits for a connection."""

    frame: Frame
    since: float
    """The time at which the wait began; infinite if the wait has no limit."""
    sent: bool = False
    """The frame was already sent over a connection that was lost."""
    ends: int = 0
    """The number of servers that ended or fell silent while the request was open."""
    restored: bool = False
    """The replay restores the state that this request sets, and answers the request."""

    def expired(self, reason: str) -> str:
        """Return the error text for the host after too long a wait; `reason` says what for."""
        return f"{reason.rstrip('.')}. {SENT_BEFORE if self.sent else NOT_SENT}"


class HeldFrames:
    """A queue of frames, in the order in which they will be sent.

    A frame leaves the queue when a connection is ready for it, when the host cancels its request,
    or when it has waited for `hold_time` seconds. A frame with `since` at infinity never expires.
    """

    def __init__(self, hold_time: float) -> None:
        self._hold_time = hold_time
        self._items: deque[HeldFrame] = deque()
        self.size = 0
        """The size of all held lines, in bytes."""

    def __iter__(self) -> Iterator[HeldFrame]:
        return iter(self._items)

    @property
    def next_expiry(self) -> float:
        """The time at which the first frame expires; infinite if none does."""
        return min((item.since for item in self._items), default=FOR_EVER) + self._hold_time

    def add(self, item: HeldFrame) -> None:
        """Append a frame."""
        self._items.append(item)
        self.size += len(item.frame.line)

    def take_all(self) -> list[HeldFrame]:
        """Remove all frames and return them."""
        items = list(self._items)
        self._items.clear()
        self.size = 0
        return items

    def take_expired(self, now: float) -> list[HeldFrame]:
        """Remove the frames that have waited for too long and return them."""
        return self._take_where(lambda item: item.since + self._hold_time <= now)

    def take_restored(self) -> list[HeldFrame]:
        """Remove the frames that the replay answers and return them."""
        return self._take_where(lambda item: item.restored)

    def cancel(self, id_: Id) -> bool:
        """Remove the request with this id; return whether there was one."""
        return bool(
            self._take_where(
                lambda item: [m.id for m in item.frame.messages if m.is_request] == [id_]
            )
        )

    def _take_where(self, condition: Callable[[HeldFrame], bool]) -> list[HeldFrame]:
        taken: list[HeldFrame] = []
        for item in self.take_all():
            if condition(item):
                taken.append(item)
            else:
                self.add(item)
        return taken
