"""The `doctor` command: walk the way that a connection takes, and say what is found at each step."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path

from m2m_ssh_client import logs, options
from m2m_ssh_client.usage import command_parser

_EXAMPLES = (
    "--host lab -- uvx mcp-server-git --repository /srv/repo",
    "--host ada@lab.example --port 22",
    "--json --host lab.example --use-key-server",
)


def main(name: str, arguments: list[str]) -> int:
    """0 if no step failed, else 1. Raises an SSHClientError."""
    given, command = options.split_command(arguments)
    args = options.parsed(parser(name), given)
    # It changes nothing: there is a log file only where one is asked for.
    with logs.configured(args.log_level, args.log_file or Path(logs.NO_FILE)):
        params = options.parameters(args, command)
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


def parser(name: str) -> argparse.ArgumentParser:
    parser = command_parser(
        name,
        "Walk the way that a connection takes, and tell for each step what is found and, where\n"
        "it fails, what to do. Takes the options and the remote command with which you connect.\n"
        "Changes nothing: no host key is added, no key of yours is made or registered.",
        _EXAMPLES,
        words="[options] [-- REMOTE COMMAND ...]",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of lines")
    # All of them: those that are of no use here are a part of what is pasted from a host's configuration.
    options.add_all(parser)
    return parser
