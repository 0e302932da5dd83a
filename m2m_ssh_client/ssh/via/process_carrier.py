"""A local process as a `Carrier`: its stdio is that of the remote server."""

from __future__ import annotations

import logging
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from m2m_ssh_client import threads
from m2m_ssh_client.errors import (
    AuthenticationError,
    ConnectionLostError,
    HostKeyError,
    SilentConnectionError,
    SSHClientError,
    UnreachableError,
    reason,
)
from m2m_ssh_client.ssh.process.exit_error import exit_error
from m2m_ssh_client.ssh.process.output_marker import BehindMarker
from m2m_ssh_client.ssh.settings import Request
from m2m_ssh_client.ssh.via.program_line import SSH, ProgramLine
from m2m_ssh_client.ssh.way import process_group
from m2m_ssh_client.text import printable, shortened

if TYPE_CHECKING:
    from m2m_ssh_client.flow.remote_stdio import Receiver

logger = logging.getLogger(__name__)

_WINDOW = 2 * 1024 * 1024  # bytes that may come before they are granted
_CHUNK = 64 * 1024
_SURELY = 4096  # bytes that a writable pipe takes at once (POSIX, PIPE_BUF; Linux, pipe(7))
_F_SETPIPE_SZ = 1031  # Linux
_PIPE = 1024 * 1024

# Seconds.
_STATUS_TIMEOUT = 1.5
_LAST_OUTPUT = 0.5  # between the end of the process and that of pipes which others may hold open
_AFTER_END_OF_FILE = 0.05
_AFTER_SIGTERM = 0.1

_SSH_FAILED = 255  # ssh(1), EXIT STATUS
_LAST_WORDS = 3
_REFUSED = re.compile(r"Permission denied \(|Too many authentication failures")
_NOT_TRUSTED = re.compile(r"Host key verification failed|IDENTIFICATION HAS CHANGED")
_NO_NETWORK = re.compile(r"Could not resolve hostname|Network is (down|unreachable)|No route to")


def start(line: ProgramLine, request: Request) -> ProcessCarrier:
    """Start the program. Raises UnreachableError if there is none."""
    try:
        process = process_group.start(line.argv, line.env)
    except (OSError, ValueError) as exc:
        raise UnreachableError(
            f"{printable(line.name)} cannot be started: {reason(exc)}",
            "Is the program of --via installed here, and in the PATH that the host gives us?",
        ) from exc
    logger.info("connecting through %s, process %d", printable(line.name), process.pid)
    return ProcessCarrier(process, line.name, request)


