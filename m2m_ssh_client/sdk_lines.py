"""Conversion between lines and the messages of the MCP SDK, version 1.x or 2.x.

The SDK's parser refuses some lines that other hosts accept: lone surrogates as escapes (JavaScript
servers send them when they cut a string), batches, and deep nesting. It does not say which request
such a line answers, so a program would wait for ever. This module repairs these lines, or replaces
an answer with an error for its request.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import msgspec
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

from m2m_ssh_client.proxy.frames.frame import (
    INVALID_REQUEST,
    PROXY_ERROR,
    Id,
    Members,
    Message,
    NotJSONError,
    NotJSONRPCError,
    as_id,
    error_line,
    parse,
    raw_json,
    rewritten,
)
from m2m_ssh_client.text import printable, shortened

# The SDK's own stdio transport writes and reads messages in the same way. (Imported by name: types
# can be checked against only one of the two versions.) `mcp_types` alone tells nothing: it stays
# when pip goes back to mcp 1.x.
_from_json: Callable[[bytes], Any]
_leave_out: dict[str, Any]
if hasattr(import_module("mcp"), "Client"):
    _from_json = import_module("mcp_types").jsonrpc_message_adapter.validate_json
    _leave_out = {"exclude_unset": True}
else:  # mcp 1.x
    _from_json = import_module("mcp.types").JSONRPCMessage.model_validate_json
    _leave_out = {"exclude_none": True}

logger = logging.getLogger(__name__)

Received = SessionMessage | Exception
"""An item of the SDK's read stream: a message, or the error for an invalid line."""

# An escape in a JSON string: a pair of surrogates, a lone surrogate (the group), or any other.
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.DOTALL)


def to_line(message: SessionMessage) -> bytes:
    """Return an SDK message as a line."""
    try:
        text: str = message.message.model_dump_json(by_alias=True, **_leave_out)
    except ValueError:  # it contains a lone surrogate
        value = message.message.model_dump(mode="json", by_alias=True, **_leave_out)
        return whole_characters(json.dumps(value, separators=(",", ":")).encode())
    return text.encode()


def from_line(line: bytes) -> tuple[list[Received], list[bytes]]:
    """Convert a line of the remote: return items for the program and lines for the remote.

    An answer that the SDK cannot read becomes an error for the program's request. A request that it
    cannot read is answered to the remote with an error.
    """
    try:
        return [SessionMessage(_from_json(line))], []
    except ValueError:
        received: list[Received] = []
        refused: list[bytes] = []
        for item in _messages(whole_characters(line)):
            _read(rewritten(item, _spell_id), received, refused)
        return received, refused


def _read(item: bytes, received: list[Received], refused: list[bytes]) -> None:
    try:
        received.append(SessionMessage(_from_json(item)))
    except ValueError as exc:
        message = _envelope(item)
        reason = _reason(exc, message)
        logger.warning("a message from the remote is not what the SDK expects: %s", reason)
        if message.id is None:
            received.append(exc)
        elif message.is_request:
            refused.append(error_line(message.id, INVALID_REQUEST, reason))
        else:
            said = f" ({shortened(printable(bytes(message.error)))})" if message.error else ""
            text = f"The remote server's answer cannot be read: {reason}{said}"
            received.append(SessionMessage(_from_json(error_line(message.id, PROXY_ERROR, text))))


def _envelope(item: bytes) -> Message:
    """Return the envelope of a message; an empty one if it is not JSON-RPC."""
    try:
        (message,) = parse(item).messages
    except (NotJSONError, NotJSONRPCError):
        return Message()
    return message


def _spell_id(message: Members) -> None:
    """Write an id of `1.0` as `1`, because the SDK's parser refuses it."""
    if "id" in message:
        id_ = as_id(json.loads(bytes(message["id"])))
        if id_ is not None:
            message["id"] = raw_json(id_)


def error_with(id_: Id, data: msgspec.Raw) -> SessionMessage:
    """Return an error for the program's request, whose data are this text, unread."""
    message = SessionMessage(_from_json(error_line(id_, PROXY_ERROR, "")))
    inner: Any = getattr(message.message, "root", message.message)
    inner.error.data = data
    return message


def whole_characters(line: bytes) -> bytes:
    """Return the same JSON with U+FFFD for each lone surrogate, as most hosts read it."""
    changed: bytearray | None = None
    for match in _ESCAPE.finditer(line):
        if match.group(1):
            changed = bytearray(line) if changed is None else changed
            changed[match.start() : match.end()] = rb"\ufffd"
    return line if changed is None else bytes(changed)


def _messages(line: bytes) -> Sequence[bytes]:
    """Return the messages of a batch, or the single message of a line."""
    if not line.lstrip().startswith(b"["):
        return [line]
    try:
        return [bytes(item) for item in msgspec.json.decode(line, type=list[msgspec.Raw])]
    except (ValueError, RecursionError):
        return [line]


def _reason(failure: ValueError, message: Message) -> str:
    """Return the SDK's reason for refusing a message.

    Its parser gives one for each kind of message; only the one for the message's kind is useful.
    """
    if not isinstance(failure, ValidationError):
        return printable(str(failure))
    if message.is_response:
        kind = "JSONRPCError" if message.error else "JSONRPCResponse"
    else:
        kind = "JSONRPCNotification" if message.id is None else "JSONRPCRequest"
    errors = failure.errors(include_url=False, include_input=False, include_context=False)
    error = next((each for each in errors if each["loc"][:1] == (kind,)), errors[0])
    place = ".".join(map(str, error["loc"][1:]))
    return printable(f"{place}: {error['msg']}" if place else error["msg"])
