"""Canonical host names: ssh_config(5), CanonicalizeHostname and the keywords beside it."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from typing import NamedTuple

from m2m_ssh_client.ssh.config.lines import shown
from m2m_ssh_client.ssh.config.patterns import listed


class Rules(NamedTuple):
    """The keywords: `domains` are tried in turn for names with at most `most_dots` dots.

    `cnames` are pairs of pattern lists with `:` between them.
    """

    domains: Sequence[str]
    most_dots: int
    falls_back: bool
    cnames: Sequence[str]
    family: socket.AddressFamily


def address(name: str) -> str | None:
    """Return an IP address in its usual spelling (127.1 is 127.0.0.1); None for a name."""
    bare, percent, scope = name.partition("%")
    try:
        if ":" in name or percent:
            packed = socket.inet_pton(socket.AF_INET6, bare)
            return socket.inet_ntop(socket.AF_INET6, packed) + percent + scope
        if re.fullmatch(r"[0-9.]+", name, re.ASCII):
            return socket.inet_ntoa(socket.inet_aton(name))
    except OSError:
        return name  # not a name, whatever it is
    return None


def canonical(name: str, rules: Rules) -> str:
    """Return the name in the first of the domains that knows it, and follow a permitted alias.

    Raises ValueError if no domain knows it and the rules demand one.
    """
    if name.endswith("."):
        candidates = [name]
    elif name.count(".") > rules.most_dots:
        return _followed(name, rules)
    else:
        candidates = [f"{name}.{domain}." for domain in rules.domains]
    for candidate in candidates:
        official = _look_up(candidate, rules.family)
        if official is not None:
            return _alias(candidate.removesuffix("."), official, rules.cnames)
    if not rules.falls_back:
        raise ValueError(f"{shown(name)} is known in none of CanonicalDomains")
    return _followed(name, rules)


def _followed(name: str, rules: Rules) -> str:
    """Return a name that the system's own search rules resolve, which only an alias changes."""
    official = _look_up(name, rules.family) if rules.cnames else None
    return name if official is None else _alias(name, official, rules.cnames)


def _alias(name: str, official: str, cnames: Sequence[str]) -> str:
    for rule in cnames:
        source, _, target = ("*", ":", "*") if rule == "*" else rule.partition(":")
        if listed(name, source, lowered=True) and listed(official, target, lowered=True):
            return official
    return name


def _look_up(name: str, family: socket.AddressFamily) -> str | None:
    """Return the official name of a known host, perhaps the same; None for an unknown one."""
    flags = socket.AI_CANONNAME
    try:
        found = socket.getaddrinfo(name, 22, family, socket.SOCK_STREAM, flags=flags)
    except (OSError, UnicodeError):
        return None
    return found[0][3] or name
