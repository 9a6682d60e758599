"""Sends the spans of a few generation jobs with the official OpenTelemetry SDK, and prints what they were.

    python send_jobs.py grpc|http ENDPOINT FIRST_JOB

Certificates and headers (tokens) are given as the SDK reads them: OTEL_EXPORTER_OTLP_CERTIFICATE and so on.
The spans are what the instrumentation of an HTTP client records, under the span of a web request. Their times are set,
so nothing waits; ids of tasks follow from FIRST_JOB. Exits with 1 when the exporter did not get everything accepted.
"""
import json
import sys
import time
import uuid

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

SECOND = 1_000_000_000
MODEL = "https://queue.fal.run/fal-ai/flux/dev"
TASKS = "https://queue.fal.run/fal-ai/flux/requests"


def exporter(protocol, endpoint):
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        return OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https"), timeout=10)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    return OTLPSpanExporter(endpoint=endpoint + "/v1/traces", timeout=10)


class Job:
    """One web request that makes one image, starting at `at` (nanoseconds)."""

    def __init__(self, tracer, at):
        self.tracer, self.at = tracer, at
        self.request = tracer.start_span("POST /api/generations", kind=SpanKind.SERVER, start_time=at)
        self.spans = 1

    def call(self, method, url, status, seconds=0.2, gap=0.5):
        span = self.tracer.start_span(method, set_span_in_context(self.request), kind=SpanKind.CLIENT, attributes={
            "http.request.method": method, "url.full": url, "server.address": "queue.fal.run",
            "http.response.status_code": status}, start_time=self.at)
        if status >= 400:
            span.set_status(Status(StatusCode.ERROR))
        self.at += int(seconds * SECOND)
        span.end(self.at)
        self.at += int(gap * SECOND)
        self.spans += 1

    def end(self):
        self.request.end(self.at)
        return self.spans


def plain(tracer, at, task):
    """Submitted once, polled three times, fetched."""
    job = Job(tracer, at)
    job.call("POST", MODEL, 200)
    for _ in range(3):
        job.call("GET", f"{TASKS}/{task}/status", 200)
    job.call("GET", f"{TASKS}/{task}", 200)
    return job.end()


def refused_first(tracer, at, task):
    """Refused with 429, submitted again, polled once, fetched."""
    job = Job(tracer, at)
    job.call("POST", MODEL, 429)
    job.call("POST", MODEL, 200)
    job.call("GET", f"{TASKS}/{task}/status", 200)
    job.call("GET", f"{TASKS}/{task}", 200)
    return job.end()


class Watched:
    """Passes spans on and remembers whether every export was accepted."""

    def __init__(self, inner):
        self.inner, self.failed = inner, 0

    def export(self, spans):
        result = self.inner.export(spans)
        self.failed += result.name != "SUCCESS"
        return result

    def shutdown(self):
        return self.inner.shutdown()

    def force_flush(self, timeout_millis=30000):
        return self.inner.force_flush(timeout_millis)


def main():
    protocol, endpoint, first = sys.argv[1], sys.argv[2], int(sys.argv[3])
    watched = Watched(exporter(protocol, endpoint))
    provider = TracerProvider(resource=Resource.create({"service.name": "clips", "service.instance.id": "e2e"}))
    provider.add_span_processor(BatchSpanProcessor(watched))
    tracer = provider.get_tracer("e2e")
    began = time.time_ns() - 120 * SECOND
    tasks, spans = [], 0
    for number, kind in enumerate([plain, refused_first, plain]):
        task = str(uuid.UUID(int=first + number))
        spans += kind(tracer, began + number * 20 * SECOND, task)
        tasks.append(task)
    provider.shutdown()
    print(json.dumps({"tasks": tasks, "spans": spans, "attempts": 4, "polls": 7}))
    sys.exit(1 if watched.failed else 0)


main()
