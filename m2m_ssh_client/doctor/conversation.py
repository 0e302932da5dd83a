"""Questions and answers over a carrier, one at a time, with an eye on what is said before the first message."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from m2m_ssh_client.errors import MessageTooLongError, NotMCPError
from m2m_ssh_client.flow.remote_stdio import Carrier
from m2m_ssh_client.flow.splitting import LineSplitter
from m2m_ssh_client.proxy.frames.frame import (
    METHOD_NOT_FOUND,
    Id,
    NotJSONError,
    NotJSONRPCError,
    error_line,
    is_id,
    message_line,
    parse,
)
from m2m_ssh_client.proxy.frames.spelling import shell_safe
from m2m_ssh_client.proxy.login_shell import shell_complains, shell_error
from m2m_ssh_client.text import printable, shortened

_MOST_KEPT = 20  # lines of noise
_FAREWELL = 1.0  # seconds, as the proxy gives them: end of file, then signals


class RefusedError(Exception):
    """The server answered with a JSON-RPC error."""

    def __init__(self, code: object, message: str) -> None:
        super().__init__(f"{message} ({code})")


class EndedError(Exception):
    """The remote process has ended, or the connection has: `Carrier.ending` knows."""


class Conversation:
    """Starts the carrier. Its methods are for one thread; each answer gets `patience` seconds.

    `guarded`: what is at the other end may be a login shell, so the first request is spelt safely. `noise` are the
    lines on stdout that are no JSON-RPC, `stderr` those there, both up to the first message, of each the first few.
    """

    def __init__(self, carrier: Carrier, patience: float, *, guarded: bool, longest: int) -> None:
        self.noise: list[str] = []
        self.stderr: list[str] = []
        self.noise_count = 0
        self.stderr_count = 0
        self._carrier = carrier
        self._patience = patience
        self._guarded = guarded
        self._opened = self._ended = False
        self._next_id = 0
        self._arrived: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self._stdout, self._stderr = LineSplitter(longest), LineSplitter(longest)
        self._messages: list[dict[str, Any]] = []
        carrier.start(_Mailbox(self._arrived))

    def ask(self, method: str, params: Mapping[str, object] | None = None) -> dict[str, Any]:
        """The result. Raises RefusedError, EndedError, and NotMCPError for silence and for what a shell says."""
        self._next_id += 1
        request_id = self._next_id
        line = message_line(id=request_id, method=method, params=dict(params or {}))
        self._send(shell_safe(line) if self._guarded and not self._opened else line)
        deadline = time.monotonic() + self._patience
        while True:
            message = self._next_message(deadline)
            if message is None:
                raise self._silence(method)
            if method == message.get("method") == "initialize":  # no server asks for that
                raise NotMCPError(
                    "The far side sends back what it gets",
                    "That is what a terminal or `cat` does: the command there must be the MCP server itself.",
                )
            if "method" in message:
                self._refuse(message)
            elif message.get("id") == request_id:
                return _result(message)

    def tell(self, method: str) -> None:
        """A notification."""
        self._send(message_line(method=method))

    def hear_out(self) -> None:
        """Take what has come and nobody has asked for, lines without an end too. No more questions after that."""
        deadline = time.monotonic() + _FAREWELL
        with suppress(NotMCPError):
            for _ in range(self._arrived.qsize()):
                with suppress(EndedError):  # more may have come behind the end
                    self._take(deadline)
        for splitter, take in ((self._stdout, self._take_lines), (self._stderr, self._keep_stderr)):
            if splitter.pending:
                with suppress(MessageTooLongError):  # which has been told
                    take(splitter.feed(b"\n"))

    def end(self) -> None:
        """Let the server end as the proxy does, and wait for that, but not long."""
        with suppress(OSError, EndedError, NotMCPError):
            self._carrier.close_write()
            for signal in () if self._ended else ("TERM", "KILL"):
                deadline = time.monotonic() + _FAREWELL
                while self._take(deadline):
                    pass
                self._carrier.signal(signal)
        self._carrier.close()

    def _send(self, line: bytes) -> None:
        if self._ended:
            raise EndedError
        try:
            self._carrier.write(line + b"\n")
        except OSError as exc:
            raise EndedError from exc

    def _next_message(self, deadline: float) -> dict[str, Any] | None:
        while not self._messages:
            if not self._take(deadline):
                return None
            if not self._opened and shell_complains(self.stderr):
                raise shell_error()
        return self._messages.pop(0)

    def _take(self, deadline: float) -> bool:
        """Sort out the next piece that arrives; False if none does in time, or if there are ever more."""
        try:
            where, data = self._arrived.get(timeout=max(deadline - time.monotonic(), 0))
        except queue.Empty:
            return False
        if time.monotonic() > deadline:
            return False
        if where == "end":
            self._ended = True
            raise EndedError
        try:
            if where == "stdout":
                self._take_lines(self._stdout.feed(data))
            else:
                self._keep_stderr(self._stderr.feed(data))
        except MessageTooLongError as exc:
            raise NotMCPError(exc.message, exc.hint) from exc
        self._carrier.grant(len(data))
        return True

    def _take_lines(self, lines: list[bytes]) -> None:
        for line in lines:
            self._take_line(line)

    def _take_line(self, line: bytes) -> None:
        if not _is_message(line):
            self._keep_noise(line)
            return
        self._opened = True
        with suppress(ValueError, RecursionError):  # numbers and depths beyond what Python reads
            value = json.loads(line)
            self._messages += value if isinstance(value, list) else [value]

    def _keep_noise(self, line: bytes) -> None:
        if not self._opened and line.strip():
            self.noise_count += 1
            if len(self.noise) < _MOST_KEPT:
                self.noise.append(_shown(line))

    def _keep_stderr(self, lines: list[bytes]) -> None:
        if not self._opened:
            lines = [line for line in lines if line.strip()]
            self.stderr_count += len(lines)
            self.stderr += map(_shown, lines[: _MOST_KEPT - len(self.stderr)])

    def _refuse(self, message: dict[str, Any]) -> None:
        """Questions of the server: we are there, and can do nothing."""
        request_id: Id | None = message["id"] if is_id(message.get("id")) else None
        if message["method"] == "ping" and request_id is not None:
            self._send(message_line(id=request_id, result={}))
        elif request_id is not None:
            self._send(error_line(request_id, METHOD_NOT_FOUND, "Method not found"))

    def _silence(self, method: str) -> NotMCPError:
        if self._guarded and not self._opened:
            return shell_error()
        return NotMCPError(
            f"No answer to {method} within {self._patience:g} s",
            "Is it an MCP server on stdio that the command starts, and not one that waits for HTTP? "
            "If it only starts slowly: --connect-timeout SECONDS.",
        )


class _Mailbox:
    """A `Receiver`: what comes is granted when it is taken out, so no more than a window of it ever waits."""

    def __init__(self, arrived: queue.SimpleQueue[tuple[str, bytes]]) -> None:
        self._arrived = arrived

    def stdout(self, data: bytes) -> None:
        self._arrived.put(("stdout", data))

    def stderr(self, data: bytes) -> None:
        self._arrived.put(("stderr", data))

    def ended(self) -> None:
        self._arrived.put(("end", b""))


def _is_message(line: bytes) -> bool:
    """Whether it is JSON-RPC. What does not even look like it costs no time: it may come in masses."""
    if line.lstrip()[:1] not in (b"{", b"["):
        return False
    try:
        parse(line)
    except (NotJSONError, NotJSONRPCError):
        return False
    return True


def _result(message: dict[str, Any]) -> dict[str, Any]:
    error = message.get("error")
    if isinstance(error, dict):
        text = shortened(printable(str(error.get("message", ""))))
        raise RefusedError(error.get("code"), text)
    result = message.get("result")
    return result if isinstance(result, dict) else {}


def _shown(line: bytes) -> str:
    return shortened(printable(line.rstrip(b"\r")))


def read_all(carrier: Carrier, patience: float, most: int) -> bytes:
    """The stdout of a short command, to its end, or up to `most` bytes or as long as `patience` seconds."""
    arrived: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    carrier.start(_Mailbox(arrived))
    deadline = time.monotonic() + patience
    read = b""
    try:
        while len(read) < most:
            where, data = arrived.get(timeout=max(deadline - time.monotonic(), 0))
            if where == "end":
                break
            read += data if where == "stdout" else b""
    except queue.Empty:
        pass
    finally:
        carrier.close()
    return read[:most]
