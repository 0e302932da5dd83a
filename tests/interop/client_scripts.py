"""Scripts that list the tools of a stdio server and call `echo`, one for each client library.

The server's command line is theirs, as words behind the script. They print the names of the tools and what came back.
"""

from __future__ import annotations

import json

# Packages that can be installed together.
WITH_MCP_1 = (
    "mcp==1.30.0",
    "fastmcp==2.14.7",
    "langchain-mcp-adapters==0.3.2",
    "mcp-use==1.7.1",
    "openai-agents==0.24.0",
)
WITH_MCP_1_AND_FASTMCP_3 = ("mcp==1.30.0", "fastmcp==3.4.11")
WITH_MCP_2 = ("mcp==2.3.0", "fastmcp==4.2.3", "pydantic-ai-slim[mcp]==2.68.0")

_PYTHON_END = """
print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
"""

PYTHON_SDK_1 = f"""
import asyncio, json, sys
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
async def main(command, *args):
    server = StdioServerParameters(command=command, args=list(args))
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        tools = [tool.name for tool in (await session.list_tools()).tools]
        answer = await session.call_tool("echo", {{"text": "Grüße"}})
    return tools, answer.content[0].text
{_PYTHON_END}"""

PYTHON_SDK_2 = f"""
import asyncio, json, sys
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
async def main(command, *args):
    server = StdioServerParameters(command=command, args=list(args))
    async with Client(stdio_client(server)) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        answer = await client.call_tool("echo", {{"text": "Grüße"}})
    return tools, answer.content[0].text
{_PYTHON_END}"""

FASTMCP = f"""
import asyncio, json, sys
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
async def main(command, *args):
    async with Client(StdioTransport(command=command, args=list(args))) as client:
        tools = [tool.name for tool in await client.list_tools()]
        answer = await client.call_tool("echo", {{"text": "Grüße"}})
    return tools, answer.content[0].text
{_PYTHON_END}"""

LANGCHAIN = f"""
import asyncio, json, sys
from langchain_mcp_adapters.client import MultiServerMCPClient
async def main(command, *args):
    entry = {{"transport": "stdio", "command": command, "args": list(args)}}
    tools = {{tool.name: tool for tool in await MultiServerMCPClient({{"lab": entry}}).get_tools()}}
    answer = await tools["echo"].ainvoke({{"text": "Grüße"}})
    return list(tools), answer[0]["text"]
{_PYTHON_END}"""

MCP_USE = f"""
import asyncio, json, sys
from mcp_use import MCPClient
async def main(command, *args):
    client = MCPClient.from_dict({{"mcpServers": {{"lab": {{"command": command, "args": list(args)}}}}}})
    session = await client.create_session("lab")
    tools = [tool.name for tool in await session.list_tools()]
    answer = await session.call_tool("echo", {{"text": "Grüße"}})
    await client.close_all_sessions()
    return tools, answer.content[0].text
{_PYTHON_END}"""

OPENAI_AGENTS = f"""
import asyncio, json, sys
from agents.mcp import MCPServerStdio
async def main(command, *args):
    limit = 60  # its own 5 seconds are few for a login
    params = {{"command": command, "args": list(args)}}
    async with MCPServerStdio(params=params, client_session_timeout_seconds=limit) as server:
        tools = [tool.name for tool in await server.list_tools()]
        answer = await server.call_tool("echo", {{"text": "Grüße"}})
    return tools, answer.content[0].text
{_PYTHON_END}"""

PYDANTIC_AI = f"""
import asyncio, json, sys
from fastmcp.client.transports import StdioTransport
from pydantic_ai.mcp import MCPToolset
async def main(command, *args):
    limit = 60  # its own 5 seconds are few for a login
    async with MCPToolset(StdioTransport(command, list(args)), init_timeout=limit) as toolset:
        tools = [tool.name for tool in await toolset.list_tools()]
        answer = await toolset.direct_call_tool("echo", {{"text": "Grüße"}})
    return tools, answer["arguments"]["text"]
{_PYTHON_END}"""

_JAVASCRIPT = """
const [command, ...args] = process.argv.slice(2);
await client.connect(new StdioClientTransport({ command, args }));
const { tools } = await client.listTools();
const answer = await client.callTool({ name: "echo", arguments: { text: "Grüße" } });
await client.close();
console.log(JSON.stringify([tools.map((tool) => tool.name), answer.content[0].text]));
"""

TYPESCRIPT_1 = f"""
import {{ Client }} from "@modelcontextprotocol/sdk/client/index.js";
import {{ StdioClientTransport }} from "@modelcontextprotocol/sdk/client/stdio.js";
const client = new Client({{ name: "test", version: "1" }});
{_JAVASCRIPT}"""


def typescript_2(mode: str, **settings: object) -> str:
    """With settings of how the client finds out the revision."""
    return f"""
import {{ Client }} from "@modelcontextprotocol/client";
import {{ StdioClientTransport }} from "@modelcontextprotocol/client/stdio";
const versionNegotiation = {json.dumps({"mode": mode, **settings})};
const client = new Client({{ name: "test", version: "1" }}, {{ versionNegotiation }});
{_JAVASCRIPT}"""
