"""The host's requests that are with the remote, and what becomes of each when its server is gone. Sans-I/O."""

from __future__ import annotations

import msgspec

from m2m_ssh_client.proxy.frames.frame import Frame, Id, Message
from m2m_ssh_client.proxy.memory.harmless_tools import HarmlessTools

# Requests that read, or set what they set again: a second time does no harm. So does every `…/list`.
_REPEATABLE = frozenset(
    {
        "completion/complete",
        "initialize",
        "logging/setLevel",
        "ping",
        "prompts/get",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "server/discover",
        "subscriptions/listen",
    }
)
# One that stays open is open at every end, whatever that came from.
_STAYS_OPEN = "subscriptions/listen"
_MOST_ENDS = 2

MAY_HAVE_RUN = (
    "This request had been sent and is not repeated: it may or may not have run on the remote server. "
    "Check before you ask again."
)
SENT_BEFORE = "This request had been sent before, so it may have run; it is one that can be made again without harm."
NOT_SENT = "This request was not sent; it can be made again without harm."
_ENDED_TWICE = (
    "This request was open both times; the remote server may not survive it. It is not repeated."
)


class Request(msgspec.Struct, gc=False):
    """A request that is open. `ends` counts the servers that ended, or fell silent, while it was."""

    method: str
    frame: Frame | None
    """Kept only where it may be repeated."""
    ends: int = 0

    def outcome(self, reason: str) -> str:
        """Return what the host is told if its server is gone: empty if it is to be sent again instead."""
        if self.frame is None:
            return f"{reason.rstrip('.')}. {MAY_HAVE_RUN}"
        if self.ends >= _MOST_ENDS and self.method != _STAYS_OPEN:
            return f"{reason.rstrip('.')}, for the second time. {_ENDED_TWICE}"
        return ""


def answerable_under(id_: Id) -> tuple[Id, ...]:
    """Return the ids of the requests that an answer under this id may be for.

    A server may make text of a number: the SDKs for Python let that pass.
    """
    as_text = isinstance(id_, str) and id_.isascii() and id_.isdecimal() and len(id_) < 20
    return (id_, int(id_)) if as_text else (id_,)


class OpenRequests(dict[Id, Request]):
    """The open requests by their ids, in the order in which they were sent."""

    def __init__(self, harmless: HarmlessTools) -> None:
        super().__init__()
        self._harmless = harmless

    def add(self, message: Message, frame: Frame, ends: int = 0) -> None:
        """Note that this request goes out, in this frame."""
        if message.id is None or message.method is None:
            return
        repeat = len(frame.messages) == 1 and self._is_repeatable(message.method, message)
        self[message.id] = Request(message.method, frame if repeat else None, ends)

    def answered_by(self, id_: Id) -> Id | None:
        """Return the id of the request that an answer under this id is for, if one is open."""
        if id_ in self:
            return id_
        return next((each for each in answerable_under(id_) if each in self), None)

    def take_all(self, *, ended: bool = False) -> dict[Id, Request]:
        """Close all of them, because their server is gone. `ended`: they may have to do with that."""
        taken = dict(self)
        self.clear()
        for request in taken.values():
            request.ends += ended
        return taken

    def _is_repeatable(self, method: str, message: Message) -> bool:
        if method == "tools/call":
            return self._harmless.include(message)
        return method in _REPEATABLE or method.endswith("/list")
