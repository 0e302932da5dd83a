"""The `status` command: show the relays of this user that are running, and what they are doing."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Any

from m2m_ssh_client.commands.entry_names import names_by_tag
from m2m_ssh_client.errors import SSHClientError, UsageError, reason
from m2m_ssh_client.hosts.apps import Machine
from m2m_ssh_client.status import report_file
from m2m_ssh_client.status.report import Report, decoded
from m2m_ssh_client.usage import Parser, command_parser

_PERIOD = 1.0  # seconds


def main(name: str, arguments: list[str]) -> int:
    """Return 0. Raises an SSHClientError."""
    args = parser(name).understood(arguments)
    if args.watch and (args.json or not sys.stdout.isatty()):
        raise UsageError("--watch needs a terminal", "Call `status --json` repeatedly instead.")
    machine = Machine.this()
    from m2m_ssh_client.terminal import output, running

    if args.watch:
        with suppress(KeyboardInterrupt), running.live(lambda: _found(machine)) as refresh:
            while True:
                time.sleep(_PERIOD)
                refresh()
    elif args.json:
        output.write_json([_document(*each) for each in _found(machine)])
    else:
        running.write(_found(machine))
    return 0


def parser(name: str) -> Parser:
    parser = command_parser(
        name,
        "Show the relays of this user that are running. Each has its application, destination and\n"
        "state, losses and reconnects, requests in flight, round-trip times and last error.",
        ("", "--watch", "--json"),
    )
    parser.add_argument(
        "--watch", action="store_true", help="show them again each second, until Ctrl-C"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _found(machine: Machine) -> list[tuple[list[str], Report]]:
    """Return the reports, each with the names of the entries that it may be of."""
    try:
        reports = [report for each in report_file.contents() if (report := decoded(each))]
    except (OSError, RuntimeError) as exc:
        raise SSHClientError(f"The reports of relays cannot be read: {reason(exc)}") from exc
    names = names_by_tag(machine) if reports else {}
    reports.sort(key=lambda report: report.started)
    return [(names.get(report.tag, []), report) for report in reports]


def _document(names: list[str], report: Report) -> dict[str, Any]:
    import msgspec

    document: dict[str, Any] = msgspec.to_builtins(report)
    return {"entries": names, **document}
