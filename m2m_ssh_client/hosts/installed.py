"""The servers in the configuration of hosts, and the options in the entries for this program."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from m2m_ssh_client import options
from m2m_ssh_client._version import PROGRAM
from m2m_ssh_client.errors import AppConfigError, UsageError
from m2m_ssh_client.hosts.apps import APPS, App, Machine
from m2m_ssh_client.hosts.editing import read
from m2m_ssh_client.hosts.entries import arguments_of, argv_of, env_of, is_ours
from m2m_ssh_client.hosts.nodes import FormatError, find
from m2m_ssh_client.text import printable
from m2m_ssh_client.usage import Parser

Options = tuple[argparse.Namespace, "tuple[str, ...] | None"]
"""The options of a connection, and the remote command."""


class Server(NamedTuple):
    """An entry: `argv` starts the server, with the variables `env`. Both may hold secrets."""

    app: App
    name: str
    argv: list[str]
    env: dict[str, str]
    file: Path

    @property
    def is_ours(self) -> bool:
        return is_ours(self.argv)

    @property
    def arguments(self) -> list[str] | None:
        """The arguments that this program gets; None in an entry for another one."""
        return arguments_of(self.argv)

    def connection(self) -> Options:
        """Return the options in an entry for this program. Raises UsageError for invalid ones."""
        try:
            args, command = options.understood(_parser(), self.arguments or [])
            options.parameters(args, command)
        except UsageError as exc:
            raise UsageError(f"The entry {printable(self.name)!r}: {exc.message}") from None
        return args, command

    def problem(self) -> str:
        """Return why an entry for this program cannot work, as far as this machine shows; or ""."""
        program = self.argv[0]
        if Path(program).is_absolute() and not os.path.exists(program):  # noqa: PTH110 - no errors
            return f"the program is missing: {program}"
        try:
            args, _ = self.connection()
        except UsageError as exc:
            return exc.message
        missing = [file for file in _files(args) if not os.path.exists(file)]  # noqa: PTH110
        return f"a file is missing: {missing[0]}" if missing else ""


def installed(
    machine: Machine,
    failed: Callable[[App, AppConfigError], None] = lambda _app, _exc: None,
    name: str | None = None,
    project: Path | None = None,
) -> Iterator[Server]:
    """Yield the servers of all applications, or those of that name.

    They are those of the user, or of the project in that folder. `failed` is called for each file
    that cannot be read.
    """
    read_before: set[Path] = set()  # two applications may share the file of a project
    for app in APPS.values():
        files = app.files(machine) if project is None else app.project_files(project)
        for file in set(files) - read_before if project else files:
            read_before.add(file)
            try:
                yield from servers(app, file, name)
            except AppConfigError as exc:
                failed(app, exc)


def servers(app: App, file: Path, name: str | None = None) -> Iterator[Server]:
    """Yield the servers in a file, or the one of that name. Raises AppConfigError.

    A file without the name is not parsed: some applications keep megabytes in it.
    """
    _, text = read(file)
    quote = app.format.quote
    if name is not None and all(
        f"{quote}{each}{quote}" not in text for each in (name, json.dumps(name)[1:-1])
    ):
        return
    try:
        found = find(app.format.parse(text), [app.key])
    except FormatError as exc:
        raise AppConfigError(f"{printable(str(file))}: {printable(str(exc))}") from exc
    for each in found.members if found else ():
        if name in (None, each.key):
            value = each.node.value
            yield Server(app, each.key, argv_of(value), env_of(value), file)


@cache
def _parser() -> Parser:
    parser = Parser(prog=PROGRAM, allow_abbrev=False)
    options.add_all(parser)
    return parser


def _files(args: argparse.Namespace) -> list[Path]:
    """Return the files that the options name and that must exist."""
    named = [args.passphrase_file, args.known_hosts]
    if not args.use_key_server and args.key_server_url is None:  # else the key is created
        named.append(args.client_key)
    if args.ssh_config is not None and args.ssh_config.lower() != "none":
        named.append(Path(args.ssh_config))
    # The folder in which a host starts its servers is not known here.
    return [path for each in named if each and (path := each.expanduser()).is_absolute()]
