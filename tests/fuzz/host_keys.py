"""Host keys and what is on file about them: from servers, from files, and into files."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fuzz.target import folder, is_showable

from m2m_ssh_client.errors import HostKeyError, KnownHostsError
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.settings import Trust
from m2m_ssh_client.ssh.trust.host_certificate import HostCertificate, is_certificate
from m2m_ssh_client.ssh.trust.known_hosts import KnownHosts, entry
from m2m_ssh_client.ssh.trust.randomart import randomart
from m2m_ssh_client.ssh.trust.revoked_keys import RevokedKeys
from m2m_ssh_client.ssh.trust.verifier import HostVerifier, Standing
from m2m_ssh_client.ssh.wire import strings

_HOST, _PORT = "host.example", 2222
# The same in each run, so that an input that has something to say about it is found again.
_AUTHORITY = Ed25519PrivateKey.from_private_bytes(b"authority".ljust(32))
_SERVER = Ed25519PrivateKey.from_private_bytes(b"a server".ljust(32))


def _blob(key: Ed25519PrivateKey) -> bytes:
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return strings(b"ssh-ed25519", raw)


KEY = PublicKey.read_host_key(_blob(_SERVER))
_LINE = f"{KEY.key_type} {KEY.base64}"


def check_known_hosts(content: bytes) -> None:
    """A file, asked about one machine's key, to which the key is then added."""
    path = folder() / "known_hosts"
    path.write_bytes(content)
    known = KnownHosts.load([path])
    lines = content.split(b"\n")
    for name in (_HOST, f"[{_HOST}]:{_PORT}", "127.0.0.1", "ünicode"):
        for each in known.entries_for(name):
            assert each.key.base64.encode() in lines[each.line - 1]
    verifier = HostVerifier(Trust(_HOST, _PORT, (path,), strict="yes"))
    finding = verifier.finding(KEY)
    is_showable(verifier.error(KEY, finding))
    if finding.standing is Standing.KNOWN:
        assert KEY.base64.encode() in content
    elif finding.standing is Standing.REVOKED:
        assert KEY.base64.encode() in content
        assert b"@revoked" in content
    elif finding.standing is Standing.UNKNOWN:
        assert verifier.add(KEY).standing is Standing.KNOWN
        after = path.read_bytes()
        assert after.startswith(content)
        assert after.removeprefix(content).strip() == f"[{_HOST}]:{_PORT} {_LINE}".encode()
        _accepts(HostVerifier(Trust(_HOST, _PORT, (path,))), KEY.blob)


def check_host_name(data: bytes) -> None:
    """A name that somebody wants a key to be on file for: it is refused, or is one line about one machine."""
    name = data.decode("utf-8", "surrogateescape")
    path = folder() / "named"
    for hashed in (False, True):
        try:
            line = entry(name, _PORT, KEY, hashed=hashed)
        except KnownHostsError as exc:
            is_showable(exc)
            continue
        assert line.endswith(f" {_LINE}\n")
        assert len(line.split("\n")) == 2
        path.write_bytes(line.encode("utf-8", "surrogateescape"))
        assert HostVerifier(Trust(name, _PORT, (path,))).finding(KEY).standing is Standing.KNOWN
        other = HostVerifier(Trust(_HOST + "x", _PORT, (path,)))
        assert other.finding(KEY).standing is Standing.UNKNOWN or name.lower() == _HOST + "x"


def check_revoked_keys(content: bytes) -> None:
    """A file of RevokedHostKeys: a key counts only if the file has it, or a hash of it."""
    path = folder() / "revoked"
    path.write_bytes(content)
    try:
        revoked = RevokedKeys(path)
    except KnownHostsError as exc:
        is_showable(exc)
        return
    hashes = [hashlib.new(name, KEY.blob).digest() for name in ("sha1", "sha256")]
    traces = [KEY.blob, KEY.base64.encode(), *hashes]
    assert not revoked.include(KEY) or any(each in content for each in traces)


def check_host_key(data: bytes) -> None:
    """A key as text, from a key server, and as bytes, from an SSH server."""
    try:
        key = PublicKey.parse_host_key(data.decode("utf-8", "surrogateescape"))
    except ValueError:
        pass
    else:
        assert re.split(b" ", data)[:2] == [key.key_type.encode(), key.base64.encode()]
        _is_whole(key)
    try:
        key = PublicKey.read_host_key(data)
    except ValueError:
        pass
    else:
        _is_whole(key)
    _judge(data)


def check_certificate(body: bytes) -> None:
    """A certificate's fields up to the authority, which signs whatever it gets."""
    _judge(body)
    signed = body + strings(_blob(_AUTHORITY))
    signature = strings(b"ssh-ed25519", _AUTHORITY.sign(signed))
    certificate = signed + strings(signature)
    try:
        read = HostCertificate.parse(certificate)
    except ValueError:
        read = None
    fault = "malformed" if read is None else read.fault(_HOST)
    is_showable(fault)
    if read is not None and not read.unverified:
        assert read.authority.blob == _blob(_AUTHORITY)
        _is_whole(read.key)
    path = folder() / "authorities"
    if not path.exists():
        authority = base64.b64encode(_blob(_AUTHORITY)).decode()
        path.write_text(
            f"@cert-authority [*.example]:{_PORT} ssh-ed25519 {authority}\n", encoding="utf-8"
        )
    assert _accepts(_verifier(path), certificate) == (not fault)


def _judge(blob: bytes) -> None:
    """What a server shows that nobody knows, or that is no key, is refused."""
    is_certificate(blob)
    path = folder() / "nobody"
    path.touch()
    assert not _accepts(_verifier(path), blob)


def _verifier(path: Path) -> HostVerifier:
    return HostVerifier(Trust(_HOST, _PORT, (path,), strict="yes"))


def _accepts(verifier: HostVerifier, blob: bytes) -> bool:
    try:
        key = verifier.verify(blob)
    except HostKeyError as exc:
        is_showable(exc)
        return False
    _is_whole(key)
    return True


def _is_whole(key: PublicKey) -> None:
    assert PublicKey.read_host_key(key.blob) == key
    assert PublicKey.parse_host_key(f"{key.line} a comment") == key
    assert key.bits >= 256
    assert len(randomart(key).split("\n")) == 11
    assert key.fingerprint.isprintable()
    is_showable(key.short_type)
