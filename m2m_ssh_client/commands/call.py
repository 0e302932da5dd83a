"""The `call` command: call a tool of a remote server."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from m2m_ssh_client import options
from m2m_ssh_client.errors import SSHClientError, UsageError
from m2m_ssh_client.terminal import arguments as given
from m2m_ssh_client.terminal.command import parser_for, understood
from m2m_ssh_client.text import printable, shortened

if TYPE_CHECKING:
    from m2m_ssh_client.proxy.frames.frame import JSONText
    from m2m_ssh_client.terminal.client import Session
    from m2m_ssh_client.terminal.limit import Limit
    from m2m_ssh_client.terminal.list_pages import Pages
    from m2m_ssh_client.terminal.reports import Reports
    from m2m_ssh_client.usage import Parser

_DESCRIPTION = """\
Call a tool of a remote MCP server. Its arguments:

  key=value           a value of the type in the tool's schema: text, a number,
                      true or false, JSON for lists and objects
  key=@file           a value read from a file (@- reads stdin)
  key:=JSON           a JSON value, whatever the schema
  --arguments OBJECT  all at once: '{"key": "value"}', @file, or - for stdin

Text is printed; images and other files are saved. Questions of the server are asked on
the terminal, or declined without one. If the tool fails, its text goes to stderr and
the exit status is 1."""

_AT_ONCE = re.compile(r"\{|@|-$")

_MOST_NAMES = 50  # of tools, of which some are told

_EXAMPLES = (
    "git_log repo_path=/srv/repo max_count=3 --host lab -- uvx mcp-server-git",
    "git_commit repo_path=/srv/repo message=@note.txt --host lab -- uvx mcp-server-git",
    'git_log --arguments \'{"repo_path": "/srv/repo"}\' --json --host lab --subsystem git',
)


def main(name: str, arguments: list[str]) -> int:
    """Call the tool and show its result; return 1 if it failed. Raises an SSHClientError."""
    _check_json(options.split_command(arguments)[0])
    command = understood(parser(name), arguments)
    args = command.args
    if args.arguments is not None and args.words:
        raise UsageError("--arguments and key=value exclude each other")
    at_once = None if args.arguments is None else given.read_object(args.arguments)
    words = given.read_words(args.words)

    async def use(session: Session, reports: Reports) -> JSONText:
        schema = await _schema(session, args.name) if any(w.text is not None for w in words) else {}
        values = given.values(words, schema) if at_once is None else at_once
        params = {"name": args.name, "arguments": values}
        return await session.request("tools/call", params, reports.on_progress)

    def show(result: JSONText, limit: Limit) -> int:
        from m2m_ssh_client.terminal import output
        from m2m_ssh_client.terminal.content import Shown
        from m2m_ssh_client.terminal.json_text import member, value

        failed = value(member(result, "isError")) is True
        if command.wants_json:
            output.write_json_text(result, limit)
        else:
            stream = sys.stderr if failed else sys.stdout
            Shown(args.name, args.save_to, stream, limit).tool_result(result)
        return 1 if failed else 0

    return command.run(args.name, use, show)


def parser(name: str) -> Parser:
    parser = parser_for(
        name,
        "NAME [key=value ... | --arguments '{...}'] ",
        _DESCRIPTION,
        _EXAMPLES,
        saves=True,
    )
    parser.add_argument("name", metavar="NAME", help="name of the tool, from `tools`")
    parser.add_argument("words", metavar="key=value", nargs="*", help="an argument of the tool")
    parser.add_argument("--arguments", metavar="OBJECT", help="all arguments at once")
    return parser


def _check_json(words: Sequence[str]) -> None:
    """Raise UsageError for arguments after `--json`, where curl has them."""
    for before, word in zip(["", *words], words, strict=False):
        if word.startswith("--json=") or (before == "--json" and _AT_ONCE.match(word)):
            raise UsageError(
                "--json takes no value: it prints JSON",
                "All arguments at once: --arguments '{…}', --arguments @file, or --arguments -",
            )


async def _schema(session: Session, name: str) -> dict[str, Any]:
    """Return the input schema of the tool. Raises an SSHClientError if there is no such tool."""
    from m2m_ssh_client.flow.hand_over import run_in_thread

    pages = await session.pages("tools/list", "tools")
    # A long list holds up neither the time limit nor Ctrl-C.
    return await run_in_thread("schema", lambda: _schema_in(pages, name))


def _schema_in(pages: Pages, name: str) -> dict[str, Any]:
    from m2m_ssh_client.terminal.json_text import member, value

    names: list[str] = []
    for tool in pages.entries():
        found = value(member(tool, "name"))
        if found == name:
            schema = value(member(tool, "inputSchema"))
            return schema if isinstance(schema, dict) else {}
        if len(names) < _MOST_NAMES:
            names.append(shortened(printable(str(found)), 100))
    raise SSHClientError(
        f"The server has no tool {printable(name)!r}",
        f"It has: {shortened(', '.join(names) or 'none', 500)}.",
    )
