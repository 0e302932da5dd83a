"""RevokedHostKeys (ssh_config(5)): files of keys that no machine may show, in lines or as a KRL."""

from __future__ import annotations

import re
from pathlib import Path

from m2m_ssh_client.errors import KnownHostsError, reason
from m2m_ssh_client.ssh.public_key import PublicKey, decode_on_file
from m2m_ssh_client.ssh.trust.host_certificate import HostCertificate
from m2m_ssh_client.ssh.trust.krl import KRL, MAGIC
from m2m_ssh_client.text import quoted


class RevokedKeys:
    """The content of one file. As for `ssh`, a file that cannot be read revokes everything.

    Raises KnownHostsError for a file that is missing, unreadable or damaged.
    """

    def __init__(self, path: Path) -> None:
        try:
            content = path.expanduser().read_bytes()
        except (OSError, RuntimeError, ValueError) as exc:
            raise _unusable(path, f"cannot be read: {reason(exc)}") from exc
        is_krl = content.startswith(MAGIC)
        self._krl = _krl(path, content) if is_krl else None
        self._keys = set() if is_krl else _keys(path, content)

    def include(self, key: PublicKey, certificate: HostCertificate | None = None) -> bool:
        """Return whether a plain key is revoked, or the certificate that it came in.

        A certificate is revoked by its authority's key as well.
        """
        if self._has(key):
            return True
        if certificate is None:
            return False
        by_itself = self._krl is not None and self._krl.revokes(certificate)
        return by_itself or self._has(certificate.authority)

    def _has(self, key: PublicKey) -> bool:
        return key in self._keys or (self._krl is not None and self._krl.has(key))


def _krl(path: Path, content: bytes) -> KRL:
    try:
        return KRL(content)
    except ValueError as exc:
        raise _unusable(path, f"is a key revocation list with a fault: {exc}") from exc


def _keys(path: Path, content: bytes) -> set[PublicKey]:
    keys: set[PublicKey] = set()
    for number, line in enumerate(content.split(b"\n"), start=1):
        text = line.partition(b"\0")[0].strip(b" \t\r")
        if not text or text.startswith(b"#"):
            continue
        fields = re.split(rb"[ \t]+", text)
        try:
            key = decode_on_file(fields[0].decode(), b"".join(fields[1:2]).decode())
            # A certificate stands for its key.
            keys.add(HostCertificate.parse(key.blob).key if key.is_certificate else key)
        except ValueError as exc:
            why = f"has something other than a public key in line {number}"
            raise _unusable(path, why) from exc
    return keys


def _unusable(path: Path, reason: str) -> KnownHostsError:
    return KnownHostsError(
        f"RevokedHostKeys {quoted(path)} {reason}",
        "Repair the file, or remove the RevokedHostKeys line from the configuration",
    )
