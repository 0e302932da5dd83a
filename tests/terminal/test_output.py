from __future__ import annotations

import io
import json
import sys

import pytest

from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.terminal.content import Shown
from m2m_ssh_client.terminal.output import write_json, write_table, write_text


class Stdout:
    """A stdout in an encoding, whose bytes can be seen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, encoding: str = "utf-8") -> None:
        self._raw = io.BytesIO()
        self.stream = io.TextIOWrapper(self._raw, encoding=encoding, newline="\n")
        monkeypatch.setattr(sys, "stdout", self.stream)

    @property
    def written(self) -> bytes:
        self.stream.flush()
        return self._raw.getvalue()


def test_json_holds_nothing_that_a_terminal_acts_on_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stdout = Stdout(monkeypatch, "ascii")
    value = {"a": "\x00\x1b\x7f\x9b\u2028\u202e\u2066", "grüße": ["☂", 1 << 80, None, 0.1]}
    write_json(value)
    text = stdout.written.decode("utf-8")
    assert json.loads(text) == value
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "grüße" in text
    assert text.endswith("}\n")


def test_a_console_that_cannot_show_a_letter_gets_an_escape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stdout = Stdout(monkeypatch, "ascii")
    write_text("grün")
    write_table(["tool"], [["grün"]])
    assert stdout.written == b"gr\\xfcn\ntool\ngr\\xfcn\n"


def test_a_carriage_return_before_a_line_feed_is_no_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = Stdout(monkeypatch)
    write_text("a\r\nb\rc\n")
    assert stdout.written == b"a\nb\\x0dc\n"


def test_columns_without_anything_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = Stdout(monkeypatch)
    write_table(["tool", "title", "about"], [["a", "", "x\ny"], ["bc", "", ""]])
    assert stdout.written == b"tool  about\na     x, y\nbc\n"


def test_a_table_of_nothing_is_nothing_but_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = Stdout(monkeypatch)
    write_table(["tool", "title"], [])
    assert stdout.written.strip() == b""


@pytest.mark.parametrize("data", ["not base64!", None, 5, {"a": 1}])
def test_bytes_that_are_none_are_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, data: object
) -> None:
    stdout = Stdout(monkeypatch)
    folder = tmp_path_factory.mktemp("saved")
    with pytest.raises(SSHClientError, match="base64"):
        Shown("tool", folder, stdout.stream).block({"type": "image", "data": data})
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "result",
    [
        {"content": [{"type": "text", "text": "seen"}, 5, None, {"type": "text"}]},
        {"content": {"type": "text", "text": "seen"}},
        {"content": [{"type": "of the future", "seen": 1}]},
        {"content": [{"type": "resource_link", "uri": "seen"}]},
        {"content": [{"type": "resource", "resource": "seen"}]},
        {"structuredContent": ["seen"]},
        {"content": None, "structuredContent": "seen"},
    ],
)
def test_contents_of_any_shape_are_shown_somehow(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, result: object
) -> None:
    stdout = Stdout(monkeypatch)
    assert isinstance(result, dict)
    Shown("tool", tmp_path_factory.mktemp("saved"), stdout.stream).tool_result(result)
    assert b"seen" in stdout.written
