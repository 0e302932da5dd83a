"""A program on a terminal of its own, where there are such (POSIX): what it shows is all that it wrote to it."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

_TIMEOUT = 40.0  # seconds

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
    ) -> tuple[int, str]:
        """The exit status, and what stdout and stderr showed; with `stdout`, only stderr is on the terminal."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        with Path(os.devnull if stdout is None else stdout).open("wb") as file:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
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
            status = process.wait(_TIMEOUT)
        finally:
            process.kill()
            process.wait()
            reader.join(_TIMEOUT)
            os.close(ours)
        return status, shown.decode()
