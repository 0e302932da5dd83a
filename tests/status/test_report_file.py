from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.far import environment

from m2m_ssh_client import file_lock
from m2m_ssh_client.status import report_file
from m2m_ssh_client.status.report_file import ReportFile, contents

_RELAY = """
import sys
from m2m_ssh_client.status.report_file import ReportFile
file = ReportFile()
file.write(b"{}\\n")
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def ours() -> Iterator[ReportFile]:
    with closing(ReportFile()) as file:
        yield file


def files() -> list[Path]:
    return sorted(report_file.folder().iterdir())


def stripped() -> list[bytes]:
    return [content.rstrip() for content in contents()]


def test_a_report_can_be_read_until_its_file_is_closed(ours: ReportFile) -> None:
    assert stripped() == []
    ours.write(b"a longer line\n")
    assert stripped() == [b"a longer line"]
    ours.write(b"short\n")
    assert stripped() == [b"short"]
    ours.write(b"the longest line of all\n")
    assert stripped() == [b"the longest line of all"]
    ours.close()
    assert stripped() == []
    assert files() == []


def test_files_and_folders_are_the_users_alone(ours: ReportFile) -> None:
    ours.write(b"{}\n")
    (file,) = files()
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_the_file_of_a_relay_that_was_killed_is_removed() -> None:
    argv = [sys.executable, "-c", _RELAY]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, env=environment(), stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert stripped() == [b"{}"]
        (left,) = files()
        process.kill()
    assert left.exists()
    assert stripped() == []
    assert not left.exists()


def test_a_file_that_a_reader_removed_before_it_was_locked_is_made_again(
    ours: ReportFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = file_lock.try_lock
    removed: list[Path] = []

    def try_lock(descriptor: int, *, shared: bool = False) -> bool:
        if not removed:
            removed.extend(files())
            removed[0].unlink()
        return real(descriptor, shared=shared)

    monkeypatch.setattr(file_lock, "try_lock", try_lock)
    ours.write(b"{}\n")
    assert removed
    assert stripped() == [b"{}"]


def test_a_file_system_without_locks_is_left_without_files(
    ours: ReportFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(_descriptor: int, *, shared: bool = False) -> bool:
        raise OSError("no locks", shared)

    monkeypatch.setattr(file_lock, "try_lock", no_locks)
    with pytest.raises(OSError, match="no locks"):
        ours.write(b"{}\n")
    assert files() == []


# Files that somebody else put there


def link(path: Path) -> None:
    target = path.parent.parent / "target"
    target.write_text("{}")
    path.symlink_to(target)


def pipe(path: Path) -> None:
    if sys.platform != "win32":  # for the type checker, as below
        os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def huge(path: Path) -> None:
    path.write_bytes(b" " * 100_000)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such links and pipes")
@pytest.mark.parametrize("make", [link, pipe, folder, huge], ids=lambda make: make.__name__)
def test_what_no_relay_can_have_made_is_ignored(
    make: Callable[[Path], None], ours: ReportFile
) -> None:
    ours.write(b"{}\n")
    (real,) = files()
    other = real.with_name(real.name.replace(f"-{os.getpid()}-", "-1-"))
    make(other)
    assert stripped() == [b"{}"]
    assert other in files()


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away"
)
def test_a_file_of_another_user_is_ignored(ours: ReportFile) -> None:
    ours.write(b"{}\n")
    (file,) = files()
    if sys.platform != "win32":
        os.chown(file, 61234, 61234)
    assert stripped() == []
    assert files() == [file]


@pytest.mark.parametrize("name", ["elsewhere-1-0a.json", "README", ".json"])
def test_files_of_other_machines_and_other_files_are_left_alone(
    name: str, ours: ReportFile
) -> None:
    ours.write(b"{}\n")
    (report_file.folder() / name).write_text("{}")
    assert stripped() == [b"{}"]
    assert (report_file.folder() / name).exists()
