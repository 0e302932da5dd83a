// The server that the conformance suite of MCP asks for: its tools, prompts and resources.
// Its argument says how it speaks: "legacy" (sdk 1.x), or "serve" or "reject" (what server 2.x does with legacy hosts).
import { z } from 'zod';

const mode = process.argv[2];
const isLegacy = mode === 'legacy';
const sdk = isLegacy
  ? { ...(await import('@modelcontextprotocol/sdk/server/mcp.js')), ...(await import('@modelcontextprotocol/sdk/server/completable.js')) }
  : await import('@modelcontextprotocol/server');

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==';
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=';
const text = (value) => ({ type: 'text', text: value });
const image = { type: 'image', data: PNG, mimeType: 'image/png' };
const embedded = (uri, mimeType, value) => ({ type: 'resource', resource: { uri, mimeType, text: value } });
const said = (content) => ({ content: [].concat(content) });
const shape = (properties) => (isLegacy ? properties : z.object(properties));
const pause = () => new Promise((done) => setTimeout(done, 50));
const object = (properties, required = Object.keys(properties)) => ({ type: 'object', properties, required });

const form = (message, requestedSchema) => ({ method: 'elicitation/create', params: { message, requestedSchema } });
const sample = (prompt, maxTokens = 100) => ({
  method: 'sampling/createMessage',
  params: { messages: [{ role: 'user', content: text(prompt) }], maxTokens },
});
const roots = { method: 'roots/list', params: {} };
const NAME = form('What is your name?', object({ name: { type: 'string' } }));
const OK = form('Please confirm', object({ ok: { type: 'boolean' } }));
const DEFAULTS = object(
  {
    name: { type: 'string', default: 'John Doe' },
    age: { type: 'integer', default: 30 },
    score: { type: 'number', default: 95.5 },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
    verified: { type: 'boolean', default: true },
  },
  [],
);
const plain = ['option1', 'option2', 'option3'];
const titled = [1, 2, 3].map((n) => ({ const: `value${n}`, title: `Option ${n}` }));
const ENUMS = object(
  {
    untitledSingle: { type: 'string', enum: plain },
    titledSingle: { type: 'string', oneOf: titled },
    legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['One', 'Two', 'Three'] },
    untitledMulti: { type: 'array', items: { type: 'string', enum: plain } },
    titledMulti: { type: 'array', items: { anyOf: titled } },
  },
  [],
);
// What the suite expects of a tool's input schema, with words of JSON Schema 2020-12.
const SCHEMA = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: { address: { $anchor: 'addressDef', type: 'object', properties: { street: { type: 'string' }, city: { type: 'string' } } } },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' },
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
};

