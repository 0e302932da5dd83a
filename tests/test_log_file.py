"""The default log file."""

from __future__ import annotations

import logging
import os
import stat
import sys
from contextlib import closing
from pathlib import Path

import pytest

from m2m_ssh_client import logs
from m2m_ssh_client.log_file import REMOTE_STDERR, RotatingFile, default_path

ours = logging.getLogger("m2m_ssh_client.something")


def record(text: str, name: str = "m2m_ssh_client") -> logging.LogRecord:
    fields = {"name": name, "msg": text, "levelno": logging.INFO, "levelname": "INFO"}
    return logging.makeLogRecord(fields)


def test_without_a_name_it_is_in_the_state_folder_and_the_users_alone() -> None:
    with logs.configured(None, None):
        assert logs.file() == default_path()
        ours.info("hello")
        ours.debug("not this")
    assert logs.file() is None
    text = default_path().read_text()
    assert f" {os.getpid()} INFO m2m_ssh_client.something: hello\n" in text
    assert "not this" not in text
    if sys.platform != "win32":
        assert stat.S_IMODE(default_path().stat().st_mode) == 0o600
        assert stat.S_IMODE(default_path().parent.stat().st_mode) == 0o700


def test_on_macos_it_is_where_the_console_app_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    folder = Path.home() / "Library" / "Logs" / "m2m-mcp-server-ssh-client"
    assert default_path() == folder / "client.log"


def test_none_is_no_file() -> None:
    with logs.configured(None, Path("none")):
        ours.info("hello")
        assert logs.file() is None
    assert not default_path().exists()
    assert not Path("none").exists()


def test_a_large_file_makes_room_for_a_new_one_and_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "client.log"
    with closing(RotatingFile(path, most=100)) as file:
        for number in range(7):
            file.emit(record(f"line {number} {'x' * 40}"))
    assert [line[:6] for line in path.read_text().splitlines()] == ["line 6"]
    kept = path.with_suffix(".log.1").read_text().splitlines()
    assert [line[:6] for line in kept] == ["line 3", "line 4", "line 5"]


def test_processes_that_share_a_file_begin_a_new_one_together(tmp_path: Path) -> None:
    path = tmp_path / "client.log"
    with closing(RotatingFile(path, most=100)) as one, closing(RotatingFile(path, most=100)) as two:
        for number in range(3):
            one.emit(record(f"one {number} {'x' * 40}"))
            two.emit(record(f"two {number} {'x' * 40}"))
    kept = path.with_suffix(".log.1").read_text() + path.read_text()
    assert kept.count("\n") == 6


def test_a_place_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with closing(RotatingFile(tmp_path / "file" / "client.log")) as file:
        file.emit(record("lost"))
    with closing(RotatingFile(tmp_path)) as file:
        file.emit(record("lost"))


def test_a_server_that_floods_its_stderr_leaves_the_lines_of_others(tmp_path: Path) -> None:
    path = tmp_path / "client.log"
    now = 0.0
    file = RotatingFile(path, most=10_000, share=1000, clock=lambda: now)
    with closing(file), closing(RotatingFile(path, most=10_000, share=1000)) as other:
        other.emit(record("the other one"))
        for _ in range(5000):
            file.emit(record("x" * 99, REMOTE_STDERR))
        file.emit(record("something of our own"))
        now = 3600.0
        file.emit(record("there again", REMOTE_STDERR))
    lines = path.read_text().splitlines()
    assert lines == [
        "the other one",
        *["x" * 99] * 10,
        "the server's stderr is left out for the rest of the hour: too much of it",
        "something of our own",
        "4990 lines of the server's stderr were left out above",
        "there again",
    ]
    assert not path.with_suffix(".log.1").exists()
