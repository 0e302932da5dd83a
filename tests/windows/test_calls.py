"""Calls of Windows: what each says of a real pipe, file or process."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

if sys.platform != "win32":
    pytest.skip("calls of Windows", allow_module_level=True)

import _winapi

from m2m_ssh_client import file_lock
from m2m_ssh_client.windows import calls

ENOUGH = 10.0  # seconds
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


def test_a_pipe_without_a_reader_is_told_from_one_that_has_one() -> None:
    reads, writes = os.pipe()
    try:
        assert not calls.has_no_reader(writes)
        os.close(reads)
        assert calls.has_no_reader(writes)
    finally:
        os.close(writes)


def test_what_is_no_pipe_has_a_reader(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        assert not calls.has_no_reader(file.fileno())


def test_a_device_that_cannot_be_locked_is_not_said_to_be_locked() -> None:
    descriptor = os.open(os.devnull, os.O_RDWR)
    try:
        with pytest.raises(OSError, match=r"."):
            file_lock.try_lock(descriptor)
    finally:
        os.close(descriptor)


def test_a_closed_descriptor_is_not_said_to_be_locked(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.close(descriptor)
    with pytest.raises(OSError, match=r"."):
        file_lock.try_lock(descriptor)


def test_a_file_that_exists_is_not_created(tmp_path: Path) -> None:
    path = tmp_path / "file"
    os.close(calls.opened(path, NEW))
    with pytest.raises(FileExistsError):
        calls.opened(path, NEW)


def test_an_open_file_can_be_renamed_and_removed(tmp_path: Path) -> None:
    descriptor = calls.opened(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        (tmp_path / "file").replace(tmp_path / "renamed")
        os.write(descriptor, b"a\n")
        assert (tmp_path / "renamed").read_bytes() == b"a\n"
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (os.O_RDONLY, FileNotFoundError),
        (os.O_WRONLY | os.O_CREAT, PermissionError),
        (os.O_WRONLY | os.O_CREAT | os.O_EXCL, FileExistsError),
    ],
)
def test_a_file_that_cannot_be_opened_is_an_error_as_elsewhere(
    tmp_path: Path, flags: int, error: type[OSError]
) -> None:
    name = {FileNotFoundError: "missing", PermissionError: "folder", FileExistsError: "file"}[error]
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(error):
        calls.opened(tmp_path / name, flags)


def test_what_is_appended_goes_to_the_end(tmp_path: Path) -> None:
    for text in (b"one", b"two"):
        descriptor = calls.opened(tmp_path / "file", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, text)
        os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == b"onetwo"
    assert stat.S_ISREG((tmp_path / "file").stat().st_mode)


def test_what_is_created_can_be_written(tmp_path: Path) -> None:
    with os.fdopen(calls.opened(tmp_path / "file", NEW), "wb") as file:
        file.write(b"a\nb")
    assert (tmp_path / "file").read_bytes() == b"a\nb"


def _pipe(name: str) -> int:
    """A pipe with one place, waiting for its client."""
    return _winapi.CreateNamedPipe(
        *(name, _winapi.PIPE_ACCESS_DUPLEX, _winapi.PIPE_WAIT, 1, 100, 100, 0, _winapi.NULL)
    )


@pytest.fixture
def name(tmp_path: Path) -> str:
    return rf"\\.\pipe\m2m-{os.getpid()}-{tmp_path.name}"


def test_a_pipe_that_stays_busy_is_waited_for_no_longer_than_asked(name: str) -> None:
    pipe = _pipe(name)
    client = os.open(name, os.O_RDWR)
    started = time.monotonic()
    assert not calls.wait_for_pipe(name, 0.3)
    assert 0.2 < time.monotonic() - started < ENOUGH
    os.close(client)
    _winapi.CloseHandle(pipe)


def test_a_pipe_that_is_not_there_is_not_waited_for(name: str) -> None:
    started = time.monotonic()
    with pytest.raises(FileNotFoundError):
        calls.wait_for_pipe(name, ENOUGH)
    assert time.monotonic() - started < ENOUGH / 2


def test_a_process_that_is_not_there_is_not_found() -> None:
    with pytest.raises(LookupError):
        calls.Process(0x7FFF_FFFC)


def test_a_process_tells_its_parent_program_start_and_end() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    ours, process = calls.Process(os.getpid()), calls.Process(child.pid)
    try:
        assert process.parent == os.getpid()
        assert process.program.name.lower() == Path(sys.executable).name.lower()
        assert process.started >= ours.started
        assert not process.ended(0)
        ending = threading.Timer(0.2, child.kill)
        ending.start()
        assert process.ended(ENOUGH)
    finally:
        child.kill()
        child.communicate(timeout=ENOUGH)
        ours.close()
        process.close()
