"""The `kept` command: show the remote servers that live on without us (`--keep`), or end them."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from m2m_ssh_client import logs, options
from m2m_ssh_client.hosts import named
from m2m_ssh_client.terminal.asking import passphrase_prompt, say
from m2m_ssh_client.usage import Parser, command_parser

if TYPE_CHECKING:
    from m2m_ssh_client.keeping.kept_list import Kept

_EXAMPLES = ("lab", "lab --end", "--host ada@lab.example --end 4711", "lab-git --json")
_ALL = 0


def main(name: str, arguments: list[str]) -> int:
    """Return 0, or 1 if there was nothing to end. Raises an SSHClientError."""
    args, command = named.understood(parser(name), arguments)
    args.keep = None  # of an entry
    with logs.configured(args.log_level, args.log_file):
        # A machine is meant, never m2m-mcp-server-ssh-server, whose port would be the default.
        params = options.parameters(args, command or ("true",), passphrase_prompt())
        from m2m_ssh_client.keeping import kept_list
        from m2m_ssh_client.ssh.opener import Opener

        with closing(Opener(params)) as remote:
            found = (
                kept_list.servers(remote) if args.end is None else kept_list.end(remote, args.end)
            )
    if args.json:
        sys.stdout.write(json.dumps([each._asdict() for each in found], indent=2) + "\n")
    elif found:
        _show(found, ended=args.end is not None)
    else:
        say("No server is kept there.")
    return 0 if found or args.end is None else 1


def parser(name: str) -> Parser:
    parser = command_parser(
        name,
        "List the servers that are kept on a machine for your user there (--keep), and how long\n"
        "they would be kept without a client. With --end, end them.",
        _EXAMPLES,
        words="[HOST] [options]",
    )
    options.add_machine(parser.add_argument_group("the remote machine"))
    options.add_login(parser.add_argument_group("login"))
    options.add_trust(parser.add_argument_group("trust"))
    other = parser.add_argument_group("other")
    other.add_argument(
        "--end",
        nargs="?",
        type=int,
        const=_ALL,
        metavar="PID",
        help="end the server of the keeper with this process id, or all of them",
    )
    other.add_argument("--json", action="store_true", help="print one JSON document")
    options.add_logging(other)
    return parser


def _show(found: list[Kept], *, ended: bool) -> None:
    if ended:
        say("Ended:")
    say("PID      STATE     AGE      KEPT FOR  PROGRAM")
    for each in found:
        say(
            f"{each.pid:<8} {each.state:<9} {_time(each.age):<8} {_time(each.left):<9} {each.program}"
        )


def _time(seconds: int) -> str:
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {seconds % 60}s"
