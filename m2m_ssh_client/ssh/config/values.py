"""Readers of values: each checks a line's words and returns them in one spelling, as words again.

A reader raises ValueError with the reason. An empty result means that the line sets nothing, like
`ConnectTimeout none`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from m2m_ssh_client.ssh.config.lines import Line, shown

Reader = Callable[[Line], tuple[str, ...]]

_NUMBER = re.compile(r"\s*[+-]?[0-9]+", re.ASCII)
_TIME_PART = re.compile(r"\s*([+-]?[0-9]+)([smhdwSMHDW]?)", re.ASCII)
_FRACTION = re.compile(r"[0-9]+\.[0-9]+", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_MOST = 2**31 - 1  # INT_MAX

_YES_NO = {"yes": "yes", "true": "yes", "no": "no", "false": "no"}
_LOG_LEVELS = ("QUIET", "FATAL", "ERROR", "INFO", "VERBOSE", "DEBUG", "DEBUG2", "DEBUG3")


class Jump(NamedTuple):
    """One machine on the way, as ProxyJump names it."""

    host: str
    user: str | None = None
    port: int | None = None


def text(line: Line) -> tuple[str, ...]:
    """Read one word of any kind."""
    if not line.words or not line.words[0]:
        raise ValueError("missing argument")
    if len(line.words) > 1:
        raise ValueError("extra arguments at the end of the line")
    return line.words


def texts(line: Line) -> tuple[str, ...]:
    """Read words of any kind, one at least."""
    if not line.words:
        raise ValueError("missing argument")
    return line.words


def anything(line: Line) -> tuple[str, ...]:
    """Accept everything, for keywords that mean nothing to this client."""
    return line.words


def command(line: Line) -> tuple[str, ...]:
    """Read the rest of the line literally, with quotes and `#`."""
    return (line.rest.lstrip(" \t\r\n="),)


def choice(*words: str, **same: str) -> Reader:
    """Return a reader for one of the words, in any case; `same` has other spellings."""
    known = {word.lower(): word for word in words} | same

    def read(line: Line) -> tuple[str, ...]:
        (word,) = text(line)
        if word.lower() not in known:
            raise ValueError(f"unsupported argument {shown(word)}")
        return (known[word.lower()],)

    return read


def flag(*more: str) -> Reader:
    """Return a reader for yes, no, or one of `more`."""
    return choice(*more, **_YES_NO)


log_level = choice(*_LOG_LEVELS, debug1="DEBUG")
strict = choice("yes", "no", "ask", "accept-new", true="yes", false="no", off="no")


def number(line: Line) -> tuple[str, ...]:
    """Read a number from 0 to INT_MAX."""
    (word,) = text(line)
    return (str(_integer(word, _MOST)),)


def port(line: Line) -> tuple[str, ...]:
    (word,) = text(line)
    return (str(port_number(word)),)


def port_number(word: str) -> int:
    """Read a port, or the name of a service that has one."""
    try:
        value = _integer(word, 65535)
    except ValueError:
        import socket

        try:
            value = socket.getservbyname(word, "tcp")
        except (OSError, UnicodeError):
            value = 0
    if not value:
        raise ValueError(f"bad port {shown(word)}")
    return value


def seconds(line: Line) -> tuple[str, ...]:
    """Read a time in seconds; `none` sets nothing."""
    (word,) = text(line)
    return () if word == "none" else (_time(word),)


def persistence(line: Line) -> tuple[str, ...]:
    """Read ControlPersist: a time in seconds, 0 for ever, or `no`."""
    (word,) = text(line)
    if word in _YES_NO:
        return ("0",) if _YES_NO[word] == "yes" else ("no",)
    return (_time(word),)


def _time(word: str) -> str:
    """Return the seconds of a time (sshd_config(5), TIME FORMATS).

    A fraction without a unit is cut off, as from OpenSSH 10.3 on.
    """
    if _FRACTION.fullmatch(word):
        word = word.partition(".")[0]
    total = position = 0
    while position < len(word):
        part = _TIME_PART.match(word, position)
        if part is None or int(part[1]) < 0:
            raise ValueError(f"invalid time {shown(word)}")
        total += int(part[1]) * _SECONDS[part[2].lower()]
        position = part.end()
    if total > _MOST:
        raise ValueError(f"invalid time {shown(word)}")
    return str(total)


def files(line: Line) -> tuple[str, ...]:
    """Read one or more files, or `none` alone."""
    if "" in texts(line):
        raise ValueError("empty argument")
    if len(line.words) > 1 and any(word.lower() == "none" for word in line.words):
        raise ValueError('"none" must stand alone')
    return line.words


def algorithms(line: Line) -> tuple[str, ...]:
    """Read a list literally; the names are checked by whoever uses them."""
    (word,) = text(line)
    if word in ("+", "-", "^"):
        raise ValueError(f"bad list of algorithms {shown(word)}")
    return (word,)


def key_algorithms(line: Line) -> tuple[str, ...]:
    """Read a list of signatures, as `algorithms` does; none may be DSA, unless it is removed.

    OpenSSH 10 has no names with `dss` left, so that a pattern for them is an error to it, too.
    """
    (word,) = algorithms(line)
    if not word.startswith("-"):
        gone = [item for item in word.lstrip("+^").split(",") if "dss" in item]
        if gone:
            raise ValueError(f"take out {shown(','.join(gone))}: OpenSSH 10 refuses DSA")
    return (word,)


def variable_names(line: Line) -> tuple[str, ...]:
    """Read SendEnv: patterns of names, also `-PATTERN`."""
    for word in line.words:
        if not word or "=" in word:
            raise ValueError(f"invalid environment name {shown(word)}")
    return line.words


def variables(line: Line) -> tuple[str, ...]:
    """Read SetEnv: NAME=VALUE."""
    for word in texts(line):
        if "=" not in word:
            raise ValueError("not NAME=VALUE")  # it may be the value alone
    return line.words


def agent(line: Line) -> tuple[str, ...]:
    """Read IdentityAgent: a path, `none`, SSH_AUTH_SOCK, $VARIABLE."""
    (word,) = text(line)
    if re.fullmatch(r"\$(?!\{).*", word, re.DOTALL) and not re.fullmatch(r"\$\w+", word, re.ASCII):
        raise ValueError(f"invalid environment name {shown(word)}")
    return (word,)


def domains(line: Line) -> tuple[str, ...]:
    """Read CanonicalDomains: suffixes without dots around them, or `none` alone."""
    for word in files(line):
        if not re.fullmatch(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._-]*", word):
            raise ValueError(f"invalid domain {shown(word)}")
    return tuple(word.removesuffix(".") for word in line.words)


def cnames(line: Line) -> tuple[str, ...]:
    """Read CanonicalizePermittedCNAMEs: `source:target` lists, `*`, or `none` alone."""
    for word in files(line):
        source, _, target = word.partition(":")
        if word.lower() not in ("none", "*") and not (source and target):
            raise ValueError(f"invalid permitted CNAME {shown(word)}")
    return line.words


def jumps(line: Line) -> tuple[str, ...]:
    """Read ProxyJump: the machines on the way as written, or `none`."""
    way = line.rest.lstrip(" \t\r\n=").partition("#")[0].rstrip()
    if way.lower() == "none":
        return ("none",)
    parse_jumps(way)
    return (way,)


def parse_jumps(way: str) -> tuple[Jump, ...]:
    """Parse `[user@]host[:port]` or `ssh://[user@]host[:port]`, separated by commas."""
    return tuple(_jump(each) for each in way.split(","))


def _jump(place: str) -> Jump:
    is_uri = place.startswith("ssh://")
    rest = place.removeprefix("ssh://")
    if is_uri:
        rest = rest.removesuffix("/")
    user, at, rest = rest.rpartition("@")
    if is_uri:
        from urllib.parse import unquote

        user = unquote(user.partition(";")[0])
    found = re.fullmatch(r"(?:\[([^]]+)\]|([^:/\[]+))(?:[:/](.*))?", rest, re.DOTALL)
    if found is None or (at and not user):
        raise ValueError(f"invalid jump host {shown(place)}")
    port = port_number(found[3]) if found[3] else None
    return Jump(found[1] or found[2], user or None, port)


def _integer(word: str, most: int) -> int:
    if not _NUMBER.fullmatch(word) or not 0 <= int(word) <= most:
        raise ValueError(f"bad number {shown(word)}")
    return int(word)
