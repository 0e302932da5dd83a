"""A chat completions endpoint on loopback that calls a tool once and then says what came back.

It speaks as much of that interface as an application needs that streams.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class Model:
    """Calls the tool whose name ends with `tool`; a context manager. `url` is its base URL."""

    def __init__(self, tool: str, arguments: dict[str, Any]) -> None:
        class Handler(_Handler):
            wanted = tool
            call_arguments = json.dumps(arguments)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Model:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    wanted: str
    call_arguments: str

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        delta, reason = self._next(request)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for choice in (
            {"index": 0, "delta": delta, "finish_reason": None},
            {"index": 0, "delta": {}, "finish_reason": reason},
        ):
            chunk = {"object": "chat.completion.chunk", "id": "1", "created": 1, "model": "stub"}
            self.wfile.write(f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def _next(self, request: dict[str, Any]) -> tuple[dict[str, Any], str]:
        results = [each["content"] for each in request["messages"] if each["role"] == "tool"]
        if results:
            return {"role": "assistant", "content": f"It says {results[-1]}"}, "stop"
        names = [tool["function"]["name"] for tool in request.get("tools", [])]
        tool = next((name for name in names if name.endswith(self.wanted)), None)
        if tool is None:
            return {"role": "assistant", "content": f"There is no {self.wanted}"}, "stop"
        function = {"name": tool, "arguments": self.call_arguments}
        call = {"index": 0, "id": "1", "type": "function", "function": function}
        return {"role": "assistant", "tool_calls": [call]}, "tool_calls"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Not on stderr."""
