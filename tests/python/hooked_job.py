"""Generations by httpx under its official instrumentation: two with the hook of docs/hooks, of which one fails, and one
without it.

    python hooked_job.py ENDPOINT HOOKED_TASK FAILED_TASK PLAIN_TASK

The provider is httpx's own stand-in for a transport; the address is the provider's, so the spans are what they would be.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "docs/hooks"))

import httpx
import spantally_httpx
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

ENDPOINT, HOOKED, FAILED, PLAIN = sys.argv[1:]
FAMILY = "https://queue.fal.run/fal-ai/flux"


def client_of(task, hooks):
    answers = iter(["IN_QUEUE", "IN_PROGRESS", "IN_PROGRESS", "COMPLETED"])

    def answer(request):
        body = {"request_id": task, "status": next(answers)}
        if task == FAILED and body["status"] == "COMPLETED":
            body["error_type"] = "runner_disconnected"
        return httpx.Response(200, json=body)

    client = httpx.Client(transport=httpx.MockTransport(answer), event_hooks={"response": hooks})
    HTTPXClientInstrumentor.instrument_client(client)
    return client


provider = TracerProvider(resource=Resource.create({"service.name": "hooks"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=ENDPOINT + "/v1/traces", timeout=10)))
trace.set_tracer_provider(provider)
for task, hooks in ((HOOKED, [spantally_httpx.note_task]), (FAILED, [spantally_httpx.note_task]), (PLAIN, [])):
    client = client_of(task, hooks)
    # fal's COMPLETED is an end and no success: where the span names fal, only the error of the failed one says which.
    attributes = {"gen_ai.provider.name": "fal"} if task == FAILED else {}
    with trace.get_tracer("app").start_as_current_span("make clip", attributes=attributes):
        client.post(f"{FAMILY}/dev", json={"prompt": "x"})
        for _ in range(3):
            client.get(f"{FAMILY}/requests/{task}/status")
provider.shutdown()
