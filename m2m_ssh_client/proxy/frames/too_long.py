"""A line that is longer than `--max-message-size`: what stands in its place, so that the session goes on.

One mechanism for both directions. Of the line a few kilobytes are kept, from its beginning and its end, which is where
SDKs write `id` and `method`; the rest is skipped as it comes. What stands in its place is an error:

- for an answer, an error with its id, which goes on in the same direction: whoever asked has an answer;
- for a request, a `Reply`, which goes back: whoever asked has an answer;
- for a notification, nothing.

It stands there as soon as the beginning tells whose it is, so that nobody waits for the end of a line that may have
none. Where the end, too, tells nothing, the host gets the error without an id (JSON-RPC 2.0, section 5). From the
remote that is no message, or one whose request would wait for ever: MessageTooLongError, and the connection ends.

A line of which a part has gone on early (`cut_through.py`) has a stand-in, too. Towards the remote it is broken off
within its string, where no server can take it for a message; towards the host it is completed as a failed call.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any

from m2m_ssh_client.errors import MessageTooLongError
from m2m_ssh_client.proxy.frames.frame import PROXY_ERROR, Id, error_line

logger = logging.getLogger(__name__)

_KEPT = 4096  # bytes, of either end

_MEMBER = rb'\s*"(id|method|jsonrpc)"\s*:\s*("(?:[^"\\]|\\.)*"|-?[0-9]+)\s*'
_FIRST = re.compile(rb"\s*\{(?:%b,)*" % _MEMBER)
_NEXT = re.compile(rb'\s*"(params|result|error)"\s*:')
# Only the braces of the message itself can be behind such a member at the very end.
_LAST = re.compile(rb"(?:,%b)+\}\s*\Z" % _MEMBER)
_EACH = re.compile(_MEMBER)


class StandIn(bytes):
    """The error that stands in the place of a line, in the same direction. `why` has its words."""

    why = ""


class Reply(StandIn):
    """The error that goes back to whoever sent the line."""


class Excess:
    """A line that is too long. `add` what comes of it, and `look` for what stands in its place."""

    def __init__(self, limit: int, begun: bytes, *, from_host: bool, owed: bool) -> None:
        """`owed`: a part of it has gone on, so that something has to stand there in any case."""
        self._error = MessageTooLongError.over(limit)
        self._first = begun[:_KEPT]
        self._last = b""
        self._from_host = from_host
        self._owed = owed
        self._told = False

    def add(self, data: bytes) -> None:
        self._last = (self._last + data[-_KEPT:])[-_KEPT:]

    def look(self, *, ended: bool) -> list[bytes]:
        """The stand-in, once it is known; the line has `ended` or not. Raises MessageTooLongError."""
        if self._told:
            return []
        begins_well = self._first.lstrip().startswith((b"{", b"["))
        found = self._known(ended=ended) if begins_well else None
        if found is None and begins_well and not ended:
            return []
        self._told = True
        logger.warning("dropped: %s", self._error.message)
        if found is not None:
            return found
        if not self._from_host:
            raise self._error
        return [self._error_for(None, Reply)]

    def _known(self, *, ended: bool) -> list[bytes] | None:
        start = _FIRST.match(self._first)
        members = _members(start.group()) if start else {}
        follows = _NEXT.match(self._first, start.end()) if start else None
        last = _LAST.search(self._last) if ended else None
        if last:
            members |= _members(last.group())
        name = follows.group(1) if follows else b""
        if "id" in members and (ended or "method" in members or name):
            answers = "method" not in members and name != b"params"
            return [self._error_for(members["id"], StandIn if answers else Reply)]
        if ended and "method" in members and not self._owed:
            return []
        return None

    def _error_for(self, id_: Id | None, kind: type[StandIn]) -> StandIn:
        found = kind(error_line(id_, PROXY_ERROR, str(self._error)))
        found.why = str(self._error)
        return found


def _members(text: bytes) -> dict[str, Any]:
    return {name.decode(): json.loads(value) for name, value in _EACH.findall(text)}
