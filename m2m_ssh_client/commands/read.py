"""The `read` command: read a resource from a remote server."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from m2m_ssh_client.terminal.command import parser_for, understood

if TYPE_CHECKING:
    from m2m_ssh_client.proxy.frames.frame import JSONText
    from m2m_ssh_client.terminal.client import Session
    from m2m_ssh_client.terminal.limit import Limit
    from m2m_ssh_client.terminal.reports import Reports
    from m2m_ssh_client.usage import Parser

_EXAMPLES = (
    "file:///srv/notes.txt --host lab --subsystem mcp",
    "file:///srv/plan.png --save-to pictures --host lab --subsystem mcp",
    "demo://welcome --json --host lab.example --use-key-server",
)


def main(name: str, arguments: list[str]) -> int:
    """Read the resource and show it; return 0. Raises an SSHClientError."""
    command = understood(parser(name), arguments)
    uri = command.args.uri

    async def use(session: Session, reports: Reports) -> JSONText:
        return await session.request("resources/read", {"uri": uri}, reports.on_progress)

    def show(result: JSONText, limit: Limit) -> int:
        from m2m_ssh_client.terminal import output
        from m2m_ssh_client.terminal.content import Shown

        if command.wants_json:
            output.write_json_text(result, limit)
        else:
            Shown(uri, command.args.save_to, sys.stdout, limit).resource(result)
        return 0

    return command.run(uri, use, show)


def parser(name: str) -> Parser:
    parser = parser_for(
        name,
        "URI ",
        "Read a resource from a remote MCP server: print text, save anything else.",
        _EXAMPLES,
        saves=True,
    )
    parser.add_argument("uri", metavar="URI", help="URI of the resource, from `resources`")
    return parser
