"""Lines, frames and envelopes."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import suppress

import pytest
from fuzz.frames import check_line
from hypothesis import given
from hypothesis import strategies as st

from m2m_ssh_client.errors import MessageTooLongError
from m2m_ssh_client.flow.splitting import LineSplitter
from m2m_ssh_client.proxy.frames.frame import (
    Frame,
    Members,
    Message,
    NotJSONError,
    NotJSONRPCError,
    error_line,
    fields,
    parse,
    parts,
    raw_json,
    rewritten,
)

ENVELOPES = [
    (b'{"jsonrpc":"2.0","id":1,"method":"ping"}', Message(1, "ping")),
    (b'{"jsonrpc":"2.0","id":"1","method":"ping"}', Message("1", "ping")),
    (b'{"jsonrpc":"2.0","id":"\\u0031","method":"ping"}', Message("1", "ping")),
    (b'{"jsonrpc":"2.0","id":0,"result":null}', Message(0, None)),
    (b'{"jsonrpc":"2.0","id":-7,"error":{"code":1,"message":""}}', Message(-7, None)),
    (b'{"jsonrpc":"2.0","method":"notifications/x"}', Message(None, "notifications/x")),
    (b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}', Message(None, None)),
    (b'{"jsonrpc":"2.0","id":%d,"result":{}}' % 2**80, Message(2**80, None)),
    (b'{"jsonrpc":"2.0","id":1,"result":"\\ud800"}', Message(1, None)),
    (
        b'  {"method":"a","params":[1e5],"id":"x","jsonrpc":"2.0","new":{"field":[]}}\r',
        Message("x", "a"),
    ),
    ('{"jsonrpc":"2.0","id":"ü","result":"\u2028"}'.encode(), Message("ü", None)),
]


def envelopes(frame: Frame) -> list[tuple[object, str | None]]:
    return [(message.id, message.method) for message in frame.messages]


@pytest.mark.parametrize(("line", "message"), ENVELOPES)
def test_the_envelope_is_read_and_the_line_stays_unchanged(line: bytes, message: Message) -> None:
    frame = parse(line)
    assert frame.line is line
    assert envelopes(frame) == [(message.id, message.method)]


def test_the_ids_1_and_text_1_are_different() -> None:
    number = parse(b'{"jsonrpc":"2.0","id":1,"result":0}').messages[0].id
    text = parse(b'{"jsonrpc":"2.0","id":"1","result":0}').messages[0].id
    assert len({number, text}) == 2


def test_a_batch_of_messages_is_one_frame() -> None:
    line = b'[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","method":"b"}]'
    assert envelopes(parse(line)) == [(1, "a"), (None, "b")]


NOT_JSON = [b"", b"Welcome!", b"{", b'{"jsonrpc":"2.0","id":1,"result":NaN}', b'{"a":"\xff"}']
NOT_JSON += [b'{"jsonrpc":"2.0","id":1,"result":"\xff"}', b"[" * 100_000, b"\xef\xbb\xbf"]
NOT_JSON_RPC = [
    b"null",
    b"42",
    b'"text"',
    b"[]",
    b"[1]",
    b"{}",
    b"\xef\xbb\xbf{}",
    b'{"id":1,"method":"a"}',
]
NOT_JSON_RPC += [
    b'{"jsonrpc":"1.0","id":1,"method":"a"}',
    b'{"jsonrpc":2.0,"id":1,"method":"a"}',
    b'{"jsonrpc":"2.0","id":1}',
    b'{"jsonrpc":"2.0","result":1}',
    b'{"jsonrpc":"2.0","id":1,"method":7}',
    b'[{"jsonrpc":"2.0","id":1,"method":"a"},null]',
]


@pytest.mark.parametrize("line", NOT_JSON)
def test_a_line_that_is_not_json_raises_the_error_for_that(line: bytes) -> None:
    with pytest.raises(NotJSONError):
        parse(line)


@pytest.mark.parametrize("line", NOT_JSON_RPC)
def test_json_that_is_not_json_rpc_raises_the_error_for_that(line: bytes) -> None:
    with pytest.raises(NotJSONRPCError):
        parse(line)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_one_of_the_two_errors(line: bytes) -> None:
    with suppress(NotJSONError, NotJSONRPCError):
        parse(line)


@pytest.mark.parametrize("rare", [b"1", b"1.5"])
def test_deep_nesting_raises_only_the_two_errors(rare: bytes) -> None:
    """The depths include the limits of the stack, which differ for reading and writing."""
    for depth in range(800, 1400):
        line = (
            b'{"jsonrpc":"2.0","id":%b,"method":"x","params":' % rare
            + b"[" * depth
            + b"]" * depth
            + b"}"
        )
        with suppress(NotJSONError):
            parse(line)
            rewritten(line, lambda _: None)


def test_a_batch_is_taken_apart_into_its_messages_byte_for_byte() -> None:
    items = [
        b'{"jsonrpc":"2.0","id":1.0,"method":"a","new":"\xc3\xa9"}',
        b'{"jsonrpc": "2.0", "method":"b"}',
    ]
    batch = parse(b"[ " + b" , ".join(items) + b" ]")
    assert [part.line for part in parts(batch)] == items
    assert [part.messages for part in parts(batch)] == [(each,) for each in batch.messages]


def test_a_batch_of_one_message_is_taken_apart_and_a_message_is_not() -> None:
    item = b'{"jsonrpc":"2.0","id":1,"method":"a"}'
    for line in (b"[" + item + b"]", item):
        assert [part.line for part in parts(parse(line))] == [item]


@pytest.mark.parametrize("text", ["\\ud800", "x" * 2**20 + "\\ud800"], ids=["short", "long"])
def test_a_batch_in_json_s_rarer_forms_is_taken_apart_too(text: str) -> None:
    item = f'{{"jsonrpc":"2.0","id":1,"method":"a","params":"{text}"}}'
    batch = parse(f"[{item},{item}]".encode())
    assert [json.loads(part.line) for part in parts(batch)] == [json.loads(item)] * 2


def test_no_batch_is_nested_so_deeply_that_taking_it_apart_fails() -> None:
    for depth in range(800, 1400):
        params = b"[" * depth + b"]" * depth
        item = b'{"jsonrpc":"2.0","id":1,"method":"x","params":' + params + b"}"
        with suppress(NotJSONError):
            batch = parse(b"[" + item + b"," + item + b"]")
            assert sum(len(part.messages) for part in parts(batch)) == 2


@pytest.mark.parametrize("name", ["x", "\ud800"])
def test_a_rewritten_line_is_json_for_any_names_and_numbers(name: str) -> None:
    line = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"n":[1e999,-1e999,1.50]},%b:2}'
    line %= json.dumps(name).encode()

    def change(members: Members) -> None:
        members["params"] = raw_json(fields(members["params"]))
        members["id"] = raw_json(7)

    value = json.loads(rewritten(line, change), parse_constant=pytest.fail)
    assert (value["id"], value[name], value["params"]["n"][2]) == (7, 2, 1.5)
    assert value["params"]["n"][0] > 1e308


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


MEMBERS = {
    "jsonrpc": st.sampled_from(["2.0", "2.0", "2.0", "1.0", 2.0, None]),
    "id": st.none() | st.integers() | st.text(max_size=3) | st.floats() | st.just([1]),
    "method": st.text(max_size=5) | st.integers(),
    "params": JSON_VALUES,
    "result": JSON_VALUES,
    "error": JSON_VALUES,
}
MESSAGES = st.fixed_dictionaries({}, optional=MEMBERS)
CHANGES = st.tuples(
    st.integers(0, 200), st.integers(0, 3), st.sampled_from(["", ",", "]", '"', "\\", " \t", "1e9"])
)


@given(MESSAGES | st.lists(MESSAGES, max_size=3), st.booleans(), st.none() | CHANGES)
def test_a_line_is_a_frame_exactly_if_json_reads_it_and_it_is_json_rpc(
    value: object, ascii_only: bool, change: tuple[int, int, str] | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    if change is not None:
        at, size, new = change
        text = text[:at] + new + text[at + size :]
    check_line(text.encode("utf-8", "surrogatepass"))


@given(JSON_VALUES, st.booleans())
def test_any_json_value_is_accepted(value: object, ascii_only: bool) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "result": value}
    line = json.dumps(message, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        line.decode()
    except UnicodeDecodeError:
        return  # UTF-8 cannot express a lone surrogate
    assert envelopes(parse(line)) == [(1, None)]


LINES = [b"", b"a", b"bcd" * 1000, "ü\u2028\u0085".encode(), b"", b"last"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000, 10**6])
def test_lines_come_out_unchanged_for_any_size_of_chunk(size: int) -> None:
    stream = b"".join(line + b"\n" for line in LINES) + b"rest"
    splitter = LineSplitter(10_000)
    chunks = [stream[i : i + size] for i in range(0, len(stream), size)]
    assert [line for chunk in chunks for line in splitter.feed(chunk)] == [*filter(None, LINES)]
    assert splitter.pending == 4


@given(st.lists(st.binary(max_size=30)))
def test_splitting_agrees_with_bytes_split(chunks: list[bytes]) -> None:
    splitter = LineSplitter(10_000)
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    *expected, rest = b"".join(chunks).split(b"\n")
    assert lines == [line for line in expected if line]
    assert splitter.pending == len(rest)


class _CountingBytes(bytes):
    """Bytes that count how many of them are searched."""

    searches = 0

    def split(self, *args: object) -> list[bytes]:
        type(self).searches += len(self)
        return super().split(*args)  # type: ignore[arg-type]


def test_a_long_line_in_small_chunks_is_searched_once() -> None:
    _CountingBytes.searches = 0
    splitter = LineSplitter(10**7)
    for _ in range(1000):
        assert splitter.feed(_CountingBytes(b"x" * 1000)) == []
    assert splitter.feed(_CountingBytes(b"\n")) == [b"x" * 10**6]
    assert _CountingBytes.searches == 10**6 + 1


def test_a_long_line_is_in_memory_once() -> None:
    size, chunk = 10**7, b"x" * 100_000
    splitter = LineSplitter(size)
    tracemalloc.start()
    try:
        for _ in range(size // len(chunk)):
            splitter.feed(chunk)
        (line,) = splitter.feed(b"\n")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert line == b"x" * size
    assert peak < 1.3 * size


@pytest.mark.parametrize("stream", [b"x" * 11, b"ab\n" + b"x" * 11, b"x" * 11 + b"\nab\n"])
def test_a_line_over_the_limit_is_refused_at_once(stream: bytes) -> None:
    with pytest.raises(MessageTooLongError, match="--max-message-size"):
        LineSplitter(10).feed(stream)


def test_a_line_of_exactly_the_limit_passes() -> None:
    splitter = LineSplitter(10)
    assert splitter.feed(b"x" * 10) == []
    assert splitter.feed(b"\n") == [b"x" * 10]


def test_an_error_line_is_one_ascii_line() -> None:
    line = error_line("ü", -32000, "one\ntwo\u2028")
    assert line.isascii()
    assert b"\n" not in line
    assert json.loads(line)["error"] == {"code": -32000, "message": "one\ntwo\u2028"}


def test_the_id_of_a_long_answer_is_replaced_too() -> None:
    """For example an answer with a picture, to a sampling request after a reconnect."""

    def change(members: Members) -> None:
        members["id"] = raw_json(7)

    rest = b'"jsonrpc":"2.0","result":{"data":"%b"}}' % (b"x" * 5_000_000)
    assert rewritten(b'{"id":"m2m-1:7",' + rest, change) == b'{"id":7,' + rest
