"""A local process as a `Carrier`: its stdio is that of the remote server."""

from __future__ import annotations

import logging
import re
import subprocess
from collections import deque
from contextlib import suppress
from io import FileIO
from typing import cast

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
from m2m_ssh_client.ssh.process.pipe_carrier import PipeCarrier
from m2m_ssh_client.ssh.settings import Request
from m2m_ssh_client.ssh.via.program_line import SSH, ProgramLine
from m2m_ssh_client.ssh.way import process_group
from m2m_ssh_client.text import printable, shortened

logger = logging.getLogger(__name__)

# Seconds.
_STATUS_TIMEOUT = 1.5
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


class ProcessCarrier(PipeCarrier):
    """The stdio of a process of ours, which is ended with all that it has started in its group."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, request: Request) -> None:
        # Without a buffer, each pipe is a raw file.
        pipes = (process.stdin, process.stdout, process.stderr)
        super().__init__(*cast("tuple[FileIO, FileIO, FileIO]", pipes), request)
        self._process, self._name = process, name
        self._answered = False
        self._silence = 0.0  # seconds, if it was given up
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)

    def output(self, data: bytes) -> None:
        self._answered = True
        super().output(data)

    def complaint(self, data: bytes) -> None:
        for line in data.splitlines():
            if text := shortened(printable(line.strip()), 300):
                self._last_words.append(text)
        super().complaint(data)

    def has_ended(self) -> bool:
        return self._process.poll() is not None

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
        self.stop_reading()
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
