"""What can be saved of a line of the remote that is no message.

A server's progress bar or prompt may stand before a message, another thread's output behind it; a text may hold bytes
that are no UTF-8. Whoever waits for such an answer would wait for ever. So messages are found where it is certain that
they are whole; of the others, the id is looked for, so that somebody can be told.

Bounded whatever the bytes: a few attempts a line, and objects only of what is short. Sans-I/O.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice

from m2m_ssh_client.proxy.frames.frame import (
    LONGEST_OBJECTS,
    Frame,
    Id,
    Message,
    NotJSONError,
    NotJSONRPCError,
    as_id,
    parse,
)
from m2m_ssh_client.proxy.frames.head import read_head

_MOST_ATTEMPTS = 16
_BEGINNING = re.compile(rb'\{\s*"(?:jsonrpc|id|method|params|result|error)"\s*:')
_BEGINNING_IN_TEXT = re.compile(_BEGINNING.pattern.decode())
# What Python writes for numbers that JSON has none for, and what JSON allows in strings only as an escape.
_NO_NUMBER = re.compile(rb"(?<=[\[:,\s])-?(?:NaN|Infinity)(?=[\],}\s])")
_CONTROL = bytes(range(32))
_AS_SPACE = bytes.maketrans(_CONTROL, b" " * len(_CONTROL))

# What servers send, and hosts do not. A server may print what it was told; these it was not told.
_SERVERS_OWN = frozenset(
    {
        "elicitation/create",
        "notifications/elicitation/complete",
        "notifications/message",
        "notifications/progress",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
        "notifications/resources/updated",
        "notifications/subscriptions/acknowledged",
        "notifications/tasks/status",
        "notifications/tools/list_changed",
        "roots/list",
        "sampling/createMessage",
    }
)

_raw_decode = json.JSONDecoder().raw_decode

IsAwaited = Callable[[Id], bool]


def salvage(line: bytes, why: ValueError, is_awaited: IsAwaited) -> tuple[list[Frame], list[Id]]:
    """Find what a line holds that `parse` refuses: messages that are whole, and the ids of answers that are not.

    `why` is what `parse` raised. `is_awaited`: whether an answer with this id is.
    """
    if isinstance(why, NotJSONRPCError):
        id_ = _id_of_broken_answer(line)
        return [], [] if id_ is None else [id_]
    repaired = _with_valid_utf8(line)
    if repaired != line:
        with suppress(NotJSONError, NotJSONRPCError):
            return [parse(repaired)], []
    found: list[Frame] = []
    broken: list[Id] = []
    for piece in _pieces(repaired):
        with suppress(NotJSONError, NotJSONRPCError):
            # Behind a message that is torn, another one may be its inside.
            if not broken:
                found.append(parse(piece))
                continue
        if (id_ := _id_of_broken_answer(piece)) is not None:
            broken.append(id_)
    certain = [f for f in found if all(_is_certain(m, is_awaited) for m in f.messages)]
    return certain, broken


def id_of_broken_request(line: bytes) -> Id | None:
    """Return the id of a request that is no valid JSON-RPC, as far as its beginning tells."""
    head = read_head(line)
    return _id_in(head) if head.keys() & {b"method", b"params"} else None


def _is_certain(message: Message, is_awaited: IsAwaited) -> bool:
    """Whether the server says this, and does not only print it."""
    if message.is_response:
        return message.id is not None and is_awaited(message.id)
    return message.method in _SERVERS_OWN


def _id_of_broken_answer(line: bytes) -> Id | None:
    """Return the id of a response that holds a NaN, or a raw control character, or ends early."""
    with suppress(NotJSONError, NotJSONRPCError):
        message, *more = parse(_NO_NUMBER.sub(b"null", line).translate(_AS_SPACE)).messages
        return message.id if message.is_response and not more else None
    head = read_head(line)
    if head.keys() & {b"method", b"params"}:
        return None
    if b"jsonrpc" not in head and (len(head) > 2 or not head.keys() & {b"result", b"error"}):
        return None  # a line of a log may have an id, and an error
    return _id_in(head)


def _id_in(head: dict[bytes, bytes]) -> Id | None:
    with suppress(ValueError):
        return as_id(json.loads(head.get(b"id", b"")))
    return None


def _pieces(line: bytes) -> Iterator[bytes]:
    """Cut out what begins as a message does, each as far as it is JSON, or else to the next one's beginning."""
    if len(line) > LONGEST_OBJECTS:
        yield from _long_pieces(line)
        return
    text = line.decode()
    at = 0
    for _ in range(_MOST_ATTEMPTS):
        beginning = _BEGINNING_IN_TEXT.search(text, at)
        if beginning is None:
            return
        start = beginning.start()
        try:
            _, at = _raw_decode(text, start)
        except (ValueError, RecursionError):
            following = _BEGINNING_IN_TEXT.search(text, start + 1)
            at = following.start() if following is not None else len(text)
        yield text[start:at].encode()


def _long_pieces(line: bytes) -> Iterator[bytes]:
    """The same for a line of which no objects are made: one message with something around it, or only beginnings."""
    starts = [match.start() for match in islice(_BEGINNING.finditer(line), _MOST_ATTEMPTS)]
    for start in starts[:1]:
        whole = line[start : line.rfind(b"}") + 1]
        with suppress(NotJSONError, NotJSONRPCError):
            parse(whole)
            yield whole
            return
    for start in starts:
        yield line[start : start + LONGEST_OBJECTS]


def _with_valid_utf8(line: bytes) -> bytes:
    """Put U+FFFD in the place of what is no UTF-8."""
    if line.isascii():
        return line
    # In pieces, as a text can be four times as large as its bytes.
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    view = memoryview(line)
    pieces = [
        decode(view[at : at + LONGEST_OBJECTS]).encode()
        for at in range(0, len(view), LONGEST_OBJECTS)
    ]
    return b"".join([*pieces, decode(b"", final=True).encode()])
