#!/usr/bin/env bash
# A Python MCP server sends log messages without announcing that it can, and has no log level to set.
#
# Guess:  a server built with MCPServer whose tool calls `ctx.info(...)` announces `logging`, since the specification demands
#         it of every server that sends notifications/message, and takes `logging/setLevel`.
# Seen:   mcp 2.3.0. `initialize` announces no `logging`, `logging/setLevel` gets -32601, and the message arrives all the same
#         during the call.
# Why it matters: a host that waits for the capability never sets a level, and still gets messages; one that sets a level
#         first fails. What stands between a host that asks for logs in each request (2026-07-28) and such a server cannot
#         set a level there, and must filter by itself.
#
# Needs Python 3.10 or newer with venv, and PyPI. Installs nothing outside of a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q mcp==2.3.0
cd "$folder"

cat > server.py <<'PYTHON'
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("s")


@server.tool()
async def talk(ctx: Context) -> str:
    await ctx.info("said")
    return "done"


server.run()
PYTHON

cat > ask.py <<'PYTHON'
import json
import subprocess
import sys

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "h", "version": "1"}}
server = subprocess.Popen(
    [sys.executable, "server.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
)


def send(**message):
    server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")


def answer(id_):
    before = []
    while True:
        message = json.loads(server.stdout.readline())
        if message.get("id") == id_:
            return message, before
        before.append(message)


send(id=1, method="initialize", params=HELLO)
opened, _ = answer(1)
send(method="notifications/initialized")
send(id=2, method="logging/setLevel", params={"level": "info"})
refused, _ = answer(2)
send(id=3, method="tools/call", params={"name": "talk", "arguments": {}})
called, before = answer(3)
server.stdin.close()
print(opened["result"]["capabilities"], refused["error"], before, sep="\n")
assert "logging" not in opened["result"]["capabilities"]
assert refused["error"]["code"] == -32601
assert [message["method"] for message in before] == ["notifications/message"]
assert before[0]["params"]["data"] == "said"
PYTHON
timeout 60 "$folder/venv/bin/python" ask.py
