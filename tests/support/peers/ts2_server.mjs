// A server on @modelcontextprotocol/server 2.x. Its argument is what `legacy` is set to: serve or reject.
import { McpServer, acceptedContent, inputRequired } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { z } from 'zod';

const text = (value) => ({ content: [{ type: 'text', text: String(value) }] });
let calls = 0;

serveStdio(
  () => {
    const server = new McpServer(
      { name: 'ts2', version: '2' },
      { capabilities: { logging: {}, tools: { listChanged: true }, resources: { subscribe: true, listChanged: true } } },
    );
    const resource = server.registerResource('note', 'mem://note', {}, (uri) => ({
      contents: [{ uri: uri.href, text: 'a note' }],
    }));
    server.registerTool('echo', { inputSchema: z.object({ text: z.string() }) }, ({ text: said }) => text(said));
    server.registerTool('list', { outputSchema: z.array(z.string()) }, () => ({
      ...text('["a"]'),
      structuredContent: ['a'],
    }));
    server.registerTool('ask', {}, (_ctx) => {
      const answer = acceptedContent(_ctx.mcpReq.inputResponses, 'name');
      if (answer) return text(`hello ${answer.name}, ${_ctx.mcpReq.requestState()}`);
      return inputRequired({
        requestState: 'state é "1"',
        inputRequests: {
          name: inputRequired.elicit({
            message: '?',
            requestedSchema: { type: 'object', properties: { name: { type: 'string' } } },
          }),
        },
      });
    });
    server.registerTool('log', {}, async (ctx) => {
      await ctx.mcpReq.log('info', 'said');
      return text('logged');
    });
    server.registerTool('touch', {}, async () => {
      await server.server.sendResourceUpdated({ uri: 'mem://note' });
      server.registerTool(`extra-${++calls}`, {}, () => text('extra'));
      return text('touched');
    });
    server.registerTool(
      'hang',
      {},
      (ctx) =>
        new Promise((done) => {
          process.stderr.write('hanging\n');
          ctx.mcpReq.signal.addEventListener('abort', () => {
            process.stderr.write('cancelled\n');
            done(text('cancelled'));
          });
        }),
    );
    return server;
  },
  { legacy: process.argv[2] ?? 'serve' },
);
