"""The servers in the configuration of MCP hosts on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from m2m_ssh_client.errors import AppConfigError
from m2m_ssh_client.hosts.apps import APPS, App, Machine
from m2m_ssh_client.hosts.editing import read
from m2m_ssh_client.hosts.entries import argv_of
from m2m_ssh_client.hosts.jsonc import JSONCError, find, parse
from m2m_ssh_client.text import printable


class Entry(NamedTuple):
    """A server: the application, its name there, the command line, the file."""

    app: App
    name: str
    argv: list[str]
    file: Path


def installed(
    machine: Machine, failed: Callable[[App, AppConfigError], None] = lambda _app, _exc: None
) -> Iterator[Entry]:
    """Yield the servers of all applications; `failed` is called for each unreadable file."""
    for app in APPS.values():
        for file in app.files(machine):
            try:
                yield from _servers(app, file)
            except AppConfigError as exc:
                failed(app, exc)


def _servers(app: App, file: Path) -> list[Entry]:
    """Return the servers in a file. Raises AppConfigError."""
    _, text = read(file)
    try:
        servers = find(parse(text, comments=app.comments), [app.key])
    except JSONCError as exc:
        raise AppConfigError(f"{printable(str(file))}: {printable(str(exc))}") from exc
    members = servers.members if servers else ()
    return [Entry(app, each.key, argv_of(each.node.value), file) for each in members]
