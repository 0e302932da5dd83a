from __future__ import annotations

import json
from typing import Any

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


def test_of_a_long_object_only_what_is_known_is_read() -> None:
    long = "x" * (1 << 20)
    block = {"type": "text", "text": long, "unknown": 1, "resource": {"text": long, "x": [1]}}
    text = json.dumps(block).encode()
    assert value(text) == {"type": "text", "text": long, "resource": {"text": long}}
    assert value(member(text, "type")) == "text"
    assert value(json.dumps([long]).encode()) is None
