"""Installed entries by the tags of their command lines, under which relays report and log."""

from __future__ import annotations

from m2m_ssh_client.entry_tag import tag
from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.hosts.apps import Machine
from m2m_ssh_client.hosts.installed import installed
from m2m_ssh_client.text import printable
from m2m_ssh_client.usage import nearest, pasteable


def arguments_by_name(machine: Machine) -> dict[str, list[list[str]]]:
    """Return the arguments of each entry for this program; hosts may use a name twice."""
    found: dict[str, list[list[str]]] = {}
    for entry in installed(machine):
        if entry.arguments is not None:
            found.setdefault(entry.name, []).append(entry.arguments)
    return found


def names_by_tag(machine: Machine) -> dict[str, list[str]]:
    """Return the names of the entries that have each tag."""
    found: dict[str, list[str]] = {}
    for name, entries in arguments_by_name(machine).items():
        for each in {tag(arguments) for arguments in entries} - {""}:
            found.setdefault(each, []).append(name)
    return found


def arguments_of_entry(machine: Machine, name: str) -> list[list[str]]:
    """Return the arguments of the entries with this name. Raises UsageError if there is none."""
    entries = arguments_by_name(machine)
    if name in entries:
        return entries[name]
    near = nearest(name, entries)
    raise UsageError(
        f"no entry for this program is called {printable(name)!r}",
        f"Is it {printable(near)!r}?" if near else f"`{pasteable('list')}` shows the entries.",
    )
