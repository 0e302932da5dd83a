"""The algorithms that a key exchange can offer: paramiko's, with bounds on a server's choices."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import paramiko
from paramiko.compress import ZlibCompressor
from paramiko.kex_gex import KexGexSHA256

_MSG_KEXDH_GEX_GROUP = 31  # RFC 4419 section 5
_LONGEST_INFLATED = 256 * 1024  # bytes, as for an uncompressed packet


class Offer(NamedTuple):
    """Names of algorithms to offer, each list in order of preference."""

    key_exchanges: Sequence[str]
    ciphers: Sequence[str]
    macs: Sequence[str]
    compression: bool = False


class _GroupExchange(KexGexSHA256):
    """A group exchange with OpenSSH's lower bound.

    paramiko asks for 2048 bits and would take 1024.
    """

    preferred_bits = 3072  # NIST SP 800-57, for a 128-bit cipher

    def parse_next(self, ptype: int, m: paramiko.Message) -> None:
        if ptype == _MSG_KEXDH_GEX_GROUP:
            bits = paramiko.Message(m.asbytes()).get_mpint().bit_length()
            if bits < self.min_bits:
                raise paramiko.SSHException(f"The server's Diffie-Hellman group has {bits} bits")
        super().parse_next(ptype, m)


class _Inflater:
    """A decompressor with a bound: paramiko's makes a gigabyte of zeros from one packet."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj()

    def __call__(self, data: bytes) -> bytes:
        inflated = self._stream.decompress(data, _LONGEST_INFLATED + 1)
        if len(inflated) > _LONGEST_INFLATED:
            raise paramiko.SSHException("A compressed packet is too long")
        return inflated


def _key_exchanges(known: dict[str, Any]) -> dict[str, Any]:
    known = known | {_GroupExchange.name: _GroupExchange}
    if curve := known.get("curve25519-sha256@libssh.org"):
        known["curve25519-sha256"] = curve  # its later name (RFC 8731)
    return known


_tables: Any = paramiko.Transport  # the stubs leave its tables out
_KEX_INFO = _key_exchanges(_tables._kex_info)

SUPPORTED = Offer(tuple(_KEX_INFO), tuple(_tables._cipher_info), tuple(_tables._mac_info))
"""Every algorithm that there is here."""


def apply(transport: paramiko.Transport, offer: Offer) -> None:
    """Make the transport offer these. Call it before the key exchange."""
    tables: Any = transport
    tables._kex_info = _KEX_INFO
    options = transport.get_security_options()
    options.kex, options.ciphers, options.digests = offer[:3]
    # Not use_compression(), which offers "zlib" as well: that inflates data from before the login.
    tables._compression_info = tables._compression_info | {
        "zlib@openssh.com": (ZlibCompressor, _Inflater)
    }
    options.compression = ("zlib@openssh.com", "none") if offer.compression else ("none",)


def key_exchange_under_way(transport: paramiko.Transport) -> str:
    """Return the name of the key exchange that both sides have agreed on."""
    its: Any = transport
    kind = type(its.kex_engine)
    names: Sequence[str] = its.preferred_kex
    return next(name for name in names if _KEX_INFO[name] is kind)
