"""A ProxyCommand that passes a connected socket and ends (ssh_config(5), ProxyUseFdpass).

The socket comes as a descriptor (SCM_RIGHTS, unix(7)) over the Unix socket that is the program's
stdin and stdout. What the SSH connection carries does not go through the program.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from m2m_ssh_client import threads
from m2m_ssh_client.errors import UnreachableError, reason
from m2m_ssh_client.ssh.way import process_group, proxy_command
from m2m_ssh_client.ssh.way.sockets import LiveSocket

assert sys.platform != "win32"  # noqa: S101 - no program can pass a socket there

_LOOK = 100  # milliseconds between two looks at whether to stop
_FOR_ITS_STATUS = 0.25  # seconds between the end of its output and its own


def receive(command: str, deadline: float, cancelled: Callable[[], bool]) -> LiveSocket:
    """Run the command as `ssh` does; return the socket that it passes, blocking.

    `deadline` is on the monotonic clock. Raises UnreachableError.
    """
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            passer = _Passer(command, theirs)
        try:
            sock = _passed(ours, deadline, cancelled)
        except OSError as exc:
            raise passer.failure(f"passed nothing that can be used ({reason(exc)})") from exc
    if sock is None:
        raise passer.failure("passed no connection")
    sock.last_received = time.monotonic()
    return sock


def _passed(
    ours: socket.socket, deadline: float, cancelled: Callable[[], bool]
) -> LiveSocket | None:
    """Return the socket; None if the program has closed its end, or time is over."""
    poll = select.poll()
    poll.register(ours, select.POLLIN)
    while not poll.poll(_LOOK):
        if cancelled() or time.monotonic() >= deadline:
            return None
    _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    if not descriptors:
        return None
    os.set_inheritable(descriptors[0], False)
    try:
        sock = LiveSocket(fileno=descriptors[0])
    except OSError:
        os.close(descriptors[0])
        raise
    sock.setblocking(True)
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.hurry()
    return sock


class _Passer:
    """The program. Nobody waits for its end, which a thread takes note of."""

    def __init__(self, command: str, sock: socket.socket) -> None:
        self._process = proxy_command.spawn(command, sock.fileno())
        self._name = proxy_command.named(command)
        self._words: deque[str] = deque(maxlen=proxy_command.LAST_WORDS)
        self._reader = threads.start("proxy-err", self._read_stderr)

    def failure(self, what: str) -> UnreachableError:
        """End the program, and return the error that says how it failed."""
        with suppress(subprocess.TimeoutExpired):
            status = self._process.wait(_FOR_ITS_STATUS)
            what += f", and ended with exit status {status}"
        process_group.kill(self._process)
        self._reader.join(_FOR_ITS_STATUS)
        said = " / ".join(self._words)
        return UnreachableError(
            f"The ProxyCommand{self._name} {what}{said and ': '}{said}",
            "With ProxyUseFdpass, it must pass a connected socket over its stdout and end; most "
            "programs carry the data instead, and want `ProxyUseFdpass no`.",
        )

    def _read_stderr(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None  # noqa: S101 - it was asked for
        with stderr, suppress(OSError):
            while line := stderr.readline(proxy_command.LONGEST_LINE):
                proxy_command.tell(self._name, line, self._words)
        self._process.wait()
