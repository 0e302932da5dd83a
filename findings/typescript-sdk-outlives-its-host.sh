#!/usr/bin/env bash
# An MCP server on the TypeScript SDK 1 stays after the end of its input, for as long as its own question is open.
#
# Guess:  a stdio server ends when its input ends, since the specification lets a host close it as the first step of a
#         shutdown. The host is gone then, and nobody can answer a question any more.
# Seen:   @modelcontextprotocol/sdk 1.32.2. Without an open question, the server ends at once. With one, it ends when the
#         question times out: after 60 seconds, or whatever time the server allows a person. @modelcontextprotocol/server
#         2.4.0 ends at once in both cases. So the reference server for files, which asks for the roots as soon as it is
#         initialized, stays for a minute beside a host that has not answered yet.
# Why it matters: a local host kills what stays. An SSH server often cannot: OpenSSH delivers no signal to a session of
#         root or to a subsystem, and none at all when the connection is lost. Each loss leaves a server there that still
#         has its files, ports and locks while the next one starts.
#
# Needs Node.js 20 with npm, and Python 3. Installs nothing outside of a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts \
    @modelcontextprotocol/sdk@1.32.2 @modelcontextprotocol/server@2.4.0 zod@4.4.3

cat > one.mjs <<'NODE'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { withTool } from './tool.mjs';
await withTool(new McpServer({ name: 'one', version: '1' })).connect(new StdioServerTransport());
NODE
cat > two.mjs <<'NODE'
import { McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { withTool } from './tool.mjs';
serveStdio(() => withTool(new McpServer({ name: 'two', version: '1' })));
NODE
cat > tool.mjs <<'NODE'
const QUESTION = { message: 'Which?', requestedSchema: { type: 'object', properties: { a: { type: 'string' } } } };
export function withTool(mcp) {
    mcp.registerTool('ask', {}, async () => {
        await mcp.server.elicitInput(QUESTION, { timeout: 5000 });
        return { content: [] };
    });
    return mcp;
}
NODE

python3 - <<'PYTHON'
import json
import subprocess
import time

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}}, "clientInfo": {"name": "h", "version": "1"}}


def stays(script, question):
    """The seconds from the end of the input to the end of the server."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(["node", script], text=True, **pipes) as server:
        def send(**message):
            server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            server.stdin.flush()

        send(id=1, method="initialize", params=HELLO)
        assert '"result"' in server.stdout.readline()
        send(method="notifications/initialized")
        if question:
            send(id=2, method="tools/call", params={"name": "ask", "arguments": {}})
            assert "elicitation/create" in server.stdout.readline()
        start = time.monotonic()
        server.stdin.close()
        server.wait(30)
        return time.monotonic() - start


seen = {(script, question): stays(script, question) for script in ("one.mjs", "two.mjs") for question in (False, True)}
for (script, question), seconds in seen.items():
    print(f"{script} {'with' if question else 'without'} an open question of 5 s: stays for {seconds:.1f} s")
assert seen["one.mjs", True] > 4
assert all(seconds < 2 for case, seconds in seen.items() if case != ("one.mjs", True))
PYTHON
