"""The `doctor` command: check a connection step by step and report what each step finds."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from m2m_ssh_client import logs, options
from m2m_ssh_client.hosts import named
from m2m_ssh_client.terminal.asking import passphrase_prompt
from m2m_ssh_client.usage import Parser, command_parser

_EXAMPLES = (
    "--host lab -- uvx mcp-server-git --repository /srv/repo",
    "lab-git",
    "--json --host lab.example --use-key-server",
)


def main(name: str, arguments: list[str]) -> int:
    """Return 0 if no step failed, else 1. Raises an SSHClientError."""
    args, command = named.understood(parser(name), arguments)
    # doctor changes nothing, so it only writes a log file that was named.
    with logs.configured(args.log_level, args.log_file or Path(logs.NO_FILE)):
        params = options.parameters(args, command, passphrase_prompt())
        options.warn(args)
        from m2m_ssh_client.doctor.showing import Page, document
        from m2m_ssh_client.doctor.steps import Status
        from m2m_ssh_client.doctor.walk import examine

        page = None if args.json else Page()
        steps = []
        with closing(examine(params)) as examination:
            for step in examination:
                steps.append(step)
                if page is not None:
                    page.show(step)
        if page is None:
            sys.stdout.write(document(steps) + "\n")
        return 1 if any(step.status is Status.FAILED for step in steps) else 0


def parser(name: str) -> Parser:
    parser = command_parser(
        name,
        "Check a connection step by step: report what each step finds and, if it fails, what to\n"
        "do. Takes the same options and remote command as a connection, or the name of an entry\n"
        "that `install` has made. Changes nothing: adds no host key, creates and registers no\n"
        "client key.",
        _EXAMPLES,
        words="[HOST] [options] [-- REMOTE COMMAND ...]",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    # Even those without use here: users paste the options from their host's configuration.
    options.add_all(parser)
    return parser
