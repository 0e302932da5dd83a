"""Lines ⇄ the messages of the MCP SDK, of whichever line is installed: 1.x or 2.x.

Its parser refuses some of what hosts read: halves of characters as escapes, which JavaScript servers send when they
cut a text, batches, whatever is deeply nested. And it does not tell which request a line answers that it refused.
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

# How each line of the SDK's own stdio transport writes and reads messages. (Imported by name: only one of the two
# modules exists, and types can be checked against only one.)
_from_json: Callable[[bytes], Any]
_leave_out: dict[str, Any]
try:
    _from_json = import_module("mcp_types").jsonrpc_message_adapter.validate_json
    _leave_out = {"exclude_unset": True}
except ModuleNotFoundError:  # mcp 1.x
    _from_json = import_module("mcp.types").JSONRPCMessage.model_validate_json
    _leave_out = {"exclude_none": True}

logger = logging.getLogger(__name__)

Received = SessionMessage | Exception
"""What the SDK reads: a message, or the reason why a line is none."""

# An escape in a JSON string: of two halves of one character, of half a one (the group), or any other.
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.DOTALL)


def to_line(message: SessionMessage) -> bytes:
    try:
        text: str = message.message.model_dump_json(by_alias=True, **_leave_out)
    except ValueError:  # half a character in it
        value = message.message.model_dump(mode="json", by_alias=True, **_leave_out)
        return whole_characters(json.dumps(value, separators=(",", ":")).encode())
    return text.encode()


def from_line(line: bytes) -> tuple[list[Received], list[bytes]]:
    """What the program gets for a line of the remote, and what the remote gets: an error for each request that is none.

    An answer that the SDK cannot read becomes an error for its request.
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
        logger.warning("a message of the remote is not what the SDK expects: %s", reason)
        if message.id is None:
            received.append(exc)
        elif message.is_request:
            refused.append(error_line(message.id, INVALID_REQUEST, reason))
        else:
            said = f" ({shortened(printable(bytes(message.error)))})" if message.error else ""
            text = f"The remote server's answer cannot be read: {reason}{said}"
            received.append(SessionMessage(_from_json(error_line(message.id, PROXY_ERROR, text))))


def _envelope(item: bytes) -> Message:
    """An empty one for what is no JSON-RPC."""
    try:
        (message,) = parse(item).messages
    except (NotJSONError, NotJSONRPCError):
        return Message()
    return message


def _spell_id(message: Members) -> None:
    """`1.0` is an integer, which the SDK's parser takes for none."""
    if "id" in message:
        id_ = as_id(json.loads(bytes(message["id"])))
        if id_ is not None:
            message["id"] = raw_json(id_)


def whole_characters(line: bytes) -> bytes:
    """The same JSON with U+FFFD for each half of a character, as most hosts read it."""
    return _ESCAPE.sub(lambda match: rb"\ufffd" if match.group(1) else match.group(), line)


def _messages(line: bytes) -> Sequence[bytes]:
    """Those of a batch, or the one."""
    if not line.lstrip().startswith(b"["):
        return [line]
    try:
        return [bytes(item) for item in msgspec.json.decode(line, type=list[msgspec.Raw])]
    except (ValueError, RecursionError):
        return [line]


def _reason(failure: ValueError, message: Message) -> str:
    """In words. The SDK's parser says of each kind of message why it is none of these."""
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
