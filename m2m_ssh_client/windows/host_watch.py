"""The end of the host, noticed on Windows: its process has ended, or it has closed our stdout.

Neither may come to us through the pipes: a sibling process that inherited them keeps them open, and
a pipe tells its writer nothing until the next write.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from m2m_ssh_client import threads
from m2m_ssh_client._version import PROGRAM

if sys.platform != "win32":
    raise ImportError("for Windows alone")

from m2m_ssh_client.windows.calls import Process, has_no_reader

logger = logging.getLogger(__name__)

_INTERVAL = 0.25  # seconds between two looks

# Programs that start another one in their place, and wait for it: the host is behind them.
_LAUNCHERS = {f"{PROGRAM}.exe", "m2m-ssh-client.exe", "cmd.exe", "py.exe", "uv.exe", "uvx.exe"}
_MOST_LAUNCHERS = 8


@contextmanager
def watching(stdout: int, gone: Callable[[], None]) -> Iterator[None]:
    """Call `gone` when the host has ended or takes no more; from a thread, perhaps twice."""
    end = threading.Event()
    # Two threads: a look at the pipe has to wait while a write does.
    threads.start("host-process", lambda: _watch_processes(end, gone))
    threads.start("host-pipe", lambda: _watch_pipe(stdout, end, gone))
    try:
        yield
    finally:
        end.set()


def _watch_pipe(stdout: int, end: threading.Event, gone: Callable[[], None]) -> None:
    while not end.wait(_INTERVAL):
        if has_no_reader(stdout):
            logger.info("the host has closed our output")
            gone()
            return


def _watch_processes(end: threading.Event, gone: Callable[[], None]) -> None:
    """Wait for the end of the host, or of a launcher in between, which the host has killed then.

    Launchers do not leave on their own there: Windows has no `exec`.
    """
    processes = host_and_launchers()
    try:
        while processes and not end.is_set():
            wait = _INTERVAL / len(processes)
            if any(process.ended(wait) for process in processes):
                logger.info("the host has ended")
                gone()
                return
    finally:
        for process in processes:
            process.close()


def host_and_launchers() -> list[Process]:
    """Return the host's process, behind those of launchers; less if one of them has ended."""
    found: list[Process] = []
    with suppress(OSError, LookupError):  # it has ended, or belongs to another user
        child = Process(os.getpid())
        found.append(child)
        while len(found) <= _MOST_LAUNCHERS:
            parent = Process(child.parent)
            found.append(parent)
            if parent.started > child.started:  # its number was that of the parent once
                found.pop().close()
                break
            if not _is_launcher(parent.program):
                break
            child = parent
    if found:
        found.pop(0).close()
    return found


def _is_launcher(program: Path) -> bool:
    """Return whether this is one of those, or what a virtual environment has as its Python.

    That starts the real Python (sys.base_prefix), and waits for it.
    """
    if program.name.lower() in _LAUNCHERS:
        return True
    return sys.prefix != sys.base_prefix and program == Path(sys.executable)
