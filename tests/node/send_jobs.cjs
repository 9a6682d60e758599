// Sends the spans of a few generation jobs with the official OpenTelemetry SDK for Node, and prints what they were.
//
//     NODE_PATH=target/node/node_modules node send_jobs.cjs grpc|proto|json ENDPOINT FIRST_JOB
//
// The same jobs as tests/python/send_jobs.py. Exits with 1 when the exporter did not get everything accepted.
"use strict";

const { SpanKind, SpanStatusCode, context, trace } = require("@opentelemetry/api");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { BasicTracerProvider, BatchSpanProcessor } = require("@opentelemetry/sdk-trace-base");

const MODEL = "https://queue.fal.run/fal-ai/flux/dev";
const TASKS = "https://queue.fal.run/fal-ai/flux/requests";

const EXPORTERS = { grpc: "grpc", proto: "proto", json: "http" };

function exporter(protocol, endpoint) {
  const { OTLPTraceExporter } = require(`@opentelemetry/exporter-trace-otlp-${EXPORTERS[protocol]}`);
  const url = protocol === "grpc" ? endpoint : `${endpoint}/v1/traces`;
  const compression = protocol === "json" ? "gzip" : "none";
  return new OTLPTraceExporter({ url, compression, timeoutMillis: 10000 });
}

/** Passes spans on and remembers whether every export was accepted. */
class Watched {
  constructor(inner) {
    this.inner = inner;
    this.failed = 0;
  }

  export(spans, done) {
    this.inner.export(spans, (result) => {
      if (result.code !== 0) {
        this.failed += 1;
        console.error(result.error);
      }
      done(result);
    });
  }

  shutdown() {
    return this.inner.shutdown();
  }

  async forceFlush() {
    await this.inner.forceFlush?.();
  }
}

/** One web request that makes one image, starting at `at` (milliseconds). */
class Job {
  constructor(tracer, at) {
    this.tracer = tracer;
    this.at = at;
    this.request = tracer.startSpan("POST /api/generations", { kind: SpanKind.SERVER, startTime: at });
    this.parent = trace.setSpan(context.active(), this.request);
    this.spans = 1;
  }

  call(method, url, status) {
    const attributes = {
      "http.request.method": method,
      "url.full": url,
      "server.address": "queue.fal.run",
      "http.response.status_code": status,
    };
    const span = this.tracer.startSpan(method, { kind: SpanKind.CLIENT, startTime: this.at, attributes }, this.parent);
    if (status >= 400) span.setStatus({ code: SpanStatusCode.ERROR });
    this.at += 200;
    span.end(this.at);
    this.at += 500;
    this.spans += 1;
  }

  end() {
    this.request.end(this.at);
    return this.spans;
  }
}

/** Submitted (refused with 429 before, if told so), polled, fetched. */
function run(tracer, at, task, refused, polls) {
  const job = new Job(tracer, at);
  if (refused) job.call("POST", MODEL, 429);
  job.call("POST", MODEL, 200);
  for (let poll = 0; poll < polls; poll += 1) job.call("GET", `${TASKS}/${task}/status`, 200);
  job.call("GET", `${TASKS}/${task}`, 200);
  return job.end();
}

async function main() {
  const [protocol, endpoint, first] = process.argv.slice(2);
  const watched = new Watched(exporter(protocol, endpoint));
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ "service.name": "clips", "service.instance.id": "e2e" }),
    spanProcessors: [new BatchSpanProcessor(watched)],
  });
  const tracer = provider.getTracer("e2e");
  const began = Date.now() - 120_000;
  const tasks = [];
  let spans = 0;
  for (const [number, refused] of [false, true, false].entries()) {
    const digits = (Number(first) + number).toString(16).padStart(12, "0");
    const task = `00000000-0000-0000-0000-${digits}`;
    spans += run(tracer, began + number * 20_000, task, refused, refused ? 1 : 3);
    tasks.push(task);
  }
  await provider.shutdown();
  console.log(JSON.stringify({ tasks, spans, attempts: 4, polls: 7 }));
  process.exitCode = watched.failed ? 1 : 0;
}

main();
