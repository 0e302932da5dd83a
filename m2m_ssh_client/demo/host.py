"""The MCP host's part in the demo: a client process that is spoken to in lines of JSON-RPC."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from m2m_ssh_client.text import printable, shortened

_TIME = 60.0  # seconds, for the whole conversation
_END_TIME = 5.0  # seconds, for the client to end by itself
_STDERR_LINES = 50


class StepFailedError(Exception):
    """A step of the demo did not go as it must; the text says which, and how it went."""


class Host:
    """A context manager: starts the child, and ends it as a host would, all bounded in time."""

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        notified: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.notifications: list[Mapping[str, Any]] = []
        self.stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self.status: int | None = None
        self._notified = notified
        self._deadline = time.monotonic() + _TIME
        self._last_id = 0
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(  # noqa: S603 - our own client
            list(argv), stdin=pipe, stdout=pipe, stderr=pipe, env=dict(env)
        )
        self._readers = [
            threading.Thread(target=reader, daemon=True)
            for reader in (self._read_stdout, self._read_stderr)
        ]

    def __enter__(self) -> Host:
        for reader in self._readers:
            reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close its stdin, as a host ends a server; kill it if it stays."""
        with suppress(OSError):
            _pipe(self._child.stdin).close()
        try:
            self.status = self._child.wait(_END_TIME)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait(_END_TIME)
        for reader in self._readers:
            reader.join(_END_TIME)
        _pipe(self._child.stdout).close()
        _pipe(self._child.stderr).close()

    def request(self, method: str, params: Mapping[str, Any]) -> Any:
        """The result; raises StepFailedError for an error, for no answer in time, and at the end."""
        self._last_id += 1
        self._send({"id": self._last_id, "method": method, "params": params})
        while True:
            message = self._receive(method)
            if message.get("id") == self._last_id and "method" not in message:
                if "result" in message:
                    return message["result"]
                raise StepFailedError(f"{method}: {json.dumps(message.get('error'))}")
            if "id" not in message:
                self.notifications.append(message)
                self._notified(message)

    def notify(self, method: str) -> None:
        self._send({"method": method})

    def _send(self, message: Mapping[str, Any]) -> None:
        stdin = _pipe(self._child.stdin)
        with suppress(OSError):  # it has ended: _receive says so
            stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
            stdin.flush()

    def _receive(self, method: str) -> Mapping[str, Any]:
        try:
            line = self._lines.get(timeout=max(self._deadline - time.monotonic(), 0))
        except queue.Empty:
            raise StepFailedError(f"{method}: no answer within {_TIME:g} seconds") from None
        if line is None:
            raise StepFailedError(f"{method}: the client has ended")
        try:
            message = json.loads(line)
        except ValueError as exc:
            raise StepFailedError(f"{method}: not JSON: {shortened(printable(line))}") from exc
        if not isinstance(message, dict):
            raise StepFailedError(f"{method}: no JSON-RPC message: {shortened(printable(line))}")
        return message

    def _read_stdout(self) -> None:
        for line in _pipe(self._child.stdout):
            self._lines.put(line)
        self._lines.put(None)

    def _read_stderr(self) -> None:
        for line in _pipe(self._child.stderr):
            self.stderr.append(printable(line.rstrip()))


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101 - it was asked for
    return stream
