from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2m_ssh_client.terminal.json_text import items, member, value

ODD = st.text('"\\[]{},:é☂ ')
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | ODD,
    lambda inner: st.lists(inner) | st.dictionaries(ODD, inner),
    max_leaves=20,
)


@given(st.lists(VALUES), st.booleans(), st.sampled_from([None, 1]))
def test_a_list_has_the_elements_that_json_reads(
    expected: list[Any], as_ascii: bool, indent: int | None
) -> None:
    text = json.dumps(expected, ensure_ascii=as_ascii, indent=indent).encode()
    assert [json.loads(item) for item in items(text, lambda: None)] == expected


def _nested(levels: int, width: int) -> Any:
    return [_nested(levels - 1, width), *(["a"] * width)] if levels else {"b": {}}


@pytest.mark.parametrize(
    "element",
    [
        "\n" * 50,
        "\n" * 51,
        "\n" * 3000,
        "\\" * 2999 + '"',
        ["\n" * 51, '"' * 51, "]"] * 60,
        {"a": "\\" * 1001, "b": '"' * 1000},
        [["a"] * 49, ["a"] * 50, ["a"] * 51, ["a"] * 5000],
        [[[]] * 3000, [{}] * 3000, [[1, 2]] * 51],
        *(_nested(levels, width) for levels in range(4, 9) for width in (1, 48, 51)),
    ],
    ids=range(23),
)
def test_elements_are_found_however_large_and_deep_they_are(element: Any) -> None:
    expected = [element, 1, element, "]", [element], element]
    text = json.dumps(expected).encode()
    assert [json.loads(item) for item in items(text, lambda: None)] == expected


def test_to_find_elements_takes_no_memory_beside_them() -> None:
    many = json.dumps([[[["" for _ in range(33)] for _ in range(33)] for _ in range(33)]] * 20)
    tracemalloc.start()
    try:
        (_,) = items(b"[%b]" % many.encode(), lambda: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(many)


def test_of_a_long_object_only_what_is_known_is_read() -> None:
    long = "x" * (1 << 20)
    block = {"type": "text", "text": long, "unknown": 1, "resource": {"text": long, "x": [1]}}
    text = json.dumps(block).encode()
    assert value(text) == {"type": "text", "text": long, "resource": {"text": long}}
    assert value(member(text, "type")) == "text"
    assert value(json.dumps([long]).encode()) is None
