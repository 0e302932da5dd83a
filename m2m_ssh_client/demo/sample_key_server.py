"""A key server on loopback that answers like `m2m-mcp-server-ssh-server --run-key-server`."""

from __future__ import annotations

import json
import socketserver
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from m2m_ssh_client.ssh.public_key import PublicKey

_WINDOW = 60.0  # seconds that the rate limit counts
_MAX_BODY = 64 * 1024
_READ_TIMEOUT = 10.0  # seconds; a silent client must not occupy its thread


class KeyServer:
    """A context manager; within it the server is at 127.0.0.1, port `port`.

    `registered` holds the clients' keys; with `only`, no other can be registered. `rate_limit` is
    in requests per minute. `events` is called with a text for each event, in the threads of the
    server.
    """

    def __init__(
        self,
        host_key: PublicKey,
        only: PublicKey | None = None,
        *,
        port: int = 0,
        rate_limit: int | None = None,
        events: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.registered: set[PublicKey] = set()
        self._host_key = host_key
        self._only = only
        self._rate_limit = rate_limit
        self._events = events
        self._lock = threading.Lock()  # guards `_recent`
        self._recent: deque[float] = deque()
        self._http = _HTTPServer(("127.0.0.1", port), self)
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.05,), name="demo-key-server", daemon=True
        )

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    def __enter__(self) -> KeyServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)

    def answer(self, method: str, path: str, content_type: str, body: bytes) -> tuple[int, object]:
        """Return the status and the JSON document for a request."""
        if not self._allowed():
            status, document = 429, _error("Rate limit exceeded. Try again later.")
        elif (method, path) == ("GET", "/server_pub_key"):
            line = f"{self._host_key.key_type} {self._host_key.base64}"
            status, document = 200, {"server_pub_key": line}
        elif (method, path) == ("GET", "/health"):
            status, document = 200, {"status": "healthy"}
        elif (method, path) == ("POST", "/register"):
            status, document = self._register(content_type, body)
        else:
            status, document = 404, _error("Not found")
        self._events(f"{method} {path}: status {status}")
        return status, document

    def _allowed(self) -> bool:
        if self._rate_limit is None:
            return True
        now = time.monotonic()
        with self._lock:
            while self._recent and now - self._recent[0] >= _WINDOW:
                self._recent.popleft()
            if len(self._recent) >= self._rate_limit:
                return False
            self._recent.append(now)
            return True

    def _register(self, content_type: str, body: bytes) -> tuple[int, dict[str, str]]:
        if content_type.partition(";")[0].strip().lower() != "application/json":
            return 415, _error("Content-Type must be application/json")
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return 400, _error("Invalid JSON data")
        text = document.get("client_pub_key") if isinstance(document, dict) else None
        if not isinstance(text, str):
            return 400, _error("Missing client_pub_key parameter")
        try:
            key = PublicKey.parse_host_key(text.strip())
        except ValueError as exc:
            return 400, _error(f"Failed to register key: {exc}")
        if self._only not in (None, key):
            return 403, _error("This server takes the key of its own client only")
        self.registered.add(key)
        self._events(f"registered the client key {key.fingerprint}")
        return 200, {"status": "success"}


class _HTTPServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A TCP server; http.server's own looks up the host name, which can take seconds."""

    block_on_close = True  # leaving the context waits for the requests under way
    daemon_threads = False
    # Allows an immediate restart; on Windows it would let two servers share a port.
    allow_reuse_address = sys.platform != "win32"

    def __init__(self, address: tuple[str, int], key_server: KeyServer) -> None:
        self.key_server = key_server
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that went away; http.server would print a traceback."""


class _Handler(BaseHTTPRequestHandler):
    """Handles one request per connection (HTTP/1.0), so that leaving the context never waits."""

    server: _HTTPServer
    timeout = _READ_TIMEOUT

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or int(length[:9]) > _MAX_BODY:
            self.send_error(413)
            return
        self._answer(self.rfile.read(int(length)))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited
        """Log nothing: `events` reports requests."""

    def _answer(self, body: bytes) -> None:
        content_type = self.headers.get("Content-Type", "")
        status, document = self.server.key_server.answer(
            self.command, self.path, content_type, body
        )
        payload = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


def _error(text: str) -> dict[str, str]:
    return {"error": text}
