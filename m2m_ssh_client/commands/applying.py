"""Edits of configuration files shown, agreed on and made: what `install` and `uninstall` have in common."""

from __future__ import annotations

from collections.abc import Sequence

from m2m_ssh_client.commands.asking import can_ask, confirmed, say, say_diff
from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.hosts.difference import difference
from m2m_ssh_client.hosts.editing import Edit
from m2m_ssh_client.text import printable


def applied(edits: Sequence[Edit], path: Sequence[str], *, yes: bool) -> bool:
    """Show what changes at `path` in each file, ask unless `yes`, write; False if the answer was no.

    Raises UsageError where nobody can be asked, and AppConfigError where a file cannot be written.
    """
    for edit in edits:
        say_diff(difference(edit, path))
    if not yes and not can_ask():
        raise UsageError("Nothing was changed: there is no terminal to ask on", "Add --yes.")
    if not yes and not confirmed("\nWrite this"):
        say("Nothing was changed.")
        return False
    for edit in edits:
        backup = edit.write()
        kept = f"; what it was is in {printable(backup.name)}" if backup else ""
        say(f"{printable(str(edit.file))} is written{kept}.")
    return True
