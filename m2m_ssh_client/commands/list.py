"""The `list` command: show the entries for this program in the configuration of MCP hosts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from m2m_ssh_client.commands.asking import say
from m2m_ssh_client.errors import AppConfigError
from m2m_ssh_client.hosts.apps import APPS, App, Machine
from m2m_ssh_client.hosts.editing import read
from m2m_ssh_client.hosts.entries import argv_of, is_ours
from m2m_ssh_client.hosts.jsonc import JSONCError, find, parse
from m2m_ssh_client.masking import masked_argv
from m2m_ssh_client.text import printable, quoted_line
from m2m_ssh_client.usage import Parser, command_parser


class Server(NamedTuple):
    """An entry; secrets in `command` are hidden."""

    app: str
    name: str
    command: list[str]
    file: str


def main(name: str, arguments: list[str]) -> int:
    """Return 1 if a file could not be read, which stderr reports, else 0."""
    args = parser(name).understood(arguments)
    return run(Machine.this(), every=args.all, as_json=args.json)


def parser(name: str) -> Parser:
    parser = command_parser(
        name,
        "List the entries for this program in the configuration of MCP hosts.",
        ("", "--all", "--json"),
    )
    parser.add_argument("--all", action="store_true", help="list the entries of all servers")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def run(machine: Machine, *, every: bool, as_json: bool) -> int:
    found: list[Server] = []
    status = 0
    for app in APPS.values():
        for file in app.files(machine):
            try:
                found += _servers(app, file, every)
            except AppConfigError as exc:
                sys.stderr.write(f"{app.name}: {exc}\n")
                status = 1
    if as_json:
        say(json.dumps([server._asdict() for server in found], indent=2))
        return status
    for server in found:
        say(f"{server.app}  {printable(server.name)}")
        say(f"  {printable(quoted_line(server.command))}")
        say(f"  {printable(server.file)}")
    if not found and not status:
        say("No host has an entry for this program." if not every else "No host has a server.")
    return status


def _servers(app: App, file: Path, every: bool) -> Iterator[Server]:
    """Yield the servers in a file. Raises AppConfigError."""
    _, text = read(file)
    try:
        servers = find(parse(text, comments=app.comments), [app.key])
    except JSONCError as exc:
        raise AppConfigError(f"{printable(str(file))}: {printable(str(exc))}") from exc
    for each in servers.members if servers else ():
        argv = argv_of(each.node.value)
        ours = is_ours(argv)
        if every or ours:
            yield Server(app.name, each.key, masked_argv(argv, ours=ours), str(file))
