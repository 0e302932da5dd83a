"""Lines of MCP as frames: the bytes as they came, and the envelope of each message in them.

Only the envelope is parsed: `id`, `method`, and the presence of a result or an error. Params and
results stay JSON text; the few modules that need a member of them read it with `fields`.

Nearly every line is one plain message, and msgspec reads its envelope in about a microsecond.
Whatever msgspec refuses (batches, JSON's rarer forms, invalid lines) takes the slow path through
Python's `json`, which decides what is valid.

Standard library and msgspec only; no I/O.
"""

from __future__ import annotations

import codecs
import json
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import compress
from typing import Any, Final, Literal, TypeGuard

import msgspec

Id = int | str
"""A JSON-RPC id as MCP allows it. `1` and `"1"` are different ids."""

JSONText = bytes | msgspec.Raw
"""A JSON value as its text; empty if there is none."""

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
# JSON-RPC 2.0 section 5.1 leaves -32000…-32099 to implementations; MCP reserves -32020 and below.
PROXY_ERROR: Final = -32000


class Message(msgspec.Struct, frozen=True, eq=False, gc=False):
    """The envelope of one JSON-RPC message.

    `id` is None for a notification and for a null id. `params`, `result` and `error` are JSON text,
    empty if absent; `fields` decodes them.
    """

    id: Id | None = None
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw()
    result: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    jsonrpc: str = ""

    @property
    def is_request(self) -> bool:
        return self.method is not None and self.id is not None

    @property
    def is_response(self) -> bool:
        return self.method is None


