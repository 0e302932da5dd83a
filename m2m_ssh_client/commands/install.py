"""The `install` command: write an entry for this program into the configuration of an MCP host."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from m2m_ssh_client import options
from m2m_ssh_client._version import PROGRAM
from m2m_ssh_client.commands.applying import (
    applied,
    each_place,
    entry_parser,
    places,
    with_all_as_app,
)
from m2m_ssh_client.errors import AppConfigError, UsageError
from m2m_ssh_client.hosts import entries
from m2m_ssh_client.hosts.apps import App, Machine
from m2m_ssh_client.hosts.editing import planned
from m2m_ssh_client.terminal.asking import say
from m2m_ssh_client.text import printable
from m2m_ssh_client.usage import Parser, pasteable

_FLAGS = ("--yes", "--print")
_SCOPE = "--scope"
_CHECK_PROJECT = ("list", "--check", _SCOPE, "project")
# Hosts build tool names from it; Claude Code allows no dot and no blank.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

_NO_UTF8 = re.compile("[\ud800-\udfff]")  # surrogateescape makes these of other bytes

_TO_STAY = f"Install it permanently: `pipx install {PROGRAM}` or `uv tool install {PROGRAM}`."

# An entry without any of these would look for m2m-mcp-server-ssh-server on this machine.
_REACHING = ("host", "port", "ssh_options", "subsystem", "use_key_server", "key_server_url")

_EXAMPLES = (
    "claude-desktop lab-git --host lab -- uvx mcp-server-git --repository /srv/repo",
    "cursor lab --host lab.example --use-key-server",
    "all lab --scope project --host lab --subsystem mcp",
)


def main(name: str, arguments: list[str]) -> int:
    """Write or print the entry; return the exit status. Raises an SSHClientError."""
    given, command = options.split_command(with_all_as_app(arguments))
    parser_ = parser(name)
    args = parser_.understood(given)
    options.take_destination(parser_, args)
    options.parameters(args, command)  # raises UsageError if the entry would fail
    typed = _connection_options(given, args.app, args.name)
    argv = [*entries.client(), *entries.written(typed, args.ssh_options or ())]
    argv += ["--", *command] if command else []
    if not _NAME.fullmatch(args.name):
        raise UsageError(f"Invalid server name {args.name!r}", "Use letters, digits, - and _.")
    if _NO_UTF8.search("".join(argv)):
        raise UsageError("An argument is not UTF-8", "Hosts cannot store it.")
    if command is None and not any(getattr(args, name) for name in _REACHING):
        raise UsageError(
            "The entry would reach nothing: it names no machine",
            f"Put the machine after the name: {pasteable('install', args.app, args.name)} HOST …",
        )
    found = places(args.app, args.scope, Machine.this())
    if args.print:
        for app, _ in found:
            title = f"{app.title}:\n" if len(found) > 1 else ""
            say(title + _printed(app, args.name, app.entry(args.name, argv)))
        return 0
    if entries.is_in_cache(Path(sys.prefix)):
        say(f"Warning: {printable(argv[0])} is in a cache, which may be emptied. {_TO_STAY}")
    test = ("tools", args.name) if args.scope == "user" else _CHECK_PROJECT
    status = each_place(
        found,
        lambda app, files: run(app, args.name, app.entry(args.name, argv), files, yes=args.yes),
    )
    if status == 0:
        say(f"To test the entry: {pasteable(*test)}")
    return status


def parser(name: str) -> Parser:
    parser = entry_parser(
        name,
        "Make an MCP host start this program: write an entry NAME with connection options into\n"
        "the configuration of APP. Shows the changes and asks; keeps the old file as a backup.",
        _EXAMPLES,
        words="APP NAME [HOST] [options] [-- REMOTE COMMAND ...]",
    )
    parser.add_argument("--print", action="store_true", help="print the entry and change nothing")
    options.add_all(parser)
    return parser


def _connection_options(given: Sequence[str], app: str, name: str) -> list[str]:
    """Return the typed words without APP, NAME and the flags of this command.

    The words have been parsed, so no value looks like an option.
    """
    rest = [
        token
        for before, token in zip(["", *given], given, strict=False)
        if token not in _FLAGS and token.partition("=")[0] != _SCOPE and before != _SCOPE
    ]
    if rest[:2] != [app, name]:
        raise UsageError(
            "APP and NAME must come first", "Put the options of the connection after them."
        )
    return rest[2:]


def run(app: App, name: str, entry: dict[str, Any], files: Sequence[Path], *, yes: bool) -> int:
    """Show the changes, ask unless `yes`, write; return 0 if all files have the entry, else 1.

    Raises UsageError without a terminal to ask on. Raises AppConfigError for a file that cannot be
    edited, after printing the entry.
    """
    path = (app.key, name)
    try:
        edits = [
            planned(
                file,
                lambda text: app.format.with_member(
                    text if text.strip() else app.beginning, path, entry
                ),
            )
            for file in files
        ]
        wanted = [edit for edit in edits if edit.changes]
        if not wanted:
            say(f"{name} is already up to date.")
            return 0
        if not applied(app, wanted, path, yes=yes):
            return 1
    except AppConfigError:
        say(f"The entry for {app.title}:\n{_printed(app, name, entry)}")
        raise
    say(app.next_step)
    return 0


def _printed(app: App, name: str, entry: dict[str, Any]) -> str:
    return app.format.rendered((app.key, name), entry).rstrip()
