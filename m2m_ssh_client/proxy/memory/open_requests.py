"""The host's requests that the remote has not answered yet, and their fate when its server is lost.

Sans-I/O.
"""

from __future__ import annotations

import msgspec

from m2m_ssh_client.proxy.frames.frame import Frame, Id, Message
from m2m_ssh_client.proxy.memory.harmless_tools import HarmlessTools

# These only read, or set the same value again, so repeating them does no harm; nor does a `…/list`.
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
# This request stays open by design, so it is open whenever a server ends, whatever the cause.
_STAYS_OPEN = "subscriptions/listen"
_MOST_ENDS = 2

MAY_HAVE_RUN = (
    "This request was sent and is not repeated: it may or may not have run on the remote server. "
    "Check before you retry."
)
SENT_BEFORE = "This request was sent before, so it may have run; it is safe to retry."
NOT_SENT = "This request was not sent; it is safe to retry."
_ENDED_TWICE = (
    "This request was open both times and may have been the cause, so it is not repeated."
)


class Request(msgspec.Struct, gc=False):
    """An open request."""

    method: str
    frame: Frame | None
    """The request's frame if the request may be repeated, else None."""
    ends: int = 0
    """The number of servers that ended or fell silent while the request was open."""

    def outcome(self, reason: str) -> str:
        """Return the error text for the host after the server is lost; empty to repeat the request.

        `reason` says why the server is lost.
        """
        if self.frame is None:
            return f"{reason.rstrip('.')}. {MAY_HAVE_RUN}"
        if self.ends >= _MOST_ENDS and self.method != _STAYS_OPEN:
            return f"{reason.rstrip('.')}, for the second time. {_ENDED_TWICE}"
        return ""


def is_repeatable(method: str) -> bool:
    """Return whether a request with this method does no harm a second time."""
    return method in _REPEATABLE or method.endswith("/list")


def answerable_under(id_: Id) -> tuple[Id, ...]:
    """Return the ids of the requests that an answer with this id may belong to.

    A server may turn a number into a string: the Python SDKs accept such an answer.
    """
    as_text = isinstance(id_, str) and id_.isascii() and id_.isdecimal() and len(id_) < 20
    return (id_, int(id_)) if as_text else (id_,)


class OpenRequests(dict[Id, Request]):
    """The open requests by id, in the order in which they were sent.

    A request enters when it is sent, and leaves when it is answered or cancelled, or when its
    server is lost. Its frame is kept only if it may be repeated, so a long tool call is not held in
    memory while it runs.
    """

    def __init__(self, harmless: HarmlessTools) -> None:
        super().__init__()
        self._harmless = harmless

    def add(self, message: Message, frame: Frame, ends: int = 0) -> None:
        """Note that this request is sent as part of this frame."""
        if message.id is None or message.method is None:
            return
        repeat = len(frame.messages) == 1 and self._is_repeatable(message.method, message)
        self[message.id] = Request(message.method, frame if repeat else None, ends)

    def answered_by(self, id_: Id) -> Id | None:
        """Return the id of the open request that an answer with this id belongs to, if any."""
        if id_ in self:
            return id_
        return next((each for each in answerable_under(id_) if each in self), None)

    def take_all(self, *, ended: bool = False) -> dict[Id, Request]:
        """Remove all requests and return them, because their server is lost.

        `ended`: the server ended or fell silent, and one of these requests may be the cause.
        """
        taken = dict(self)
        self.clear()
        for request in taken.values():
            request.ends += ended
        return taken

    def _is_repeatable(self, method: str, message: Message) -> bool:
        if method == "tools/call":
            return self._harmless.include(message)
        return is_repeatable(method)
