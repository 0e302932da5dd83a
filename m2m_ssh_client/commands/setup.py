"""The `setup` command: from a machine that has an SSH server to an entry in an MCP host."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from m2m_ssh_client import logs, options
from m2m_ssh_client.commands import install, server_lists
from m2m_ssh_client.errors import SSHClientError, UsageError
from m2m_ssh_client.hosts.apps import APPS, App, Machine
from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.terminal.asking import (
    can_ask,
    chosen,
    confirmed,
    entered,
    passphrase_prompt,
    say,
)
from m2m_ssh_client.text import printable
from m2m_ssh_client.usage import Parser, command_parser

_OWN = ("--app", "--name")
_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")
# Programs that start a server, which is named after them.
_STARTERS = re.compile(r"uvx?|npx|node|run|exec|python[\d.]*|bash|sh|pipx|bunx?|deno")
_AFFIXES = ("mcp-server", "server", "mcp")

_EXAMPLES = (
    "lab -- uvx mcp-server-git --repository /srv/repo",
    "ada@lab.example --app claude-desktop --name lab-git -- uvx mcp-server-git",
    "lab --subsystem mcp",
)


def main(name: str, arguments: list[str]) -> int:
    """Go through the steps; return 0 if the entry is there, else 1. Raises an SSHClientError."""
    given, command = options.split_command(arguments)
    own_parser = parser(name)
    args = own_parser.understood(given)
    options.take_destination(own_parser, args)
    if args.host is None:
        raise UsageError("There is no machine to set up", "Name it: setup [USER@]HOST")
    if not can_ask():
        raise UsageError("`setup` asks, and there is no terminal", "Use trust, tools and install.")
    typed = _with_host(own_parser, _without_own(given), args.destination)
    if command is None and not (args.subsystem or args.use_key_server or args.key_server_url):
        command = _command()
    with logs.configured(args.log_level, args.log_file):
        params = options.parameters(args, command, passphrase_prompt())
        options.warn(args)
        if not params.use_key_server and not _log_in(params):
            return 1
    return _use(args.app, args.name or "", params, typed, command)


def parser(name: str) -> Parser:
    parser = command_parser(
        name,
        "Set up a remote MCP server: trust the machine's host key, bring your key there, list the\n"
        "server's tools, and write an entry into the configuration of an MCP host. Asks before\n"
        "each step, and can be repeated.",
        _EXAMPLES,
        words="[USER@]HOST [options] [-- REMOTE COMMAND ...]",
    )
    parser.add_argument("--app", choices=tuple(APPS), metavar="APP", help=", ".join(APPS))
    parser.add_argument("--name", metavar="NAME", help="name of the server in the host")
    options.add_all(parser)
    return parser


def _without_own(given: Sequence[str]) -> list[str]:
    """Return the typed words without the options of this command, which no other one has."""
    words: list[str] = []
    skip = False
    for word in given:
        if (
            not skip
            and not word.startswith(tuple(f"{name}=" for name in _OWN))
            and word not in _OWN
        ):
            words.append(word)
        skip = word in _OWN
    return words


def _with_host(parser: Parser, words: list[str], destination: str | None) -> list[str]:
    """Return the words with `--host` before the machine, which might be an entry's name, too."""
    for at, word in enumerate(words):
        others = words[:at] + words[at + 1 :]
        if word == destination and _has_no_destination(parser, others):
            return ["--host", word, *others]
    return words


def _has_no_destination(parser: Parser, words: list[str]) -> bool:
    try:
        return parser.understood(words).destination is None
    except UsageError:  # it was the value of an option
        return False


def _command() -> tuple[str, ...] | None:
    say("Which command starts the MCP server there? For example: uvx mcp-server-git")
    line = entered("Command (empty for m2m-mcp-server-ssh-server): ")
    return (line,) if line else None


def _log_in(params: Parameters) -> bool:
    from m2m_ssh_client.commands.first_login import log_in
    from m2m_ssh_client.ssh.destination import resolve

    destination = resolve(params)
    address, login = destination.settings.address, destination.settings.login
    say(f"\nLogging in to {printable(f'{login.user}@{address.host}')} port {address.port} …")
    if not log_in(destination, ssh_words(params)):
        say("Not logged in. Run the same command again to go on from here.")
        return False
    say("Logged in.")
    return True


def ssh_words(params: Parameters) -> list[str]:
    """Return the words that make `ssh` reach the machine as these parameters do."""
    words = ["-F", params.ssh_config] if params.ssh_config else []
    for option in params.ssh_options:
        words += ["-o", option]
    if params.known_hosts:
        words += ["-o", f"UserKnownHostsFile={params.known_hosts}"]
    words += ["-p", str(params.port)] if params.port else []
    return [*words, f"{params.username}@{params.host}" if params.username else params.host]


def _use(
    app_name: str | None,
    name: str,
    params: Parameters,
    typed: list[str],
    command: tuple[str, ...] | None,
) -> int:
    """Show what the server offers, and write the entry."""
    rest = [*typed, *(("--", *command) if command else ())]
    say("\nThe tools of the server:")
    try:
        server_lists.main("tools", rest)
    except SSHClientError as exc:
        say(f"{printable(exc.message)}\n→ {printable(exc.hint)}")
        if not confirmed("\nWrite the entry all the same"):
            return 1
    app = APPS[app_name] if app_name else _app()
    if app is None:
        return 1
    suggested = _name(params)
    name = name or entered(f"Name of the server in {app.title} [{suggested}]: ") or suggested
    say("")
    return install.main("install", [app.name, name, *rest])


def _app() -> App | None:
    """Ask for one of the applications; those that are found here come first."""
    machine = Machine.this()
    found = [app for app in APPS.values() if app.is_here(machine)]
    apps = [*found, *(app for app in APPS.values() if app not in found)]
    say("\nWhich application is to use the server?")
    titles = [app.title + (" (found here)" if app in found else "") for app in apps]
    number = chosen("Number (empty for none): ", titles)
    return None if number is None else apps[number]


def _name(params: Parameters) -> str:
    """Return a name made of the machine and the server: lab-git."""
    line = params.command[0].split() if len(params.command) == 1 else list(params.command)
    words = [PurePath(word).stem for word in line if not word.startswith("-")]
    words = [word for word in words if not _STARTERS.fullmatch(word)]
    server = words[0] if words else params.subsystem or "mcp"
    for affix in _AFFIXES:
        server = server.removeprefix(f"{affix}-").removesuffix(f"-{affix}")
    host = params.host if params.host[-1:].isdigit() else params.host.partition(".")[0]
    return _UNFIT.sub("-", f"{host}-{server}").strip("-")[:64] or "remote"
