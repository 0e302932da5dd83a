from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.wine import not_under_wine

from m2m_ssh_client.status import log_reading
from m2m_ssh_client.status.log_reading import Line, LogReader

START = "2026-11-28 17:18:43,006 31530/1e194e WARNING m2m_ssh_client.proxy.server: "


READS_ON = not_under_wine("its C runtime reads nothing more once it was at the end of a file")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "client.log"


@pytest.fixture
def reader(path: Path) -> Iterator[LogReader]:
    path.touch()
    reader = LogReader(path)
    reader.last(0)
    yield reader
    reader.close()


def append(path: Path, *lines: str) -> None:
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)


def rotate(path: Path) -> Path:
    return path.replace(path.with_suffix(".log.1"))


def last(path: Path, count: int, *tags: str) -> list[str]:
    reader = LogReader(path)
    try:
        return [line.raw for line in reader.last(count, frozenset(tags) or None)]
    finally:
        reader.close()


def added(reader: LogReader) -> list[str]:
    return [line.raw for line in reader.added()]


def test_a_line_is_taken_apart() -> None:
    line = Line.of(f"{START}it: broke\n".encode())
    assert line.document() == {
        "time": line.time and line.time.isoformat(timespec="milliseconds"),
        "level": "WARNING",
        "pid": 31530,
        "tag": "1e194e",
        "logger": "m2m_ssh_client.proxy.server",
        "text": "it: broke",
    }
    assert str(line.time).startswith("2026-11-28 17:18:43.006")


def test_a_line_without_a_tag_is_taken_apart_too() -> None:
    line = Line.of(START.replace("/1e194e", "").encode() + b"x")
    assert (line.pid, line.tag, line.text) == (31530, "", "x")


@pytest.mark.parametrize("text", ["", "anything", START.replace("11-28", "13-41") + "x"])
def test_another_line_is_text(text: str) -> None:
    assert Line.of(text.encode()) == Line(text, text)


def test_nothing_in_a_line_controls_a_terminal() -> None:
    line = Line.of(START.encode() + b"\x1b[2J\xff\x9b\r\n")
    assert line.text == "\\x1b[2J\\xff\\x9b"
    assert line.raw == START + line.text


def test_the_last_lines_come_from_the_old_file_too(path: Path) -> None:
    append(path, "1\n", "2\n")
    rotate(path)
    append(path, "3\n")
    assert last(path, 2) == ["2", "3"]
    assert last(path, 9) == ["1", "2", "3"]
    assert last(path, 0) == []


def test_lines_of_other_tags_are_left_out(path: Path) -> None:
    append(path, f"{START}a\n", START.replace("1e194e", "000000") + "b\n", "c\n", f"{START}d\n")
    assert last(path, 2, "1e194e") == [f"{START}a", f"{START}d"]


def test_of_a_long_file_only_the_end_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reading, "_MOST_READ", 5)
    append(path, "111\n", "222\n", "333\n")
    assert last(path, 9) == ["333"]


def test_a_missing_file_has_no_lines_until_it_is_there(path: Path) -> None:
    reader = LogReader(path)
    assert not reader.exists
    assert reader.last(9) == []
    assert added(reader) == []
    append(path, "1\n")
    assert added(reader) == ["1"]
    reader.close()


@READS_ON
def test_a_line_is_added_when_it_is_complete(path: Path, reader: LogReader) -> None:
    append(path, "1\n2")
    assert added(reader) == ["1"]
    append(path, "2\n")
    assert added(reader) == ["22"]
    assert added(reader) == []


@READS_ON
def test_no_line_is_lost_when_the_file_is_rotated(path: Path, reader: LogReader) -> None:
    for number in range(4):
        append(path, f"{number} before\n")
        old = rotate(path)
        append(path, f"{number} after\n")
        assert added(reader) == [f"{number} before", f"{number} after"]
        # Another process still has the old file open.
        append(old, f"{number} late\n")
        assert added(reader) == [f"{number} late"]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such pipes")
def test_a_pipe_is_no_log(path: Path) -> None:
    if sys.platform != "win32":  # for the type checker
        os.mkfifo(path)
    with pytest.raises(OSError, match="is not a file"):
        LogReader(path)
