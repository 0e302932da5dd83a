"""Real agents: ssh-agent and gpg-agent, each with a socket of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from support import programs

_START_TIMEOUT = 10.0  # seconds


class SshAgent:
    """`ssh-agent -D`; a context manager. Without a path it listens at a short one of its own.

    The kernel allows about a hundred bytes.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="agent-")
        self.path = str(path or Path(self._folder.name) / "socket")
        self._process = self._start()
        deadline = time.monotonic() + _START_TIMEOUT
        while not _listens_at(self.path):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise AssertionError("the agent did not start")
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

    def _start(self) -> subprocess.Popen[bytes]:
        return _started([programs.require("ssh-agent"), "-D", "-a", self.path])

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


# It asks for a new passphrase for each key that is added; this answers without asking anybody.
_PINENTRY = """#!/bin/sh
echo OK
while read -r command _; do
    case $command in
    GETPIN) printf 'S PIN_REPEATED\\nD a-long-passphrase-1\\nOK\\n' ;;
    BYE) echo OK; exit ;;
    *) echo OK ;;
    esac
done
"""


class GpgAgent(SshAgent):
    """`gpg-agent --enable-ssh-support` with this home folder, which is made."""

    def __init__(self, home: Path) -> None:
        self._home = home
        home.mkdir(mode=0o700)
        super().__init__(Path(self._gpgconf("--list-dirs", "agent-ssh-socket")))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._gpgconf("--kill", "gpg-agent")
        super().__exit__(kind, error, trace)

    def _start(self) -> subprocess.Popen[bytes]:
        pinentry = self._home / "pinentry"
        pinentry.write_text(_PINENTRY)
        pinentry.chmod(0o700)
        program = programs.require("gpg-agent")
        options = ["--daemon", "--enable-ssh-support", "--pinentry-program", str(pinentry)]
        # It becomes a daemon when it listens; the shell lives until then, and as long as the test.
        script = '"$@" && exec sleep 600'
        return _started(["sh", "-c", script, "sh", program, "--homedir", self._home, *options])

    def _gpgconf(self, *arguments: str) -> str:
        done = subprocess.run(
            [programs.require("gpgconf"), "--homedir", self._home, *arguments],
            check=True,
            timeout=20,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()


def _started(argv: Sequence[str | Path]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _listens_at(path: str) -> bool:
    """The file is there a moment before anybody listens."""
    if sys.platform == "win32":
        raise NotImplementedError
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(path) == 0
