from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.terminal.content import Shown


class Stream(io.StringIO):
    encoding = "utf-8"


@pytest.mark.parametrize("data", ["not base64!", None, 5, {"a": 1}])
def test_bytes_that_are_none_are_an_error(tmp_path: Path, data: object) -> None:
    with pytest.raises(SSHClientError, match="base64"):
        Shown("tool", tmp_path, Stream()).block(
            json.dumps({"type": "image", "data": data}).encode()
        )
    assert list(tmp_path.iterdir()) == []


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
def test_contents_of_any_shape_are_shown_somehow(tmp_path: Path, result: dict[str, Any]) -> None:
    stream = Stream()
    Shown("tool", tmp_path, stream).tool_result(json.dumps(result).encode())
    assert "seen" in stream.getvalue()


def test_structure_beside_text_is_not_shown_twice(tmp_path: Path) -> None:
    stream = Stream()
    result = {"content": [{"type": "text", "text": "42"}], "structuredContent": {"result": 42}}
    Shown("tool", tmp_path, stream).tool_result(json.dumps(result).encode())
    assert stream.getvalue() == "42\n"


def test_a_file_is_told_on_stdout_even_where_the_text_goes_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = Stream()
    block = {"type": "image", "data": "AAEC", "mimeType": "image/png"}
    Shown("tool", tmp_path, stream).tool_result(
        json.dumps({"content": [block], "isError": True}).encode()
    )
    assert stream.getvalue() == ""
    assert capsys.readouterr().out == f"{tmp_path / 'tool.png'} (image/png, 3 bytes)\n"
