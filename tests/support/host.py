"""An MCP host as programs see it: it starts a command and speaks lines of JSON-RPC over pipes.

Knows nothing of the SDK, so that what it sees is what any host would see. Every wait is
bounded, and what the command wrote on stderr is part of each failure.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from support.usage import Limit

import m2m_ssh_client
from m2m_ssh_client.usage import COMMANDS

Message = dict[str, Any]

LEGACY_VERSION = "2025-11-25"
MODERN_VERSION = "2026-07-28"
DEFAULT_TIMEOUT = 15.0  # seconds for one message; a slow machine imports and connects in three
# The package under test, installed or not, whatever the folder that tests run in.
PACKAGE_PARENT = str(Path(m2m_ssh_client.__file__).parent.parent)
PROGRAM = (sys.executable, "-m", "m2m_ssh_client")
_LOOKING = 0.05  # seconds between two looks at how long a process has had no processor
_STDERR_SHOWN = 4000  # characters of stderr in a failure


def modern_meta() -> Message:
    """What every request of 2026-07-28 carries in `params._meta`."""
    return {
        "io.modelcontextprotocol/protocolVersion": MODERN_VERSION,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "host", "version": "1"},
    }


def client_argv(*options: str) -> list[str]:
    """The command under test, as a host's configuration would name it; this machine's own configuration is left out."""
    without = [] if "-F" in options or set(options[:1]) & set(COMMANDS) else ["-F", "none"]
    return [*PROGRAM, *without, *options]


def finished(*words: str) -> subprocess.CompletedProcess[str]:
    """A command of the program under test, done: its status, stdout and stderr."""
    return subprocess.run(
        client_argv(*words),
        env={**os.environ, "PYTHONPATH": PACKAGE_PARENT},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


class Host:
    """A running stdio server and its pipes; a context manager that never leaves the process behind.

    `lines` holds every line received, as bytes, in order; `others` the messages that `request` met
    while it waited for its answer. With `reading=False` its stdout is left alone until
    `start_reading()`.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        reading: bool = True,
    ) -> None:
        self.lines: list[bytes] = []
        self.others: list[Message] = []
        self._next_id = 0
        self._arrived: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._stderr = bytearray()
        self._process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": PACKAGE_PARENT, **(env or {})},
            cwd=cwd or Path(os.environ["HOME"]),
        )
        self._threads: list[threading.Thread] = []
        self._start(self._read_stderr)
        if reading:
            self.start_reading()

    def __enter__(self) -> Host:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stderr(self) -> str:
        """What the command wrote there so far."""
        return self._stderr.decode(errors="replace")

    def start_reading(self) -> None:
        self._start(self._read_stdout)

    def send(self, message: Mapping[str, Any] | bytes) -> None:
        """A message, or bytes as they are (the line feed included)."""
        data = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
        assert self._process.stdin is not None
        view = memoryview(data)
        try:
            while view:
                view = view[self._process.stdin.write(view) :]
        except BrokenPipeError:
            self._threads[0].join(DEFAULT_TIMEOUT)  # stderr says why
            raise self._failure("stdin is closed at the other end") from None

    def receive_line(self, timeout: float = DEFAULT_TIMEOUT) -> bytes:
        try:
            line = self._arrived.get(timeout=timeout)
        except queue.Empty:
            raise self._failure(f"no line within {timeout} s") from None
        if line is None:
            self._arrived.put(None)  # stays at its end for whoever asks next
            raise self._failure("stdout ended")
        self.lines.append(line)
        return line

    def receive(self, timeout: float = DEFAULT_TIMEOUT) -> Message:
        line = self.receive_line(timeout)
        try:
            message: Message = json.loads(line)
        except ValueError:
            raise self._failure(f"not JSON: {line[:200]!r}") from None
        return message

    def receive_until(
        self, wanted: Callable[[Message], bool], timeout: float = DEFAULT_TIMEOUT
    ) -> Message:
        """The first message that is wanted; the ones before it go to `others`."""
        deadline = time.monotonic() + timeout
        while True:
            message = self.receive(max(0.001, deadline - time.monotonic()))
            if wanted(message):
                return message
            self.others.append(message)

    def request(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Message:
        """Sends a request under the next integer id and returns its response, error or not."""
        self._next_id += 1
        own_id = self._next_id
        message: Message = {"jsonrpc": "2.0", "id": own_id, "method": method}
        if params is not None:
            message["params"] = params
        self.send(message)
        return self.receive_until(
            lambda m: m.get("id") == own_id and "method" not in m, timeout=timeout
        )

    def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        extra = {} if params is None else {"params": params}
        self.send({"jsonrpc": "2.0", "method": method, **extra})

    def answer(self, question: Message, result: Mapping[str, Any]) -> None:
        self.send({"jsonrpc": "2.0", "id": question["id"], "result": result})

    def initialize(self, *, name: str = "host", timeout: float = DEFAULT_TIMEOUT) -> Message:
        """The legacy era's handshake; returns the response, and goes no further on an error."""
        response = self.request(
            "initialize",
            {
                "protocolVersion": LEGACY_VERSION,
                "capabilities": {"roots": {"listChanged": True}, "sampling": {}, "elicitation": {}},
                "clientInfo": {"name": name, "version": "1"},
            },
            timeout=timeout,
        )
        if "result" in response:
            self.notify("notifications/initialized")
        return response

    def call(
        self, tool: str, arguments: Mapping[str, Any], *, timeout: float = DEFAULT_TIMEOUT
    ) -> Message:
        return self.request("tools/call", {"name": tool, "arguments": arguments}, timeout=timeout)

    def close_stdin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def close_stdout(self) -> None:
        """Nobody will read any more. Needs `reading=False`: a read under way would keep it open."""
        assert self._process.stdout is not None
        self._process.stdout.close()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, timeout: float | Limit = DEFAULT_TIMEOUT) -> int:
        """The exit status, once stderr is complete too; a wait for a processor does not count."""
        limit = timeout if isinstance(timeout, Limit) else Limit(timeout, self.pid)
        while (left := limit.left) > 0:
            with suppress(subprocess.TimeoutExpired):
                status = self._process.wait(min(left, _LOOKING))
                break
        else:
            raise self._failure("still running after its time")
        for thread in self._threads:
            thread.join(DEFAULT_TIMEOUT)
        return status

    def wait_for_stderr(self, text: str, timeout: float = DEFAULT_TIMEOUT) -> None:
        deadline = time.monotonic() + timeout
        while text not in self.stderr:
            if time.monotonic() > deadline:
                raise self._failure(f"{text!r} is not on stderr after {timeout} s")
            time.sleep(0.01)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join(DEFAULT_TIMEOUT)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=target.__name__, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _read_stdout(self) -> None:
        assert self._process.stdout is not None
        pieces: list[bytes] = []  # of a line whose end has not come yet
        while chunk := self._process.stdout.read(1 << 16):
            *lines, rest = chunk.split(b"\n")
            for line in lines:
                self._arrived.put(b"".join([*pieces, line]))
                pieces.clear()
            if rest:
                pieces.append(rest)
        if pieces:
            self._arrived.put(b"".join(pieces))
        self._arrived.put(None)

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        while chunk := self._process.stderr.read(1 << 16):
            self._stderr += chunk

    def _failure(self, what: str) -> AssertionError:
        status = self._process.poll()
        state = "still running" if status is None else f"exit status {status}"
        return AssertionError(f"{what} ({state}); stderr:\n{self.stderr[-_STDERR_SHOWN:]}")
