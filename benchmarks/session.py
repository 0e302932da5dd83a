"""A host's end of one stdio server, as little as can be, and what is measured on it: seconds and bytes."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

_INITIALIZE = (
    b'"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},'
    b'"clientInfo":{"name":"benchmark","version":"1"}}'
)
_CALL = b'"tools/call","params":{"name":"echo","arguments":{%b}}'
_GRACE = 10.0


class Session:
    """A running peer and its pipes; a context manager that leaves no process behind.

    Raises EOFError when the peer ends early; a peer that stays silent is ended after `limit` seconds.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], limit: float = 120.0) -> None:
        self._process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=dict(env),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin = self._process.stdin
        self._stdout = self._process.stdout
        self._next_id = 0
        self._watchdog = threading.Timer(limit, self._process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watchdog.cancel()
        self._stdin.close()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stdout.close()

    def begin(self) -> None:
        """`initialize` and `tools/list`, as a host begins. Raises RuntimeError for a peer that has no server."""
        self._send(_INITIALIZE)
        answer = self._receive(1)
        if b'"error"' in answer:
            raise RuntimeError(f"the peer has no server: {answer.decode(errors='replace')}")
        self._write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        self._send(b'"tools/list"')
        self._receive(1)

    def call(self, size_up: int = 0, size_down: int = 0) -> float:
        """How long one call takes, with so long an argument and so long an answer."""
        argument = b'"size":%d' % size_down if size_down else b'"text":"%b"' % (b"x" * size_up)
        line = self._line(_CALL % argument)
        begun = time.perf_counter()
        self._write(line)
        self._receive(1)
        return time.perf_counter() - begun

    def call_behind_noise(self, size: int) -> None:
        """A call whose answer follows a line of so many bytes that is no message."""
        self._write(self._line(_CALL % (b'"noise":%d' % size)))
        self._receive(1)

    def calls_at_once(self, count: int) -> float:
        """How long so many calls take that are sent without waiting."""
        lines = b"".join(self._line(_CALL % b'"text":"hello"') for _ in range(count))
        writer = threading.Thread(target=self._write, args=(lines,), daemon=True)
        begun = time.perf_counter()
        writer.start()
        self._receive(count)
        took = time.perf_counter() - begun
        writer.join()
        return took

    def memory(self, field: str) -> float:
        """In MB: `VmRSS`, what is resident now, `VmHWM`, the most that ever was, or `Pss` (proc(5))."""
        name = "smaps_rollup" if field == "Pss" else "status"
        status = Path(f"/proc/{self._process.pid}/{name}").read_text()
        found = re.search(rf"{field}:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024 / 1e6

    def _line(self, request: bytes) -> bytes:
        self._next_id += 1
        return b'{"jsonrpc":"2.0","id":%d,"method":%b}\n' % (self._next_id, request)

    def _send(self, request: bytes) -> None:
        self._write(self._line(request))

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._stdin.fileno(), rest) :]

    def _receive(self, count: int) -> bytes:
        """Read so many lines; return the last piece that came."""
        while True:
            chunk = os.read(self._stdout.fileno(), 1 << 20)
            if not chunk:
                raise EOFError("the peer ended")
            count -= chunk.count(b"\n")
            if count <= 0:
                return chunk
