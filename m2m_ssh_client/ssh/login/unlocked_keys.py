"""Encrypted keys that were opened once. They load nothing else until one is to be opened."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import paramiko

    from m2m_ssh_client.ssh.login.key_files import KeyFile
    from m2m_ssh_client.ssh.settings import Login


class UnlockedKeys:
    """The encrypted keys that were opened, so that a reconnect asks nobody again.

    Keep one for the process. Any thread may use it; a thread that needs a key waits while another
    one asks for a passphrase.
    """

    def __init__(self) -> None:
        self._keys: dict[bytes, paramiko.PKey] = {}
        self._asking = threading.Lock()

    def open(self, file: KeyFile, login: Login, cancelled: Callable[[], bool]) -> paramiko.PKey:
        """Return the private key; the first passphrase that opens it wins. Raises KeyFileError."""
        if not file.encrypted:
            return file.open(None)
        with self._asking:
            key = self._keys.get(file.content)
            if key is None:
                key = self._keys[file.content] = _open(file, login, cancelled)
            return key


def _open(file: KeyFile, login: Login, cancelled: Callable[[], bool]) -> paramiko.PKey:
    from m2m_ssh_client.ssh.login import passphrases
    from m2m_ssh_client.ssh.login.key_files import WrongPassphraseError, no_passphrase

    error = no_passphrase(file.path)
    for passphrase in passphrases.passphrases(login, file.path, cancelled):
        try:
            return file.open(passphrase)
        except WrongPassphraseError as exc:
            error = exc
    raise error
