"""A host on the MCP SDK for Python, line 1 or 2: `py_host.py legacy|auto|2026-07-28 COMMANDS`.

COMMANDS is a JSON list of argvs, each of which starts a server. Prints what worked with each, as a line of JSON.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import json
import os
import sys
import traceback
from typing import Any

import anyio

mcp: Any = importlib.import_module("mcp")
types: Any = importlib.import_module("mcp.types")

MODERN = "2026-07-28"
SDK_LINE = int(importlib.metadata.version("mcp").partition(".")[0])
NOTE = "mem://note"
ERRORS = (mcp.McpError if SDK_LINE == 1 else mcp.MCPError, ValueError, TimeoutError)

heard: list[str] = []
report: dict[str, Any] = {}


async def hear_log(params: Any) -> None:
    heard.append(f"log {params.data}")


async def hear(message: Any) -> None:
    said = getattr(message, "root", message)
    method = getattr(said, "method", "")
    if method == "notifications/tools/list_changed":
        heard.append("list_changed")
    elif method == "notifications/resources/updated":
        heard.append(f"updated {said.params.uri}")


async def elicit(_context: Any, _params: Any) -> Any:
    return types.ElicitResult(action="accept", content={"name": "Ada"})


async def step(name: str, work: Any) -> None:
    try:
        with anyio.fail_after(6):
            report[name] = await work()
    except ERRORS as exc:
        report[name] = f"error: {str(exc) or type(exc).__name__}"[:200]


async def until(test: Any) -> bool:
    for _ in range(40):
        if test():
            return True
        await anyio.sleep(0.05)
    return False


def said(result: Any) -> str:
    return ",".join(item.text for item in result.content)


class Use:
    """What a host does with a server, step by step."""

    def __init__(self, session: Any, version: str, listen: Any = None) -> None:
        self._session = session
        self._modern = version == MODERN
        self._listen = listen
        report["version"] = version

    async def everything(self) -> None:
        for name in ("list", "call", "ask", "log", "subscribe", "cancel"):
            await step(name, getattr(self, name))

    async def list(self) -> bool:
        return len((await self._session.list_tools()).tools) > 3

    async def call(self) -> str:
        return said(await self._session.call_tool("echo", {"text": "grüße"}))

    async def ask(self) -> str:
        return said(await self._session.call_tool("ask", {}))

    async def log(self) -> bool:
        if self._modern:
            level = {"io.modelcontextprotocol/logLevel": "info"}
            await self._session.call_tool("log", {}, meta=level)
        else:
            await self._session.set_logging_level("info")
            await self._session.call_tool("log", {})
        return await until(lambda: "log said" in heard)

    async def subscribe(self) -> bool:
        if not self._modern:
            await self._session.subscribe_resource(NOTE if SDK_LINE == 2 else types.AnyUrl(NOTE))
            await self._session.call_tool("touch", {})
            return await until(lambda: {"list_changed", f"updated {NOTE}"} <= set(heard))
        kinds = set()
        async with self._listen(tools_list_changed=True, resource_subscriptions=[NOTE]) as events:
            await self._session.call_tool("touch", {})
            async for event in events:
                kinds.add(type(event).__name__)
                if kinds == {"ToolsListChanged", "ResourceUpdated"}:
                    break
        return len(kinds) == 2

    async def cancel(self) -> str:
        with anyio.move_on_after(0.4):
            await self._session.call_tool("hang", {})
            return "answered"
        return f"gave up, then {said(await self._session.call_tool('echo', {'text': 'on'}))}"


async def use(mode: str, command: str, *arguments: str) -> None:
    parameters = mcp.StdioServerParameters(command=command, args=arguments, env=dict(os.environ))
    callbacks = {
        "elicitation_callback": elicit,
        "logging_callback": hear_log,
        "message_handler": hear,
    }
    transport = mcp.stdio_client(parameters)
    if SDK_LINE == 1:
        async with transport as pair, mcp.ClientSession(*pair, **callbacks) as session:
            with anyio.fail_after(20):
                started = await session.initialize()
            await Use(session, started.protocolVersion).everything()
    else:
        async with mcp.Client(transport, mode=mode, **callbacks) as client:
            await Use(client, client.protocol_version, client.listen).everything()


def main() -> None:
    mode, commands = sys.argv[1:]
    for argv in json.loads(commands):
        heard.clear()
        report.clear()
        try:
            asyncio.run(use(mode, *argv))
        except Exception:  # noqa: BLE001 - line 1 has some when it leaves; the report tells the rest
            traceback.print_exc()
        sys.stdout.write(json.dumps(report, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
