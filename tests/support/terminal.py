"""A program on a terminal of its own, where there are such (POSIX): what it shows is all that it wrote to it."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.waiting import wait_until

_TIMEOUT = 40.0  # seconds
_ERASED = "\x1b[2K"


def behind_spinner(shown: str) -> str:
    """What follows the spinner, which appears where the server is slow and erases its line at the end."""
    return shown.rpartition(_ERASED)[2]


if sys.platform != "win32":
    import fcntl
    import pty
    import termios

    def run(
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        columns: int = 100,
        stdout: Path | None = None,
        replies: Sequence[tuple[str, str | signal.Signals]] = (),
    ) -> tuple[int, str]:
        """The exit status, and what stdout and stderr showed; with `stdout`, only stderr is on the terminal.

        With `replies`, stdin is there too: each is typed, or the signal sent, once its prompt has been shown.
        """
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        with Path(os.devnull if stdout is None else stdout).open("wb") as file:
            process = subprocess.Popen(
                argv,
                stdin=theirs if replies else subprocess.DEVNULL,
                stdout=theirs if stdout is None else file,
                stderr=theirs,
                env={**env, "TERM": "xterm-256color"},
                cwd=cwd,
            )
        os.close(theirs)
        shown = bytearray()

        def read() -> None:
            try:
                while data := os.read(ours, 1 << 16):
                    shown.extend(data)
            except OSError:  # Linux's way to say that nobody has the other end any more
                pass

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            rest = 0
            for prompt, reply in replies:
                rest = _behind(prompt.encode(), shown, rest, process)
                if isinstance(reply, signal.Signals):
                    process.send_signal(reply)
                else:
                    os.write(ours, reply.encode())
            status = process.wait(_TIMEOUT)
        finally:
            process.kill()
            process.wait()
            reader.join(_TIMEOUT)
            os.close(ours)
        return status, shown.decode()

    def _behind(
        prompt: bytes, shown: bytearray, start: int, process: subprocess.Popen[bytes]
    ) -> int:
        """Where what follows the prompt begins, once that has been shown after `start`."""
        wait_until(lambda: shown.find(prompt, start) >= 0 or process.poll() is not None, _TIMEOUT)
        at = shown.find(prompt, start)
        assert at >= 0, f"no {prompt!r} in {bytes(shown[start:])!r}"
        return at + len(prompt)
