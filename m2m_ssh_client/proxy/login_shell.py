"""A login shell on the far side, where an MCP server should be: how it is recognised, and what is said then."""

from __future__ import annotations

from m2m_ssh_client.errors import NotMCPError

_UNKNOWN_COMMAND = ("not found", "unknown command", "not recognized")
_WITHOUT_QUOTES = "jsonrpc:2.0"


def shell_complains(stderr: list[str]) -> bool:
    """Tell whether a shell tried to run a request.

    It names it as a command that it does not know; or in whatever other words (dash finds a long one "too long"), but
    without the quotes, which a shell has removed.
    """
    return any(_WITHOUT_QUOTES in line or _is_unknown_command(line.lower()) for line in stderr)


def _is_unknown_command(line: str) -> bool:
    return "jsonrpc" in line and any(words in line for words in _UNKNOWN_COMMAND)


def shell_error() -> NotMCPError:
    return NotMCPError(
        "The far side does not answer as an MCP server: it looks like a login shell",
        "Pass the command that starts the MCP server there after `--`, for example: "
        "m2m-mcp-server-ssh-client --host HOST -- uvx mcp-server-git",
    )
