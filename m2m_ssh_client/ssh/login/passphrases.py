"""Passphrases: from the options, a file, a person at a terminal, or the program in SSH_ASKPASS.

Nothing here reads from stdin, which belongs to the MCP host. Only a command that a person runs on a
terminal passes a prompt for it.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from m2m_ssh_client import user_only_files
from m2m_ssh_client.errors import KeyFileError, reason
from m2m_ssh_client.text import printable, quoted, shortened

if TYPE_CHECKING:
    import subprocess

    from m2m_ssh_client.ssh.settings import Login

logger = logging.getLogger(__name__)

_LONGEST = 1024  # bytes, as in `ssh`
_ASKED = 3  # times for one key (ssh_config(5), NumberOfPasswordPrompts)
_PATIENCE = 60.0  # seconds for typing it
_POLL = 0.1  # seconds


def available(login: Login) -> bool:
    """Return whether there is any source, so that an encrypted key is worth offering."""
    return bool(login.passphrase or login.passphrase_file or _prompt(login) or _askpass(login))


def passphrases(login: Login, path: Path, cancelled: Callable[[], bool]) -> Iterator[str]:
    """Yield passphrases to try for the key in `path`, the cheap ones first.

    Take the next one if one was wrong. Raises KeyFileError for a passphrase file that is not
    private or cannot be read. Ends soon after `cancelled` returns true.
    """
    if login.passphrase:
        yield login.passphrase
    if login.passphrase_file:
        yield _from_file(login.passphrase_file)
    question = f"Enter passphrase for key '{printable(str(path))}': "
    if prompt := _prompt(login):
        yield from _answers(lambda: prompt(question))
    elif program := _askpass(login):
        yield from _answers(lambda: _ask(program, question, cancelled))


def _answers(ask: Callable[[], str | None]) -> Iterator[str]:
    for _ in range(_ASKED):
        answer = ask()
        if not answer:  # as in `ssh`, an empty one gives up
            return
        yield answer


def _prompt(login: Login) -> Callable[[str], str | None] | None:
    """Return the prompt on the terminal, unless `ssh` would not use it (SSH_ASKPASS_REQUIRE)."""
    required = os.environ.get("SSH_ASKPASS_REQUIRE", "").lower()
    elsewhere = required == "force" or (required == "prefer" and _askpass(login))
    return None if login.batch or elsewhere else login.passphrase_prompt


def _from_file(path: Path) -> str:
    """Return the one line of a file that only its owner can read."""
    try:
        path = path.expanduser()
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_LONGEST + 1)
    except (OSError, RuntimeError, ValueError) as exc:  # no home folder; a NUL in the path
        raise KeyFileError(
            f"The passphrase file {quoted(path)} cannot be read: {reason(exc)}",
            "Check --passphrase-file.",
        ) from exc
    if others := user_only_files.others(path, mode):
        who, mending = others
        raise KeyFileError(
            f"The passphrase file {quoted(path)} is open to others ({who})",
            mending,
        )
    line = content.removesuffix(b"\n").removesuffix(b"\r")
    if not line or b"\n" in line or len(content) > _LONGEST:
        raise KeyFileError(
            f"The passphrase file {quoted(path)} is not one line",
            "It holds the passphrase and nothing else",
        )
    return line.decode("utf-8", "surrogateescape")


def _askpass(login: Login) -> str:
    """Return the program to ask with; "" if ssh(1) would ask nobody without a terminal."""
    required = os.environ.get("SSH_ASKPASS_REQUIRE", "").lower()
    has_display = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if login.batch or required == "never" or not (has_display or required == "force"):
        return ""
    return os.environ.get("SSH_ASKPASS", "")


def _ask(program: str, prompt: str, cancelled: Callable[[], bool]) -> str | None:
    """Return what the program prints in answer to the prompt; None if it was refused."""
    import subprocess

    logger.info("asking for a passphrase with %s", printable(program))
    try:
        process = subprocess.Popen(  # noqa: S603 - the user's own choice; no shell in between
            [program, prompt],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=user_only_files.environment(),
            start_new_session=True,  # no terminal, and one group to kill
        )
    except (OSError, ValueError) as exc:
        logger.warning("SSH_ASKPASS (%s) does not start: %s", printable(program), reason(exc))
        return None
    try:
        return _answer(process, cancelled)
    finally:
        _end(process)


def _answer(process: subprocess.Popen[bytes], cancelled: Callable[[], bool]) -> str | None:
    import subprocess

    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            output, complaints = process.communicate(timeout=_POLL)
            break
        except subprocess.TimeoutExpired:
            if cancelled() or time.monotonic() > deadline:
                logger.warning("SSH_ASKPASS gave no answer in time")
                return None
    for line in complaints.splitlines()[-20:]:
        logger.info("SSH_ASKPASS: %s", shortened(printable(line)))
    if process.returncode != 0:
        logger.info("SSH_ASKPASS refused: exit status %d", process.returncode)
        return None
    lines = output[:_LONGEST].splitlines()
    return lines[0].decode("utf-8", "surrogateescape") if lines else None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Reap the process, and its children where the system can name them."""
    if process.poll() is None:
        if sys.platform == "win32":
            process.kill()
        else:
            import signal

            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
