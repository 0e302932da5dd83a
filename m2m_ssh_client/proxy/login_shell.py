"""The signs of a shell or an echo in place of an MCP server, and the errors for the user."""

from __future__ import annotations

from collections.abc import Iterable

from m2m_ssh_client._version import PROGRAM
from m2m_ssh_client.errors import NotMCPError

_UNKNOWN_COMMAND = ("not found", "unknown command", "not recognized")
_ERLANG = "Eshell V"
# With blanks between the words of the request, and without.
_WITHOUT_QUOTES = ("{jsonrpc:", "jsonrpc:2.0")


def shell_complains(stderr: list[str]) -> bool:
    """Return whether a shell tried to run a request.

    Most shells name it as an unknown command. Others use other words (dash says "too long"), but
    name it without its quotes, which a shell removes.
    """
    return runs_requests(stderr) or any(_is_unknown_command(line.lower()) for line in stderr)


def runs_requests(stderr: list[str]) -> bool:
    """Return whether a request is named without its quotes: no server would print it like that."""
    return any(words in line for line in stderr for words in _WITHOUT_QUOTES)


def greets(stdout: Iterable[str]) -> bool:
    """Return whether a shell has greeted. Erlang's does not complain of a request."""
    return any(line.startswith(_ERLANG) for line in stdout)


def _is_unknown_command(line: str) -> bool:
    return "jsonrpc" in line and any(words in line for words in _UNKNOWN_COMMAND)


def shell_error() -> NotMCPError:
    """Return the error for a far side that is a shell."""
    return NotMCPError(
        "The far side does not answer like an MCP server: it looks like a login shell",
        "Pass the command that starts the MCP server there after `--`, for example: "
        f"{PROGRAM} --host HOST -- uvx mcp-server-git",
    )


def echo_error() -> NotMCPError:
    """Return the error for a far side that sends back what it is sent."""
    return NotMCPError(
        "The far side sends back what it gets",
        "A terminal or `cat` does that: the command must be the MCP server itself.",
    )
