"""The `tools` command: list the tools of a remote server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from m2m_ssh_client.terminal.command import parser_for, understood

if TYPE_CHECKING:
    import argparse

    from m2m_ssh_client.terminal.client import Session
    from m2m_ssh_client.terminal.reports import Reports

_EXAMPLES = (
    "--host lab -- uvx mcp-server-git",
    "--host ada@lab.example --port 22 --login-shell -- 'cd /srv && ./serve'",
    "--json --host lab --subsystem mcp",
)


def main(program: str, arguments: list[str]) -> int:
    """Raises an SSHClientError."""
    command = understood(parser(program), arguments)

    async def use(session: Session, _reports: Reports) -> list[dict[str, Any]]:
        return await session.everything("tools/list", "tools")

    def show(tools: list[dict[str, Any]]) -> int:
        from m2m_ssh_client.terminal import listing, output

        if command.wants_json:
            output.write_json(tools)
        else:
            output.write_table(listing.TOOL_COLUMNS, listing.tool_rows(tools))
        return 0

    return command.run("tools", use, show)


def parser(program: str) -> argparse.ArgumentParser:
    return parser_for(program, "", "List the tools of a remote MCP server.", _EXAMPLES)
