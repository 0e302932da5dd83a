"""Files and options read line by line for one host: the first value of a keyword wins."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from m2m_ssh_client.errors import ConfigError
from m2m_ssh_client.ssh.config import conditions, files
from m2m_ssh_client.ssh.config.conditions import Facts
from m2m_ssh_client.ssh.config.files import File
from m2m_ssh_client.ssh.config.keywords import ADDING, ALIASES, reader
from m2m_ssh_client.ssh.config.lines import Line, keyword_of, lower, parse, shown
from m2m_ssh_client.ssh.config.patterns import chosen, listed, matches
from m2m_ssh_client.ssh.config.tokens import Tokens, expand_hostname, local_user
from m2m_ssh_client.ssh.config.values import Jump, parse_jumps

# Characters that a shell might act on, in a ProxyCommand for example: OpenSSH refuses them too
# (from 9.6 on).
NO_HOST = re.compile(r"^-|[\s\x00-\x1f\x7f'`\"$\\;&<>|(){},]|^$")
NO_USER = re.compile(r"^-|[\x00-\x1f\x7f'`\";&<>|(){}]|\s-|\\$")

_DEEPEST = 16  # ssh_config(5) does not say so; OpenSSH reads no deeper
# Of the `ssh` whose reading of ssh_config is followed here; `Match version` guards its keywords.
_VERSION = "OpenSSH_10.5p1"


class Value(NamedTuple):
    """The words of a keyword, and the origin of the first: `path:line`, `-o`, "" for the caller."""

    words: tuple[str, ...]
    origin: str
    system: bool = False


class _Place(NamedTuple):
    """The place of a line. In an Include of a block that does not apply, no block does."""

    file: File
    number: int
    active: bool
    depth: int
    reachable: bool

    @property
    def origin(self) -> str:
        return f"{files.shown(self.file.path)}:{self.number}"


class Reading:
    """The values read so far.

    `host` is the name that blocks match: as typed, and in the final pass the canonical one.
    """

    def __init__(
        self, host: str, default_user: str | None, default_port: int, command: str
    ) -> None:
        self.host = host
        self.values: dict[str, Value] = {}
        self.final = False
        self.wants_final = False
        self._original = host
        self._default_user = default_user
        self._default_port = default_port
        self._command = command
        self._lines: dict[File, list[str]] = {}

    @property
    def user(self) -> str:
        return self.word("user") or self._default_user or local_user()

    @property
    def port(self) -> int:
        return int(self.word("port") or self._default_port)

    @property
    def jumps(self) -> tuple[Jump, ...] | None:
        """The jump hosts as written, unexpanded; empty for `none`, None without ProxyJump."""
        way = self.word("proxyjump")
        if way is None:
            return None
        return () if way == "none" else parse_jumps(way)

    @property
    def hostname(self) -> str:
        """The machine's name as far as it is known; ValueError for an unknown token in HostName."""
        name = self.word("hostname")
        if name is None or self.final:
            return self.host
        return expand_hostname(name, self.host)

    @property
    def tokens(self) -> Tokens:
        host, alias = self.hostname, self.word("hostkeyalias")
        if self.final:
            alias = self._original if alias is None else lower(alias)
        jumps = self.jumps
        jump = jumps[-1].host if jumps else ""
        if jump and NO_HOST.search(jump):
            raise ValueError(f"no host name may have the characters of the jump host {shown(jump)}")
        return Tokens(
            host=host,
            original=self._original,
            port=self.port,
            user=self.user,
            alias=host if alias is None else alias,
            jump=jump,
        )

    def word(self, keyword: str) -> str | None:
        value = self.values.get(keyword)
        return None if value is None else value.words[0]

    def give(self, keyword: str, word: str | int | None) -> None:
        """Set a value that wins over everything read later."""
        if word is not None:
            self.values[keyword] = Value((str(word),), "")

    def settle(self, host: str) -> None:
        """Make the name final: the next pass is for it."""
        self.host = host
        self.final = True

    def expand_user(self) -> None:
        """Expand the tokens in User, as OpenSSH 10.0 does. A name from the caller has none.

        A literal name may have any characters; another one comes from outside of the file. Raises
        ConfigError.
        """
        value = self.values.get("user")
        if value is None or not value.origin or not re.search(r"%|\$\{", value.words[0]):
            return
        user = self.tokens.expand_if_valid(value.words[0], only="dhikjLlnpu")
        if NO_USER.search(user):
            raise ConfigError(
                f"{value.origin}: User: no user name may have the characters of {shown(user)}"
            )
        self.values["user"] = value._replace(words=(user,))

    def option(self, text: str) -> None:
        """Read a line as `ssh -o` does. Raises ConfigError."""
        try:
            line = parse(text)
            if line is not None:
                self._set(line, "-o", active=True, system=False)
        except ValueError as exc:
            # Values of variables stay out of messages: programs are started with passwords in them.
            keyword = keyword_of(text)
            secret = keyword in ("", "proxycommand", "setenv")
            raise ConfigError(f"-o {f'{keyword}=…' if secret else shown(text)}: {exc}") from exc

    def file(self, file: File, active: bool = True, depth: int = 0, reachable: bool = True) -> None:
        """Read a file to its end. Raises one ConfigError for all lines that make no sense."""
        problems: list[str] = []
        for number, text in enumerate(self._lines_of(file), 1):
            place = _Place(file, number, active, depth, reachable)
            try:
                line = parse(text)
                if line is not None:
                    active = self._take(line, place)
            except ValueError as exc:
                problems.append(f"{place.origin}: {exc}")
        if problems:
            raise files.refused(problems)

    def _lines_of(self, file: File) -> list[str]:
        # Once for both passes: a pipe can be read once only.
        if file not in self._lines:
            self._lines[file] = files.lines(file)
        return self._lines[file]

    def _take(self, line: Line, place: _Place) -> bool:
        """Act on a line; return whether the lines after it apply."""
        if line.keyword == "host":
            if "" in line.words:
                raise ValueError("Host: empty argument")
            return place.reachable and chosen(self.host, line.words)
        if line.keyword == "match":
            criteria = conditions.parse(line.words)
            self.wants_final |= any(each.name == "final" for each in criteria)
            return place.reachable and conditions.hold(criteria, self._facts())
        if line.keyword == "include":
            self._include(line.words, place)
        else:
            self._set(line, place.origin, place.active, place.file.system)
        return place.active

    def _facts(self) -> Facts:
        session = self.word("sessiontype") or "default"
        return Facts(
            host=self.hostname,
            original=self._original,
            user=self.user,
            local_user=local_user(),
            tag=self.word("tag") or "",
            session=("exec" if self._command else "shell") if session == "default" else session,
            command=self._command,
            version=_VERSION,
            final=self.final,
            expand=lambda text: self.tokens.expand(text),
        )

    def _include(self, words: Sequence[str], place: _Place) -> None:
        for word in words:
            if not word:
                raise ValueError("Include: empty argument")
            path = self.tokens.expand_if_valid(word)  # from OpenSSH 9.9 on
            for file in files.included(path, place.file):
                if place.depth == _DEEPEST:
                    raise ConfigError(f"{place.origin}: Include is nested too deeply")
                self.file(file, place.active, place.depth + 1, place.active)

    def _set(self, line: Line, origin: str, active: bool, system: bool) -> None:
        keyword = ALIASES.get(line.keyword, line.keyword)
        read = reader(keyword)
        if read is None:
            if listed(line.keyword, self.word("ignoreunknown") or "", lowered=True):
                return
            raise ValueError(f"bad configuration option {shown(line.keyword)}")
        try:
            words = read(line)
        except ValueError as exc:
            raise ValueError(f"{line.keyword}: {exc}") from None
        if active and words:
            self._keep(keyword, Value(words, origin, system))

    def _keep(self, keyword: str, value: Value) -> None:
        before = self.values.get(keyword)
        if keyword == "sendenv":
            self.values[keyword] = _names(before, value)
        elif before is None:
            if not self._is_too_late(keyword):
                self.values[keyword] = value
        elif keyword in ADDING:
            new = tuple(word for word in value.words if word not in before.words)
            self.values[keyword] = before._replace(words=before.words + new)

    def _is_too_late(self, keyword: str) -> bool:
        """Return whether an earlier ProxyJump or ProxyCommand rules this one out.

        ProxyJump none leaves the command its chance.
        """
        if keyword == "proxycommand":
            return self.word("proxyjump") not in (None, "none")
        return keyword == "proxyjump" and "proxycommand" in self.values


def _names(before: Value | None, value: Value) -> Value:
    """Return SendEnv's names plus these, without those that a `-PATTERN` matches."""
    names = list(before.words if before else ())
    for word in value.words:
        if word.startswith("-"):
            names = [name for name in names if not matches(name, word[1:])]
        elif word not in names:
            names.append(word)
    return (before or value)._replace(words=tuple(names))
