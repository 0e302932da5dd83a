"""Other host keys of a verified machine, learnt with proof (ssh_config(5), UpdateHostKeys).

After the login, OpenSSH's server announces all of its keys. Those that are not on file are added
once it has proved that it holds them (OpenSSH's PROTOCOL, section 2.5), and lines with keys that
it does not have any more are removed. So a machine can change its keys, and is not a stranger then.

Nothing changes, as with `ssh`, unless the machine was known by a plain key under its very name in
the user's own files; nor if a marker or a pattern speaks of it there, or a key to remove has other
names. A list of names counts as those; `ssh` removes it with all of them. New lines are hashed if
HashKnownHosts says so or the machine's lines are (`ssh` looks at HashKnownHosts alone).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import paramiko

from m2m_ssh_client.errors import SSHClientError, reason
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.settings import Trust
from m2m_ssh_client.ssh.trust.known_hosts import Entry, KnownHosts, entry, on_file
from m2m_ssh_client.ssh.trust.known_hosts_writing import rewrite
from m2m_ssh_client.ssh.trust.verifier import HostVerifier, Standing
from m2m_ssh_client.ssh.wire import Reader, strings
from m2m_ssh_client.text import printable

logger = logging.getLogger(__name__)

PROVE = "hostkeys-prove-00@openssh.com"

_MOST_KEYS = 100  # that a machine may have
_RSA_SIGNATURES = (b"rsa-sha2-512", b"rsa-sha2-256")


class Announcement(NamedTuple):
    """A machine's word after the login.

    `shown` is the key or certificate of the key exchange, `keys` are those that it says it has.
    `prove` asks it for signatures, a string for each key in the argument; None for a refusal.
    """

    shown: bytes
    keys: Sequence[bytes]
    session_id: bytes
    prove: Callable[[bytes], bytes | None]


class _Update(NamedTuple):
    new: list[PublicKey]
    old: list[Entry]
    hashed: bool


def learn(
    trust: Trust, verifier: HostVerifier, key_types: Collection[str], said: Announcement
) -> None:
    """Bring the user's files up to date with what the machine says and proves.

    `verifier` has judged the machine in this connection; `key_types` are those that it may show.
    Blocking. Failures are logged: they concern the next connection, not this one.
    """
    try:
        if not trust.learns or trust.read_only or not _was_known(verifier, said.shown):
            return
        update = _update(trust, verifier, key_types, said)
        if update is None or not (update.new or update.old):
            return
        proved = _proved(update.new, said)
        _write(trust, lambda: _update(trust, verifier, key_types, said), proved)
    except (SSHClientError, ValueError, OSError, paramiko.SSHException) as exc:
        why = exc.message if isinstance(exc, SSHClientError) else printable(reason(exc))
        logger.info("the other host keys of %s are not learnt: %s", printable(trust.name), why)


def _was_known(verifier: HostVerifier, shown: bytes) -> bool:
    """Return whether it was known by this plain key before this connection."""
    try:
        key = PublicKey.read_host_key(shown)
    except ValueError:
        return False  # a certificate
    return verifier.finding(key).standing is Standing.KNOWN


def _update(
    trust: Trust, verifier: HostVerifier, key_types: Collection[str], said: Announcement
) -> _Update | None:
    """Return what to change in the files as they are now; None if they are to be left alone."""
    if len(said.keys) > _MOST_KEYS or len(set(said.keys)) != len(said.keys):
        raise ValueError("it announces too many keys, or one of them twice")
    known = KnownHosts.load(trust.user_files)
    lines = known.entries_for(_name(trust))
    if any(each.marker or not each.is_for_one_name for each in lines):
        return None
    if said.shown not in {each.key.blob for each in lines}:
        return None
    old = [each for each in lines if each.key.blob not in said.keys]
    if any(known.has_other_names(_name(trust), each.key) for each in old):
        return None
    on_file = {each.key.blob for each in lines}
    new = [key for key in _usable(said.keys, key_types) if key.blob not in on_file]
    new = [key for key in new if _is_acceptable(key, trust, verifier)]
    return _Update(new, old, trust.hash_names or any(e.names.startswith(b"|") for e in lines))


def _usable(blobs: Sequence[bytes], key_types: Collection[str]) -> list[PublicKey]:
    keys = []
    for blob in blobs:
        try:
            key = PublicKey.read_host_key(blob)
        except ValueError:
            continue  # a certificate, or of a type that cannot be verified here
        if key.key_type in key_types:
            keys.append(key)
    return keys


def _is_acceptable(key: PublicKey, trust: Trust, verifier: HostVerifier) -> bool:
    if key.key_type == "ssh-rsa" and key.bits < trust.rsa_bits:
        return False
    return verifier.finding(key).standing is not Standing.REVOKED


def _proved(keys: Sequence[PublicKey], said: Announcement) -> set[PublicKey]:
    """Return the keys, all of which the machine has proved to hold. Raises ValueError."""
    if not keys:
        return set()
    answer = said.prove(strings(*(key.blob for key in keys)))
    if answer is None:
        raise ValueError("it does not prove that it holds them")
    signatures = Reader(answer).strings()
    if len(signatures) != len(keys):
        raise ValueError("it does not prove each of them")
    for key, signature in zip(keys, signatures, strict=True):
        signed = strings(PROVE.encode(), said.session_id, key.blob)
        if not _is_signature(key, signature, signed):
            raise ValueError(f"its proof for the {key.short_type} key is wrong")
    return set(keys)


def _is_signature(key: PublicKey, signature: bytes, signed: bytes) -> bool:
    if key.key_type == "ssh-rsa" and Reader(signature).string() not in _RSA_SIGNATURES:
        return False
    return _loaded(key).verify_ssh_sig(signed, paramiko.Message(signature))


def _loaded(key: PublicKey) -> paramiko.PKey:
    if key.key_type == "ssh-rsa":
        return paramiko.RSAKey(data=key.blob)
    if key.key_type == "ssh-ed25519":
        return paramiko.Ed25519Key(data=key.blob)
    return paramiko.ECDSAKey(data=key.blob)


def _write(trust: Trust, updated: Callable[[], _Update | None], proved: set[PublicKey]) -> None:
    """Change each file under its lock, by what all of them say then."""
    for number, path in enumerate(each.expanduser() for each in trust.user_files):
        if number and not path.exists():
            continue

        def change(content: bytes, path: Path = path, is_first: bool = number == 0) -> bytes:
            update = updated()
            if update is None:
                return content
            new = [key for key in update.new if key in proved] if is_first else []
            _tell(trust, new, gone := [each for each in update.old if each.path == path])
            added = [entry(trust.name, trust.port, key, hashed=update.hashed) for key in new]
            return _edited(content, {each.line for each in gone}, added)

        rewrite(path, change)


def _edited(content: bytes, gone: set[int], added: Sequence[str]) -> bytes:
    """Return the content without the lines of these numbers, and with more at its end."""
    lines = content.split(b"\n")
    kept = b"\n".join(line for number, line in enumerate(lines, start=1) if number not in gone)
    if kept and not kept.endswith(b"\n"):
        kept += b"\n"
    return kept + "".join(added).encode("utf-8", "surrogateescape")


def _tell(trust: Trust, new: Sequence[PublicKey], gone: Sequence[Entry]) -> None:
    for key in new:
        logger.info("learnt the host key of %s: %s %s", trust.name, key.key_type, key.fingerprint)
    for each in gone:
        logger.info(
            "removed the host key of %s at %s, which it has no more", trust.name, each.place
        )


def _name(trust: Trust) -> str:
    return on_file(trust.name) if trust.port is None else on_file(trust.name, trust.port)
