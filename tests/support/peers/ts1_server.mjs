// A server on @modelcontextprotocol/sdk 1.x, which speaks the legacy era only.
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { SubscribeRequestSchema, UnsubscribeRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';

const text = (value) => ({ content: [{ type: 'text', text: String(value) }] });
const server = new McpServer(
  { name: 'ts1', version: '1' },
  { capabilities: { logging: {}, resources: { subscribe: true, listChanged: true } } },
);
let calls = 0;
const subscribed = new Set();
server.server.setRequestHandler(SubscribeRequestSchema, ({ params }) => (subscribed.add(params.uri), {}));
server.server.setRequestHandler(UnsubscribeRequestSchema, ({ params }) => (subscribed.delete(params.uri), {}));
server.registerResource('note', 'mem://note', {}, (uri) => ({ contents: [{ uri: uri.href, text: 'a note' }] }));
server.registerTool('echo', { inputSchema: { text: z.string() } }, ({ text: said }) => text(said));
server.registerTool('ask', {}, async () => {
  const answer = await server.server.elicitInput({
    message: '?',
    requestedSchema: { type: 'object', properties: { name: { type: 'string' } } },
  });
  return text(`hello ${answer.content?.name}`);
});
server.registerTool('log', {}, async (extra) => {
  await extra.sendNotification({ method: 'notifications/message', params: { level: 'info', data: 'said' } });
  return text('logged');
});
server.registerTool('touch', {}, async () => {
  if (subscribed.has('mem://note')) await server.server.sendResourceUpdated({ uri: 'mem://note' });
  server.registerTool(`extra-${++calls}`, {}, () => text('extra'));
  return text('touched');
});
server.registerTool(
  'hang',
  {},
  (extra) =>
    new Promise((done) => {
      process.stderr.write('hanging\n');
      extra.signal.addEventListener('abort', () => {
        process.stderr.write('cancelled\n');
        done(text('cancelled'));
      });
    }),
);
await server.connect(new StdioServerTransport());
