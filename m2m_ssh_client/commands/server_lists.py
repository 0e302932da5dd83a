"""The commands `tools`, `resources` and `prompts`: list what a remote server offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from m2m_ssh_client.terminal.command import parser_for, understood

if TYPE_CHECKING:
    from m2m_ssh_client.terminal.client import Session
    from m2m_ssh_client.terminal.limit import Limit
    from m2m_ssh_client.terminal.list_pages import Pages
    from m2m_ssh_client.terminal.reports import Reports
    from m2m_ssh_client.usage import Parser


class _Kind(NamedTuple):
    """A kind of list: `methods` maps the member of each result that holds entries to its method."""

    methods: dict[str, str]
    description: str
    examples: tuple[str, ...]


_GIT = "--host lab -- uvx mcp-server-git"
_SUBSYSTEM = "--host lab --subsystem mcp"
_KEY_SERVER = "--json --host lab.example --use-key-server"

_KINDS = {
    "tools": _Kind(
        {"tools": "tools/list"},
        "List the tools of a remote MCP server.",
        (
            _GIT,
            "--host ada@lab.example --login-shell -- 'cd /srv && ./serve'",
            "--json --host lab --subsystem mcp",
        ),
    ),
    "resources": _Kind(
        {"resources": "resources/list", "resourceTemplates": "resources/templates/list"},
        "List the resources of a remote MCP server, and templates: URIs with {names} to fill in.",
        (_GIT, _SUBSYSTEM, _KEY_SERVER),
    ),
    "prompts": _Kind(
        {"prompts": "prompts/list"},
        "List the prompts of a remote MCP server.",
        (_GIT, _SUBSYSTEM, _KEY_SERVER),
    ),
}


def main(name: str, arguments: list[str]) -> int:
    """Print what the command `name` lists; return 0. Raises an SSHClientError."""
    command = understood(parser(name), arguments)

    async def use(session: Session, _reports: Reports) -> dict[str, Pages]:
        methods = _KINDS[name].methods
        return {member: await session.pages(method, member) for member, method in methods.items()}

    def show(pages: dict[str, Pages], limit: Limit) -> int:
        from m2m_ssh_client.terminal import output
        from m2m_ssh_client.terminal.listing import Rows

        lists = {member: each.entries(limit.check) for member, each in pages.items()}
        if command.wants_json:
            output.write_json_lists(lists, limit)
        elif any(lists.values()):
            rows = Rows(name, lists, limit.check)
            output.write_table(rows.columns, rows, limit)
        else:
            output.write_text(f"The server has no {name}.")
        return 0

    return command.run(name, use, show)


def parser(name: str) -> Parser:
    return parser_for(name, "", _KINDS[name].description, _KINDS[name].examples)
