"""A login shell on the far side, where an MCP server should be: how it is recognised, and what is said then."""

from __future__ import annotations

from m2m_ssh_client.errors import NotMCPError


def shell_complains(stderr: list[str]) -> bool:
    """Whether a shell tried to run the first request: it names it as a command that it does not know."""
    return any(
        "jsonrpc" in line and ("not found" in line.lower() or "unknown command" in line.lower())
        for line in stderr
    )


def shell_error() -> NotMCPError:
    return NotMCPError(
        "The far side does not answer as an MCP server: it looks like a login shell",
        "Pass the command that starts the MCP server there after `--`, for example: "
        "m2m-mcp-server-ssh-client --host HOST -- uvx mcp-server-git",
    )
