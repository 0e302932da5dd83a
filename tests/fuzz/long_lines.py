"""Lines that go on while they come, towards what they would be if they had been whole first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from fuzz.frames import strict
from fuzz.target import replaced

from m2m_ssh_client.errors import MessageTooLongError
from m2m_ssh_client.flow.hand_over import ToThread
from m2m_ssh_client.proxy.early_forwarding import splitter as splitter_module
from m2m_ssh_client.proxy.early_forwarding.forwarding import EarlyForwarding
from m2m_ssh_client.proxy.early_forwarding.line_prefix import LinePrefix
from m2m_ssh_client.proxy.early_forwarding.splitter import EarlyExit, LongLineSplitter
from m2m_ssh_client.proxy.frames.frame import member
from m2m_ssh_client.proxy.memory.session import Session

_LIMIT = 1500
_ASKED = [
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}',
    b'{"jsonrpc":"2.0","id":"a","method":"tools/call"}',
    b'{"jsonrpc":"2.0","id":2,"method":"resources/read"}',
]
_IDS = (1, "a", 2)
_WHY = re.compile(r"(?<=not valid JSON-RPC and was dropped): .*", re.DOTALL)


class _Sink:
    """A `ToThread` that has written all that it was given, and takes so many bytes of a part."""

    def __init__(self, most: int) -> None:
        self.written = b""
        self._most = most
        self._behind: list[bytes] | None = None

    def begin(self) -> bool:
        assert self._behind is None
        self._behind = []
        return True

    def more(self, data: bytes) -> int:
        assert self._behind is not None
        self.written += data[: self._most]
        return min(self._most, len(data))

    def complete(self, rest: list[bytes]) -> None:
        assert self._behind is not None
        behind, self._behind = self._behind, None
        self.put([b"".join(rest), *behind])

    def put(self, lines: list[bytes]) -> None:
        if self._behind is None:
            self.written += b"".join(line + b"\n" for line in lines)
        else:
            self._behind += lines


def check_answers(data: bytes) -> None:
    """The first three bytes: how long the pieces are, what the host takes of each, before which piece all is lost."""
    size, most, last, pieces = _pieces(data)
    session = _session()
    lines, host = EarlyForwarding(session), _Sink(most)
    splitter = _splitter(
        lambda opening: lines.begin_answer(opening, cast(ToThread, host)), from_host=False
    )
    broken = False
    with replaced((splitter_module, "_LONG", 40)):
        for piece in pieces[: last or None]:
            try:
                whole = splitter.feed(piece)
            except MessageTooLongError:
                broken = True
                break
            if whole:
                host.put(lines.from_remote(whole).to_host)
    host.put(lines.failed("over").to_host)
    said = _lines(host.written)
    answered = Counter(value.get("id") for value in said if "method" not in value)
    assert all(answered[id_] == 1 for id_ in _IDS), answered
    if not broken and not last:
        _compare(said, _whole(data[3:]), size)


def check_requests(data: bytes) -> None:
    """The same from the host to the remote. Another one follows when the first is lost; to that one, lines go whole."""
    size, most, last, pieces = _pieces(data)
    session = _session()
    first, second = _Sink(most), _Sink(0)
    lines, remote = EarlyForwarding(session), first
    splitter = _splitter(
        lambda opening: (
            lines.begin_request(opening, cast(ToThread, first)) if remote is first else None
        ),
        from_host=True,
    )
    with replaced((splitter_module, "_LONG", 40)):
        for number, piece in enumerate(pieces):
            if remote is first and number == last and last:
                lines.lost("gone", [], 0.0, ended=False)
                remote = second
                remote.put(session.connected().to_remote)
            whole = splitter.feed(piece)
            if whole:
                remote.put(lines.from_host(whole, 0.0, cast(ToThread, remote)).to_remote)
    if not last:
        # What is none is passed on as it came, if it was begun.
        left = iter(first.written.split(b"\n"))
        for line in _session().from_host(_uncut(data[3:], from_host=True), 0.0).to_remote:
            assert line in left, (size, line)
    assert all(map(_is_message, second.written.split(b"\n")[:-1]))


def _pieces(data: bytes) -> tuple[int, int, int, list[bytes]]:
    size, most, last = (*data[:3], 0, 0, 0)[:3]
    stream = data[3:]
    step = size + 1
    return step, most, last, [stream[at : at + step] for at in range(0, len(stream), step)]


def _session() -> Session:
    session = Session()
    session.connected()
    session.from_host(_ASKED, 0.0)
    return session


def _splitter(begin: Callable[[LinePrefix], Any], *, from_host: bool) -> LongLineSplitter:
    return LongLineSplitter(_LIMIT, EarlyExit(lambda: True, begin), from_host=from_host)


def _uncut(stream: bytes, *, from_host: bool) -> list[bytes]:
    """The lines, with stand-ins for the long ones, none of which was begun."""
    return _splitter(lambda _: None, from_host=from_host).feed(stream)


def _whole(stream: bytes) -> list[dict[str, Any]]:
    """What the host is told when every line is whole first."""
    session = _session()
    to_host = session.from_remote(_uncut(stream, from_host=False)).to_host
    return _lines(b"".join(line + b"\n" for line in to_host + session.failed("over").to_host))


def _compare(said: list[dict[str, Any]], whole: list[dict[str, Any]], size: int) -> None:
    """A failed call may have taken the place of an answer that is none, was not finished, or was answered so."""
    failed = [value["id"] for value in said if _is_failure(value)]
    rest = [_told(value) for value in said if not _is_failure(value)]
    assert rest == [_told(v) for v in whole if v.get("id") not in failed], (size, failed)


def _told(value: dict[str, Any]) -> dict[str, Any]:
    """Without why a line is none, which tells the place: another one once a part of it has gone on."""
    message = member(value, "error", "message")
    if not isinstance(message, str):
        return value
    told = _WHY.sub("", message)
    return {**value, "error": {**value["error"], "message": told}}


def _is_failure(value: dict[str, Any]) -> bool:
    result = value.get("result")
    return isinstance(result, dict) and result.get("isError") is True and value.get("id") in _IDS


def _lines(written: bytes) -> list[dict[str, Any]]:
    *lines, rest = written.split(b"\n")
    assert not rest
    values = [strict(line) for line in lines]
    items = [item for value in values for item in (value if isinstance(value, list) else [value])]
    assert all(item["jsonrpc"] == "2.0" for item in items)
    return items


def _is_message(line: bytes) -> bool:
    value = strict(line)
    return bool(value)
