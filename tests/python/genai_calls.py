"""Calls of OpenAI's SDK against a stand-in, of which only OpenLLMetry's spans are seen.

    genai_calls.py http://COLLECTOR

Five succeed, one is refused with 429, one is given up after a second.
"""

import http.server
import json
import sys
import threading
import time

from openai import OpenAI, OpenAIError
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


class Provider(http.server.BaseHTTPRequestHandler):
    """Answers a chat as OpenAI does; what it is asked says how."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        content = asked["messages"][0]["content"]
        if content == "slow":
            time.sleep(3)
        answer = {
            "id": f"chatcmpl-{time.time_ns()}",
            "object": "chat.completion",
            "created": 1,
            "model": asked["model"],
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}
            ],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
        }
        body = json.dumps(answer).encode()
        self.send_response(429 if content == "busy" else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except BrokenPipeError:
            pass  # the client gave up

    def log_message(self, *arguments):
        pass


def main():
    provider = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    tracing = TracerProvider(resource=Resource.create({"service.name": "genai"}))
    exporter = OTLPSpanExporter(endpoint=f"{sys.argv[1]}/v1/traces")
    tracing.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(tracing)
    OpenAIInstrumentor().instrument()
    address = f"http://127.0.0.1:{provider.server_port}/v1"
    client = OpenAI(api_key="none", base_url=address, max_retries=0, timeout=1)
    for content in ["one", "two", "three", "four", "five", "busy", "slow"]:
        try:
            client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": content}]
            )
        except OpenAIError as error:
            print(content, type(error).__name__)
    tracing.shutdown()


main()
