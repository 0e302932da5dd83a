"""Starts of our programs that cost a fork instead of a third of a second of imports, or a whole one.

The tests start the program more than a thousand times, and most of what a start computes is to load
the same modules. Here, a process loads them once (`nursery.py`) and forks whenever a test starts
`python -m m2m_ssh_client`. What the test gets is a real process with the real code. It is a child
of the test's own process: the kernel tells its number, status, memory and times as of any other.
It has the arguments, environment, folder, descriptors, session and group that `Popen` was given,
begins where Python begins with a program, and ends as Python ends. What it shares with others is
what Python does before that, and the modules.

How these are loaded, and what that takes, is for the tests with the mark `cold`, which start the
program as anybody does. So does whatever is not started from here, and each start with an option
for Python, or with an option of `Popen` that would have to be imitated.

A process can give a child away: whoever loses its parent gets the next *subreaper* above it as its
parent. Linux alone has that, so all starts are cold elsewhere.
"""

from __future__ import annotations

import ctypes
import inspect
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from support import nursery

_POPEN: Any = subprocess.Popen  # a method of its that is not public is replaced
_STARTING = 60.0  # seconds
_ENDING = 10.0
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)
_SEEN_BY_PYTHON = ("PYTHON", "LC_", "LANG")
"""The beginnings of variables that Python looks at when it starts."""
_ORDINARY = {
    "executable": None,
    "preexec_fn": None,
    "close_fds": True,
    "pass_fds": (),
    "shell": False,
    "gid": None,
    "gids": None,
    "uid": None,
    "umask": -1,
}
"""What these options of `Popen` are if a start can be forked."""


class Forks:
    """Makes `Popen` fork our programs while `active`, on Linux. A context manager."""

    def __init__(self) -> None:
        self.active = False
        self._execute = _POPEN._execute_child
        self._parameters = inspect.signature(self._execute)
        self._nurseries: dict[tuple[object, ...], _Nursery] = {}
        self._adopted: set[int] = set()
        self._lock = threading.RLock()

    def __enter__(self) -> Forks:
        def execute(popen: Any, *args: Any) -> None:
            given = self._parameters.bind(popen, *args).arguments
            kind = _kind(given) if self.active else None
            with self._lock:
                if kind is None:
                    self._execute(popen, *args)
                    return
                popen.pid = self._fork(kind, given)
            popen._child_created = True
            ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
            popen._close_pipe_fds(*(given[end] for end in ends))

        _POPEN._execute_child = execute
        return self

    def __exit__(self, *_: object) -> None:
        _POPEN._execute_child = self._execute
        for each in self._nurseries.values():
            each.end()

    def in_use(self) -> tuple[set[int], set[str]]:
        """The children that no test has started, and the names of descriptors that none has opened."""
        self._reap()
        made = [*self._nurseries.values()]
        pids = self._adopted.union(each.pid for each in made)
        return pids, {str(each.descriptor) for each in made}

    def _fork(self, kind: str, given: Mapping[str, Any]) -> int:
        env = os.environ if given["env"] is None else given["env"]
        env = {os.fsdecode(name): os.fsdecode(value) for name, value in env.items()}
        request = {
            "argv": [os.fsdecode(word) for word in given["args"]],
            "env": env,
            "folder": os.path.realpath(given["cwd"] or "."),
            "session": given["start_new_session"],
            "group": given.get("process_group", -1),
        }
        seen = {name: env[name] for name in sorted(env) if name.startswith(_SEEN_BY_PYTHON)}
        ends = (given["p2cread"], given["c2pwrite"], given["errwrite"])
        descriptors = [own if end == -1 else end for own, end in enumerate(ends)]
        key = (os.getpid(), kind, *seen.items())
        if key not in self._nurseries:
            self._nurseries[key] = _Nursery(kind, seen)
        before = children()
        pid = self._nurseries[key].fork(json.dumps(request).encode(), descriptors)
        # Others may have lost their parents in the meantime.
        self._adopted |= children() - before - {pid}
        self._reap()
        return pid

    def _reap(self) -> None:
        if sys.platform != "win32":
            for pid in [*self._adopted]:
                if os.waitpid(pid, os.WNOHANG) != (0, 0):
                    self._adopted.remove(pid)


def children() -> set[int]:
    """Of this process, zombies too."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # a thread that has ended just now
            found.update(map(int, (task / "children").read_text().split()))
    return found


def _kind(given: Mapping[str, Any]) -> str | None:
    """What has to be loaded for this start; None if it is a cold one."""
    argv = given["args"]
    if (
        sys.platform != "linux"
        or not isinstance(argv, (list, tuple))
        or list(argv[:2]) != [sys.executable, "-m"]
    ):
        return None
    if any(given[name] != value for name, value in _ORDINARY.items()):
        return None
    # Otherwise Popen tells what is wrong.
    return (
        nursery.kind([*map(os.fsdecode, argv[2:])]) if Path(given["cwd"] or ".").is_dir() else None
    )


class _Nursery:
    """The process that has loaded what one kind of commands needs, and forks them."""

    def __init__(self, kind: str, seen: Mapping[str, str]) -> None:
        self._prctl = ctypes.CDLL(None).prctl
        self._connection, its = socket.socketpair()
        self._connection.settimeout(_STARTING)
        with its:
            self._process = subprocess.Popen(
                [sys.executable, nursery.__file__, kind, str(its.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                env={"PATH": os.environ["PATH"], "HOME": "/", **seen},
                cwd="/",
            )
        self.pid, self.descriptor = self._process.pid, self._connection.fileno()

    def fork(self, request: bytes, descriptors: Sequence[int]) -> int:
        """The number of the new process, which is a child of this one."""
        if sys.platform != "linux":
            raise NotImplementedError
        size = len(request).to_bytes(nursery.SIZE, "big")
        self.adopt(True)
        try:
            socket.send_fds(self._connection, [size], descriptors)
            self._connection.sendall(request)
            pid = self._connection.recv(nursery.SIZE, socket.MSG_WAITALL)
        finally:
            self.adopt(False)
        assert pid, "the process that forks has ended; its stderr says why"
        number = int.from_bytes(pid, "big")
        os.waitid(os.P_PID, number, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # fails if it is not
        return number

    def adopt(self, does: bool) -> None:
        """Whether processes below this one that lose their parents become its children."""
        self._prctl(_SUBREAPER, int(does), 0, 0, 0)

    def end(self) -> None:
        self._connection.close()
        self._process.wait(_ENDING)


FORKS = Forks()
"""Those of a run of pytest."""
