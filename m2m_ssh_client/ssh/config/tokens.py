"""`%` tokens, `${VARIABLES}` and `~`: ssh_config(5), TOKENS and ENVIRONMENT VARIABLES.

`~` is the home folder that Python knows ($HOME, %USERPROFILE%), where our own files are; OpenSSH
asks the account database. They differ only if HOME points elsewhere.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from m2m_ssh_client.ssh.config.lines import shown

_TOKEN = re.compile(r"%(?P<token>.?)", re.DOTALL)
_TOKEN_OR_VARIABLE = re.compile(r"%(?P<token>.?)|\$\{(?P<name>[^}]*)(?P<end>\}?)", re.DOTALL)


_PROGRAM_DATA = "__PROGRAMDATA__"


class Tokens:
    """The values of tokens on one connection; the machine's names are looked up on first use."""

    def __init__(
        self, *, host: str, original: str, port: int, user: str, alias: str, jump: str
    ) -> None:
        self._known = {
            "%": "%",
            "h": host,
            "n": original,
            "p": str(port),
            "r": user,
            "k": alias,
            "j": jump,
        }

    @cached_property
    def _machine(self) -> dict[str, str]:
        import hashlib
        import socket

        name = socket.gethostname()
        known = self._known
        connection = name + known["h"] + known["p"] + known["r"] + known["j"]
        digest = hashlib.sha1(connection.encode("utf-8", "surrogateescape"), usedforsecurity=False)
        return {
            "C": digest.hexdigest(),
            "L": name.partition(".")[0],
            "d": str(Path.home()),
            "i": _user_id(),
            "l": name,
            "u": local_user(),
        }

    def expand(self, text: str, only: str = "", *, variables: bool = False) -> str:
        """Expand tokens (all, or those in `only` and `%%`) and, if asked to, `${VARIABLES}`.

        Raises ValueError for a token that is not known here, and for a variable that is not set.
        """

        def value(token: str) -> str:
            if only and token not in only + "%":
                raise ValueError(f"{shown(f'%{token}')} means nothing here")
            if token in self._known:
                return self._known[token]
            return self._machine[token]

        return _expand(text, value, variables)

    def expand_if_valid(self, text: str, only: str = "") -> str:
        """Expand a value that older versions take literally: an invalid one stays as it is."""
        try:
            return self.expand(text, only, variables=True)
        except ValueError:
            return text


def expand_hostname(text: str, host: str) -> str:
    """Expand the value of HostName, which knows `%h` (the name as typed) and `%%`."""
    return _expand(text, {"%": "%", "h": host}.__getitem__, variables=False)


def expand_home(text: str) -> str:
    """Expand `~/…` and `~user/…`; ValueError for an unknown user.

    On Windows also a leading `__PROGRAMDATA__`, in any case, as OpenSSH does there.
    """
    if sys.platform == "win32" and text.upper().startswith(_PROGRAM_DATA):
        folder = os.environ.get("PROGRAMDATA", r"C:\ProgramData")
        return folder + text[len(_PROGRAM_DATA) :]
    if not text.startswith("~"):
        return text
    # expanduser leaves alone what it does not know.
    expanded = os.path.expanduser(text)  # noqa: PTH111 - of a Path, "~" in "./~x" would be one too
    if expanded.startswith("~"):
        raise ValueError(f"{shown(text.partition('/')[0])}: no such user")
    return expanded


def local_user() -> str:
    """Return the account's name; LOGNAME and USER count only without an account database."""
    if sys.platform != "win32":
        import pwd

        try:
            return pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            pass
    import getpass

    return getpass.getuser()


def _user_id() -> str:
    if sys.platform == "win32":
        return "0"
    return str(os.getuid())


def _expand(text: str, value: Callable[[str], str], variables: bool) -> str:
    """Expand in one pass, so that nothing is expanded twice."""

    def replacement(found: re.Match[str]) -> str:
        groups: Mapping[str, str | None] = found.groupdict()
        token = groups["token"]
        if token is None:
            return _variable(groups["name"] or "", groups["end"] or "")
        try:
            return value(token)
        except KeyError:
            raise ValueError(f"{shown(f'%{token}')} means nothing here") from None

    return (_TOKEN_OR_VARIABLE if variables else _TOKEN).sub(replacement, text)


def _variable(name: str, end: str) -> str:
    if not name or not end:
        raise ValueError("${ without a name and }")
    if name not in os.environ:
        raise ValueError(f"the environment variable {shown(name)} is not set")
    return os.environ[name]
