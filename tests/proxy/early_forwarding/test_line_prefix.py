"""Where a long line begins: what can be told of it, and how it can be ended."""

from __future__ import annotations

import json
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2m_ssh_client.proxy.early_forwarding.line_prefix import LinePrefix, StringReader, read_prefix

LONG = "abc" * 5000


def answer(*, text: str = LONG, **item: Any) -> bytes:
    result = {
        "content": [{"type": "text", "text": "short"}, {"type": "text", **item, "text": text}]
    }
    return json.dumps({"jsonrpc": "2.0", "id": 7, "result": result}).encode()


def prefix_of(line: bytes) -> LinePrefix:
    found = read_prefix(line[:10_000])
    assert found is not None
    prefix, content = found
    assert prefix.line + content == line[:10_000]
    return prefix


def test_an_answers_beginning_tells_its_id_and_where_its_long_string_is() -> None:
    prefix = prefix_of(answer())
    assert prefix.message.id == 7
    assert prefix.message.is_response
    assert prefix.path == (b"result", b"content", None, b"text")


def test_a_request_is_known_by_its_method_although_its_id_comes_last() -> None:
    params = {"name": "x", "arguments": {"list": [1, "a", {"text": LONG}]}}
    line = json.dumps({"method": "tools/call", "params": params, "jsonrpc": "2.0", "id": 3})
    prefix = prefix_of(line.encode())
    assert prefix.message.method == "tools/call"
    assert prefix.message.id is None
    assert prefix.path == (b"params", b"arguments", b"list", None, b"text")


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"{",
        b"hello " * 2000,
        b'"' + b"x" * 9000,
        b'["' + b"x" * 9000,
        b'[{"jsonrpc":"2.0","id":1,"result":{"text":"' + b"x" * 9000,
        b'{"jsonrpc":"2.0","id":1,"result":{"' + b"x" * 9000,
        b'{"jsonrpc":"2.0","id":1,"result"{"a":"' + b"x" * 9000,
        b'{"jsonrpc":"2.0","id":1,"result":]"' + b"x" * 9000,
        b'}}}}{"jsonrpc":"2.0","id":1,"result":{"a":"' + b"x" * 9000,
        b'{"jsonrpc":"2.0","id":[1],"result":{"a":"' + b"x" * 9000,
        b'{"jsonrpc":"2.0","result":{"a":"' + b"x" * 9000,
        b'{"id":1,"result":{"a":"' + b"x" * 9000,
        b'{"jsonrpc":"1.0","id":1,"result":{"a":"' + b"x" * 9000,
        b'{"jsonrpc":"1.0","id":1,"method":"tools/call","params":{"a":"' + b"x" * 9000,
        b'{"jsonrpc":"2.0","id":1,"result":{"a":"' + b"x" * 9000 + b'"',
        b'{"jsonrpc":"2.0","id":1,"result":{"a":"' + b"x" * 9000 + b"\x01",
        b'{"jsonrpc":"2.0","id":1,"result":{"a":"' + b"\xff" * 9000,
        b'{"jsonrpc":"2.0","id":1,"result":{"a":[' + b"1," * 5000 + b'"' + b"x" * 9000,
    ],
)
def test_what_is_no_message_with_a_long_string_has_no_prefix(begun: bytes) -> None:
    assert read_prefix(begun) is None


def test_an_answer_that_breaks_off_is_a_failed_calls_result_with_what_had_come() -> None:
    prefix = prefix_of(answer())
    value = json.loads(prefix.line + b"what had come" + prefix.failing('lost "it"\u2028\n'))
    assert value == {
        "jsonrpc": "2.0",
        "id": 7,
        "result": {
            "content": [
                {"type": "text", "text": "short"},
                {"type": "text", "text": "what had come"},
                {"type": "text", "text": 'lost "it"\u2028\n'},
            ],
            "isError": True,
        },
    }


@pytest.mark.parametrize(
    ("members", "type_"),
    [
        ({"type": "image", "data": LONG, "mimeType": "image/png"}, "application/octet-stream"),
        ({"type": "image", "mimeType": "image/png", "data": LONG}, "image/png"),
    ],
)
def test_an_image_that_breaks_off_is_a_complete_item_still(
    members: dict[str, str], type_: str
) -> None:
    line = json.dumps({"jsonrpc": "2.0", "id": 7, "result": {"content": [members]}}).encode()
    prefix = prefix_of(line)
    first, _ = json.loads(prefix.line + b"AAAA" + prefix.failing("lost"))["result"]["content"]
    assert first == {"type": "image", "data": "AAAA", "mimeType": type_}


@given(
    st.text('aé☂😀\\"\n\x01', min_size=20), st.booleans(), st.lists(st.integers(1, 40), min_size=1)
)
def test_a_string_passes_in_whole_characters_however_it_is_cut(
    text: str, ascii_only: bool, sizes: list[int]
) -> None:
    line = json.dumps(text, ensure_ascii=ascii_only).encode()[1:] + b"}\n"
    reader, passed, at = StringReader(), b"", 0
    for size in cycle(sizes):
        whole, rest = reader.read(line[at : at + size])
        at += size
        passed += whole
        assert text.startswith(json.loads(b'"' + passed + b'"'))
        if rest:
            break
    assert passed + rest + line[at:] == line
    # Nothing was held back but the piece that has the end, and what was cut off before it.
    assert len(line) - len(passed) < 40 + 12 + len(b'"}\n')


@pytest.mark.parametrize(
    "wrong", [b"\x00", b"\n", b"\xff", b"\xc3(", b"\\x", b"\\u12zz", b"\\ud800x", b'"']
)
def test_reading_is_over_where_no_string_goes_on(wrong: bytes) -> None:
    reader = StringReader()
    assert reader.read(b"good") == (b"good", b"")
    assert reader.read(b"x" * 50 + wrong + b"y" * 50) == (b"", b"x" * 50 + wrong + b"y" * 50)
