"""Recovery of messages from invalid lines of the remote.

A server's progress bar or prompt may precede a message on its line, another thread's output may
follow it, and a string may contain invalid UTF-8. If such a line were dropped, the host would wait
for its answer for ever. So every message that is certainly complete is extracted, and for a broken
answer at least the id is found, so that its request can be answered with an error.

A server may also print messages that it received or that it logs. A found message therefore counts
only if the host waits for it as an answer, or if only servers send such a message.

The cost is bounded for any bytes: a few attempts per line, and Python objects only for short
lines. Sans-I/O.
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
from m2m_ssh_client.proxy.frames.noise import BEGINNING

_MOST_ATTEMPTS = 16
_BEGINNING_IN_TEXT = re.compile(BEGINNING.pattern.decode())
# Python writes these for numbers that JSON cannot express.
_NO_NUMBER = re.compile(rb"(?<=[\[:,\s])-?(?:NaN|Infinity)(?=[\],}\s])")
# JSON allows these in strings as escapes only.
_CONTROL = bytes(range(32))
_AS_SPACE = bytes.maketrans(_CONTROL, b" " * len(_CONTROL))

# Servers send these and hosts do not, so a server that prints one has not merely received it.
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
    """Return the complete messages in an invalid line, and the ids of the broken answers.

    `why` is the error that `parse` raised for the line. `is_awaited` tells whether an open request
    awaits an answer with this id.
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
            # After a broken message, the next one may be a part of its contents.
            if not broken:
                found.append(parse(piece))
                continue
        if (id_ := _id_of_broken_answer(piece)) is not None:
            broken.append(id_)
    certain = [f for f in found if all(_is_certain(m, is_awaited) for m in f.messages)]
    return certain, broken


def id_of_broken_request(line: bytes) -> Id | None:
    """Return the id of an invalid request, as far as its beginning shows it."""
    head = read_head(line)
    return _id_in(head) if head.keys() & {b"method", b"params"} else None


def _is_certain(message: Message, is_awaited: IsAwaited) -> bool:
    """Return whether the server sends this message, and does not only print it."""
    if message.is_response:
        return message.id is not None and is_awaited(message.id)
    return message.method in _SERVERS_OWN


def _id_of_broken_answer(line: bytes) -> Id | None:
    """Return the id of a response that contains NaN or a raw control character, or ends early."""
    with suppress(NotJSONError, NotJSONRPCError):
        message, *more = parse(_NO_NUMBER.sub(b"null", line).translate(_AS_SPACE)).messages
        return message.id if message.is_response and not more else None
    head = read_head(line)
    if head.keys() & {b"method", b"params"}:
        return None
    if b"jsonrpc" not in head and (len(head) > 2 or not head.keys() & {b"result", b"error"}):
        return None  # a line of a log may have an id and an error, too
    return _id_in(head)


def _id_in(head: dict[bytes, bytes]) -> Id | None:
    with suppress(ValueError):
        return as_id(json.loads(head.get(b"id", b"")))
    return None


def _pieces(line: bytes) -> Iterator[bytes]:
    """Yield the parts that begin like a message: valid JSON, or all up to the next beginning."""
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
    """Yield one complete message of a long line, or else the beginnings of all."""
    starts = [match.start() for match in islice(BEGINNING.finditer(line), _MOST_ATTEMPTS)]
    for start in starts[:1]:
        whole = line[start : line.rfind(b"}") + 1]
        with suppress(NotJSONError, NotJSONRPCError):
            parse(whole)
            yield whole
            return
    for start in starts:
        yield line[start : start + LONGEST_OBJECTS]


def _with_valid_utf8(line: bytes) -> bytes:
    """Replace invalid UTF-8 with U+FFFD."""
    if line.isascii():
        return line
    # In pieces, because a string may need four times the memory of its bytes.
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    view = memoryview(line)
    pieces = [
        decode(view[at : at + LONGEST_OBJECTS]).encode()
        for at in range(0, len(view), LONGEST_OBJECTS)
    ]
    return b"".join([*pieces, decode(b"", final=True).encode()])
