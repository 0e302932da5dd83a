"""The way to a first login: the machine's host key, and our key on the machine.

Each step shows what it would do and asks; a step that was done stays done if a later one fails.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from m2m_ssh_client.commands import trust
from m2m_ssh_client.errors import AuthenticationError, HostKeyError, SSHClientError
from m2m_ssh_client.ssh.connection import Connection, Stage
from m2m_ssh_client.ssh.destination import Destination
from m2m_ssh_client.ssh.login.key_files import ensure_client_key
from m2m_ssh_client.ssh.login.unlocked_keys import UnlockedKeys
from m2m_ssh_client.ssh.opener import key_to_make
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.settings import Address
from m2m_ssh_client.terminal.asking import confirmed, say
from m2m_ssh_client.text import printable, quoted, quoted_line

_WITH_A_PASSWORD = {"password", "keyboard-interactive"}


def log_in(destination: Destination, ssh_words: Sequence[str]) -> bool:
    """Log in; on the way, offer to mend what is missing. Return False if the user declines.

    `ssh_words` are the options that `ssh` needs to reach the machine. Raises an SSHClientError for
    what can not be mended here. Main thread only, with a terminal.
    """
    missing = key_to_make(destination.settings.login)
    if missing and not _made(missing):
        return False
    unlocked = UnlockedKeys()
    mended: list[tuple[type[SSHClientError], Address]] = []
    while (stopped := _attempt(destination, unlocked)) is not None:
        failure, stage = stopped
        what = (type(failure), stage.settings.address)
        if what in mended:
            raise failure
        mended.append(what)
        is_host_key = isinstance(failure, HostKeyError)
        if not (_trusted(stage, failure) if is_host_key else _let_in(stage, failure, ssh_words)):
            return False
    return True


def _attempt(
    destination: Destination, unlocked: UnlockedKeys
) -> tuple[SSHClientError, Stage] | None:
    """Log in; return what can be mended, and at which machine on the way, or None."""
    settings, limit = destination.settings, destination.connect_timeout
    with closing(Connection(settings, unlocked, connect_timeout=limit)) as connection:
        try:
            connection.open()
        except (HostKeyError, AuthenticationError) as exc:
            trail = connection.trail()
            stage = next((each for each in trail if not _is_passed(each)), trail[-1])
            return exc, stage
    return None


def _is_passed(stage: Stage) -> bool:
    return stage.login is not None and stage.login.succeeded


def _made(path: Path) -> bool:
    say(f"You have no SSH key. A new one would be {quoted(path)}, without a passphrase.")
    if not confirmed("Create it"):
        return False
    if ensure_client_key(path):
        say(f"Created {quoted(path)}.")
    return True


def _trusted(stage: Stage, failure: SSHClientError) -> bool:
    """Show the host key and add it if it is confirmed. Raises the failure if that cannot help."""
    if stage.settings.trust.pin or stage.transport is None:
        raise failure
    key = PublicKey.read_host_key(stage.transport.host_key_blob).plain
    return trust.run(stage.settings, (), False, lambda: [key]) == 0


def _let_in(stage: Stage, failure: SSHClientError, ssh_words: Sequence[str]) -> bool:
    """Bring our key to the machine: with `ssh-copy-id`, or by a line for the user to add."""
    say(f"{printable(failure.message)}.")
    # There is none on Windows, where `which` would find one in the current folder.
    program = None if sys.platform == "win32" else shutil.which("ssh-copy-id")
    key = _public_key_file(stage)
    methods = set(stage.login.methods) if stage.login else set()
    if program and key and methods & _WITH_A_PASSWORD:
        argv = [program, "-i", str(key), *ssh_words]
        say(f"\nThis puts the key there, and asks for your password there:\n  {quoted_line(argv)}")
        if confirmed("Run it"):
            return subprocess.run(argv, check=False).returncode == 0  # noqa: S603 - shown above
    say(f"\n{printable(failure.hint)}")
    return confirmed("\nIs that done")


def _public_key_file(stage: Stage) -> Path | None:
    """Return the file of the first key that was refused, if it is one."""
    for identity in stage.login.tried if stage.login else ():
        if identity.path is None:
            continue
        path = identity.path
        public = path if path.suffix == ".pub" else path.with_name(f"{path.name}.pub")
        if public.is_file():
            return public
    return None
