"""The process group of a program that is started for us: all that it starts in turn, and its end.

On Windows, its job object, which also ends with us; there is no gentle way.
"""

from __future__ import annotations

import os
import signal as signals
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

if sys.platform == "win32":

    def start(argv: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start the program with three pipes. Raises OSError."""
        from m2m_ssh_client.windows import job

        process = subprocess.Popen(  # noqa: S603 - the user's own command line
            list(argv),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            creationflags=job.FLAGS,
        )
        job.hold(process)
        return process

    def hang_up(process: subprocess.Popen[bytes]) -> None:
        """End the process and all that it has started."""
        from m2m_ssh_client.windows import job

        job.end(process)

    def kill(process: subprocess.Popen[bytes]) -> None:
        process.kill()

    def signal(process: subprocess.Popen[bytes], _name: str) -> None:
        """End the process and all that it has started, whatever the signal is."""
        hang_up(process)

else:

    def start(argv: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start the program with three pipes. Raises OSError."""
        return subprocess.Popen(  # noqa: S603 - the user's own command line
            list(argv),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            # Out of reach of our terminal's Ctrl-C, and a process group to end.
            start_new_session=True,
        )

    def hang_up(process: subprocess.Popen[bytes]) -> None:
        """Ask the group to end."""
        for name in ("HUP", "TERM"):
            signal(process, name)

    def kill(process: subprocess.Popen[bytes]) -> None:
        signal(process, "KILL")

    def signal(process: subprocess.Popen[bytes], name: str) -> None:
        """Send the signal of this name to the group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signals.Signals[f"SIG{name}"])
