#!/usr/bin/env bash
# A TypeScript MCP server that announces `resources.subscribe` takes subscriptions in one protocol era only.
#
# Guess:  McpServer of @modelcontextprotocol/server 2.x with the capability `resources: { subscribe: true }`, served by
#         serveStdio, takes `resources/subscribe` from a host of 2025-11-25, as it takes `subscriptions/listen` from one of
#         2026-07-28: the same factory serves both.
# Seen:   version 2.4.0. Both openings announce resources.subscribe. `subscriptions/listen` is acknowledged with the URI;
#         `resources/subscribe` gets -32601 "Method not found".
# Why it matters: an older host that believes the capabilities fails at the first subscription. A bridge in front of such a
#         server has to ask it in the newer era, although it speaks the host's.
#
# Needs Node.js 20, npm and its registry. Installs nothing outside of a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts @modelcontextprotocol/server@2.4.0 zod@4.4.3

cat > server.mjs <<'NODE'
import { McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
serveStdio(() => {
  const server = new McpServer({ name: 's', version: '1' }, { capabilities: { resources: { subscribe: true } } });
  server.registerResource('note', 'mem://note', {}, () => ({ contents: [{ uri: 'mem://note', text: '' }] }));
  return server;
});
NODE

cat > ask.mjs <<'NODE'
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import assert from 'node:assert';

async function session(...messages) {
  const server = spawn('node', ['server.mjs'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
  const answers = [];
  for (const message of messages) {
    server.stdin.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\n');
    answers.push(JSON.parse((await lines.next()).value));
  }
  server.stdin.end();
  return answers;
}

const [opened, subscribed] = await session(
  { id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'h', version: '1' } } },
  { id: 2, method: 'resources/subscribe', params: { uri: 'mem://note' } },
);
console.log(opened.result.capabilities, subscribed);
assert.equal(opened.result.capabilities.resources.subscribe, true);
assert.equal(subscribed.error.code, -32601);

const meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} };
const [found, listening] = await session(
  { id: 1, method: 'server/discover', params: { _meta: meta } },
  { id: 2, method: 'subscriptions/listen', params: { _meta: meta, notifications: { resourceSubscriptions: ['mem://note'] } } },
);
console.log(found.result.capabilities, JSON.stringify(listening));
assert.equal(found.result.capabilities.resources.subscribe, true);
assert.equal(listening.method, 'notifications/subscriptions/acknowledged');
assert.deepEqual(listening.params.notifications.resourceSubscriptions, ['mem://note']);
NODE
timeout 60 node ask.mjs
