"""The `call` command: call a tool of a remote server."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from m2m_ssh_client.errors import SSHClientError, UsageError
from m2m_ssh_client.terminal import arguments as given
from m2m_ssh_client.terminal.command import parser_for, understood
from m2m_ssh_client.text import printable, shortened

if TYPE_CHECKING:
    import argparse

    from m2m_ssh_client.terminal.client import Session
    from m2m_ssh_client.terminal.reports import Reports

_DESCRIPTION = """\
Call a tool of a remote MCP server. Its arguments:

  key=value      the value is what the tool's schema wants: text, a number,
                 true or false, JSON for lists and objects
  key=@file      the value is read from a file (@-: from stdin)
  key:=JSON      the value is JSON, whatever the schema says
  --json OBJECT  all arguments at once: '{"key": "value"}', @file, or - for stdin

Text is shown, images and other files are saved. What the server asks before it
answers is asked on the terminal, or declined where there is none. A tool that fails
ends this with status 1 and its text on stderr."""

_EXAMPLES = (
    "git_log repo_path=/srv/repo max_count=3 --host lab -- uvx mcp-server-git",
    "git_commit repo_path=/srv/repo message=@note.txt --host lab -- uvx mcp-server-git",
    'git_log --json \'{"repo_path": "/srv/repo"}\' --raw --host lab --subsystem git',
)


def main(name: str, arguments: list[str]) -> int:
    """Raises an SSHClientError."""
    command = understood(parser(name), arguments)
    args = command.args
    if args.json is not None and args.words:
        raise UsageError("--json gives all arguments: there is no room for key=value beside it")
    at_once = None if args.json is None else given.read_object(args.json)
    words = given.read_words(args.words)

    async def use(session: Session, reports: Reports) -> dict[str, Any]:
        schema = await _schema(session, args.name) if any(w.text is not None for w in words) else {}
        values = given.values(words, schema) if at_once is None else at_once
        params = {"name": args.name, "arguments": values}
        return await session.request("tools/call", params, reports.on_progress)

    def show(result: dict[str, Any]) -> int:
        from m2m_ssh_client.terminal import output
        from m2m_ssh_client.terminal.content import Shown

        failed = result.get("isError") is True
        if command.wants_json:
            output.write_json(result)
        else:
            stream = sys.stderr if failed else sys.stdout
            Shown(args.name, args.save_to, stream).tool_result(result)
        return 1 if failed else 0

    return command.run(args.name, use, show)


def parser(name: str) -> argparse.ArgumentParser:
    # `--json` is the arguments' here.
    parser = parser_for(
        name,
        "NAME [key=value ... | --json '{...}'] ",
        _DESCRIPTION,
        _EXAMPLES,
        short="--raw",
        saves=True,
    )
    parser.add_argument("name", metavar="NAME", help="as `tools` lists it")
    parser.add_argument("words", metavar="key=value", nargs="*", help="an argument")
    parser.add_argument("--json", metavar="OBJECT", help="all arguments at once")
    return parser


async def _schema(session: Session, name: str) -> dict[str, Any]:
    """What the tool takes. Raises an SSHClientError if there is no such tool."""
    tools = await session.everything("tools/list", "tools")
    for tool in tools:
        if tool.get("name") == name:
            schema = tool.get("inputSchema")
            return schema if isinstance(schema, dict) else {}
    names = ", ".join(printable(str(tool.get("name"))) for tool in tools) or "none"
    raise SSHClientError(
        f"The server has no tool {printable(name)!r}", f"It has: {shortened(names, 500)}."
    )
