"""The replacements for lines that are too long, for any size of chunk."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from m2m_ssh_client.errors import MessageTooLongError
from m2m_ssh_client.proxy.early_forwarding.splitter import LongLineSplitter
from m2m_ssh_client.proxy.frames.too_long import Reply, StandIn
from m2m_ssh_client.proxy.memory.session import Session

LIMIT = 2000


LONG = {"x": "y" * 10_000}
BEFORE = b'{"jsonrpc":"2.0","method":"before"}'
BEHIND = b'{"jsonrpc":"2.0","method":"behind"}'


def line(**members: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}).encode()


ANSWERS = {
    "the id first": line(id=7, result=LONG),
    "the id last": line(result=LONG, id=7),
    "an error": line(id=7, error={"code": 1, "message": "m", "data": LONG}),
}
REQUESTS = {
    "the id first": line(id=7, method="m", params=LONG),
    "the id last": line(method="m", params=LONG, id=7),
    "all last": b'{"params":'
    + json.dumps(LONG).encode()
    + b',"id":7,"method":"m","jsonrpc":"2.0"}',
    "the method last": b'{"jsonrpc":"2.0","id":7,"params":%b,"method":"m"}'
    % json.dumps(LONG).encode(),
}
NAMELESS = {
    "no JSON": b"x" * 10_000,
    "a batch": b"[" + REQUESTS["the id first"] + b"]",
    "an id within": line(params={"id": 7, **LONG}),
}


def split(sent: bytes, size: int, *, from_host: bool) -> list[bytes]:
    splitter = LongLineSplitter(LIMIT, None, from_host=from_host)
    found = []
    for at in range(0, len(sent), size):
        found += splitter.feed(sent[at : at + size])
    assert splitter.pending == 0
    return found


def stand_ins(long: bytes, *, from_host: bool) -> list[Any]:
    """Return the replacement of a line between two others, the same for any size of chunk."""
    sent = b"".join(each + b"\n" for each in (BEFORE, long, BEHIND))
    results = []
    for size in (1, 100, 1999, 5000, len(sent)):
        first, *between, last = split(sent, size, from_host=from_host)
        assert (first, last) == (BEFORE, BEHIND)
        results.append(between)
    assert all(each == results[0] for each in results)
    return results[0]


def assert_names(stand_in: bytes, id_: object) -> None:
    value = json.loads(stand_in)
    assert value["id"] == id_
    assert value["error"]["code"] == -32000
    assert f"longer than {LIMIT} bytes" in value["error"]["message"]


@pytest.mark.parametrize("from_host", [True, False])
@pytest.mark.parametrize("long", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_becomes_an_error_that_goes_on(long: bytes, from_host: bool) -> None:
    (found,) = stand_ins(long, from_host=from_host)
    assert type(found) is StandIn
    assert_names(found, 7)
    assert "the answer to this request, which may have run. If" in found.why


@pytest.mark.parametrize("from_host", [True, False])
@pytest.mark.parametrize("long", REQUESTS.values(), ids=REQUESTS)
def test_a_request_becomes_an_error_that_goes_back(long: bytes, from_host: bool) -> None:
    (found,) = stand_ins(long, from_host=from_host)
    assert type(found) is Reply
    assert_names(found, 7)
    assert "may have run" not in found.why


@pytest.mark.parametrize("from_host", [True, False])
def test_a_notification_is_dropped(from_host: bool) -> None:
    assert stand_ins(line(method="m", params=LONG), from_host=from_host) == []


@pytest.mark.parametrize("long", NAMELESS.values(), ids=NAMELESS)
def test_a_line_without_an_id_is_an_error_for_the_host_and_ends_the_remotes_connection(
    long: bytes,
) -> None:
    (found,) = stand_ins(long, from_host=True)
    assert type(found) is Reply
    assert_names(found, None)
    with pytest.raises(MessageTooLongError, match="--max-message-size"):
        stand_ins(long, from_host=False)


@pytest.mark.parametrize("long", [ANSWERS["the id first"], REQUESTS["the id first"]])
def test_an_id_at_the_beginning_is_answered_before_the_line_ends(long: bytes) -> None:
    splitter = LongLineSplitter(LIMIT, None, from_host=False)
    (found,) = splitter.feed(long)
    assert_names(found, 7)
    assert splitter.feed(b"more") == splitter.feed(b"of it") == []
    assert splitter.feed(b"}\n" + BEHIND + b"\n") == [BEHIND]


def test_a_skipped_line_takes_no_memory() -> None:
    splitter = LongLineSplitter(LIMIT, None, from_host=True)
    chunk = b"y" * 100_000
    splitter.feed(REQUESTS["the id last"][:-10])
    tracemalloc.start()
    try:
        for _ in range(100):
            assert splitter.feed(chunk) == []
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 * len(chunk)


def test_both_sides_get_their_answer() -> None:
    session = Session()
    session.connected()
    session.from_host([b'{"jsonrpc":"2.0","id":7,"method":"ping"}'], 0.0)
    (answer,) = stand_ins(ANSWERS["the id first"], from_host=False)
    assert session.from_remote([answer]).to_host == [answer]
    (to_host,) = stand_ins(REQUESTS["the id first"], from_host=True)
    assert session.from_host([to_host], 0.0).to_host == [to_host]
    (to_remote,) = stand_ins(REQUESTS["the id first"], from_host=False)
    assert session.from_remote([to_remote]).to_remote == [to_remote]
    assert session.pending == 0
