"""The commands `tools`, `resources` and `prompts`: list what a remote server offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from m2m_ssh_client.terminal.command import parser_for, understood

if TYPE_CHECKING:
    from m2m_ssh_client.terminal.client import Session
    from m2m_ssh_client.terminal.reports import Reports
    from m2m_ssh_client.usage import Parser

Lists = dict[str, list[dict[str, Any]]]


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

    async def use(session: Session, _reports: Reports) -> Lists:
        methods = _KINDS[name].methods
        return {
            member: await session.everything(method, member) for member, method in methods.items()
        }

    def show(lists: Lists) -> int:
        from m2m_ssh_client.terminal import listing, output

        if command.wants_json:
            output.write_json(lists if len(lists) > 1 else lists[name])
        elif any(lists.values()):
            output.write_table(*listing.table(name, lists))
        else:
            output.write_text(f"The server has no {name}.")
        return 0

    return command.run(name, use, show)


def parser(name: str) -> Parser:
    return parser_for(name, "", _KINDS[name].description, _KINDS[name].examples)
