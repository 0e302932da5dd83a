from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.far import environment

from m2m_ssh_client import file_lock

_HOLD = """
import os, sys
from m2m_ssh_client import file_lock
file_lock.try_lock(os.open(sys.argv[1], os.O_RDWR), shared=sys.argv[2] == "shared")
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def held(path: Path, kind: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b""
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


def test_a_lock_excludes_others_until_its_process_is_killed(
    tmp_path: Path, descriptor: int
) -> None:
    with held(tmp_path / "file", "alone"):
        assert not file_lock.try_lock(descriptor)
        assert not file_lock.try_lock(descriptor, shared=True)
    assert file_lock.try_lock(descriptor)


def test_shared_locks_exclude_only_the_others(tmp_path: Path, descriptor: int) -> None:
    with held(tmp_path / "file", "shared"):
        assert file_lock.try_lock(descriptor, shared=True)
        assert not file_lock.try_lock(descriptor)


def test_an_unlocked_file_can_be_locked_by_another_process(tmp_path: Path, descriptor: int) -> None:
    assert file_lock.try_lock(descriptor)
    file_lock.unlock(descriptor)
    with held(tmp_path / "file", "alone"):
        assert not file_lock.try_lock(descriptor)