class ProcessCarrier:
    """The stdio of a process of ours, which is ended with all that it has started in its group."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, request: Request) -> None:
        assert process.stdin is not None  # noqa: S101 - all three were asked for
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        self._process, self._name, self._request = process, name, request
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        for pipe in (self._stdin, self._stdout):
            _widen(pipe.fileno())
        self._window = _WINDOW
        self._granted = threading.Condition()
        self._closing = threading.Lock()
        self._stdin_open = True
        self._answered = self._closed = False
        self._silence = 0.0  # seconds, if it was given up
        self._behind: BehindMarker | None = None
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        stdout = receiver.stdout
        if self._request.marker:
            stdout = self._behind = BehindMarker(self._request.marker, stdout, self.grant)

        def answered(data: bytes) -> None:
            self._answered = True
            stdout(data)

        readers = (
            threads.start("via-out", lambda: self._read(self._stdout.fileno(), answered)),
            threads.start("via-err", lambda: self._read(self._stderr.fileno(), self._complain)),
        )
        threads.start("via-end", lambda: self._tell_end(readers))

    def grant(self, size: int) -> None:
        with self._granted:
            self._window += size
            self._granted.notify_all()

    def write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._writable(), rest) :]

    def write_now(self, data: bytes) -> bool:
        if len(data) > _SURELY or not _takes_more(self._writable()):
            return False
        os.write(self._writable(), data)
        return True

    def write_some(self, data: bytes) -> int:
        piece = data[:_SURELY]
        return len(piece) if piece and self.write_now(piece) else 0

    def close_write(self) -> None:
        with self._closing, suppress(OSError):
            self._stdin_open = False
            self._stdin.close()

    def signal(self, name: str) -> None:
        process_group.signal(self._process, name)

    def give_up(self, silence: float) -> None:
        """End the process: the server has been silent for so many seconds. Any thread."""
        self._silence = silence
        process_group.kill(self._process)

    def ending(self) -> SSHClientError:
        if self._silence:
            return SilentConnectionError(
                f"Nothing came through {self._name} for {self._silence:.0f} s, "
                "although the server was asked for a sign of life"
            )
        try:
            status = self._process.wait(_STATUS_TIMEOUT)
        except subprocess.TimeoutExpired:
            return exit_error(None, None, self._request)
        said = " / ".join(self._last_words)
        if status < 0:
            return ConnectionLostError(f"{self._name} was ended by signal {-status}")
        if self._name != SSH or status != _SSH_FAILED:
            return exit_error(status, None, self._request)
        return self._ssh_failure(said)

    def close(self) -> None:
        """End the process with its group, and every wait here."""
        with self._granted:
            self._closed = True
            self._granted.notify_all()
        for seconds, step in (
            (_AFTER_END_OF_FILE, process_group.hang_up),
            (_AFTER_SIGTERM, process_group.kill),
        ):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
                break
            step(self._process)
        process_group.kill(self._process)
        self.close_write()  # last: a write that waits has failed by now

    def _writable(self) -> int:
        if not self._stdin_open:
            raise OSError("the program's stdin is closed")
        return self._stdin.fileno()

    def _read(self, descriptor: int, pass_on: Callable[[bytes], None]) -> None:
        with suppress(OSError, ValueError):
            while True:
                with self._granted:
                    self._granted.wait_for(lambda: self._window > 0 or self._closed)
                    if self._closed:
                        return
                data = os.read(descriptor, _CHUNK)
                if not data:
                    return
                with self._granted:
                    self._window -= len(data)
                pass_on(data)

    def _complain(self, data: bytes) -> None:
        for line in data.splitlines():
            if text := shortened(printable(line.strip()), 300):
                self._last_words.append(text)
        self._receiver.stderr(data)

    def _tell_end(self, readers: tuple[threading.Thread, ...]) -> None:
        """Tell the end: behind all output, unless what the process has left holds its pipes."""
        out, err = readers
        while out.is_alive() and self._process.poll() is None and not self._closed:
            out.join(_LAST_OUTPUT)
        deadline = time.monotonic() + _LAST_OUTPUT
        for each in (out, err):
            each.join(max(deadline - time.monotonic(), 0))
        if self._behind is not None:
            self._behind.end()
        self._receiver.ended()
        for reader, pipe in ((out, self._stdout), (err, self._stderr)):
            if not reader.is_alive():
                pipe.close()

    def _ssh_failure(self, said: str) -> SSHClientError:
        message = said or "ssh ended with exit status 255 and said nothing"
        if _NOT_TRUSTED.search(said):
            return HostKeyError(
                f"ssh does not trust the machine: {message}",
                "`ssh` in a terminal shows its host key and asks.",
            )
        if _REFUSED.search(said):
            return AuthenticationError(
                f"ssh is not let in: {message}", "Does the same ssh command work in a terminal?"
            )
        if self._answered:
            return ConnectionLostError(f"The connection of ssh was lost: {message}")
        return UnreachableError(
            f"ssh has no connection: {message}",
            "Does the same ssh command work in a terminal?",
            network_down=_NO_NETWORK.search(said) is not None,
        )


if sys.platform == "win32":

    def _takes_more(_descriptor: int) -> bool:
        return False  # a pipe cannot be asked

else:

    def _takes_more(descriptor: int) -> bool:
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        return any(event == select.POLLOUT for _, event in poll.poll(0))


def _widen(descriptor: int) -> None:
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # beyond the user's limit
            fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE)
