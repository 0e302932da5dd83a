"""RevokedHostKeys: what `ssh-keygen -Q` finds revoked in a list is revoked here, and nothing else is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support import programs

from m2m_ssh_client.errors import KnownHostsError
from m2m_ssh_client.ssh.public_key import PublicKey, decode_on_file
from m2m_ssh_client.ssh.trust.host_certificate import HostCertificate, is_certificate
from m2m_ssh_client.ssh.trust.revoked_keys import RevokedKeys

pytestmark = pytest.mark.interop

KEYS = ("one", "two", "three")
# The serial number of each certificate; its id is its name. `other` is signed by another authority.
CERTIFICATES = {"c0": 0, "c1": 1, "c5": 5, "c6": 6, "c7": 7, "c70": 70, "other": 5}

# Specifications for a KRL, as in ssh-keygen(1), "KEY REVOCATION LISTS", and how the list is made.
LISTS: dict[str, tuple[str, bool]] = {
    "nothing": ("", True),
    "a key": ("key: {one}", True),
    "a key by itself": ("{one}", False),
    "a hash": ("sha256: {one}\nsha1: {two}", True),
    "a key as a hash": ("hash: {hash}", True),
    "the authority": ("{authority}", False),
    "a certificate": ("{c5}", False),
    "a serial number": ("serial: 5", True),
    "serial numbers": ("serial: 1\nserial: 6\nserial: 9000", True),
    "a range": ("serial: 5-7", True),
    "scattered serial numbers": ("serial: 1\nserial: 3\nserial: 5\nserial: 7\nserial: 70-75", True),
    "serial numbers far apart": ("serial: 1\nserial: 18446744073709551615", True),
    "ids": ("id: c0\nid: other\nid: nobody", True),
    "much": ("serial: 1-6\nid: c70\nkey: {two}\nsha256: {three}", True),
}


def keygen(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    argv = [programs.require("ssh-keygen"), *arguments]
    return subprocess.run(argv, check=check, capture_output=True, timeout=30)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The public files of keys, authorities and certificates."""
    folder = tmp_path_factory.mktemp("keys")
    for name in (*KEYS, *CERTIFICATES, "authority", "authority2"):
        keygen("-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name)
    made = {name: folder / f"{name}.pub" for name in (*KEYS, "authority")}
    for name, serial in CERTIFICATES.items():
        by = folder / ("authority2" if name == "other" else "authority")
        signing = ["-q", "-h", "-s", str(by), "-I", name, "-z", str(serial), "-n", "host.example"]
        keygen(*signing, folder / f"{name}.pub")
        made[name] = folder / f"{name}-cert.pub"
    return made


def made(folder: Path, files: dict[str, Path], specification: str, by_words: bool) -> Path:
    """Return a KRL. Without words, `specification` names files of keys."""
    words = {name: path.read_text().strip() for name, path in files.items()}
    words["hash"] = keygen("-l", "-f", files["one"]).stdout.decode().split()[1]
    krl, given = folder / "krl", folder / "specification"
    given.write_text(specification.format(**words) + "\n")
    authority = ["-s", str(files["authority"])] if by_words else []
    keygen("-k", "-f", krl, *authority, given)
    return krl


def revoked(by: RevokedKeys, path: Path) -> bool:
    key_type, encoded = path.read_text().split()[:2]
    blob = decode_on_file(key_type, encoded).blob
    if not is_certificate(blob):
        return by.include(PublicKey.read_host_key(blob))
    certificate = HostCertificate.parse(blob)
    return by.include(certificate.key, certificate)


@pytest.mark.parametrize("name", LISTS)
def test_a_krl_revokes_what_it_revokes_for_ssh_keygen(
    name: str, files: dict[str, Path], tmp_path: Path
) -> None:
    krl = made(tmp_path, files, *LISTS[name])
    ours = RevokedKeys(krl)
    told = {
        each: keygen("-Q", "-f", krl, path, check=False).returncode == 1
        for each, path in files.items()
    }
    assert {each: revoked(ours, path) for each, path in files.items()} == told
    assert any(told.values()) == (name != "nothing")


def test_a_key_in_a_plain_list_is_revoked_whatever_its_type(
    files: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "list"
    new_type = "ssh-new@example.com AAAAE3NzaC1uZXdAZXhhbXBsZS5jb20="
    path.write_text(f"# old\n{new_type}\n{files['one'].read_text()}{files['c5'].read_text()}")
    ours = RevokedKeys(path)
    assert {name for name, file in files.items() if revoked(ours, file)} == {"one", "c5"}


@pytest.mark.parametrize("cut", [8, 20, 60, -1])
def test_a_krl_that_is_cut_off_revokes_everything(
    cut: int, files: dict[str, Path], tmp_path: Path
) -> None:
    krl = made(tmp_path, files, *LISTS["much"])
    krl.write_bytes(krl.read_bytes()[:cut])
    with pytest.raises(KnownHostsError, match="key revocation list with a fault"):
        RevokedKeys(krl)


def test_sections_that_must_be_understood_and_are_not_revoke_everything(tmp_path: Path) -> None:
    head = b"SSHKRL\n\0" + b"\0\0\0\x01" + bytes(24) + bytes(8)
    unknown, krl = b"\0\0\0\x01x", tmp_path / "krl"
    extension = b"\0\0\0\x01e%b\0\0\0\0"
    for section in (b"\x09" + unknown, b"\xff\0\0\0\x0a" + extension % b"\x01"):
        krl.write_bytes(head + section)
        with pytest.raises(KnownHostsError, match="key revocation list with a fault"):
            RevokedKeys(krl)
    krl.write_bytes(head + b"\xff\0\0\0\x0a" + extension % b"\0")
    RevokedKeys(krl)
