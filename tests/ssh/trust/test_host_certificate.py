"""Certificates as bytes. What `ssh` makes of real ones is in test_host_keys_like_ssh.py."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    SSHCertificateBuilder,
    SSHCertificateType,
    load_ssh_public_key,
)

from m2m_ssh_client.errors import HostKeyError
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.settings import Trust
from m2m_ssh_client.ssh.trust.host_certificate import HostCertificate, is_certificate
from m2m_ssh_client.ssh.trust.verifier import HostVerifier

HOST = "node.example.com"
CA = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
OURS = PublicKey.read_host_key(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + b"\x01" * 32)


def public(key: Any) -> PublicKey:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    text = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return PublicKey.parse_host_key(text.decode())


def wire(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def issued(
    authority: Any = CA,
    *,
    key: PublicKey = OURS,
    kind: SSHCertificateType = SSHCertificateType.HOST,
    principals: tuple[bytes, ...] = (HOST.encode(),),
    valid: tuple[float, float] = (0, 2**64 - 1),
    critical: tuple[bytes, ...] = (),
) -> bytes:
    """A certificate as it travels."""
    line = f"{key.key_type} {key.base64}".encode()
    builder = (
        SSHCertificateBuilder()
        .public_key(load_ssh_public_key(line))  # type: ignore[arg-type]
        .type(kind)
        .key_id(b"an id")
        .valid_after(int(valid[0]))
        .valid_before(int(valid[1]))
    )
    named = builder.valid_principals(list(principals)) if principals else None
    builder = named or builder.valid_for_all_principals()  # type: ignore[no-untyped-call]
    for name in critical:
        builder = builder.add_critical_option(name, b"x")
    return base64.b64decode(builder.sign(authority).public_bytes().split()[1])


NOW = time.time()  # when the tests are collected: they may run minutes later
FAULTS = [
    pytest.param({}, "", id="good"),
    pytest.param({"authority": RSA}, "", id="by-rsa"),
    pytest.param({"authority": P256}, "", id="by-ecdsa"),
    pytest.param({"key": public(RSA)}, "", id="of-rsa"),
    pytest.param({"key": public(P256)}, "", id="of-ecdsa"),
    pytest.param({"principals": (b"a", HOST.encode())}, "", id="second-name"),
    pytest.param({"principals": (b"*.example.com",)}, "", id="wildcard"),
    pytest.param({"principals": (b"node.ex?mple.com",)}, "", id="question-mark"),
    pytest.param({"principals": (b"[n]ode.example.com",)}, "it is for", id="no-class"),
    pytest.param({"principals": (b"!a,*",)}, "it is for", id="no-list"),
    pytest.param({"principals": (b"*.example.org", b"\x1b[2J")}, r"\x1b[2J", id="other-names"),
    pytest.param({"principals": ()}, "it names no machine", id="no-names"),
    pytest.param({"valid": (NOW - 90, NOW + 9000)}, "", id="in-time"),
    pytest.param({"valid": (NOW + 9000, NOW + 9999)}, "it is not valid before 20", id="early"),
    pytest.param({"valid": (NOW - 99, NOW - 1)}, "it expired at 20", id="late"),
    pytest.param({"valid": (2**63, 2**64 - 1)}, "it is not valid before", id="far-away"),
    pytest.param({"kind": SSHCertificateType.USER}, "it is not for hosts", id="for-users"),
    pytest.param({"critical": (b"x@y",)}, "it has critical options", id="critical"),
]


@pytest.mark.parametrize(("changes", "fault"), FAULTS)
def test_a_certificate_counts_only_without_a_fault(changes: dict[str, Any], fault: str) -> None:
    certificate = HostCertificate.parse(issued(**changes))
    assert certificate.key == changes.get("key", OURS)
    assert certificate.authority == public(changes.get("authority", CA))
    found = certificate.fault(HOST)
    assert fault in found
    assert bool(fault) == bool(found)
    assert "\x1b" not in found


def test_the_last_second_is_not_included(monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = HostCertificate.parse(issued(valid=(1000, 2000)))
    for now, good in ((999.9, False), (1000, True), (1999.9, True), (2000, False)):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        assert (not certificate.fault(HOST)) is good


def test_the_authoritys_algorithm_must_be_among_those_that_are_wanted() -> None:
    certificate = HostCertificate.parse(issued(RSA))
    assert certificate.algorithm == "rsa-sha2-512"
    assert not certificate.fault(HOST, ["ssh-ed25519", "rsa-sha2-512"])
    assert "CASignatureAlgorithms" in certificate.fault(HOST, ["ssh-ed25519", "rsa-sha2-256"])


def test_sha1_never_counts_even_if_it_is_wanted() -> None:
    certificate = HostCertificate.parse(issued(RSA))._replace(algorithm="ssh-rsa")
    assert "not safe" in certificate.fault(HOST, ["ssh-rsa"])


def refused(blob: bytes) -> bool:
    try:
        certificate = HostCertificate.parse(blob)
    except ValueError:
        return True
    return "cannot be verified here" in certificate.fault(HOST)  # the authority's type was changed


@pytest.mark.parametrize("authority", [CA, RSA, P256], ids=["ed25519", "rsa", "ecdsa"])
def test_no_byte_of_a_certificate_can_be_changed(authority: Any) -> None:
    good = issued(authority, critical=(b"x@y",))
    HostCertificate.parse(good)
    for at in range(len(good)):
        changed = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        if is_certificate(changed):
            assert refused(changed), at


def test_no_certificate_may_be_shorter_or_longer() -> None:
    good = issued()
    for cut in range(len(good)):
        with pytest.raises(ValueError, match=r"."):
            HostCertificate.parse(good[:cut])
    with pytest.raises(ValueError, match="trailing"):
        HostCertificate.parse(good + b"\0")


def test_the_signature_of_a_security_key_cannot_be_verified_and_never_counts() -> None:
    good, authority = issued(), public(CA).blob
    fido = wire(b"sk-ssh-ed25519@openssh.com") + wire(b"\x01" * 32) + wire(b"ssh:")
    certificate = HostCertificate.parse(good.replace(wire(authority), wire(fido)))
    fault = "signed by a key of type sk-ssh-ed25519@openssh.com, which cannot be verified here"
    assert fault in certificate.fault(HOST)


def test_a_certificate_with_a_wrong_signature_is_refused_even_for_a_known_key() -> None:
    blob = issued()
    with pytest.raises(HostKeyError, match="the certificate's signature is wrong"):
        HostVerifier(Trust(HOST, 22, strict="no")).verify(blob[:-1] + bytes([blob[-1] ^ 1]))


def test_the_reason_why_a_certificate_does_not_count_is_in_the_error(tmp_path: Any) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"@cert-authority * {public(CA).key_type} {public(CA).base64}\n")
    verifier = HostVerifier(Trust(HOST, 22, (file,)))
    assert verifier.verify(issued()) == OURS
    with pytest.raises(HostKeyError) as caught:
        verifier.verify(issued(valid=(0, 1)))
    assert "in a certificate that does not count (it expired at 1970-01-01 00:00 UTC)" in str(
        caught.value
    )
    with pytest.raises(HostKeyError, match="no trusted authority has signed it"):
        verifier.verify(issued(P256))
