#!/usr/bin/env bash
# An MCP server on the Go SDK that starts slowly shuts out a host that falls back to `initialize`.
#
# Guess:  a server of both protocol eras that was asked `server/discover` still takes `initialize`, or refuses it so that
#         the host knows how to go on: discovery has no effect, and a host that hears nothing for a while must fall back
#         to `initialize`, as the specification of 2026-07-28 says.
# Seen:   kubernetes-mcp-server 0.0.67 (on the Go SDK) refuses it with the code 0 and 'duplicate "initialize" received',
#         though it is the first one. The client of mcp 2.3.0 waits ten seconds for the first answer and then sends
#         `initialize` on the same pipe, so it opens no session with such a server that starts in eleven. With one on mcp
#         2.3.0 it does: that refuses with -32022 and the versions it has, and the client goes on with the newer one.
#         @modelcontextprotocol/server 2.4.0 takes the `initialize`.
# Why it matters: eleven seconds are a first `npx`, a container image, or a login with a security key. What the host says
#         then is "duplicate", and the second try often works, because the download is there by then.
#
# Needs Node.js 20 with npm, Python 3.10 or newer with venv, and PyPI. Installs nothing outside of a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts \
    kubernetes-mcp-server@0.0.67 @modelcontextprotocol/server@2.4.0 zod@4.4.3
python3 -m venv venv
venv/bin/pip install -q mcp==2.3.0

cat > config <<'YAML'
{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}],
 users: [{name: u, user: {}}], contexts: [{name: c, context: {cluster: a, user: u}}]}
YAML
cat > server.py <<'PYTHON'
from mcp.server.mcpserver import MCPServer

MCPServer("python").run()
PYTHON
cat > server.mjs <<'NODE'
import { McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
serveStdio(() => new McpServer({ name: 'typescript', version: '1' }));
NODE

cat > try.py <<'PYTHON'
import asyncio
import json
import subprocess
import sys

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

SERVERS = {
    "Go": ["node_modules/.bin/kubernetes-mcp-server", "--kubeconfig", "config"],
    "Python": [sys.executable, "server.py"],
    "TypeScript": ["node", "server.mjs"],
}
EXPECTED = {"Go": (0, None), "Python": (-32022, "2026-07-28"), "TypeScript": (None, "2025-11-25")}
ME = {"name": "h", "version": "1"}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": ME,
}
DISCOVER = {"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": META}}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": ME}
INITIALIZE = {"jsonrpc": "2.0", "id": 2, "method": "initialize", "params": HELLO}


def answers(argv, *messages):
    """What the server answers to each message, one after the other."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(argv, text=True, **pipes) as server:
        for message in messages:
            server.stdin.write(json.dumps(message) + "\n")
            server.stdin.flush()
            yield json.loads(server.stdout.readline())
        server.stdin.close()


async def opened(command):
    """The protocol version of a session with a server that starts slowly; None if there is none."""
    try:
        async with Client(stdio_client(StdioServerParameters(command="sh", args=["-c", command]))) as client:
            return client.protocol_version
    except BaseExceptionGroup:
        return None


for name, argv in SERVERS.items():
    (only,) = answers(argv, INITIALIZE)
    discovered, after = answers(argv, DISCOVER, INITIALIZE)
    slow = asyncio.run(opened("sleep 11; exec " + " ".join(argv)))
    print(f"{name}: behind a discovery {after.get('error', 'taken')}; the client's session with a slow start: {slow}")
    assert "result" in only and "2026-07-28" in discovered["result"]["supportedVersions"]
    assert (after.get("error", {}).get("code"), slow) == EXPECTED[name]
PYTHON
venv/bin/python try.py
