"""Puts the task id and the status of a provider's answer on the span around the call.

The instrumentation of an HTTP client never reads a body, and most providers say the task id nowhere else. With this hook
the span that your application has around a generation carries both, so that Spantally ties the submit to its task by name.

    client = httpx.Client(event_hooks={"response": [spantally_httpx.note_task]})
    async_client = httpx.AsyncClient(event_hooks={"response": [spantally_httpx.note_task_async]})

    with tracer.start_as_current_span("make clip"):        # one span for each generation
        client.post(...)

Clients that take an `http_client` (openai, runwayml, lumaai) can be given such a client. Of the body only the id and the
status are kept.
"""
from opentelemetry import trace

ID_KEYS = ("request_id", "id")
STATUS_KEYS = ("status", "state")


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
        for attribute, keys in (("spantally.task.id", ID_KEYS), ("spantally.task.status", STATUS_KEYS)):
            value = next((body[key] for key in keys if isinstance(body.get(key), str)), None)
            if value is not None:
                span.set_attribute(attribute, value)
