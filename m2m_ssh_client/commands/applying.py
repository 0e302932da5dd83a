"""Common parts of `install` and `uninstall`: arguments; showing, confirming and making edits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from m2m_ssh_client.errors import AppConfigError, UsageError
from m2m_ssh_client.hosts.apps import APPS, App, Machine
from m2m_ssh_client.hosts.difference import difference
from m2m_ssh_client.hosts.editing import Edit
from m2m_ssh_client.terminal.asking import can_ask, confirmed, say, say_diff
from m2m_ssh_client.text import encodable, printable
from m2m_ssh_client.usage import Parser, command_parser

_ALL = "all"


def entry_parser(
    name: str, description: str, examples: Sequence[str], words: str | None = None
) -> Parser:
    """Return the parser of a command about an entry: `app`, `name`, `scope`, `yes`."""
    parser = command_parser(name, description, examples, words=words)
    parser.add_argument(
        "app",
        choices=(*APPS, _ALL),
        metavar="APP",
        help=f"{', '.join(APPS)}; all (or --all): those that are found here",
    )
    parser.add_argument("name", metavar="NAME", help="name of the server in the host")
    add_scope(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    return parser


def add_scope(parser: Parser) -> None:
    parser.add_argument(
        "--scope",
        choices=("user", "project"),
        default="user",
        help="the files of this user, or those of the project in the current folder "
        "(default: user)",
    )


def with_all_as_app(arguments: Sequence[str]) -> list[str]:
    """Return the words with `--all`, if it is the first, as the APP that it stands for."""
    is_all = arguments[:1] == [f"--{_ALL}"]
    return [_ALL, *arguments[1:]] if is_all else list(arguments)


def places(app: str, scope: str, machine: Machine) -> list[tuple[App, Sequence[Path]]]:
    """Return the application of that name, or all that are found here, with their files.

    Raises UsageError if there are none.
    """
    apps = [each for each in APPS.values() if each.is_here(machine)] if app == _ALL else [APPS[app]]
    if not apps:
        raise UsageError("No application was found here", f"Name it: {', '.join(APPS)}.")
    if scope == "user":
        return [(each, each.files(machine)) for each in apps]
    found = [(each, files) for each in apps if (files := each.project_files(Path.cwd()))]
    if not found:
        titles = ", ".join(each.title for each in apps)
        raise UsageError(f"{titles}: no servers of a project", "Leave --scope out.")
    return found


def each_place(
    places: Sequence[tuple[App, Sequence[Path]]], act: Callable[[App, Sequence[Path]], int]
) -> int:
    """Act on each place; return 0 if all went well, else 1.

    A file that cannot be edited does not keep the others from it. Raises AppConfigError if it is
    the only one.
    """
    status = 0
    for app, files in places:
        if len(places) == 1:
            return act(app, files)
        say(f"\n{app.title}")
        try:
            status |= act(app, files)
        except AppConfigError as exc:
            sys.stderr.write(encodable(f"{exc}\n", sys.stderr.encoding))
            status = 1
    return status


def applied(app: App, edits: Sequence[Edit], path: Sequence[str], *, yes: bool) -> bool:
    """Show the changes at `path` in each file, ask unless `yes`, and write them.

    Return False if the answer was no. Raises UsageError without a terminal to ask on, and
    AppConfigError for a file that cannot be written.
    """
    for edit in edits:
        say_diff(difference(edit, path, app.format.parse))
    if not yes and not can_ask():
        raise UsageError("Nothing was changed: there is no terminal to ask on", "Add --yes.")
    if not yes and not confirmed("\nWrite this"):
        say("Nothing was changed.")
        return False
    for edit in edits:
        backup = edit.write()
        kept = f" (backup: {printable(backup.name)})" if backup else ""
        say(f"Wrote {printable(str(edit.file))}{kept}.")
    return True
