"""Key revocation lists (KRL), as `ssh-keygen -k` writes them: OpenSSH's PROTOCOL.krl."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.trust.host_certificate import HostCertificate
from m2m_ssh_client.ssh.wire import Reader

MAGIC = b"SSHKRL\n\0"

_CERTIFICATES, _KEYS, _SHA1, _SHA256, _EXTENSION = 1, 2, 3, 5, 255
_SERIALS, _RANGE, _BITMAP, _IDS, _CERTIFICATE_EXTENSION = 0x20, 0x21, 0x22, 0x23, 0x39


class _Certificates(NamedTuple):
    """Revoked certificates of one authority, or of every one if its key is empty."""

    authority: bytes
    ranges: list[tuple[int, int]]  # serial numbers, both ends included
    ids: set[bytes]

    def include(self, certificate: HostCertificate) -> bool:
        if self.authority not in (b"", certificate.authority.blob):
            return False
        serial = certificate.serial
        # Zero is the serial number of certificates that were given none.
        numbered = serial != 0 and any(low <= serial <= high for low, high in self.ranges)
        return numbered or certificate.id in self.ids


class KRL:
    """The content of a list. Raises ValueError for one that is damaged or cannot be understood."""

    def __init__(self, content: bytes) -> None:
        self._keys: set[bytes] = set()
        self._hashes: dict[str, set[bytes]] = {"sha1": set(), "sha256": set()}
        self._certificates: list[_Certificates] = []
        reader = Reader(content)
        if reader.take(len(MAGIC)) != MAGIC or reader.number(4) != 1:
            raise ValueError("not a KRL of version 1")
        reader.take(3 * 8)  # the list's version, its date, flags
        reader.string()  # reserved
        reader.string()  # a comment
        for kind, section in _sections(reader):
            self._read(kind, Reader(section))

    def has(self, key: PublicKey) -> bool:
        """Return whether a plain key is revoked."""
        if key.blob in self._keys:
            return True
        return any(
            hashlib.new(name, key.blob, usedforsecurity=False).digest() in hashes
            for name, hashes in self._hashes.items()
        )

    def revokes(self, certificate: HostCertificate) -> bool:
        """Return whether the certificate itself is revoked, whatever its keys are."""
        return any(each.include(certificate) for each in self._certificates)

    def _read(self, kind: int, section: Reader) -> None:
        if kind == _CERTIFICATES:
            self._certificates.append(_certificates(section))
        elif kind == _KEYS:
            self._keys.update(section.strings())
        elif kind in (_SHA1, _SHA256):
            self._hashes["sha1" if kind == _SHA1 else "sha256"].update(section.strings())
        elif kind == _EXTENSION:
            _refuse_critical(section)
        else:
            raise ValueError(f"a section of the unknown type {kind}")


def _certificates(section: Reader) -> _Certificates:
    found = _Certificates(section.string(), [], set())
    section.string()  # reserved
    for kind, content in _sections(section):
        part = Reader(content)
        if kind == _SERIALS:
            found.ranges.extend((each, each) for each in _numbers(part))
        elif kind == _RANGE:
            found.ranges.append((part.number(8), part.number(8)))
        elif kind == _BITMAP:
            offset, bits = part.number(8), int.from_bytes(part.string(), "big")
            found.ranges.extend(_runs(offset, bits))
        elif kind == _IDS:
            found.ids.update(part.strings())
        elif kind == _CERTIFICATE_EXTENSION:
            _refuse_critical(part)
        else:
            raise ValueError(f"a section of certificates of the unknown type {kind:#x}")
    return found


def _sections(reader: Reader) -> Iterator[tuple[int, bytes]]:
    while not reader.ended:
        yield reader.number(1), reader.string()


def _numbers(reader: Reader) -> Iterator[int]:
    while not reader.ended:
        yield reader.number(8)


def _runs(offset: int, bits: int) -> Iterator[tuple[int, int]]:
    """Yield the first and last number of each run of set bits; bit 0 stands for `offset`."""
    while bits:
        skipped = (bits & -bits).bit_length() - 1
        bits >>= skipped
        length = (~bits & (bits + 1)).bit_length() - 1
        yield offset + skipped, offset + skipped + length - 1
        bits >>= length
        offset += skipped + length


def _refuse_critical(extension: Reader) -> None:
    name = extension.string()
    if extension.number(1):
        raise ValueError(f"the critical extension {name.decode('ascii', 'replace')!r}")
