"""A real ssh-agent with a socket of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from support import programs

_START_TIMEOUT = 10.0  # seconds


class SshAgent:
    """`ssh-agent -D`; a context manager. The socket's path is short: the kernel allows about a hundred bytes."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="agent-")
        self.path = str(Path(self._folder.name) / "socket")
        argv = [str(programs.require("ssh-agent")), "-D", "-a", self.path]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _START_TIMEOUT
        while not _listens_at(self.path):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise AssertionError("ssh-agent did not start")
            time.sleep(0.01)

    def __enter__(self) -> SshAgent:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait(10)
        self._folder.cleanup()

    def add(self, *arguments: str | Path) -> None:
        """`ssh-add` with these arguments. A certificate beside a key is added with it."""
        self._ssh_add(*arguments)

    def remove_all(self) -> None:
        self._ssh_add("-D")

    def lock(self, password: str) -> None:
        self._ssh_add("-x", askpass_answer=password)

    def unlock(self, password: str) -> None:
        self._ssh_add("-X", askpass_answer=password)

    def _ssh_add(self, *arguments: str | Path, askpass_answer: str = "") -> None:
        environment = {**os.environ, "SSH_AUTH_SOCK": self.path}
        if askpass_answer:
            program = Path(self._folder.name) / "askpass"
            program.write_text(f"#!/bin/sh\necho '{askpass_answer}'\n")
            program.chmod(0o700)
            environment |= {"SSH_ASKPASS": str(program), "SSH_ASKPASS_REQUIRE": "force"}
        subprocess.run(
            [programs.require("ssh-add"), "-q", *arguments],
            env=environment,
            check=True,
            timeout=20,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )


def _listens_at(path: str) -> bool:
    """The file is there a moment before anybody listens."""
    if sys.platform == "win32":
        raise NotImplementedError
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0
