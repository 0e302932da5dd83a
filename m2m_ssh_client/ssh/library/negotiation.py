"""The algorithms that a key exchange can offer: paramiko's, with bounds on a server's choices."""

from __future__ import annotations

import zlib
from collections.abc import Container, Sequence
from typing import Any, NamedTuple

import paramiko
from paramiko.compress import ZlibCompressor
from paramiko.kex_gex import KexGexSHA256

from m2m_ssh_client.text import printable, shortened

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


def _chacha(key: bytes) -> object:
    from m2m_ssh_client.ssh.library.chacha import ChaCha20Poly1305  # only where it is used

    return ChaCha20Poly1305(key)


_tables: Any = paramiko.Transport  # the stubs leave its tables out
_KEX_INFO = _key_exchanges(_tables._kex_info)

_CIPHER_INFO = _tables._cipher_info | {
    "chacha20-poly1305@openssh.com": {
        "class": _chacha,
        "block-size": 8,
        "iv-size": 0,
        "key-size": 64,
        "is_aead": True,
    }
}

SUPPORTED = Offer(tuple(_KEX_INFO), tuple(_CIPHER_INFO), tuple(_tables._mac_info))
"""Every algorithm that there is here."""


def apply(transport: paramiko.Transport, offer: Offer) -> None:
    """Make the transport offer these. Call it before the key exchange."""
    tables: Any = transport
    tables._kex_info, tables._cipher_info = _KEX_INFO, _CIPHER_INFO
    options = transport.get_security_options()
    options.kex, options.ciphers, options.digests = offer[:3]
    # Not use_compression(), which offers "zlib" as well: that inflates data from before the login.
    tables._compression_info = tables._compression_info | {
        "zlib@openssh.com": (ZlibCompressor, _Inflater)
    }
    options.compression = ("zlib@openssh.com", "none") if offer.compression else ("none",)


def check_lists(transport: paramiko.Transport, theirs: dict[str, Any]) -> dict[str, Any]:
    """Return the server's lists as paramiko has to see them.

    A cipher with a tag needs no MAC, so that the lists of those need nothing in common. Raises
    IncompatiblePeer, with the names of both sides, where nothing is.
    """
    its: Any = transport
    for side in ("client", "server"):
        ciphers = theirs[f"{side}_encrypt_algo_list"]
        cipher = next((name for name in its.preferred_ciphers if name in ciphers), None)
        if cipher is not None and _CIPHER_INFO[cipher].get("is_aead"):
            theirs = {**theirs, f"{side}_mac_algo_list": list(its.preferred_macs)}
    for what, keyword, names, ours, known in (
        ("key exchange", "KexAlgorithms", "kex_algo_list", its.preferred_kex, _KEX_INFO),
        ("host key", "HostKeyAlgorithms", "server_key_algo_list", its.preferred_keys, ()),
        ("cipher", "Ciphers", "client_encrypt_algo_list", its.preferred_ciphers, _CIPHER_INFO),
        ("MAC", "MACs", "client_mac_algo_list", its.preferred_macs, its._mac_info),
    ):
        if set(theirs[names]).isdisjoint(ours):
            raise paramiko.ssh_exception.IncompatiblePeer(
                _words(what, keyword, theirs[names], ours, known)
            )
    return theirs


def _words(
    what: str, keyword: str, theirs: Sequence[str], ours: Sequence[str], known: Container[str]
) -> str:
    wanted = [name for name in theirs if name and not name.startswith(("kex-strict-", "ext-info-"))]
    its = f"its only {what}s are {_listed(wanted)}" if wanted else f"it offers no {what}s"
    words = f"{its}; this client offers {_listed(ours)}"
    could = [name for name in wanted if name in known]
    return f"{words}; `{keyword} +{could[0]}` adds one that this client can do" if could else words


def _listed(names: Sequence[str]) -> str:
    return shortened(printable(", ".join(names)), 300)


def key_exchange_under_way(transport: paramiko.Transport) -> str:
    """Return the name of the key exchange that both sides have agreed on."""
    its: Any = transport
    kind = type(its.kex_engine)
    names: Sequence[str] = its.preferred_kex
    return next(name for name in names if _KEX_INFO[name] is kind)
