"""Host certificates (OpenSSH's PROTOCOL.certkeys): read, verified, compared with a machine's name.

A certificate speaks for a machine if an authority that is trusted for the machine's name has signed
it and `fault` finds nothing. `cryptography` verifies the signature. The rules for principals are
those of OpenSSH 10.3: `*` and `?` are wildcards, and a certificate without principals is for no
machine. (Older versions take a wildcard literally, and no principals for all machines.)

The key exchange proves that the machine holds the certified key. There paramiko loads the key from
the certificate and verifies the exchange's signature with it: an RSA key takes no SHA-1 signature,
an ECDSA key only that of its own curve, and the exchange hash contains the whole certificate.
paramiko does not compare the type of the shown key with the negotiated type, nor one SHA-2
signature with the other. That does no harm: whatever the machine shows is judged here by its own
type, and trusted only as what is on file.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Sequence
from typing import NamedTuple

from m2m_ssh_client.ssh.public_key import CERTIFICATE_SUFFIX, FIELDS, HOST_KEY_TYPES, PublicKey
from m2m_ssh_client.ssh.trust.known_hosts import pattern_matches
from m2m_ssh_client.ssh.wire import Reader, strings
from m2m_ssh_client.text import printable, shortened

# OpenSSH's default for CASignatureAlgorithms, without those of FIDO keys, which cannot be verified
# here.
CA_ALGORITHMS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)

_HOST = 2  # the `type` of host certificates; 1 is for users


class HostCertificate(NamedTuple):
    """The content of a well-formed certificate.

    `unverified` is the reason if its signature could not be checked.
    """

    key: PublicKey
    authority: PublicKey
    algorithm: str
    kind: int
    principals: tuple[bytes, ...]
    valid_after: int
    valid_before: int
    critical_options: bytes
    serial: int
    id: bytes
    unverified: str

    @classmethod
    def parse(cls, blob: bytes) -> HostCertificate:
        """Read what a server showed.

        Raises ValueError unless it is well-formed and its signature is right.
        """
        reader = Reader(blob)
        key_type = reader.string().decode("ascii", "replace").removesuffix(CERTIFICATE_SUFFIX)
        reader.string()  # the nonce
        fields = [key_type.encode(), *(reader.string() for _ in range(_key_fields(key_type)))]
        key = PublicKey.read_host_key(strings(*fields))
        serial = reader.number(8)
        kind = reader.number(4)
        id_ = reader.string()
        principals = tuple(Reader(reader.string()).strings())
        valid_after, valid_before = reader.number(8), reader.number(8)
        critical_options = reader.string()
        reader.string()  # extensions: none is known for hosts, and unknown ones do not matter
        reader.string()  # reserved
        authority = _authority(reader.string())
        algorithm = Reader(reader.string()).string().decode("ascii", "replace")
        if reader.rest:
            raise ValueError("the certificate has trailing bytes")
        unverified = _verify(blob, authority)
        return cls(
            *(key, authority, algorithm, kind, principals),
            *(valid_after, valid_before, critical_options),
            *(serial, id_, unverified),
        )

    def fault(self, name: str, algorithms: Sequence[str] | None = None) -> str:
        """Return why it does not speak now for the machine of this name; "" if it does.

        It does not matter here who signed it. `algorithms` are the CASignatureAlgorithms; those
        that cannot be verified here never count.
        """
        now = time.time()
        if self.unverified:
            return self.unverified
        if self.kind != _HOST:
            return "it is not for hosts"
        if now < self.valid_after:
            return f"it is not valid before {_utc(self.valid_after)}"
        if now >= self.valid_before:
            return f"it expired at {_utc(self.valid_before)}"
        if not self.principals:
            return "it names no machine"
        if not any(pattern_matches(each, name.encode()) for each in self.principals):
            names = shortened(printable(b", ".join(self.principals)))
            return f"it is for {names}, and not for {name}"
        if self.critical_options:
            return "it has critical options, and none is known for hosts"
        if self.algorithm not in CA_ALGORITHMS:
            return f"it is signed with {printable(self.algorithm)}, which is not safe"
        if algorithms is not None and self.algorithm not in algorithms:
            return f"it is signed with {self.algorithm}, which CASignatureAlgorithms does not list"
        return ""


def is_certificate(blob: bytes) -> bool:
    """Return whether a blob calls itself a certificate, not a plain key."""
    try:
        return Reader(blob).string().endswith(CERTIFICATE_SUFFIX.encode())
    except ValueError:
        return False


def _key_fields(key_type: str) -> int:
    if key_type not in HOST_KEY_TYPES:
        raise ValueError("a certificate of an unknown type")
    return FIELDS[key_type]


def _authority(blob: bytes) -> PublicKey:
    key_type = Reader(blob).string().decode("ascii", "replace")
    return (
        PublicKey.read_host_key(blob) if key_type in HOST_KEY_TYPES else PublicKey(key_type, blob)
    )


def _verify(blob: bytes, authority: PublicKey) -> str:
    """Return why the signature cannot be verified, "" if it is right; ValueError if it is wrong."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        SSHCertificate,
        load_ssh_public_identity,
    )

    if authority.key_type not in HOST_KEY_TYPES:
        kind = printable(authority.key_type)
        return f"it is signed by a key of type {kind}, which cannot be verified here"
    line = Reader(blob).string() + b" " + base64.b64encode(blob)
    try:
        certificate = load_ssh_public_identity(line)
        assert isinstance(certificate, SSHCertificate)  # noqa: S101 - `parse` has seen its type
        certificate.verify_cert_signature()
    except InvalidSignature:
        raise ValueError("the certificate's signature is wrong") from None
    except UnsupportedAlgorithm as exc:
        raise ValueError(f"the certificate cannot be verified: {exc}") from exc
    return ""


def _utc(seconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
    except (OverflowError, OSError, ValueError):
        return f"second {seconds} of Unix time"
