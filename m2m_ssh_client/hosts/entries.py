"""Entries for this program: write its command line, and recognise it."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import m2m_ssh_client
from m2m_ssh_client import options
from m2m_ssh_client._version import PROGRAM
from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.text import printable
from m2m_ssh_client.user_only_files import PASSPHRASE_VARIABLE

_MODULE = ["-m", "m2m_ssh_client"]  # in entries of older versions; it imports from where it starts
_MAIN = re.compile(r".*[\\/]m2m_ssh_client[\\/]__main__\.py")
_PACKAGE_OPTIONS = ("--from", "--spec", "--with")  # of uvx and `pipx run`
_FILES = (*options.FILES, *options.OPTIONAL_FILES)

# OpenSSH keywords whose values are files, and the special values that are not.
_FILE_KEYWORDS = (
    *("certificatefile", "globalknownhostsfile", "identityagent", "identityfile", "include"),
    *("revokedhostkeys", "userknownhostsfile"),
)
_NO_FILES = ("none", "SSH_AUTH_SOCK")
_SSH_OPTION = re.compile(r"\s*(\w+)(?:\s*=\s*|\s+)(.*)", re.DOTALL)
# The keys of the program, of its variables, and of a remote server's URL, in all applications.
COMMANDS = ("command", "cmd")
TRANSPORT = "transport"
_ENVIRONMENTS = ("env", "environment", "envs")
_URLS = ("url", "httpUrl", "serverUrl", "uri")
_OURS = re.compile(r"(?:.*[\\/])?m2m-(?:mcp-server-)?ssh-client(?:\.exe)?(?:[@=<>~!\[].*)?")


def client() -> list[str]:
    """Return the argv that starts this program from anywhere: its script, or else its module.

    The module by its path: with `-m`, Python imports from the current folder first.
    """
    name = f"{PROGRAM}.exe" if sys.platform == "win32" else PROGRAM
    started = Path(os.path.abspath(sys.argv[0])).parent  # noqa: PTH100 - no links
    for folder in (started, Path(sys.executable).parent, Path(sysconfig.get_path("scripts"))):
        script = folder / name
        if script.is_file():
            return [str(script)]
    return [sys.executable, str(Path(m2m_ssh_client.__file__).with_name("__main__.py"))]


def is_in_cache(prefix: Path) -> bool:
    """Return True if an installation is below a tagged cache (bford.info/cachedir), like uvx's.

    A tag in the installation itself does not count: uv tags every virtual environment, to exclude
    it from backups.
    """
    return any((folder / "CACHEDIR.TAG").is_file() for folder in prefix.parents)


def written(typed: Sequence[str], ssh_options: Sequence[str]) -> list[str]:
    """Return the options for an entry: as typed, but with absolute paths.

    Hosts start programs in other folders. Raises UsageError for options that must not be stored, or
    would name another file there.
    """
    for option in ssh_options:
        _check_ssh_option(option)
    result: list[str] = []
    for before, word in zip(["", *typed], typed, strict=False):
        name, equals, value = word.partition("=")
        if name == "--passphrase":
            raise UsageError(
                "--passphrase would be stored in a file that others may read",
                f"Use --passphrase-file, or {PASSPHRASE_VARIABLE} in the environment of the host.",
            )
        if before in _FILES:
            result.append(_absolute(before, word))
        elif equals and name in _FILES:
            result.append(f"{name}={_absolute(name, value)}")
        elif (short := word[:2]) in ("-F", "-i") and word != short:
            result.append(f"{short}{_absolute(short, word[2:])}")
        else:
            result.append(word)
    return result


def argv_of(entry: Any) -> list[str]:
    """Return the argv of any server's entry; for a remote server its URL; [] if it has neither."""
    if not isinstance(entry, dict):
        return []
    entry = _program_of(entry)
    command: Any = next((entry[key] for key in (*COMMANDS, *_URLS) if key in entry), None)
    args: Any = entry.get("args")
    if isinstance(command, dict):  # Zed before 2025
        command, args = command.get("path"), command.get("args")
    elif isinstance(command, list):  # opencode
        command, args = (command or [None])[0], command[1:]
    if not isinstance(command, str):
        return []
    return [command, *(map(str, args) if isinstance(args, list) else ())]


def env_of(entry: Any) -> dict[str, str]:
    """Return the variables in an entry, without those that only its host can fill in: ${…}."""
    if not isinstance(entry, dict):
        return {}
    entry = _program_of(entry)
    command = entry.get("command")
    env: Any = command.get("env") if isinstance(command, dict) else None
    for key in _ENVIRONMENTS:
        env = entry.get(key, env)
    return {
        name: value
        for name, value in (env.items() if isinstance(env, dict) else ())
        if isinstance(value, str) and "${" not in value
    }


def _program_of(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the object in an entry that names the program: for Cline it is not the entry."""
    inner = entry.get(TRANSPORT)
    return inner if isinstance(inner, dict) else entry


def is_ours(argv: Sequence[str]) -> bool:
    """Return True if the argv starts this program: its script, its module, or through uvx etc."""
    return arguments_of(argv) is not None


def arguments_of(argv: Sequence[str]) -> list[str] | None:
    """Return the arguments that this program gets, or None if the argv does not start it."""
    if list(argv[1:3]) == _MODULE:
        return list(argv[3:])
    if len(argv) > 1 and _MAIN.fullmatch(argv[1]):
        return list(argv[2:])
    local = argv[: argv.index("--")] if "--" in argv else argv
    ours = [at for at, word in enumerate(local) if _OURS.fullmatch(word)]
    # Behind --from, uvx has the package, and the program after that.
    programs = [at for at in ours if not at or argv[at - 1] not in _PACKAGE_OPTIONS]
    return list(argv[(programs or ours)[0] + 1 :]) if ours else None


def _absolute(option: str, value: str) -> str:
    if option in options.OPTIONAL_FILES and value.lower() == "none":
        return value
    if Path(value).is_absolute():
        return value
    path = os.path.expanduser(value)  # noqa: PTH111 - a Path raises where there is no such user
    return str(Path.cwd() / path)


def _check_ssh_option(option: str) -> None:
    match = _SSH_OPTION.fullmatch(option)
    if not match or match[1].lower() not in _FILE_KEYWORDS:
        return
    for word in match[2].replace('"', "").split():
        if word not in _NO_FILES and word[0] not in "~%$" and not Path(word).is_absolute():
            raise UsageError(
                f"{printable(option)}: the host would look for this file in another folder",
                "Give an absolute path.",
            )
