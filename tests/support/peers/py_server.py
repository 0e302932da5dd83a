"""A server on the MCP SDK for Python (line 1 or 2) or on FastMCP: `py_server.py mcp|fastmcp`."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from typing import Annotated, Any

import anyio
import pydantic

KIND = sys.argv[1]
SDK_LINE = int(importlib.metadata.version("mcp").partition(".")[0])
NOTE = "mem://note"


def module(*names: str) -> Any:
    return importlib.import_module(names[SDK_LINE - 1] if len(names) > 1 else names[0])


if KIND == "fastmcp":
    made: Any = module("fastmcp")
    server = made.FastMCP("fastmcp")
    Context = made.Context
else:
    made = module("mcp.server.fastmcp", "mcp.server.mcpserver")
    server = (made.FastMCP if SDK_LINE == 1 else made.MCPServer)("py")
    Context = made.Context


class Name(pydantic.BaseModel):
    name: str


def note() -> str:
    return "a note"


def echo(text: str) -> str:
    return text


async def log(ctx: Any) -> str:
    await ctx.info("said")
    return "logged"


async def hang(ctx: Any) -> str:
    sys.stderr.write("hanging\n")
    try:
        await anyio.sleep(60)
    finally:
        sys.stderr.write("cancelled\n")
    return f"not cancelled: {ctx}"


async def touch(ctx: Any) -> str:
    if KIND == "mcp" and SDK_LINE == 2:
        await ctx.notify_resource_updated(NOTE)
        await ctx.notify_tools_changed()
    return "touched"


async def ask(ctx: Any) -> str:
    answer = await ctx.elicit("?", Name)
    return f"hello {answer.data.name}"


async def who() -> Any:
    return made.Elicit("?", Name)


async def ask_resolved(name: Any) -> str:
    return f"hello {name.name}"


server.resource(NOTE)(note)
server.tool()(echo)
for tool in (log, hang, touch):
    tool.__annotations__["ctx"] = Context
    server.tool()(tool)
if KIND == "mcp" and SDK_LINE == 2:
    # Asks in the way of either era.
    ask_resolved.__annotations__["name"] = Annotated[Name, made.Resolve(who)]
    server.tool(name="ask")(ask_resolved)
else:
    ask.__annotations__["ctx"] = Context
    server.tool()(ask)

if __name__ == "__main__":
    server.run(**({"show_banner": False} if KIND == "fastmcp" else {}))
