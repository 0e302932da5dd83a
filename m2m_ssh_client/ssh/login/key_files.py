"""The client's key files: public halves and certificates are read, private halves opened.

A key is created on first use. `cryptography` reads private files, since it knows every format that
ssh-keygen writes, and paramiko does not (PKCS#8, and Ed25519 outside of OpenSSH's own). Blocking
file access; every function here may be called from any thread, and `ensure_client_key` from several
processes at once.
"""

from __future__ import annotations

import base64
import io
import os
import re
import secrets
import stat
import sys
from pathlib import Path
from typing import NamedTuple

import paramiko
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from m2m_ssh_client import user_only_files
from m2m_ssh_client.errors import KeyFileError, reason
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.wire import Reader
from m2m_ssh_client.text import printable, quoted
from m2m_ssh_client.user_only_files import PASSPHRASE_VARIABLE

_COMMENT = b"m2m-mcp-server-ssh-client"
# In bytes. The largest real key, RSA with 16384 bits, takes 13 KiB.
_LARGEST_FILE = 1024 * 1024
# The curves of RFC 5656 §10.1, all that paramiko and sshd know.
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_PUBLIC_KEY = re.compile(
    rb"\s*(ssh-|ecdsa-sha2-|sk-|-----BEGIN (RSA )?PUBLIC|---- BEGIN SSH2 PUBLIC)"
)
_OPENSSH_KEY = re.compile(
    rb"-----BEGIN OPENSSH PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END OPENSSH PRIVATE KEY-----"
)
# How the base64 of every key in OpenSSH's format begins (PROTOCOL.key), and of every unencrypted
# one: its cipher is "none". Cut where a group of base64 ends, hence "no".
_OPENSSH_MAGIC = base64.b64encode(b"openssh-key-v1\0")
_OPENSSH_PLAIN = base64.b64encode(b"openssh-key-v1\0\0\0\0\x04no")
# RFC 5958 (PKCS#8) and RFC 1421 (the older PEM)
_PEM_ENCRYPTED = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED")
_OTHER_KEY = "Name another one with --client-key"
_NEW_KEY = f"{_OTHER_KEY}, or create one: ssh-keygen -t ed25519 -f NEW_FILE"


class WrongPassphraseError(KeyFileError):
    """The passphrase is wrong; another one may open the key."""


class KeyFile(NamedTuple):
    """A private key's file, read but not opened."""

    path: Path
    content: bytes

    @property
    def encrypted(self) -> bool:
        """Return whether the file calls itself encrypted.

        The exceptions of `cryptography` differ between versions.
        """
        if _OPENSSH_MAGIC in self.content:
            return _OPENSSH_PLAIN not in self.content
        return any(mark in self.content for mark in _PEM_ENCRYPTED)

    @property
    def public(self) -> PublicKey | None:
        """The public half, if the format keeps it outside of the encrypted part (PROTOCOL.key)."""
        try:
            reader = self._openssh_format
            reader.strings(3)  # cipher, derivation, its options
            reader.number(4)  # of keys, always 1
            return PublicKey.of(reader.string())
        except ValueError:
            return None

    @property
    def cipher(self) -> str:
        """The name of what encrypts the private half, in OpenSSH's own format; else ""."""
        try:
            return self._openssh_format.string().decode("ascii", "replace")
        except ValueError:
            return ""

    @property
    def _openssh_format(self) -> Reader:
        found = _OPENSSH_KEY.search(self.content)
        magic = b"openssh-key-v1\0"
        data = base64.b64decode(found[1]) if found else b""
        if not data.startswith(magic):
            raise ValueError("another format")
        return Reader(data.removeprefix(magic))

    def open(self, passphrase: str | None) -> paramiko.PKey:
        """Return the key as paramiko's class; raises as `load_client_key` does."""
        return _usable(self, passphrase)


def load_client_key(path: Path, passphrase: str | None) -> paramiko.PKey:
    """Open a private key: RSA, ECDSA or Ed25519; OpenSSH, PEM or PKCS#8.

    An empty passphrase counts as none, and one for an unencrypted key does no harm. Raises
    KeyFileError.
    """
    return read_key_file(path).open(passphrase)


def read_key_file(path: Path) -> KeyFile:
    """Read a private key's file without opening it.

    Raises KeyFileError if it is missing, not a private key, or ours and open to others (as for
    `ssh`).
    """
    path = _expanded(path)
    content, status = _read(path)
    if _PUBLIC_KEY.match(content):
        private = path.with_suffix("") if path.suffix == ".pub" else None
        raise KeyFileError(
            f"{quoted(path)} is a public key, not the private one",
            f"Pass --client-key {quoted(private)}" if private else _OTHER_KEY,
        )
    if b"PRIVATE KEY-----" not in content:
        raise _not_a_key(path)
    is_ours = sys.platform == "win32" or status.st_uid == os.getuid()
    if is_ours and (others := user_only_files.others(path, status.st_mode)):
        who, mending = others
        raise KeyFileError(
            f"The client key {quoted(path)} can be read by others ({who})",
            mending,
        )
    return KeyFile(path, content)


def read_public_key(path: Path) -> PublicKey:
    """Read a .pub file's key or certificate.

    Raises KeyFileError if it cannot be read, ValueError if it holds no key.
    """
    path = _expanded(path)
    return PublicKey.parse(_read(path)[0])


