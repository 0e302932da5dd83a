"""RevokedHostKeys (ssh_config(5)): a file of public keys that no machine may show, one per line."""

from __future__ import annotations

import re
from pathlib import Path

from m2m_ssh_client.errors import KnownHostsError, reason
from m2m_ssh_client.ssh.public_key import PublicKey, decode_on_file
from m2m_ssh_client.text import quoted

_KRL_MAGIC = b"SSHKRL\n\0"  # OpenSSH's PROTOCOL.krl


def revoked_keys(path: Path) -> set[PublicKey]:
    """Return the keys in the file. As for `ssh`, an unreadable file revokes everything.

    Raises KnownHostsError for a file that is missing, unreadable, damaged, or a key revocation list
    (KRL).
    """
    try:
        content = path.expanduser().read_bytes()
    except (OSError, RuntimeError, ValueError) as exc:
        raise _unusable(path, f"cannot be read: {reason(exc)}") from exc
    if content.startswith(_KRL_MAGIC):
        raise KnownHostsError(
            f"RevokedHostKeys {quoted(path)} is a key revocation list (KRL), which is not "
            "supported",
            "Name a file with the revoked public keys, one per line, or none",
        )
    keys: set[PublicKey] = set()
    for number, line in enumerate(content.split(b"\n"), start=1):
        text = line.partition(b"\0")[0].strip(b" \t\r")
        if not text or text.startswith(b"#"):
            continue
        fields = re.split(rb"[ \t]+", text)
        try:
            keys.add(decode_on_file(fields[0].decode(), b"".join(fields[1:2]).decode()))
        except ValueError as exc:
            raise _unusable(
                path, f"has something other than a public key in line {number}"
            ) from exc
    return keys


def _unusable(path: Path, reason: str) -> KnownHostsError:
    return KnownHostsError(
        f"RevokedHostKeys {quoted(path)} {reason}",
        "Repair the file, or remove the RevokedHostKeys line from the configuration",
    )
