"""A ProxyCommand (ssh_config(5)): a program whose stdin and stdout are the way to the SSH server.

paramiko gets one end of a socket pair; threads carry bytes between the other end and the program's
pipes. So it waits as for any socket, and a pipe that another process holds open cannot delay a
close:

    paramiko ⇄ ProxySocket ═ socket ─▶ m2m-proxy-in  ─▶ stdin
                                    ◀─ m2m-proxy-out ◀─ stdout
                             log    ◀─ m2m-proxy-err ◀─ stderr

A fourth thread ends the program once the socket is closed. The command line is neither logged nor
shown, except for the program's name: people write passwords into it.
"""

from __future__ import annotations

import atexit
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from m2m_ssh_client import threads
from m2m_ssh_client.errors import UnreachableError, reason
from m2m_ssh_client.ssh.way import process_group
from m2m_ssh_client.ssh.way.program_environment import environment
from m2m_ssh_client.ssh.way.sockets import LiveSocket
from m2m_ssh_client.text import printable, shortened

logger = logging.getLogger(__name__)

_CHUNK = 64 * 1024  # bytes, on their way in each direction
LONGEST_LINE = 4096  # bytes of a line of stderr that are kept
LAST_WORDS = 3  # lines of it

# Seconds. A close takes the last three together at most, beside the program that called it.
_FOR_ITS_STATUS = 0.25  # between the end of its output and its own
_AFTER_END_OF_FILE = 0.1
_AFTER_SIGTERM = 0.3
_AFTER_SIGKILL = 0.2


def start(command: str) -> ProxySocket:
    """Run the command as `ssh` does: by the user's shell, which it replaces.

    Tokens are expanded already. Raises UnreachableError if there is no such shell.
    `ProxySocket.explain` reports what becomes of the command itself.
    """
    ours, theirs = socket.socketpair()
    try:
        process = spawn(command)
    except OSError as exc:
        ours.close()
        theirs.close()
        raise UnreachableError(
            f"The ProxyCommand cannot be started: {reason(exc)}",
            "It is run by the shell that $SHELL names." if os.name == "posix" else "",
        ) from exc
    name = named(command)
    logger.info("connecting through the ProxyCommand%s, process %d", name, process.pid)
    return ProxySocket(ours, _Program(process, name, theirs))


class ProxySocket(LiveSocket):
    """A connected socket with the ProxyCommand at its other end.

    `close()` from any thread; it returns at once.
    """

    def __init__(self, sock: socket.socket, program: _Program) -> None:
        super().__init__(fileno=sock.detach())
        self._started = self.last_received = time.monotonic()
        self._program = program

    def close(self) -> None:
        self._program.end()
        with suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)  # wakes waiting threads, which closing alone does not
        super().close()

    def explain(self) -> str | None:
        """Return how the command ended and its last words, fit for an error.

        None while it works. Once the server has answered, its words are no reason any more.
        """
        return self._program.explain(answered=self.last_received > self._started)


def named(command: str) -> str:
    """Return ` (PROGRAM)`, the first word of a command line, unless it may be a secret."""
    word = next(iter(command.split()), "").strip("\"'")
    name = Path(word).name
    return "" if "=" in word or not name else f" ({shortened(printable(name), 40)})"


def tell(name: str, line: bytes, last_words: deque[str]) -> None:
    """Log a line of a command's stderr, and remember it."""
    if text := shortened(printable(line[:LONGEST_LINE].strip()), 300):
        last_words.append(text)
        logger.warning("ProxyCommand%s: %s", name, text)


