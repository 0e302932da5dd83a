#!/usr/bin/env bash
# Vercel's AI SDK ends an MCP server by one signal, and leaves its stdin open.
#
# Guess:  close() of a client closes the server's stdin, waits, sends SIGTERM and at last SIGKILL, as the specification of
#         the stdio transport says, and as the SDK of the MCP project does.
# Seen:   @ai-sdk/mcp 1.0.102 sends SIGTERM at once, and nothing after it: close() returns within milliseconds, and a server
#         that takes its time stays, with its input open, for as long as the host runs. With @modelcontextprotocol/sdk
#         1.32.2 the same server gets end of file first.
# Why it matters: a server that saves its work at end of file never gets to it, and one behind `ssh` or `docker run -i`
#         depends on what these do with the signal. A host that opens a client for each request collects servers.
#
# Needs Node.js 20 with npm, and Python 3. Installs nothing outside of a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT  # the server has ended by then: the end of the host closes its stdin
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts @ai-sdk/mcp@1.0.102 @modelcontextprotocol/sdk@1.32.2 zod@4.4.3

cat > server.py <<'PYTHON'
"""An MCP server that notes how it is ended, and does not end at SIGTERM."""
import json
import os
import signal
import sys


def note(what):
    with open("ends", "a") as ends:
        ends.write(what + "\n")


signal.signal(signal.SIGTERM, lambda *_: note("SIGTERM"))
with open("pid", "w") as file:
    file.write(str(os.getpid()))
for line in sys.stdin:
    message = json.loads(line)
    if message["method"] == "initialize":
        version = message["params"]["protocolVersion"]
        result = {"protocolVersion": version, "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
note("end of file")
PYTHON
cat > host.mjs <<'NODE'
import { readFileSync } from 'node:fs';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { createMCPClient } from '@ai-sdk/mcp';
import { Experimental_StdioMCPTransport as StdioMCPTransport } from '@ai-sdk/mcp/mcp-stdio';

const server = { command: 'python3', args: ['server.py'] };
let client;
if (process.argv[2] === 'ai') {
    client = await createMCPClient({ transport: new StdioMCPTransport(server) });
} else {
    client = new Client({ name: 'h', version: '1' });
    await client.connect(new StdioClientTransport(server));
}
await client.close();
await new Promise((resolve) => setTimeout(resolve, 6000)); // longer than the pauses of the specification
let stays = true;
try { process.kill(Number(readFileSync('pid', 'utf8')), 0); } catch { stays = false; }
console.log(readFileSync('ends', 'utf8').trim().split('\n').join(', ') + (stays ? '; stays' : '; ends'));
process.exit(0);
NODE

sdk=$(node host.mjs sdk)
rm ends
ai=$(node host.mjs ai)
echo "@modelcontextprotocol/sdk: $sdk"
echo "@ai-sdk/mcp: $ai"
[[ $sdk == 'end of file; ends' && $ai == 'SIGTERM; stays' ]]
