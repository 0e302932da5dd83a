"""The `list` command: show the entries for this program in the configuration of MCP hosts."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from m2m_ssh_client._version import __version__
from m2m_ssh_client.commands.applying import add_scope
from m2m_ssh_client.errors import AppConfigError
from m2m_ssh_client.hosts.apps import App, Machine
from m2m_ssh_client.hosts.installed import Server, installed
from m2m_ssh_client.masking import masked_argv
from m2m_ssh_client.terminal.asking import say
from m2m_ssh_client.text import can_show, printable, quoted_line, shortened
from m2m_ssh_client.usage import Parser, command_parser, pasteable

_AT_ONCE = 4  # connections; a machine refuses too many that are not logged in (MaxStartups)
_PATIENCE = 40.0  # seconds for the answer of an entry, whose own limit is 25 by default
_PROTOCOL = "2025-11-25"


class Finding(NamedTuple):
    """An entry with why it does not work, and which server answered through it."""

    server: Server
    problem: str | None = None
    answer: str | None = None

    def document(self, *, checked: bool) -> dict[str, object]:
        """Return it for programs, without secrets."""
        server = self.server
        return {
            "app": server.app.name,
            "name": server.name,
            "command": masked_argv(server.argv, ours=server.is_ours),
            "file": str(server.file),
            "problem": self.problem,
            **({"server": self.answer} if checked else {}),
        }

    def show(self) -> None:
        server = self.server
        say(f"{server.app.name}  {printable(server.name)}")
        say(f"  {printable(quoted_line(masked_argv(server.argv, ours=server.is_ours)))}")
        say(f"  {printable(str(server.file))}")
        good, bad = "✓✗" if can_show("✓✗", sys.stdout.encoding) else "+x"
        if self.problem is not None:
            say(f"  {bad} {printable(self.problem)}")
        elif self.answer is not None:
            say(f"  {good} {self.answer} answers")


def main(name: str, arguments: list[str]) -> int:
    """Return 1 if an entry is broken, or a file cannot be read, which stderr reports; else 0."""
    return run(Machine.this(), parser(name).understood(arguments))


def parser(name: str) -> Parser:
    parser = command_parser(
        name,
        "List the entries for this program in the configuration of MCP hosts, and say what is\n"
        "broken: a program or a file that is missing, options that are invalid.",
        ("", "--check", "--all --json"),
    )
    parser.add_argument("--all", action="store_true", help="list the entries of all servers")
    add_scope(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        help="start the entries for this program as their hosts do, and wait for an answer",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def run(machine: Machine, args: argparse.Namespace) -> int:
    status = 0

    def failed(app: App, exc: AppConfigError) -> None:
        nonlocal status
        status = 1
        sys.stderr.write(f"{app.name}: {exc}\n")

    project = Path.cwd() if args.scope == "project" else None
    found = [
        each for each in installed(machine, failed, project=project) if args.all or each.is_ours
    ]
    findings = []
    for finding in _examined(found, check=args.check):
        findings.append(finding)
        if not args.json:
            finding.show()
    if args.json:
        say(json.dumps([each.document(checked=args.check) for each in findings], indent=2))
    elif broken := [each.server.name for each in findings if each.problem]:
        say(f"\nTo find out more: {printable(pasteable('doctor', broken[0]))}")
    elif not findings and not status:
        say("No host has an entry for this program." if not args.all else "No host has a server.")
    return 1 if any(each.problem for each in findings) else status


def _examined(found: list[Server], *, check: bool) -> Iterator[Finding]:
    # In one thread, because argparse's intermixed parsing changes the parser while it runs.
    findings = [Finding(each, (each.is_ours and each.problem()) or None) for each in found]
    if not check:
        yield from findings
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(_checked, findings)


def _checked(finding: Finding) -> Finding:
    server = finding.server
    if finding.problem or not server.is_ours:
        return finding
    from m2m_ssh_client.demo.host import Host, StepFailedError

    client = {"name": "list", "version": __version__}
    params = {"protocolVersion": _PROTOCOL, "capabilities": {}, "clientInfo": client}
    try:
        with Host(server.argv, os.environ | server.env, patience=_PATIENCE) as host:
            info = host.request("initialize", params).get("serverInfo")
    except (StepFailedError, OSError) as exc:
        return Finding(server, str(exc).removeprefix("initialize: "))
    known = info if isinstance(info, dict) else {}
    words = [str(known[name]) for name in ("name", "version") if known.get(name)]
    return Finding(server, answer=shortened(printable(" ".join(words) or "The server")))
