"""The `resources` command: list the resources of a remote server, and the templates of more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from m2m_ssh_client.terminal.command import parser_for, understood

if TYPE_CHECKING:
    import argparse

    from m2m_ssh_client.terminal.client import Session
    from m2m_ssh_client.terminal.reports import Reports

Lists = dict[str, list[dict[str, Any]]]

_METHODS = {"resources": "resources/list", "resourceTemplates": "resources/templates/list"}

_EXAMPLES = (
    "--host lab -- uvx mcp-server-git",
    "--host lab --subsystem mcp",
    "--json --host lab.example --use-key-server",
)


def main(program: str, arguments: list[str]) -> int:
    """Raises an SSHClientError."""
    command = understood(parser(program), arguments)

    async def use(session: Session, _reports: Reports) -> Lists:
        return {
            member: await session.everything(method, member) for member, method in _METHODS.items()
        }

    def show(lists: Lists) -> int:
        from m2m_ssh_client.terminal import listing, output

        if command.wants_json:
            output.write_json(lists)
        else:
            rows = [row for entries in lists.values() for row in listing.resource_rows(entries)]
            output.write_table(listing.RESOURCE_COLUMNS, rows)
        return 0

    return command.run("resources", use, show)


def parser(program: str) -> argparse.ArgumentParser:
    return parser_for(
        program,
        "",
        "List the resources of a remote MCP server, and the templates of URIs of more, which\n"
        "have {names} to fill in.",
        _EXAMPLES,
    )
