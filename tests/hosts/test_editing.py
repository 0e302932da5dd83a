from __future__ import annotations

import codecs
import os
import stat
import sys
from pathlib import Path

import pytest

from m2m_ssh_client.errors import AppConfigError
from m2m_ssh_client.hosts.editing import planned
from m2m_ssh_client.hosts.nodes import FormatError

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="a mode, path or shell of POSIX")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "mcp.json"
    path.parent.mkdir()
    path.write_bytes(b"old\r\n")
    return path


def upper(text: str) -> str:
    return text.upper()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nothing_is_written_before_it_is_said(file: Path) -> None:
    edit = planned(file, upper)
    assert (edit.before, edit.after, edit.changes) == ("old\r\n", "OLD\r\n", True)
    assert names(file.parent) == ["mcp.json"]
    assert file.read_bytes() == b"old\r\n"


def test_the_file_is_replaced_and_a_backup_stays(file: Path) -> None:
    backup = planned(file, upper).write()
    assert backup == file.with_name("mcp.json.bak")
    assert backup.read_bytes() == b"old\r\n"
    assert file.read_bytes() == b"OLD\r\n"
    assert names(file.parent) == ["mcp.json", "mcp.json.bak"]


def test_an_older_backup_stays_unless_it_says_the_same(file: Path) -> None:
    old = [file.with_name(f"mcp.json.bak{n}") for n in ("", "1")]
    for number, backup in enumerate(old):
        backup.write_text(f"older {number}")
    assert planned(file, upper).write() == file.with_name("mcp.json.bak2")
    file.write_bytes(b"old\r\n")
    assert planned(file, upper).write() == file.with_name("mcp.json.bak2")
    assert [backup.read_text() for backup in old] == ["older 0", "older 1"]
    assert names(file.parent) == ["mcp.json", "mcp.json.bak", "mcp.json.bak1", "mcp.json.bak2"]


@posix_only
def test_file_and_backup_have_the_mode_of_the_old_file(file: Path) -> None:
    file.chmod(0o640)
    backup = planned(file, upper).write()
    assert backup
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, backup)] == [0o640, 0o640]


def test_a_missing_file_is_made_with_its_folders(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "mcp.json"
    edit = planned(file, lambda text: text + "new")
    assert edit.content is None
    assert not (tmp_path / "a").exists()
    assert edit.write() is None
    assert file.read_text() == "new"
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_byte_order_mark_is_left_out_and_stays_in_the_backup(file: Path) -> None:
    file.write_bytes(codecs.BOM_UTF8 + "é".encode())
    edit = planned(file, upper)
    assert edit.before == "é"
    backup = edit.write()
    assert file.read_bytes() == "É".encode()
    assert backup
    assert backup.read_bytes() == codecs.BOM_UTF8 + "é".encode()


@posix_only
def test_a_link_stays_one_and_its_target_is_replaced(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to("deep/mcp.json")
    backup = planned(link, upper).write()
    assert link.is_symlink()
    assert file.read_bytes() == b"OLD\r\n"
    assert backup == file.with_name("mcp.json.bak")


@posix_only
def test_a_link_to_nothing_gets_its_target(tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to("dotfiles/mcp.json")
    planned(link, lambda _: "new").write()
    assert link.is_symlink()
    assert (tmp_path / "dotfiles/mcp.json").read_text() == "new"


@posix_only
def test_links_in_a_ring_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(AppConfigError, match="cannot be read"):
        planned(tmp_path / "a", upper)


def test_what_changed_meanwhile_is_not_overwritten(file: Path) -> None:
    edit = planned(file, upper)
    file.write_text("by its application")
    with pytest.raises(AppConfigError, match="has changed meanwhile"):
        edit.write()
    assert file.read_text() == "by its application"
    assert names(file.parent) == ["mcp.json"]


def test_what_came_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    edit = planned(tmp_path / "mcp.json", lambda _: "new")
    (tmp_path / "mcp.json").write_text("by its application")
    with pytest.raises(AppConfigError, match="has changed meanwhile"):
        edit.write()


def test_a_read_only_file_is_left_alone(file: Path) -> None:
    file.chmod(0o444)
    with pytest.raises(AppConfigError, match="is read-only"):
        planned(file, upper)
    file.chmod(0o644)


@pytest.mark.parametrize("content", ["né".encode("latin-1"), "x".encode("utf-16")])
def test_what_is_not_utf8_is_left_alone(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(AppConfigError, match="is not UTF-8"):
        planned(file, upper)


def test_a_folder_in_the_files_place_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AppConfigError, match="cannot be read"):
        planned(tmp_path, upper)


def test_why_a_text_cannot_be_edited_is_told_with_the_file(file: Path) -> None:
    def refuse(_: str) -> str:
        raise FormatError("line 1: \x1b[2J")

    with pytest.raises(
        AppConfigError, match=r"mcp\.json: line 1: \\x1b\[2J.* The file is unchanged"
    ):
        planned(file, refuse)


def test_where_writing_fails_the_old_file_stays_and_nothing_else(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    edit = planned(file, upper)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AppConfigError, match="cannot be written: No space left"):
        edit.write()
    assert file.read_bytes() == b"old\r\n"
    assert names(file.parent) == ["mcp.json", "mcp.json.bak"]
