"""Lines of either side: cut, parsed, spelt otherwise. The oracle is Python's json."""

from __future__ import annotations

import json
import re
import sys
from contextlib import suppress
from typing import Any, NoReturn

from m2m_ssh_client.errors import MessageTooLongError
from m2m_ssh_client.flow.splitting import LineSplitter
from m2m_ssh_client.proxy.frames.frame import (
    Frame,
    NotJSONError,
    NotJSONRPCError,
    as_id,
    error_line,
    fields,
    is_id,
    parse,
    parts,
    rewritten,
)
from m2m_ssh_client.proxy.frames.salvage import id_of_broken_request, salvage
from m2m_ssh_client.proxy.frames.spelling import shell_safe, without_unicode_line_breaks

# Nothing of this does anything in a shell, within double quotes or without.
SAFE = re.compile(rb'[A-Za-z0-9 _.,:@+"\\{}\[\]-]*')
_MOST_NESTED = (
    400  # levels; from somewhere above this on, what Python's json reads depends on the stack
)


def strict(line: bytes) -> Any:
    """As RFC 8259 has it. Raises ValueError."""
    return json.loads(
        line.decode(), parse_constant=_refuse, parse_float=_finite, parse_int=_integer
    )


def check_splitter(data: bytes) -> None:
    """The first two bytes are the limit and the size of the pieces."""
    if len(data) < 2:
        return
    limit, size, stream = data[0], data[1] + 1, data[2:]
    *whole, rest = stream.split(b"\n")
    splitter = LineSplitter(limit)
    lines: list[bytes] = []
    try:
        for start in range(0, len(stream), size):
            lines += splitter.feed(stream[start : start + size])
            assert splitter.pending <= limit
    except MessageTooLongError:
        assert max(map(len, [*whole, rest])) > limit
        return
    assert lines == [line for line in whole if line]
    assert splitter.pending == len(rest)
    assert max(map(len, lines), default=0) <= limit


def check_line(line: bytes) -> None:
    """One line, whoever sent it."""
    line = line.replace(b"\n", b" ")
    assert isinstance(fields(line), dict)
    assert strict(error_line(None, 0, repr(line)))
    try:
        frame = parse(line)
    except NotJSONError as exc:
        _salvage(line, exc)
        frame = None
    except NotJSONRPCError as exc:
        _salvage(line, exc)
        strict(line.removeprefix(b"\xef\xbb\xbf"))  # it is JSON
        frame = None
    nested = line.count(b"[") + line.count(b"{") > _MOST_NESTED
    if not nested and not re.search(rb"[0-9]{4000}", line):
        assert (frame is not None) == _is_json_rpc(line)
    if frame is not None and not nested:
        _compare(frame, strict(frame.line))
        _spell(frame.line)


def _salvage(line: bytes, why: ValueError) -> None:
    id_ = id_of_broken_request(line)
    assert id_ is None or is_id(id_)
    found, broken = salvage(line, why, lambda _: True)
    for frame in found:
        assert parse(frame.line).messages
    assert all(map(is_id, broken))


def _compare(frame: Frame, value: Any) -> None:
    items = value if isinstance(value, list) else [value]
    assert len(frame.messages) == len(items) > 0
    assert [strict(part.line) for part in parts(frame)] == items
    for message, item in zip(frame.messages, items, strict=True):
        assert message.id == as_id(item.get("id"))
        assert is_id(message.id) or message.id is None
        method = item.get("method")
        assert message.method == (method if isinstance(method, str) else None)
        if isinstance(method, str) and "params" in item:
            assert strict(bytes(message.params)) == item["params"]
        if message.is_response and "result" in item:
            assert strict(bytes(message.result)) == item["result"]


def _spell(line: bytes) -> None:
    value = strict(line)
    safe = shell_safe(line)
    assert strict(safe) == value
    assert SAFE.fullmatch(safe), safe
    unbroken = without_unicode_line_breaks(line)
    assert strict(unbroken) == value
    assert len(unbroken.replace(b"\r", b"").decode().splitlines()) == 1
    same = rewritten(line, lambda _: None)
    assert strict(same) == value
    assert b"\n" not in same


def _is_json_rpc(line: bytes) -> bool:
    """JSON-RPC 2.0, sections 4 and 5, with nothing else looked into."""
    try:
        value = strict(line)
    except ValueError:
        return False
    items = value if isinstance(value, list) else [value]
    return bool(items) and all(
        isinstance(item, dict)
        and item.get("jsonrpc") == "2.0"
        and not isinstance(item.get("id"), (bool, list, dict))
        and (
            isinstance(item.get("method"), str)
            or ("id" in item and bool(item.keys() & {"result", "error"}))
        )
        for item in items
    )


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    """The proxy writes no infinite number, whoever sent 1e999."""
    return min(max(float(digits), -sys.float_info.max), sys.float_info.max)


def _integer(digits: str) -> int | str:
    """Python converts no number of more than 4300 digits."""
    with suppress(ValueError):
        return int(digits)
    return digits
