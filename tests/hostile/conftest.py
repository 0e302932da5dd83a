"""Each attack runs once, against the command as people run it, and leaves nothing behind on our side either.

All of it is marked `interop`: the client's own code does not differ between the versions of Python that the other
environments are for, what is watched here (memory, children, descriptors) is looked up in Linux's /proc, and a process
for each attack is too slow to be started in each of them.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.forked import FORKS, children
from support.odd_ssh import Keys

HERE = Path(__file__).parent

if sys.platform != "linux":
    collect_ignore_glob = ["*"]  # memory, children and descriptors are looked up in /proc

_GRACE = 5.0  # seconds in which what is ending may end


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.interop)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


def _in_use() -> set[str]:
    """Threads, descriptors with what they lead to, and children, zombies too; without those of the tests themselves."""
    gc.collect()
    pids, connections = FORKS.in_use()
    threads = {f"thread {thread.ident} {thread.name}" for thread in threading.enumerate()}
    descriptors = set()
    for each in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one that lists the others
            if each.name in connections:
                continue
            descriptors.add(f"{each.name} → {each.readlink()}")
    return threads | descriptors | {f"child {pid}" for pid in children() - pids}


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """No thread, no descriptor and no child more than before, once an attack is over."""
    before = _in_use()
    yield
    deadline = time.monotonic() + _GRACE
    while left := _in_use() - before:
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.02)
