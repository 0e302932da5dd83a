// A host on the TypeScript SDK: `node ts_host.mjs 1|legacy|auto|pin COMMANDS`. COMMANDS is a JSON list of argvs, each
// of which starts a server. Prints what worked with each, as a line of JSON.
const [line, commands] = process.argv.slice(2);
const modern = line !== '1';
const { Client } = modern
  ? await import('@modelcontextprotocol/client')
  : await import('@modelcontextprotocol/sdk/client/index.js');
const { StdioClientTransport } = modern
  ? await import('@modelcontextprotocol/client/stdio')
  : await import('@modelcontextprotocol/sdk/client/stdio.js');
const types = modern ? {} : await import('@modelcontextprotocol/sdk/types.js');

const mode = line === 'pin' ? { pin: '2026-07-28' } : line;

async function use(command, args) {
  const client = new Client(
    { name: `ts-${line}`, version: '0' },
    { capabilities: { elicitation: { form: {} } }, ...(modern ? { versionNegotiation: { mode } } : {}) },
  );
  const heard = [];
  const hear = (method, schema, name) =>
    client.setNotificationHandler(modern ? method : schema, (said) => void heard.push(name(said.params)));
  hear('notifications/message', types.LoggingMessageNotificationSchema, (p) => `log ${p.data}`);
  hear('notifications/tools/list_changed', types.ToolListChangedNotificationSchema, () => 'list_changed');
  hear('notifications/resources/updated', types.ResourceUpdatedNotificationSchema, (p) => `updated ${p.uri}`);
  client.setRequestHandler(modern ? 'elicitation/create' : types.ElicitRequestSchema, () => ({
    action: 'accept',
    content: { name: 'Ada' },
  }));

  const report = {};
  const step = async (name, work) => {
    try {
      report[name] = await work();
    } catch (error) {
      report[name] = `error: ${String(error.message).slice(0, 200)}`;
    }
  };
  const call = (name, rest = {}, options = {}) =>
    modern || !options
      ? client.callTool({ name, ...rest }, options)
      : client.callTool({ name, ...rest }, undefined, options);
  const said = (result) => result.content.map((item) => item.text).join();
  const until = async (test) => {
    for (let turn = 0; turn < 40 && !test(); turn++) await new Promise((go) => setTimeout(go, 50));
    return test();
  };

  try {
    await client.connect(new StdioClientTransport({ command, args, env: { ...process.env }, stderr: 'inherit' }), {
      timeout: 20_000,
    });
    report.version = client.getNegotiatedProtocolVersion?.() ?? client.transport._protocolVersion ?? 'legacy';
    await step('list', async () => (await client.listTools()).tools.length > 3);
    await step('call', async () => said(await call('echo', { arguments: { text: 'grüße' } })));
    await step('ask', async () => said(await call('ask')));
    await step('log', async () => {
      const level = 'io.modelcontextprotocol/logLevel';
      const pinned = report.version === '2026-07-28';
      if (!pinned) await client.setLoggingLevel('info');
      await call('log', pinned ? { _meta: { [level]: 'info' } } : {});
      return until(() => heard.includes('log said'));
    });
    await step('subscribe', async () => {
      if (report.version === '2026-07-28') {
        await client.listen({ toolsListChanged: true, resourceSubscriptions: ['mem://note'] });
      } else {
        await client.subscribeResource({ uri: 'mem://note' });
      }
      await call('touch');
      return until(() => heard.includes('list_changed') && heard.includes('updated mem://note'));
    });
    await step('cancel', async () => {
      const stop = new AbortController();
      const hanging = call('hang', {}, { signal: stop.signal }).then(
        (result) => `answered: ${said(result)}`,
        () => 'gave up',
      );
      await new Promise((go) => setTimeout(go, 300));
      stop.abort();
      const end = await hanging;
      return `${end}, then ${said(await call('echo', { arguments: { text: 'on' } }))}`;
    });
  } catch (error) {
    report.connect = `error: ${String(error.message).slice(0, 300)}`;
  }
  console.log(JSON.stringify(report));
  await client.close().catch(() => {});
}

for (const [command, ...args] of JSON.parse(commands)) await use(command, args);
