// Generations by Runway's SDK under the official instrumentation of fetch: two with the hook of docs/hooks, of which one
// fails, and one without it.
//
//     node hooked_job.mjs ENDPOINT HOOKED_TASK FAILED_TASK PLAIN_TASK
//
// The hook lies beside this file, as it would in an application. The provider is a server on loopback, to which the
// provider's name is resolved, so the spans have the address that they would have.
import { createServer } from 'node:http';
import { once } from 'node:events';
import dns from 'node:dns';

import { context, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import RunwayML from '@runwayml/sdk';

import { notingFetch } from './spantally-fetch.mjs';

const [endpoint, hooked, failed, plain] = process.argv.slice(2);
const HOST = 'api.dev.runwayml.com';
const STATES = ['PENDING', 'RUNNING', 'SUCCEEDED'];
const FAILURE = { status: 'FAILED', failure: 'It was withheld.', failureCode: 'SAFETY.OUTPUT.VIDEO' };

const polls = new Map();
const submitted = [hooked, failed, plain];
const provider = createServer((request, response) => {
  request.resume();
  const task = request.method === 'POST' ? submitted.shift() : request.url.split('/').at(-1);
  const poll = polls.get(task) ?? 0;
  const answer = { id: task, createdAt: new Date().toISOString() };
  if (request.method === 'GET') {
    answer.status = STATES[poll];
    answer.output = ['https://example.com/clip.mp4'];
    if (task === failed && poll === STATES.length - 1) Object.assign(answer, FAILURE);
    polls.set(task, poll + 1);
  }
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(answer));
});
provider.listen(0, '127.0.0.1');
await once(provider, 'listening');

const lookup = dns.lookup;
dns.lookup = (host, options, done) => lookup(host === HOST ? '127.0.0.1' : host, options, done);

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
const exporter = new OTLPTraceExporter({ url: `${endpoint}/v1/traces`, timeoutMillis: 10000 });
const tracers = new BasicTracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'hooks' }),
  spanProcessors: [new BatchSpanProcessor(exporter)],
});
trace.setGlobalTracerProvider(tracers);
registerInstrumentations({ instrumentations: [new UndiciInstrumentation()] });

for (const fetch of [notingFetch, notingFetch, undefined]) {
  const baseURL = `http://${HOST}:${provider.address().port}`;
  const client = new RunwayML({ apiKey: 'key_of_nobody', baseURL, fetch, maxRetries: 0 });
  const attributes = { 'gen_ai.provider.name': 'runway' };
  await trace.getTracer('app').startActiveSpan('make clip', { attributes }, async (span) => {
    const clip = { model: 'gen4_turbo', promptImage: 'https://example.com/a.png', ratio: '1280:720', duration: 5 };
    const { id } = await client.imageToVideo.create(clip);
    for (const _ of STATES) await client.tasks.retrieve(id);
    span.end();
  });
}
await tracers.shutdown();
provider.close();
provider.closeAllConnections();
