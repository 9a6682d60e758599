"""Puts the task id, the status and the failure code of a provider's answer on the span around the call.

The instrumentation of an HTTP client never reads a body, and most providers say the task id nowhere else. With this hook
the span that your application has around a generation carries them, so that Spantally ties the submit to its task by name,
and knows why a task failed: of a FAILED alone nobody can tell what it costs. The provider's own codes are understood on a
span that names it (`gen_ai.provider.name`).

    client = httpx.Client(event_hooks={"response": [spantally_httpx.note_task]})
    async_client = httpx.AsyncClient(event_hooks={"response": [spantally_httpx.note_task_async]})

    # One span for each task that you submit: what a second one answers would take the place of what the first one did.
    # Where you submit again after a failure, say on both that they are one job: "spantally.job.id".
    with tracer.start_as_current_span("make clip", attributes={"gen_ai.provider.name": "runway"}):
        client.post(...)

Clients that take an `http_client` (openai, runwayml, lumaai) can be given such a client. Of the body only these are
kept.
"""
from opentelemetry import trace

NOTED = (
    ("spantally.task.id", ("request_id", "id")),
    ("spantally.task.status", ("status", "state")),
    ("spantally.task.error", ("failureCode", "failure_code", "error_type", "error.code")),
)


def note_task(response):
    """For httpx.Client."""
    if _is_wanted(response):
        response.read()
        _note(response)


async def note_task_async(response):
    """For httpx.AsyncClient."""
    if _is_wanted(response):
        await response.aread()
        _note(response)


def _is_wanted(response):
    is_json = response.headers.get("content-type", "").startswith("application/json")
    return is_json and trace.get_current_span().is_recording()


def _note(response):
    try:
        body = response.json()
    except ValueError:
        return
    if isinstance(body, dict):
        span = trace.get_current_span()
        for attribute, keys in NOTED:
            value = next((found for found in (_at(body, key) for key in keys) if isinstance(found, str)), None)
            if value is not None:
                span.set_attribute(attribute, value)
            elif attribute in getattr(span, "attributes", {}) and attribute == "spantally.task.error":
                # Of an earlier answer: an attribute cannot be taken back, but an empty one says nothing.
                span.set_attribute(attribute, "")


def _at(body, key):
    for part in key.split("."):
        body = body.get(part) if isinstance(body, dict) else None
    return body