class Frame(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A line without its line feed, and its messages: one, or several in a batch."""

    line: bytes
    messages: tuple[Message, ...]


class NotJSONError(ValueError):
    """The line is not JSON (JSON-RPC's −32700)."""


class NotJSONRPCError(ValueError):
    """The line is JSON, but not JSON-RPC 2.0 (JSON-RPC's −32600)."""


class _LooseMessage(msgspec.Struct, gc=False):
    jsonrpc: Literal["2.0"]
    id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    method: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    params: msgspec.Raw = msgspec.Raw()
    result: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(Message).decode
_decode_loosely = msgspec.json.Decoder(_LooseMessage | list[_LooseMessage]).decode

LONGEST_OBJECTS = 1024 * 1024
"""The most bytes of JSON that may become Python objects, which may need 25 times as much memory.

`[[],[],…]` does, for example.
"""

_LONGEST_ID = 4096
_LARGEST_FLOAT_ID = 2.0**63
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def parse(line: bytes) -> Frame:
    """Return the frame in a line, without a byte order mark.

    Raise NotJSONError or NotJSONRPCError, and nothing else, for any other bytes.
    """
    try:
        message = _decode(line)
        _check_utf8(line)
    except (ValueError, RecursionError):
        return _parse_slowly(line)
    if message.jsonrpc == "2.0":
        if message.method is not None:
            return Frame(line, (message,))
        if message.id is not None and (message.result or message.error):
            return Frame(line, (message,))
    return _parse_slowly(line)


def _check_utf8(line: bytes) -> None:
    """Raise ValueError for invalid UTF-8, which msgspec does not see in values that it skips."""
    if line.isascii():
        return
    if len(line) <= LONGEST_OBJECTS:
        line.decode()
        return
    # In pieces, because a string may need four times the memory of its bytes.
    decode = codecs.getincrementaldecoder("utf-8")().decode
    view = memoryview(line)
    for at in range(0, len(view), LONGEST_OBJECTS):
        decode(view[at : at + LONGEST_OBJECTS])
    decode(b"", final=True)


def is_id(value: object) -> TypeGuard[Id]:
    """Return whether MCP allows this value as an id or a progress token."""
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def as_id(value: object) -> Id | None:
    """Return a JSON value as an id, `1.0` and `1e0` as 1; None if MCP does not allow it."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST_FLOAT_ID:
        return int(value)
    return value if is_id(value) else None


def _parse_slowly(line: bytes) -> Frame:
    """Parse a line that the fast decoder refuses: a batch, or one of JSON's rarer forms.

    Rarer forms are escaped lone surrogates, ids of other types, and a byte order mark, which RFC
    8259 section 8.1 allows us to ignore.
    """
    line = line.removeprefix(_BYTE_ORDER_MARK)
    if len(line) > LONGEST_OBJECTS:
        return Frame(line, _loosely(line))
    value = load(line)
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, dict) for item in items):
        raise NotJSONRPCError("not an object")
    try:
        return Frame(line, tuple(_message_of(item) for item in items))
    except RecursionError as exc:  # writing needs a little more stack than reading
        raise NotJSONError(str(exc)) from exc


# Escaped surrogates. Other readers refuse lone ones; there is no need to tell them from pairs here.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def _loosely(line: bytes) -> tuple[Message, ...]:
    """Return the messages of a long line, without making objects of their contents."""
    try:
        _check_utf8(line)
        try:
            found = _decode_loosely(line)
        except ValueError:
            found = _decode_loosely(_SURROGATE.sub(rb"\\ufffd", line))
    except (ValueError, RecursionError) as exc:
        raise NotJSONError(str(exc)) from exc
    messages = found if isinstance(found, list) else [found]
    if not messages:
        raise NotJSONRPCError("not an object")
    return tuple(map(_of_loose, messages))


def _of_loose(found: _LooseMessage) -> Message:
    return _message(
        _scalar(found.id), _scalar(found.method), found.params, found.result, found.error
    )


def _scalar(text: msgspec.Raw | msgspec.UnsetType) -> object:
    """Return the value of a member; None if it is too long for an id or a method."""
    if isinstance(text, msgspec.UnsetType):
        return text
    data = bytes(memoryview(text)[: _LONGEST_ID + 1])
    return None if len(data) > _LONGEST_ID else json.loads(data)


def _message_of(item: dict[str, Any]) -> Message:
    if item.get("jsonrpc") != "2.0":
        raise NotJSONRPCError('"jsonrpc" is not "2.0"')
    texts = (
        raw_json(item[name]) if name in item else msgspec.Raw()
        for name in ("params", "result", "error")
    )
    return _message(item.get("id", msgspec.UNSET), item.get("method"), *texts)


def _message(
    id_: object, method: object, params: msgspec.Raw, result: msgspec.Raw, error: msgspec.Raw
) -> Message:
    """Return a message after checking the envelope (JSON-RPC 2.0, sections 4 and 5)."""
    if isinstance(id_, (bool, list, dict)):
        raise NotJSONRPCError("its id is neither a number nor a string")
    if not isinstance(method, str):
        if id_ is msgspec.UNSET or not (result or error):
            raise NotJSONRPCError("it has neither a method nor a result or error")
        method = None
    return Message(as_id(id_), method, params, result, error)


def fields(text: JSONText) -> dict[str, Any]:
    """Return the members of a JSON object; empty for any other text, or one over a mebibyte."""
    if len(memoryview(text)) > LONGEST_OBJECTS:
        return {}
    try:
        value = load(bytes(text))
    except NotJSONError:
        return {}
    return value if isinstance(value, dict) else {}


def member(value: object, *names: str) -> Any:
    """Return the value at this path of nested objects, or None."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def raw_json(value: object) -> msgspec.Raw:
    """Return a value as compact JSON text."""
    return msgspec.Raw(json.dumps(value, separators=(",", ":")).encode())


Members = dict[str, msgspec.Raw]
"""The members of one message in their order, with values as JSON text."""

_decode_members = msgspec.json.Decoder(Members | list[Members]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


def rewritten(line: bytes, change: Callable[[Members], None]) -> bytes:
    """Return a line after `change` has edited the members of each of its messages.

    The other members keep their bytes. Two kinds of lines may stay unchanged: those over a mebibyte
    with JSON's rarer forms, and those with a nesting that only just fitted on the stack.
    """
    try:
        return _rewritten(line, change)
    except (NotJSONError, NotJSONRPCError, RecursionError):
        return line


def _rewritten(line: bytes, change: Callable[[Members], None]) -> bytes:
    messages = members_of(line)
    if isinstance(messages, dict):
        return _changed(messages, change)
    return b"[" + b",".join(_changed(message, change) for message in messages) + b"]"


def members_of(line: bytes) -> Members | list[Members]:
    """Return the members of each message; raise NotJSONError, NotJSONRPCError or RecursionError."""
    members: Members | list[Members]
    with suppress(ValueError):  # JSON's rarer forms
        members = _decode_members(line)
        return members
    if len(line) > LONGEST_OBJECTS:
        raise NotJSONError("too long to be read slowly")
    value = load(line)
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, dict) for item in items):
        raise NotJSONRPCError("not an object")
    as_text = [{name: raw_json(item[name]) for name in item} for item in items]
    return as_text if isinstance(value, list) else as_text[0]


def unusable_ids(frame: Frame) -> list[bool]:
    """Return for each message whether it is a request with an id that MCP forbids.

    Such an id is null or a fraction; other types are not valid JSON-RPC.
    """
    without_id = [m.method is not None and m.id is None for m in frame.messages]
    if not any(without_id) or b'"id"' not in frame.line:
        return [False] * len(without_id)
    try:
        found = members_of(frame.line)
    except (NotJSONError, RecursionError):
        return [False] * len(without_id)
    items = found if isinstance(found, list) else [found]
    return [lacks and "id" in item for lacks, item in zip(without_id, items, strict=True)]


def _changed(message: Members, change: Callable[[Members], None]) -> bytes:
    change(message)
    # `json` writes the names, because msgspec refuses those with a lone surrogate.
    members = (bytes(raw_json(name)) + b":" + bytes(value) for name, value in message.items())
    return b"{" + b",".join(members) + b"}"


def only(frame: Frame, wanted: Sequence[bool]) -> Frame | None:
    """Return the frame with the wanted messages only; None if there are none."""
    if all(wanted):
        return frame
    if not any(wanted):
        return None
    line = b"[" + b",".join(map(bytes, compress(items_of(frame.line), wanted))) + b"]"
    return Frame(line, tuple(compress(frame.messages, wanted)))


def parts(frame: Frame) -> list[Frame]:
    """Return each message of a batch as a frame of its own.

    A batch whose nesting only just fitted on the stack may stay as it is.
    """
    if not frame.line.lstrip().startswith(b"["):
        return [frame]
    try:
        items = items_of(frame.line)
    except (NotJSONError, RecursionError):
        return [frame]
    both = zip(items, frame.messages, strict=True)
    return [Frame(bytes(item), (message,)) for item, message in both]


def items_of(text: bytes) -> list[msgspec.Raw]:
    """Return the elements of a list. Raises NotJSONError, TypeError or RecursionError."""
    try:
        items: list[msgspec.Raw] = _decode_items(text)
    except (ValueError, RecursionError):  # JSON's rarer forms
        return [raw_json(item) for item in load(text)]
    return items


def load(line: bytes) -> Any:
    """Return the value of any JSON text. Raises NotJSONError."""
    try:
        return _decode_anything(line.decode())
    except (ValueError, RecursionError) as exc:
        raise NotJSONError(str(exc)) from exc


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _finite(number: str) -> float:
    """Return the nearest finite float: JSON cannot express an infinite one."""
    return min(max(float(number), -sys.float_info.max), sys.float_info.max)


_decode_anything = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite).decode


def answer_line(id_: Id, answer: Message) -> bytes:
    """Return the same answer with another id."""
    name, value = (b"result", answer.result) if answer.result else (b"error", answer.error)
    return b'{"jsonrpc":"2.0","id":%b,"%b":%b}' % (bytes(raw_json(id_)), name, bytes(value))


def message_line(**members: object) -> bytes:
    """Return a message of the proxy's own, as a line of ASCII."""
    return json.dumps({"jsonrpc": "2.0", **members}, separators=(",", ":")).encode()


def error_line(id_: Id | None, code: int, message: str) -> bytes:
    """Return an error response of the proxy's own, as a line of ASCII."""
    return message_line(id=id_, error={"code": code, "message": message})