class _Program:
    """The running command, and the threads around it."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, sock: socket.socket) -> None:
        assert process.stdin is not None  # noqa: S101 - all three were asked for
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        self._process, self._name, self._sock = process, name, sock
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._ending = threading.Event()
        self._stop = _Stop()
        self._reaping = threading.Lock()
        self._own_status: int | None = None  # None if we ended it
        self._output_ended = False
        self._last_words: deque[str] = deque(maxlen=LAST_WORDS)
        self._stderr_reader = threads.start("proxy-err", self._read_stderr)
        self._carriers = (
            threads.start("proxy-in", self._carry_in),
            threads.start("proxy-out", self._carry_out),
        )
        self._ender = threads.start("proxy-end", self._end)
        atexit.register(self._end_with_interpreter)

    def end(self) -> None:
        """End it: from any thread, and at once. A thread does the work."""
        self._ending.set()

    def explain(self, *, answered: bool) -> str | None:
        how = self._how_it_ended()
        said = shortened(" / ".join(self._last_words), 300)
        if said and not how and not answered:
            how = "says"
        return f"the ProxyCommand{self._name} {how}{': ' if said else ''}{said}" if how else None

    def _how_it_ended(self) -> str:
        status = self._own_status
        if status is None:
            return "closed its output" if self._output_ended else ""
        if status < 0:
            return f"was ended by signal {-status} ({signal.strsignal(-status)})"
        return f"ended with exit status {status}"

    def _carry_in(self) -> None:
        with self._stdin, suppress(OSError):
            while data := self._sock.recv(_CHUNK):
                self._stop.write(self._stdin.fileno(), data)
        self._pass_on(socket.SHUT_RD)
        with suppress(OSError):  # wakes a writer that waits for room in a full buffer
            while self._sock.recv(_CHUNK):
                pass

    def _carry_out(self) -> None:
        with self._stdout, suppress(OSError):
            while data := self._stop.read(self._stdout.fileno(), _CHUNK):
                self._sock.sendall(data)
        self._output_ended = not self._ending.is_set()
        self._pass_on(socket.SHUT_WR)

    def _pass_on(self, how: int) -> None:
        """End this direction for the other end.

        First see whether the program has ended, and its last words.
        """
        if not self._ending.is_set() and self._reaped(_FOR_ITS_STATUS):
            self._stderr_reader.join(_FOR_ITS_STATUS)
        with suppress(OSError):
            self._sock.shutdown(how)

    def _read_stderr(self) -> None:
        rest = b""
        with self._stderr, suppress(OSError):
            while data := self._stop.read(self._stderr.fileno(), _CHUNK):
                *lines, rest = (rest + data).split(b"\n")
                rest = rest[:LONGEST_LINE]
                for line in lines:
                    tell(self._name, line, self._last_words)
        tell(self._name, rest, self._last_words)

    def _reaped(self, timeout: float) -> bool:
        """Return whether it has ended, within `timeout` seconds.

        The rest of its process group ends with it.
        """
        with self._reaping:
            if self._process.returncode is None:
                try:
                    status = self._process.wait(timeout)
                except subprocess.TimeoutExpired:
                    return False
                process_group.kill(self._process)  # at once: the id of an empty group may be reused
                self._own_status = None if self._ending.is_set() else status
        return True

    def _end(self) -> None:
        self._ending.wait()
        if not self._reaped(_AFTER_END_OF_FILE):
            process_group.hang_up(self._process)
            if not self._reaped(_AFTER_SIGTERM):
                process_group.kill(self._process)
                self._reaped(_AFTER_SIGKILL)
        self._stop.set()
        for thread in (*self._carriers, self._stderr_reader):
            thread.join()
        self._stop.close()
        self._sock.close()
        atexit.unregister(self._end_with_interpreter)

    def _end_with_interpreter(self) -> None:
        self.end()
        self._ender.join(_FOR_ITS_STATUS + _AFTER_END_OF_FILE + _AFTER_SIGTERM + _AFTER_SIGKILL)


if sys.platform == "win32":

    def spawn(command: str) -> subprocess.Popen[bytes]:
        from m2m_ssh_client.windows import job

        process = subprocess.Popen(  # noqa: S602 - the user's own command line # nosec B602
            command,
            shell=True,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            creationflags=job.FLAGS,
        )
        job.hold(process)
        return process

    class _Stop:
        """Reads and writes pipes. They cannot be waited for; the program's end ends the waiting."""

        def set(self) -> None: ...

        def close(self) -> None: ...

        def read(self, fd: int, size: int) -> bytes:
            return os.read(fd, size)

        def write(self, fd: int, data: bytes) -> None:
            while data:
                data = data[os.write(fd, data) :]

else:

    def spawn(command: str, stdio: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(  # noqa: S603 - the user's own command line
            [os.environ.get("SHELL") or "/bin/sh", "-c", f"exec {command}"],
            bufsize=0,
            stdin=stdio,
            stdout=stdio,
            stderr=subprocess.PIPE,
            env=environment(),
            # Out of reach of our terminal's Ctrl-C, and a process group to end.
            start_new_session=True,
        )
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
        return process

    class _Stop:
        """Reads and writes pipes until stopped: another process may hold them open for ever."""

        def __init__(self) -> None:
            self._reader, self._writer = os.pipe()

        def set(self) -> None:
            os.close(self._writer)

        def close(self) -> None:
            os.close(self._reader)

        def read(self, fd: int, size: int) -> bytes:
            """Read; return nothing at the end of the file, or when stopped."""
            return os.read(fd, size) if self._wait(fd, select.POLLIN) else b""

        def write(self, fd: int, data: bytes) -> None:
            """Write all of it to a non-blocking pipe, or less when stopped. Raises OSError."""
            rest = memoryview(data)
            while rest and self._wait(fd, select.POLLOUT):
                rest = rest[os.write(fd, rest) :]

        def _wait(self, fd: int, event: int) -> bool:
            poll = select.poll()
            poll.register(fd, event)
            poll.register(self._reader, select.POLLIN)
            return self._reader not in dict(poll.poll())
