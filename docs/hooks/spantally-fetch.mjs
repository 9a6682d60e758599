// Puts the task id, the status and the failure code of a provider's answer on the span around the call.
//
// The instrumentation of fetch (undici) never reads a body, and most providers say the task id nowhere else. With this
// function in the place of fetch the span that your application has around a generation carries them, so that Spantally
// ties the submit to its task by name, and knows why a task failed: of a FAILED alone nobody can tell what it costs. The
// provider's own codes are understood on a span that names it (`gen_ai.provider.name`).
//
//     import { notingFetch } from './spantally-fetch.mjs';
//     const client = new RunwayML({ fetch: notingFetch });
//
//     // One span for each task that you submit: what a second one answers would take the place of what the first one
//     // did. Where you submit again after a failure, say on both that they are one job: 'spantally.job.id'.
//     const attributes = { 'gen_ai.provider.name': 'runway' };
//     await tracer.startActiveSpan('make clip', { attributes }, async (span) => {
//       await client.imageToVideo.create({ ... });
//       span.end();
//     });
//
// Clients that take a `fetch` (openai, runwayml, lumaai) can be given it. Of the body only these are kept.
import { trace } from '@opentelemetry/api';

const NOTED = [
  ['spantally.task.id', ['request_id', 'id']],
  ['spantally.task.status', ['status', 'state']],
  ['spantally.task.error', ['failureCode', 'failure_code', 'error_type', 'error.code']],
];

function at(body, key) {
  return key.split('.').reduce((value, part) => value?.[part], body);
}

export async function notingFetch(input, init) {
  const response = await fetch(input, init);
  const span = trace.getActiveSpan();
  const isJson = (response.headers.get('content-type') ?? '').startsWith('application/json');
  if (isJson && span?.isRecording()) {
    const body = await response.clone().json().catch(() => undefined);
    for (const [attribute, keys] of NOTED) {
      const value = keys.map((key) => at(body, key)).find((found) => typeof found === 'string');
      if (value !== undefined) span.setAttribute(attribute, value);
      // Of an earlier answer: an attribute cannot be taken back, but an empty one says nothing.
      else if (attribute === 'spantally.task.error' && span.attributes?.[attribute]) span.setAttribute(attribute, '');
    }
  }
  return response;
}
