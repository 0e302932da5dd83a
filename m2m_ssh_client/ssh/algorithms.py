"""The algorithms to offer: ssh_config(5)'s lists and our defaults, as far as paramiko has them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from functools import cache

from m2m_ssh_client.errors import ConfigError
from m2m_ssh_client.ssh.library.negotiation import SUPPORTED, Offer
from m2m_ssh_client.ssh.settings import Algorithms
from m2m_ssh_client.text import printable, shortened

logger = logging.getLogger(__name__)

# OpenSSH's own defaults include all of these (ssh_config(5)): no CBC, 3DES, MD5 or truncated MACs.
# AES-GCM comes first: one library call for each packet, while CTR needs a MAC, too, and ChaCha20
# takes five.
CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
    "chacha20-poly1305@openssh.com",
)
MACS = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
    "hmac-sha1",
)
KEX = (
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group14-sha256",
)
PLAIN_KEYS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
# Certificates before plain keys, as OpenSSH has it.
KEYS = (*(f"{name}-cert-v01@openssh.com" for name in PLAIN_KEYS), *PLAIN_KEYS)
# Keys on a security token: an agent can sign with them, but paramiko cannot verify a host's
# signature by one.
TOKEN_KEYS = (
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)

# In the order of `ssh -Q HostKeyAlgorithms`, which is the order that a pattern gives.
_ALL_KEYS = (
    "ssh-ed25519",
    "ssh-ed25519-cert-v01@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
    "webauthn-sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ssh-dss",
    "ssh-dss-cert-v01@openssh.com",
    "ssh-rsa",
    "ssh-rsa-cert-v01@openssh.com",
    "rsa-sha2-256",
    "rsa-sha2-256-cert-v01@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-512-cert-v01@openssh.com",
    "ssh-xmss@openssh.com",
    "ssh-xmss-cert-v01@openssh.com",
)
# Keywords with patterns in an added or complete list. A list of removals may always have them.
_PATTERNS = ("HostKeyAlgorithms", "PubkeyAcceptedAlgorithms", "CASignatureAlgorithms")


def offer(wanted: Algorithms) -> Offer:
    """Return the names to offer for everything but host keys.

    Raises ConfigError for a list of which nothing is left.
    """
    return Offer(
        choose(wanted.kex, KEX, SUPPORTED.key_exchanges, "KexAlgorithms"),
        choose(wanted.ciphers, CIPHERS, SUPPORTED.ciphers, "Ciphers"),
        choose(wanted.macs, MACS, SUPPORTED.macs, "MACs"),
        wanted.compression,
    )


def host_keys(spec: str | None) -> list[str]:
    """Return the HostKeyAlgorithms; `order_is_given` tells if known types may still come first."""
    return choose(spec, KEYS, KEYS, "HostKeyAlgorithms")


def order_is_given(spec: str | None) -> bool:
    """Return whether HostKeyAlgorithms sets the order, so that known types do not come first."""
    return spec is not None and not spec.startswith(("+", "-"))


def public_keys(spec: str | None) -> list[str]:
    """Return the PubkeyAcceptedAlgorithms, with those of security keys, which agents may hold."""
    return choose(spec, KEYS + TOKEN_KEYS, KEYS + TOKEN_KEYS, "PubkeyAcceptedAlgorithms")


def ca_signatures(spec: str | None) -> list[str]:
    """Return the CASignatureAlgorithms: signatures of an authority under a host certificate."""
    return choose(spec, PLAIN_KEYS, PLAIN_KEYS, "CASignatureAlgorithms")


def choose(
    spec: str | None, defaults: Sequence[str], supported: Collection[str], keyword: str
) -> list[str]:
    """Return the names to offer, in order, for a `list`, `+list`, `-list` or `^list`.

    The syntax is that of ssh_config(5), Ciphers. Names that `supported` lacks are left out, and
    logged: `ssh` refuses those that it does not know, and each version knows others. Raises
    ConfigError if nothing is left.
    """
    names = list(defaults) if spec is None else _assembled(spec, defaults, keyword)
    chosen = [name for name in names if name in supported]
    if not chosen:
        raise ConfigError(
            f"{keyword} {_shown(spec or '')} leaves nothing that this client can do",
            f"It can do {', '.join(supported)}.",
        )
    if lacking := tuple(name for name in names if name not in {*supported, *defaults}):
        _tell(keyword, lacking)
    return chosen


def _assembled(spec: str, defaults: Sequence[str], keyword: str) -> list[str]:
    sign = spec[:1] if spec.startswith(("+", "-", "^")) else ""
    items = spec[len(sign) :].split(",")
    if sign == "-":
        return [name for name in defaults if not _is_listed(name, items)]
    named = [name for item in items for name in _named(item, keyword)]
    before, after = {"+": (defaults, ()), "^": ((), defaults)}.get(sign, ((), ()))
    return list(dict.fromkeys([*before, *named, *after]))


def _named(item: str, keyword: str) -> list[str]:
    """Return the names that a pattern stands for, in OpenSSH's order, or a name itself."""
    if keyword in _PATTERNS and ("*" in item or "?" in item):
        return [name for name in _ALL_KEYS if _matches(name, item)]
    return [item] if item else []


def _is_listed(name: str, items: list[str]) -> bool:
    if any(_matches(name, item[1:]) for item in items if item.startswith("!")):
        return False
    return any(_matches(name, item) for item in items)


def _matches(name: str, pattern: str) -> bool:
    """Match a pattern, in which only `*` and `?` are special (ssh_config(5), PATTERNS)."""
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def _shown(text: str) -> str:
    return repr(shortened(printable(text), 80))


@cache
def _tell(keyword: str, lacking: tuple[str, ...]) -> None:
    """Log it once, not with each attempt to connect."""
    logger.info("%s: this client cannot do %s", keyword, printable(", ".join(lacking)))
