"""A small MCP server over stdio for the far end of the demo: tools, a resource, a prompt.

Run this file, or `python -m m2m_ssh_client.demo.sample_server`. Works with SDK 1.x and 2.x.
"""

from __future__ import annotations

import getpass
import os
import platform
import socket
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context, MCPServer
else:
    try:
        from mcp.server.mcpserver import Context, MCPServer
    except ImportError:  # SDK 1.x
        from mcp.server.fastmcp import Context
        from mcp.server.fastmcp import FastMCP as MCPServer

_MOST_STEPS = 1000
_MOST_SECONDS = 600.0

# WARNING keeps the SDK's own log out of stderr, which hosts show to their users.
server = MCPServer(
    "m2m-demo",
    instructions="A sample server: echo, add, where_am_i and count_slowly are safe to play with.",
    log_level="WARNING",
)


@server.tool()
def echo(text: str) -> str:
    """Return the text."""
    return text


@server.tool()
def add(a: int, b: int) -> int:
    """Add two whole numbers."""
    return a + b


@server.tool()
def where_am_i() -> dict[str, Any]:
    """Return the machine, the user and the process that this server runs in."""
    return {
        "host": socket.gethostname(),
        "user": _user(),
        "pid": os.getpid(),
        "python": platform.python_version(),
    }


@server.tool()
async def count_slowly(steps: int, seconds: float, ctx: Context) -> str:
    """Count to `steps` in `seconds`, with a progress report at each step."""
    if not (1 <= steps <= _MOST_STEPS and 0 <= seconds <= _MOST_SECONDS):
        raise ValueError(
            f"steps must be from 1 to {_MOST_STEPS}, seconds from 0 to {_MOST_SECONDS:g}"
        )
    for step in range(1, steps + 1):
        await anyio.sleep(seconds / steps)
        await ctx.report_progress(step, steps, f"step {step} of {steps}")
    return f"counted to {steps}"


@server.resource("demo://welcome", mime_type="text/plain")
def welcome() -> str:
    """A greeting from the far end."""
    return f"Welcome to {socket.gethostname()}. This text was read over SSH."


@server.prompt()
def greet(name: str) -> str:
    """Ask for a greeting."""
    return f"Please greet {name} warmly, in one sentence."


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no name for this user id, or no module pwd
        return "unknown"


if __name__ == "__main__":
    server.run()
