"""A session that offers a part of the server's tools (`--tool`, `--ignore-tool`). Sans-I/O.

Answers to `tools/list` lack the hidden tools, and a call of one is answered here as a server
answers a call of an unknown tool. Everything else passes as in any session. A call is refused if
two readers could find different tools in it: with a name that is repeated, or that differs in case
only (Go reads members regardless of case).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

import msgspec

from m2m_ssh_client.proxy.frames.frame import (
    LONGEST_OBJECTS,
    PROXY_ERROR,
    Frame,
    Id,
    Message,
    NotJSONRPCError,
    answer_line,
    error_line,
    items_of,
    members_of,
    only,
    parse,
    parts,
)
from m2m_ssh_client.proxy.memory.open_requests import answerable_under
from m2m_ssh_client.proxy.memory.session import Output, Session
from m2m_ssh_client.text import printable, shortened

logger = logging.getLogger(__name__)

_CALL = "tools/call"
_INVALID_PARAMS = -32602  # what a server answers to a call of an unknown tool (MCP, "Tools")

_UNREADABLE = "The server's list of tools cannot be read"


class _Pairs(list[tuple[str, Any]]):
    """The members of a JSON object, repeated ones too."""

    def under(self, name: str) -> list[Any]:
        """Return the values under a name, however its letters are cased."""
        return [value for key, value in self if key.casefold() == name]


class FilteredSession(Session):
    """A session with patterns, as in a shell, for the names of tools.

    A tool is shown if it matches one of `tools`, or these are none, and none of `ignore_tools`.
    """

    def __init__(
        self, *args: Any, tools: Sequence[str], ignore_tools: Sequence[str], **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._tools = tools or ("*",)
        self._ignored = ignore_tools
        self._listing: set[Id] = set()  # the ids under which an answer may list tools

    def may_begin_request(self, message: Message) -> bool:
        """Return False: a name may stand behind what is long."""
        return message.method != _CALL and super().may_begin_request(message)

    def _route(self, frame: Frame, now: float, output: Output) -> None:
        self._listing.update(
            message.id
            for message in frame.messages
            if message.id is not None and message.method == "tools/list"
        )
        # No other line has a call in it: `tools/call` would have to be spelled with an escape.
        if b"tools/call" in frame.line or b"\\" in frame.line:
            admitted = self._admitted(frame, output)
            if admitted is None:
                return
            frame = admitted
        super()._route(frame, now, output)

    def _admitted(self, frame: Frame, output: Output) -> Frame | None:
        """Answer the calls of hidden tools; return the rest of the frame, if any."""
        items = parts(frame)
        if len(items) < len(frame.messages):  # nested so deeply that it cannot be taken apart
            reasons = ["Invalid params: nested too deeply"] * len(frame.messages)
        else:
            reasons = [self._reason(item.line) for item in items]
        for message, reason in zip(frame.messages, reasons, strict=True):
            if reason and message.id is not None:
                output.to_host.append(error_line(message.id, _INVALID_PARAMS, reason))
        return only(frame, [not reason for reason in reasons])

    def _reason(self, line: bytes) -> str:
        """Return why a message is refused; empty for all but calls of hidden tools."""
        message = _pairs(line)
        if message is None:
            return "Invalid params: nested too deeply, or with too long a number"
        if _CALL not in message.under("method"):
            return ""
        params = message.under("params")
        if len(message.under("method")) > 1 or len(params) != 1 or len(message.under("id")) > 1:
            return "Invalid params: a call needs each of its members once"
        name = _name(params[0])
        if name is None:
            return "Invalid params: a call needs one name, which is a string"
        return "" if self._shows(name) else f"Unknown tool: {shortened(printable(name))}"

    def _shows(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self._tools) and not any(
            fnmatchcase(name, pattern) for pattern in self._ignored
        )

    def _deliver(self, frame: Frame, output: Output) -> None:
        if self._listing and any(map(self._may_list, frame.messages)):
            whole = parts(frame)
            if len(whole) < len(frame.messages):  # nested so deeply that it cannot be taken apart
                ids = [each.id for each in frame.messages if each.id is not None]
                for asked in chain.from_iterable(map(self._waiting_for, ids)):
                    self._answer_error(asked, _UNREADABLE, output)
                return
            items = [self._filtered(item) for item in whole]
            lines = b",".join(item.line for item in items)
            is_batch = frame.line.lstrip().startswith(b"[")
            messages = tuple(message for item in items for message in item.messages)
            frame = Frame(b"[%b]" % lines if is_batch else lines, messages)
        super()._deliver(frame, output)

    def _may_list(self, message: Message) -> bool:
        return (
            message.is_response
            and message.id is not None
            and not self._listing.isdisjoint(answerable_under(message.id))
        )

    def _filtered(self, frame: Frame) -> Frame:
        """Return the frame of an answer without the hidden tools; others as they are."""
        message = frame.messages[0]
        if message.id is None or not self._may_list(message):
            return frame
        self._listing.difference_update(answerable_under(message.id))
        if not message.result:
            return frame
        try:
            result = msgspec.Raw(self._without_hidden(message.result))
        except (ValueError, RecursionError) as exc:
            text = f"{_UNREADABLE}: {exc}"
            return parse(error_line(message.id, PROXY_ERROR, text))
        return parse(answer_line(message.id, Message(message.id, result=result)))

    def _without_hidden(self, result: msgspec.Raw) -> bytes:
        members = members_of(bytes(result))
        if isinstance(members, list):
            raise NotJSONRPCError("not an object")
        for key, value in members.items():
            if key.casefold() == "tools":
                tools = items_of(bytes(value)) if bytes(memoryview(value)[:1]) == b"[" else []
                shown = filter(self._is_shown, tools)
                members[key] = msgspec.Raw(b"[" + b",".join(map(bytes, shown)) + b"]")
        written = (json.dumps(key).encode() + b":" + bytes(members[key]) for key in members)
        return b"{" + b",".join(written) + b"}"

    def _is_shown(self, tool: msgspec.Raw) -> bool:
        if len(memoryview(tool)) > LONGEST_OBJECTS:
            logger.warning("left out a tool that is described by more than a mebibyte")
            return False
        name = _name(_pairs(bytes(tool)))
        return name is not None and self._shows(name)


def _pairs(text: bytes) -> _Pairs | None:
    """Return the members of an object; None for another value, or one that cannot be read."""
    try:
        value = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, _Pairs) else None


def _name(value: object) -> str | None:
    """Return the name in a tool or in the params of its call; None if it has not just one."""
    pairs = value if isinstance(value, _Pairs) else _Pairs()
    names = pairs.under("name")
    same = [name for key, name in pairs if key == "name" and isinstance(name, str)]
    return same[0] if len(names) == len(same) == 1 else None
