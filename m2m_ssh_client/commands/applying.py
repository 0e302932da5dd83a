"""Common parts of `install` and `uninstall`: arguments; showing, confirming and making edits."""

from __future__ import annotations

from collections.abc import Sequence

from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.hosts.apps import APPS, App
from m2m_ssh_client.hosts.difference import difference
from m2m_ssh_client.hosts.editing import Edit
from m2m_ssh_client.terminal.asking import can_ask, confirmed, say, say_diff
from m2m_ssh_client.text import printable
from m2m_ssh_client.usage import Parser, command_parser


def entry_parser(
    name: str, description: str, examples: Sequence[str], words: str | None = None
) -> Parser:
    """Return the parser of a command about an entry: `app`, `name`, `yes`."""
    parser = command_parser(name, description, examples, words=words)
    parser.add_argument("app", choices=tuple(APPS), metavar="APP", help=", ".join(APPS))
    parser.add_argument("name", metavar="NAME", help="name of the server in the host")
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    return parser


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
