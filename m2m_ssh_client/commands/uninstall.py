"""The `uninstall` command: remove an entry made by `install`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from m2m_ssh_client.commands.applying import (
    applied,
    each_place,
    entry_parser,
    places,
    with_all_as_app,
)
from m2m_ssh_client.errors import AppConfigError
from m2m_ssh_client.hosts.apps import App, Machine
from m2m_ssh_client.hosts.editing import Edit, planned
from m2m_ssh_client.hosts.entries import argv_of, is_ours
from m2m_ssh_client.hosts.installed import servers
from m2m_ssh_client.hosts.nodes import find
from m2m_ssh_client.text import printable
from m2m_ssh_client.usage import Parser

_EXAMPLES = (
    "claude-desktop lab-git",
    "cursor lab --yes",
    "vscode lab </dev/null  (shows what would be removed)",
)


def main(name: str, arguments: list[str]) -> int:
    """Remove the entry; return the exit status. Raises an SSHClientError."""
    args = parser(name).understood(with_all_as_app(arguments))
    found = places(args.app, args.scope, Machine.this())
    if len(found) > 1:
        found = [place for place in found if _has(*place, args.name)] or found[:1]
    return each_place(found, lambda app, files: run(app, args.name, files, yes=args.yes))


def parser(name: str) -> Parser:
    return entry_parser(
        name,
        "Remove the entry NAME for this program from the configuration of APP. Shows the changes\n"
        "and asks; keeps the old file as a backup.",
        _EXAMPLES,
    )


def _has(app: App, files: Sequence[Path], name: str) -> bool:
    """Return True if a file has the entry, or cannot be read: then `run` says why."""
    try:
        return any(each.is_ours for file in files for each in servers(app, file, name))
    except AppConfigError:
        return True


def run(app: App, name: str, files: Sequence[Path], *, yes: bool) -> int:
    """Show the changes, ask unless `yes`, write; return 0 if no file has the entry, else 1.

    Raises UsageError without a terminal to ask on, and AppConfigError if there is no such entry
    for this program, or a file cannot be edited.
    """
    path = (app.key, name)
    edits = [planned(file, lambda text: app.format.without_member(text, path)) for file in files]
    wanted = [edit for edit in edits if edit.changes]
    if not wanted:
        places = " or ".join(printable(str(file)) for file in files)
        raise AppConfigError(
            f"There is no server {printable(name)!r} in {places}", "`list --all` shows all servers."
        )
    for edit in wanted:
        _check_ours(app, edit, path)
    return 0 if applied(app, wanted, path, yes=yes) else 1


def _check_ours(app: App, edit: Edit, path: Sequence[str]) -> None:
    entry = find(app.format.parse(edit.before), path)
    if entry and not is_ours(argv_of(entry.value)):
        raise AppConfigError(
            f"{printable(path[-1])!r} in {printable(str(edit.file))} "
            "is not an entry for this program",
            "Nothing was changed; remove it by hand.",
        )