def ensure_client_key(path: Path) -> bool:
    """Create an Ed25519 key pair without passphrase, unless the file exists.

    Returns True if this call created it. Never overwrites anything. Of several callers at once, one
    creates the key, and when any of them returns, the private key is complete. Raises KeyFileError.
    """
    path = _expanded(path)
    try:
        public = path.with_name(path.name + ".pub")
        # In this order: a racing caller publishes the private key first, so a public key without a
        # private one was not left by a race.
        orphan = public.exists()
        if path.exists():
            return False
        if not orphan:
            return _create(path, public)
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the path, or no file name
        raise KeyFileError(
            f"The client key {quoted(path)} cannot be created: {reason(exc)}",
            f"{_OTHER_KEY}, or run: ssh-keygen -t ed25519 -f {quoted(path)}",
        ) from exc
    raise KeyFileError(
        f"The client key {quoted(path)} is missing, and its public key {quoted(public)} is there",
        f"Put the private key back, or let a new pair be created after: rm {quoted(public)}",
    )


def public_key_line(key: paramiko.PKey) -> str:
    """Return `type base64`, as in authorized_keys: no comment, no newline."""
    return f"{key.get_name()} {key.get_base64()}"


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as exc:
        raise KeyFileError(
            f"The client key {quoted(path)} cannot be found: {exc}",
            f"{_OTHER_KEY}, with its full path",
        ) from exc


def _read(path: Path) -> tuple[bytes, os.stat_result]:
    """Return the content of a regular file of bounded size, and its status."""
    try:
        status = path.stat()
        mode = status.st_mode
        content = b""
        if stat.S_ISREG(mode):
            with path.open("rb") as file:
                status = os.fstat(
                    file.fileno()
                )  # of this very file, whatever its name stands for by now
                content = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError as exc:
        raise KeyFileError(
            f"There is no client key {quoted(path)}",
            f"Create one: ssh-keygen -t ed25519 -f {quoted(path)}",
        ) from exc
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the path
        raise KeyFileError(
            f"The client key {quoted(path)} cannot be read: {reason(exc)}", _OTHER_KEY
        ) from exc
    fault = ""
    if not stat.S_ISREG(mode):
        fault = "is a directory" if stat.S_ISDIR(mode) else "is not a regular file"
    elif len(content) > _LARGEST_FILE:
        fault = "is larger than 1 MiB, so it is not a key"
    if fault:
        raise KeyFileError(f"The client key {quoted(path)} {fault}", _OTHER_KEY)
    return content, status


def _usable(file: KeyFile, passphrase: str | None) -> paramiko.PKey:
    try:
        key = _decrypt(file, passphrase)
    except UnsupportedAlgorithm as exc:
        if file.encrypted and file.cipher:
            raise KeyFileError(
                f"The client key {quoted(file.path)} is encrypted with {printable(file.cipher)}, "
                "which this client cannot open",
                f"Change that, with the same passphrase, by: ssh-keygen -p -Z aes256-ctr -f "
                f"{quoted(file.path)} (an agent can hold the key as it is)",
            ) from exc
        raise _unsupported(file.path) from exc
    # RSA and ECDSA keys are passed on as objects: reading an RSA key again checks its primes again.
    if isinstance(key, RSAPrivateKey):
        return paramiko.RSAKey(key=key)
    if isinstance(key, EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return paramiko.ECDSAKey(vals=(key, key.public_key()))
    if isinstance(key, Ed25519PrivateKey):
        return paramiko.Ed25519Key(file_obj=io.StringIO(_openssh_format(key).decode()))
    raise _unsupported(file.path)


def _decrypt(file: KeyFile, passphrase: str | None) -> object:
    path, content, encrypted = file.path, file.content, file.encrypted
    is_openssh = b"-----BEGIN OPENSSH PRIVATE KEY-----" in content
    load = load_ssh_private_key if is_openssh else load_pem_private_key
    if encrypted and not passphrase:
        raise no_passphrase(path)
    password = passphrase.encode("utf-8", "surrogateescape") if encrypted and passphrase else None
    try:
        return load(content, password)
    except (
        InternalError,
        TypeError,
        ValueError,
    ) as exc:  # InternalError: for a key that is too short
        if not encrypted:
            raise _not_a_key(path) from exc
        raise WrongPassphraseError(
            f"The passphrase does not open the client key {quoted(path)}",
            f"Find the right one with: ssh-keygen -y -f {quoted(path)}",
        ) from exc


def no_passphrase(path: Path) -> KeyFileError:
    """Return the error for an encrypted key that nobody can open."""
    return KeyFileError(
        f"The client key {quoted(path)} is encrypted and there is no passphrase",
        f"Set {PASSPHRASE_VARIABLE} in the environment of the host, pass --passphrase-file, or add "
        f"the key to an agent: ssh-add {quoted(path)}",
    )


def _not_a_key(path: Path) -> KeyFileError:
    return KeyFileError(f"{quoted(path)} is not a private key, or it is damaged", _NEW_KEY)


def _unsupported(path: Path) -> KeyFileError:
    return KeyFileError(
        f"The client key {quoted(path)} is of a type that cannot be used: neither RSA nor Ed25519 "
        "nor ECDSA on a NIST curve",
        _NEW_KEY,
    )


def _create(path: Path, public: Path) -> bool:
    user_only_files.make_folder(path.parent)
    key = Ed25519PrivateKey.generate()
    if not _publish(path, _openssh_format(key), 0o600):
        return False
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    _publish(public, line + b" " + _COMMENT + b"\n", 0o644)
    return True


def _publish(path: Path, content: bytes, mode: int) -> bool:
    """Make a complete file appear at `path`; return False if something is already there."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = user_only_files.opened(temporary, os.O_WRONLY | os.O_EXCL)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)  # or a power cut leaves an empty file under the final name
            user_only_files.set_mode(descriptor, mode)
        if sys.platform == "win32":
            temporary.rename(path)  # which fails there if the target exists; elsewhere it replaces
        else:
            path.hardlink_to(temporary)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _openssh_format(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
