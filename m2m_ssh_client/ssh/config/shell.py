"""A command of the configuration, run by the user's shell for its exit status (`Match exec`)."""

from __future__ import annotations

import os
import sys

from m2m_ssh_client import user_only_files
from m2m_ssh_client.ssh.config.lines import shown

_TIMEOUT = 15.0  # seconds


def succeeds(command: str) -> bool:
    """Return whether the command ends with status 0. Its stdin and stdout are null.

    Raises ValueError if it cannot be run, ends by a signal, or takes too long; in the last case it
    is killed with its children.
    """
    import subprocess

    from m2m_ssh_client.masking import masked

    if sys.platform == "win32":
        # By its path: Windows looks for a bare name in the current folder first.
        shell = os.environ.get("COMSPEC", r"C:\Windows\System32\cmd.exe")
        argv: str | list[str] = f'{shell} /c "{command}"'
    else:
        argv = [os.environ.get("SHELL") or "/bin/sh", "-c", command]
    null = subprocess.DEVNULL
    try:
        process = subprocess.Popen(  # noqa: S603 - as written
            argv, stdin=null, stdout=null, env=user_only_files.environment(), start_new_session=True
        )
    except (OSError, ValueError) as exc:
        raise ValueError(f"cannot run {shown(masked(command))}: {exc}") from exc
    try:
        status = process.wait(_TIMEOUT)
    except subprocess.TimeoutExpired:
        raise ValueError(f"{shown(masked(command))} took longer than {_TIMEOUT:g} s") from None
    finally:
        if process.returncode is None:
            _kill(process.pid)
            process.kill()
            process.wait()
    if status < 0:
        raise ValueError(f"{shown(masked(command))} ended by signal {-status}")
    return status == 0


def _kill(group: int) -> None:
    """Kill everything that the shell has started; on Windows, the shell alone."""
    if sys.platform != "win32":
        import signal
        from contextlib import suppress

        with suppress(OSError):
            os.killpg(group, signal.SIGKILL)
