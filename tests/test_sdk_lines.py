"""Lines of a remote as messages of the SDK, version 1 or 2."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.host import PACKAGE_PARENT

from m2m_ssh_client.sdk_lines import from_line, whole_characters

pytestmark = pytest.mark.sdk

SDK = int(importlib.metadata.version("mcp").partition(".")[0])

# Lone surrogates, backslashes and text that looks like escapes, in all orders.
TEXTS = st.text(st.sampled_from('\ud83d\ude00\\"u d8☂\n') | st.characters(), max_size=20)


def dumped(message: Any) -> Any:
    root = getattr(message.message, "root", message.message)
    return root.model_dump(by_alias=True, exclude_none=True)


@given(st.dictionaries(TEXTS, TEXTS))
def test_only_lone_surrogates_are_replaced(value: dict[str, str]) -> None:
    def whole(text: str) -> str:
        pairs = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        return "".join("\ufffd" if "\ud800" <= each <= "\udfff" else each for each in pairs)

    expected = {whole(name): whole(text) for name, text in value.items()}
    assert json.loads(whole_characters(json.dumps(value).encode())) == expected


def test_text_without_lone_surrogates_stays_unchanged() -> None:
    line = rb'{"a":"\\ud83d \ud83d\ude00 \u00fc \n","b":["\\\\",1.50]}'
    assert whole_characters(line) == line


def test_the_messages_of_a_batch_come_one_by_one() -> None:
    line = (
        b'[{"jsonrpc":"2.0","id":1,"result":{"a":"\\ud83d"}},{"jsonrpc":"2.0","id":2,"result":[]}, '
    )
    line += (
        b'{"jsonrpc":"2.0","id":"q","method":"ping","params":[]},{"jsonrpc":"2.0","method":"n"}]'
    )
    received, refused = from_line(line)
    first, second, third = map(dumped, received)
    assert first == {"jsonrpc": "2.0", "id": 1, "result": {"a": "\ufffd"}}
    assert (second["id"], second["error"]["code"]) == (2, -32000)
    assert third == {"jsonrpc": "2.0", "method": "n"}
    (answer,) = map(json.loads, refused)
    assert (answer["id"], answer["error"]["code"]) == ("q", -32600)


@pytest.mark.parametrize("spelt", [b"1.0", b"10e-1"])
def test_an_integer_with_a_point_is_the_id_that_the_program_gave(spelt: bytes) -> None:
    (message,), refused = from_line(b'{"jsonrpc":"2.0","id":%s,"result":{}}' % spelt)
    assert dumped(message) == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert refused == []


@pytest.mark.parametrize(
    "line", [b"no JSON", b"[1]", b"[]", b"{}", b'{"jsonrpc":"2.0","method":1}']
)
def test_a_line_without_a_request_is_passed_on_as_an_error(line: bytes) -> None:
    received, refused = from_line(line)
    assert all(isinstance(each, ValueError) for each in received)
    assert not refused


if SDK < 2:

    def test_what_mcp_2_has_left_behind_does_not_count() -> None:
        """pip leaves the package `mcp-types` where it goes back from mcp 2.x to 1.x."""
        code = (
            "import sys, types",
            "sys.modules['mcp_types'] = types.ModuleType('mcp_types')",
            "from m2m_ssh_client.sdk_lines import from_line",
            'print(from_line(b\'{"jsonrpc":"2.0","id":1,"result":{}}\')[0][0].message.root.id)',
        )
        done = subprocess.run(
            [sys.executable, "-c", "\n".join(code)],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONPATH": PACKAGE_PARENT},
        )
        assert (done.stderr, done.stdout) == ("", "1\n")
