"""The name of an installed entry in place of its options, for the commands that connect."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from typing import Any

from m2m_ssh_client import options
from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.hosts.apps import Machine
from m2m_ssh_client.hosts.installed import Options, Server, installed
from m2m_ssh_client.text import encodable, printable
from m2m_ssh_client.usage import Parser

# Options of which one excludes the others.
_WAYS_TO_TRUST = (
    *("known_hosts", "disable_host_key_checking", "use_key_server", "key_server_url"),
)


def understood(parser: Parser, arguments: list[str]) -> Options:
    """Return the options of a connection and the remote command, also those of a named entry.

    Raises UsageError.
    """
    given, command = options.split_command(arguments)
    args = parser.understood(given)
    command = take_entry(parser, args, command)
    options.take_destination(parser, args)
    return args, command


def take_entry(
    parser: Parser, args: argparse.Namespace, command: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    """Replace the name of an entry in `args` by its options; return the remote command.

    Options that were typed win. The variables of the entry are set in this process, unless they are
    set already. Raises UsageError for an entry that differs between applications, or is invalid.
    """
    if args.destination is None or args.host is not None:
        return command
    found = _found(args.destination)
    if not found:
        return command
    entry = found[0]
    _announce(found)
    stored, stored_command = entry.connection()
    params = options.parameters(stored, stored_command)  # splits USER@HOST:PORT
    values = {**vars(stored), "host": params.host, "port": params.port, "username": params.username}
    if command is not None:
        del values["subsystem"]
    elif getattr(args, "subsystem", None) is not None:
        stored_command = None
    if any(_is_typed(parser, args, name) for name in _WAYS_TO_TRUST):
        values = {name: value for name, value in values.items() if name not in _WAYS_TO_TRUST}
    args.destination = None
    for name, value in values.items():
        _add(parser, args, name, value)
    for variable, text in entry.env.items():
        with suppress(ValueError, OSError):  # no name for a variable
            os.environ.setdefault(variable, text)
    return stored_command if command is None else command


def _found(name: str) -> list[Server]:
    """Return the entries of this name for this program. Raises UsageError if they differ."""
    try:
        machine = Machine.this()
    except RuntimeError:  # a user without a home folder has no entries
        return []
    # `list` reports files that cannot be read.
    found = [each for each in installed(machine, name=name) if each.is_ours]
    if any((each.arguments, each.env) != (found[0].arguments, found[0].env) for each in found):
        raise UsageError(
            f"The entry {printable(name)!r} is not the same in {_titles(found)}",
            f"Type its options instead (`list` shows them). A machine of that name: --host {name}",
        )
    return found


def _titles(found: list[Server]) -> str:
    return " and ".join(dict.fromkeys(each.app.title for each in found))


def _announce(found: list[Server]) -> None:
    """Tell a person on a terminal that the word was taken for an entry, not for a machine."""
    if sys.stderr.isatty():
        line = f"{printable(found[0].name)}: the entry in {_titles(found)}"
        sys.stderr.write(encodable(line, sys.stderr.encoding) + "\n")


def _is_typed(parser: Parser, args: argparse.Namespace, name: str) -> bool:
    return bool(getattr(args, name, None) != parser.get_default(name))


def _add(parser: Parser, args: argparse.Namespace, name: str, value: Any) -> None:
    """Add the value of an option that the command has and that was not typed."""
    if not hasattr(args, name) or name == "destination":
        return
    typed = getattr(args, name)
    if name == "ssh_options" and typed and value:  # the first of two counts, as in ssh
        setattr(args, name, typed + value)
    elif name in ("env", "ignore_tool") and typed and value:  # of variables, the last counts
        setattr(args, name, value + typed)
    elif not _is_typed(parser, args, name):
        setattr(args, name, value)
