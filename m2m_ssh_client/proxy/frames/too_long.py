"""Replacements for lines that are longer than `--max-message-size`, so that the session continues.

The same for both directions. A few kilobytes of the line are kept, from its beginning and its end,
where SDKs write `id` and `method`; the rest is skipped as it arrives. The line is replaced:

- an answer, by an error with its id (`StandIn`), which continues in the same direction;
- a request, by an error with its id (`Reply`), which returns to the sender;
- a notification, by nothing.

So the sender of the request gets an answer. The replacement is made as soon as the beginning shows
the id, because the line may never end. If neither the beginning nor the end shows the id, a host
gets the error with the id null (JSON-RPC 2.0, section 5). So does a host whose batch is too long: a
batch that cannot be read has one response (section 6), and MCP has no batches from 2025-06-18 on. A
remote's line without an id is not a message, or its request would wait for ever:
MessageTooLongError ends the connection.

A line that was partly forwarded (`early_forwarding/`) is replaced, too. Towards the remote, it ends
within its string, so no server can take it for a message. Towards the host, it is completed as a
failed call.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any

from m2m_ssh_client.errors import MessageTooLongError
from m2m_ssh_client.proxy.frames.frame import PROXY_ERROR, Id, error_line

logger = logging.getLogger(__name__)

_KEPT = 4096  # bytes at either end

_MEMBER = rb'\s*"(id|method|jsonrpc)"\s*:\s*("(?:[^"\\]|\\.)*"|-?[0-9]+)\s*'
_FIRST = re.compile(rb"\s*\{(?:%b,)*" % _MEMBER)
_NEXT = re.compile(rb'\s*"(params|result|error)"\s*:')
# At the very end of a line, such a member belongs to the message itself, not to its contents.
_LAST = re.compile(rb"(?:,%b)+\}\s*\Z" % _MEMBER)
_EACH = re.compile(_MEMBER)


class StandIn(bytes):
    """The error that replaces a line, in the same direction; `why` is its text."""

    why = ""


class Reply(StandIn):
    """The error that returns to the sender of the line."""


class Excess:
    """A line that is too long: `add` each chunk, then `look` for the replacement."""

    def __init__(self, limit: int, begun: bytes, *, from_host: bool, owed: bool) -> None:
        """`owed`: a part of the line was forwarded, so it needs a replacement in any case."""
        self._error = MessageTooLongError.over(limit)
        self._first = begun[:_KEPT]
        self._last = b""
        self._from_host = from_host
        self._owed = owed
        self._replaced = False

    def add(self, data: bytes) -> None:
        """Add a chunk of the line."""
        self._last = (self._last + data[-_KEPT:])[-_KEPT:]

    def look(self, *, ended: bool) -> list[bytes]:
        """Return the replacement once it is known; raise MessageTooLongError.

        `ended`: all of the line was added.
        """
        if self._replaced:
            return []
        begins_well = self._first.lstrip().startswith((b"{", b"["))
        found = self._known(ended=ended) if begins_well else None
        if found is None and begins_well and not ended:
            return []
        self._replaced = True
        logger.warning("dropped: %s", self._error.message)
        if found is not None:
            return found
        if not self._from_host:
            raise self._error
        return [self._error_for(None, Reply)]

    def _known(self, *, ended: bool) -> list[bytes] | None:
        """Return the replacement if the kept bytes show it, else None."""
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
        of_what = ": the answer to this request, which may have run" if kind is StandIn else ""
        why = f"{self._error.message}{of_what}. {self._error.hint}"
        found = kind(error_line(id_, PROXY_ERROR, why))
        found.why = why
        return found


def _members(text: bytes) -> dict[str, Any]:
    return {name.decode(): json.loads(value) for name, value in _EACH.findall(text)}
