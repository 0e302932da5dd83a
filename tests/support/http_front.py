"""A stdio server behind Streamable HTTP, for programs that test servers and speak only HTTP.

Each host has a process of its own: a legacy host is a session (`Mcp-Session-Id`), a modern one is told
by the capabilities that it declares. Messages are passed on as they are, except that requests get ids
that are unique for their process. What the server says by itself goes into the stream of the request
that it belongs to, or of the newest one.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from uuid import uuid4

Message = dict[str, Any]
_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
_ANSWER_TIMEOUT = 20.0  # seconds
_END_TIMEOUT = 5.0  # seconds


class _Request:
    """A request of the HTTP client that waits for its answer."""

    def __init__(self, message: Message) -> None:
        self.id = message["id"]
        meta = (message.get("params") or {}).get("_meta") or {}
        self.token = meta.get("progressToken")
        self.replies: queue.SimpleQueue[Message] = queue.SimpleQueue()


class _Process:
    """A server and the requests that it has not answered."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._open: dict[str, _Request] = {}
        self._count = 0
        self._lock = threading.Lock()
        self._child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, message: Message) -> _Request:
        request = _Request(message)
        with self._lock:
            self._count += 1
            own_id = f"http-{self._count}"
            self._open[own_id] = request
            self._write({**message, "id": own_id})
        return request

    def tell(self, message: Message) -> None:
        with self._lock:
            self._write(message)

    def end(self) -> None:
        """Tell the server that its host has left."""
        assert self._child.stdin
        with self._lock:
            self._child.stdin.close()

    def close(self) -> None:
        """End the server, at the latest after five seconds."""
        self.end()
        try:
            self._child.wait(_END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._reader.join(_END_TIMEOUT)
        assert self._child.stdout
        self._child.stdout.close()

    def _write(self, message: Message) -> None:
        assert self._child.stdin
        self._child.stdin.write(json.dumps(message).encode() + b"\n")

    def _read(self) -> None:
        assert self._child.stdout
        for line in self._child.stdout:
            message = json.loads(line)
            with self._lock:
                if "method" in message:
                    request = self._of(message)
                else:
                    request = self._open.pop(message["id"], None)
                    message["id"] = request.id if request else None
            if request:
                request.replies.put(message)

    def _of(self, message: Message) -> _Request | None:
        requests = [*self._open.values()]
        token = (message.get("params") or {}).get("progressToken")
        named = [request for request in requests if token is not None and request.token == token]
        candidates = named or requests
        return candidates[-1] if candidates else None


class HttpFront:
    """An HTTP endpoint in front of a command; a context manager that ends all processes."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = argv
        self._hosts: dict[str, _Process] = {}
        self._left: list[_Process] = []
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"front": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/mcp"

    def __enter__(self) -> HttpFront:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        for process in [*self._hosts.values(), *self._left]:
            process.close()
        self._server.server_close()
        self._thread.join(_END_TIMEOUT)

    def process(self, host: str, *, is_new: bool) -> _Process | None:
        """Return the process of a host, which is started for one that is new."""
        with self._lock:
            if is_new and host not in self._hosts:
                self._hosts[host] = _Process(self._argv)
            return self._hosts.get(host)

    def leave(self, host: str) -> bool:
        """End the process of a host without waiting for it. Return whether there was one."""
        with self._lock:
            process = self._hosts.pop(host, None)
            if process:
                process.end()
                self._left.append(process)
        return process is not None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    front: HttpFront

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        session = self.headers.get("Mcp-Session-Id")
        if message.get("method") == "initialize":
            session = uuid4().hex
        meta = (message.get("params") or {}).get("_meta") or {}
        host = session or json.dumps(meta.get(_CAPABILITIES))
        is_new = session is None or message.get("method") == "initialize"
        process = self.front.process(host, is_new=is_new)
        if process is None:
            self._answer(404)
        elif "method" in message and "id" in message:
            self._stream(session, process.ask(message))
        else:
            process.tell(message)
            self._answer(202)

    def do_DELETE(self) -> None:
        self._answer(204 if self.front.leave(self.headers.get("Mcp-Session-Id", "")) else 404)

    def do_GET(self) -> None:
        self._answer(405)  # no stream besides those of requests

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Log nothing: the program that asks knows the answers."""

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _stream(self, session: str | None, request: _Request) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        if session:
            self.send_header("Mcp-Session-Id", session)
        self.end_headers()
        message: Message = {"method": ""}
        while "method" in message:
            message = request.replies.get(timeout=_ANSWER_TIMEOUT)
            self.wfile.write(b"data: %s\n\n" % json.dumps(message).encode())
        self.close_connection = True