async function create() {
  const codec = isLegacy ? undefined : sdk.createRequestStateCodec({ key: new Uint8Array(32).fill(7) });
  const capabilities = { logging: {}, completions: {}, tools: {}, prompts: {}, resources: { subscribe: true, listChanged: true } };
  const server = new sdk.McpServer(
    { name: 'conformance', version: '1' },
    { capabilities, ...(codec && { requestState: { verify: codec.verify } }) },
  );

  // Ask the host; `rounds` is a list of questions by name. The answers go to `done`.
  const asking = (rounds, done, withState) => async (...given) => {
    const context = given.at(-1);
    if (isLegacy) {
      const answers = {};
      for (const [name, { method, params }] of rounds.flatMap(Object.entries)) {
        if (method === 'elicitation/create') answers[name] = await server.server.elicitInput(params);
        else if (method === 'roots/list') answers[name] = await server.server.listRoots();
        else answers[name] = await server.server.createMessage(params);
      }
      return done(answers);
    }
    const state = context.mcpReq.requestState();
    const at = state?.round ?? 0;
    const answers = { ...state?.answers, ...context.mcpReq.inputResponses };
    const declared = context.mcpReq.envelope?.['io.modelcontextprotocol/clientCapabilities'];
    const may = { 'elicitation/create': 'elicitation', 'sampling/createMessage': 'sampling', 'roots/list': 'roots' };
    const questions = Object.entries(rounds[at]).filter(([, { method }]) => !withState?.filter || declared?.[may[method]]);
    const isAnswered = questions.every(([name]) => typeof answers[name] === 'object');
    if (isAnswered && at + 1 === rounds.length) return done(answers);
    const round = isAnswered ? at + 1 : at;
    return sdk.inputRequired({
      inputRequests: Object.fromEntries(isAnswered ? Object.entries(rounds[round]) : questions),
      ...(withState && { requestState: await codec.mint({ round, answers: isAnswered ? answers : {} }, context) }),
    });
  };
  const tool = (name, properties, handler) =>
    server.registerTool(name, { description: name, ...(properties && { inputSchema: shape(properties) }) }, handler);
  const json = (name, value) => text(`${name}: ${JSON.stringify(value)}`);

  tool('test_simple_text', null, () => said(text('This is a simple text response for testing.')));
  tool('test_image_content', null, () => said(image));
  tool('test_audio_content', null, () => said({ type: 'audio', data: WAV, mimeType: 'audio/wav' }));
  tool('test_embedded_resource', null, () =>
    said(embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')),
  );
  tool('test_multiple_content_types', null, () =>
    said([text('Multiple content types test:'), image, embedded('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}')]),
  );
  tool('test_error_handling', null, () => {
    throw new Error('This tool intentionally returns an error for testing');
  });
  tool('test_tool_with_logging', null, async (context) => {
    for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
      if (isLegacy) await context.sendNotification({ method: 'notifications/message', params: { level: 'info', data } });
      else await context.mcpReq.log('info', data);
      await pause();
    }
    return said(text('logged'));
  });
  tool('test_tool_with_progress', null, async (context) => {
    const progressToken = (isLegacy ? context : context.mcpReq)._meta?.progressToken;
    const notify = isLegacy ? context.sendNotification : context.mcpReq.notify;
    for (const progress of [0, 50, 100]) {
      if (progressToken !== undefined)
        await notify({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
      await pause();
    }
    return said(text('done'));
  });
  const withArgument = (name, argument, question, done) =>
    tool(name, { [argument]: z.string() }, (args, context) => asking([{ it: question(args[argument]) }], done)(context));
  withArgument('test_sampling', 'prompt', sample, ({ it }) => said(json('LLM response', it.content)));
  const user = object({ username: { type: 'string', description: 'Name' }, email: { type: 'string', description: 'Address' } });
  withArgument('test_elicitation', 'message', (message) => form(message, user), ({ it }) => said(json('User response', it)));
  const elicits = (name, message, schema) =>
    tool(name, null, asking([{ it: form(message, schema) }], ({ it }) => said(json('Elicitation completed', it))));
  elicits('test_elicitation_sep1034_defaults', 'Defaults', DEFAULTS);
  elicits('test_elicitation_sep1330_enums', 'Enums', ENUMS);
  if (!isLegacy)
    server.registerTool('json_schema_2020_12_tool', { description: 'schema', inputSchema: sdk.fromJsonSchema(SCHEMA) }, () => said(text('valid')));

  const required = (name, rounds, withState) =>
    tool(`test_input_required_result_${name}`, null, asking(rounds, (answers) => said(json('state-ok', answers)), withState));
  required('elicitation', [{ user_name: NAME }]);
  required('sampling', [{ capital_question: sample('What is the capital of France?') }]);
  required('list_roots', [{ client_roots: roots }]);
  required('request_state', [{ confirm: OK }], {});
  required('tampered_state', [{ confirm: OK }], {});
  required('multiple_inputs', [{ user_name: NAME, greeting: sample('Generate a greeting', 50), client_roots: roots }], {});
  required('multi_round', [{ step1: NAME }, { step2: form('Color?', object({ color: { type: 'string' } })) }], {});
  required('capabilities', [{ user_name: NAME, greeting: sample('Generate a greeting') }], { filter: true });

  const message = (content) => ({ role: 'user', content });
  const prompt = (name, properties, handler) =>
    server.registerPrompt(name, { description: name, ...(properties && { argsSchema: shape(properties) }) }, handler);
  prompt('test_simple_prompt', null, () => ({ messages: [message(text('This is a simple prompt for testing.'))] }));
  const arg = () => sdk.completable(z.string(), (value) => ['paris', 'park', 'party'].filter((it) => it.startsWith(value)));
  prompt('test_prompt_with_arguments', { arg1: arg(), arg2: z.string() }, ({ arg1, arg2 }) => ({
    messages: [message(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))],
  }));
  prompt('test_prompt_with_embedded_resource', { resourceUri: z.string() }, ({ resourceUri }) => ({
    messages: [
      message(embedded(resourceUri, 'text/plain', 'Embedded resource content for testing.')),
      message(text('Please process the embedded resource above.')),
    ],
  }));
  prompt('test_prompt_with_image', null, () => ({ messages: [message(image), message(text('Please analyze the image above.'))] }));
  const context = form('What context should the prompt use?', object({ context: { type: 'string' } }));
  prompt('test_input_required_result_prompt', null, asking([{ user_context: context }], (answers) => ({ messages: [message(json('Context', answers))] })));

  const resource = (name, uri, mimeType, member) =>
    server.registerResource(name, uri, { description: name, mimeType }, (url) => ({ contents: [{ uri: url.href, mimeType, ...member }] }));
  resource('static-text', 'test://static-text', 'text/plain', { text: 'This is the content of the static text resource.' });
  resource('static-binary', 'test://static-binary', 'image/png', { blob: PNG });
  resource('watched-resource', 'test://watched-resource', 'text/plain', { text: 'watched' });
  server.registerResource('template', new sdk.ResourceTemplate('test://template/{id}/data', { list: undefined }), { description: 'template' }, (url, { id }) => ({
    contents: [{ uri: url.href, mimeType: 'application/json', text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }],
  }));
  return server;
}

if (isLegacy) {
  const { StdioServerTransport } = await import('@modelcontextprotocol/sdk/server/stdio.js');
  const { SubscribeRequestSchema, UnsubscribeRequestSchema } = await import('@modelcontextprotocol/sdk/types.js');
  const server = await create();
  server.server.setRequestHandler(SubscribeRequestSchema, () => ({}));
  server.server.setRequestHandler(UnsubscribeRequestSchema, () => ({}));
  await server.connect(new StdioServerTransport());
} else {
  const { serveStdio } = await import('@modelcontextprotocol/server/stdio');
  serveStdio(create, { legacy: mode });
}
