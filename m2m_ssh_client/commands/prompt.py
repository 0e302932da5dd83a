"""The `prompt` command: get a prompt from a remote server, filled in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from m2m_ssh_client.terminal import arguments as given
from m2m_ssh_client.terminal.command import parser_for, understood

if TYPE_CHECKING:
    from m2m_ssh_client.proxy.frames.frame import JSONText
    from m2m_ssh_client.terminal.client import Session
    from m2m_ssh_client.terminal.limit import Limit
    from m2m_ssh_client.terminal.reports import Reports
    from m2m_ssh_client.usage import Parser

_EXAMPLES = (
    "greet name=Ada --host lab.example --use-key-server",
    "review code=@main.py --host lab --subsystem mcp",
    "greet name=Ada --json --host lab --subsystem mcp",
)


def main(name: str, arguments: list[str]) -> int:
    """Get the prompt and show it; return 0. Raises an SSHClientError."""
    command = understood(parser(name), arguments)
    args = command.args
    filled = given.values(given.read_words(args.words), given.TEXT_ONLY)

    async def use(session: Session, reports: Reports) -> JSONText:
        params = {"name": args.name, "arguments": filled}
        return await session.request("prompts/get", params, reports.on_progress)

    def show(result: JSONText, limit: Limit) -> int:
        from m2m_ssh_client.terminal import output
        from m2m_ssh_client.terminal.content import Shown

        if command.wants_json:
            output.write_json_text(result, limit)
        else:
            Shown(args.name, args.save_to, sys.stdout, limit).prompt(result)
        return 0

    return command.run(args.name, use, show)


def parser(name: str) -> Parser:
    parser = parser_for(
        name,
        "NAME [key=value ...] ",
        "Get a prompt from a remote MCP server, filled in. Its arguments are text: key=value, or\n"
        "key=@file to read the text from a file.",
        _EXAMPLES,
        saves=True,
    )
    parser.add_argument("name", metavar="NAME", help="name of the prompt, from `prompts`")
    parser.add_argument("words", metavar="key=value", nargs="*", help="an argument of the prompt")
    return parser
