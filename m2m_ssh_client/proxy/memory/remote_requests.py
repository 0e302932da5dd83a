"""The remote's own requests (sampling, elicitation, roots, ping), which the host answers.

Sans-I/O.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from m2m_ssh_client.proxy.frames.frame import (
    Frame,
    Id,
    Members,
    Message,
    fields,
    is_id,
    member,
    message_line,
    only,
    raw_json,
    rewritten,
)

_MOST_OPEN = 10_000  # unanswered requests
_LONGEST_ID = 1000  # characters


class RemoteRequests:
    """The remote's unanswered requests, with ids that are unique in the session.

    A fresh server numbers its requests from the start again while the host may still work on an old
    request with the same id. So from the second connection on, the remote's ids and progress tokens
    get a prefix with the number of the connection on their way to the host, and lose it on the way
    back. On the first connection they pass unchanged. An answer without the prefix of the current
    connection belongs to a lost server and is dropped.
    """

    def __init__(self, prefix: str) -> None:
        """`prefix` begins all ids that are made here."""
        self._prefix = prefix
        self._connection = 0
        self._open: dict[Id, None] = {}  # ids as the host knows them, oldest first

    def lost(self) -> list[bytes]:
        """Forget all requests of a lost connection; return their cancellations for the host."""
        lines = [
            message_line(
                method="notifications/cancelled",
                params={"requestId": id_, "reason": "The connection to the remote server was lost"},
            )
            for id_ in self._open
        ]
        self._open.clear()
        self._connection += 1
        return lines

    def from_remote(self, frame: Frame) -> bytes:
        """Return the line for the host."""
        line = frame.line
        if self._connection and any(map(_has_remote_id, frame.messages)):
            line = rewritten(line, self._mark_members)
        for message in frame.messages:
            if message.method is not None:
                self._note(message)
        return line

    def from_host(self, frame: Frame) -> Frame | None:
        """Return the part of a frame that is for the current server, or None."""
        if not self._open and not self._connection:
            return frame
        kept = only(frame, [not self._is_outdated(message) for message in frame.messages])
        if kept is None:
            return None
        for message in kept.messages:
            if message.is_response and message.id is not None:
                self._open.pop(message.id, None)
        if self._connection and any(map(_may_be_about_request, kept.messages)):
            return Frame(rewritten(kept.line, self._unmark_members), kept.messages)
        return kept

    def _note(self, message: Message) -> None:
        if message.is_request and message.id is not None:
            if len(str(message.id)) > _LONGEST_ID:
                return
            self._open[self._marked(message.id)] = None
            # A server may send requests without end, and the host need not answer them.
            if len(self._open) > _MOST_OPEN:
                del self._open[next(iter(self._open))]
        elif message.method == "notifications/cancelled":
            id_ = fields(message.params).get("requestId")
            if is_id(id_):
                self._open.pop(self._marked(id_), None)

    def _is_outdated(self, message: Message) -> bool:
        """Return whether a message of the host is about a request of a lost connection."""
        if not self._connection:
            return False
        if message.is_response:
            return message.id is not None and not self._is_marked(message.id)
        if message.method == "notifications/progress" and message.id is None:
            token = fields(message.params).get("progressToken")
            return is_id(token) and not self._is_marked(token)
        return False

    @property
    def _mark(self) -> str:
        return f"{self._prefix}{self._connection}:"

    def _is_marked(self, id_: Id) -> bool:
        return isinstance(id_, str) and id_.startswith(self._mark)

    def _marked(self, id_: Id) -> Id:
        return f"{self._mark}{json.dumps(id_)}" if self._connection else id_

    def _unmarked(self, id_: Any) -> object:
        if self._is_marked(id_):
            with suppress(ValueError, RecursionError):  # the host may have invented this id
                original = json.loads(id_[len(self._mark) :])
                return original if is_id(original) else id_
        return id_

    def _mark_members(self, message: Members) -> None:
        if "method" not in message:
            return
        if "id" in message:
            self._apply(message, "id", self._marked)
            self._apply_in_params(message, ("_meta", "progressToken"), self._marked)
        elif json.loads(bytes(message["method"])) == "notifications/cancelled":
            self._apply_in_params(message, ("requestId",), self._marked)

    def _unmark_members(self, message: Members) -> None:
        if "method" not in message:
            self._apply(message, "id", self._unmarked)
        elif json.loads(bytes(message["method"])) == "notifications/progress":
            self._apply_in_params(message, ("progressToken",), self._unmarked)

    def _apply(self, message: Members, name: str, change: Callable[[Any], object]) -> None:
        id_ = json.loads(bytes(message[name]))
        if is_id(id_):
            message[name] = raw_json(change(id_))

    def _apply_in_params(
        self, message: Members, path: tuple[str, ...], change: Callable[[Any], object]
    ) -> None:
        params = fields(message.get("params", b""))
        holder = member(params, *path[:-1]) if path[:-1] else params
        if isinstance(holder, dict) and is_id(holder.get(path[-1])):
            holder[path[-1]] = change(holder[path[-1]])
            message["params"] = raw_json(params)


def _has_remote_id(message: Message) -> bool:
    """Return whether the remote chose the id: its own request, or the cancellation of one."""
    return message.is_request or message.method == "notifications/cancelled"


def _may_be_about_request(message: Message) -> bool:
    return message.is_response or message.method == "notifications/progress"
