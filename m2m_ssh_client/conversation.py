"""A small JSON-RPC client: one request at a time, in the calling thread.

`doctor` talks to the remote server with it, `demo` to the client that it has started. Both must
load quickly and see every line, so they do without the MCP SDK. The commands that use a server
(`terminal.client`) do not share it: they need what the SDK has beyond JSON-RPC, namely both eras of
the protocol, progress, cancellation and questions to the person, over the transport that Python
programs get from this package.
"""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from m2m_ssh_client.errors import MessageTooLongError, NotMCPError
from m2m_ssh_client.flow.remote_stdio import Receiver
from m2m_ssh_client.flow.splitting import LineSplitter
from m2m_ssh_client.proxy.frames.frame import (
    METHOD_NOT_FOUND,
    JSONText,
    Message,
    NotJSONError,
    NotJSONRPCError,
    error_line,
    message_line,
    parse,
)
from m2m_ssh_client.proxy.frames.spelling import shell_safe
from m2m_ssh_client.proxy.login_shell import echo_error, shell_complains, shell_error
from m2m_ssh_client.text import printable, shortened

_MOST_KEPT = 20  # lines of noise
_FAREWELL = 1.0  # seconds from end of file to SIGTERM and from there to SIGKILL, as in the proxy


class RefusedError(Exception):
    """The server answered with a JSON-RPC error."""

    def __init__(self, code: object, message: str) -> None:
        super().__init__(f"{message} ({code})")


class EndedError(Exception):
    """The process at the other end has exited, or the connection to it is lost."""


class Peer(Protocol):
    """The stdio of a server, as far as a conversation uses it. Every `Carrier` is a `Peer`."""

    def start(self, receiver: Receiver) -> None: ...

    def grant(self, size: int) -> None: ...

    def write(self, data: bytes) -> None: ...

    def close_write(self) -> None: ...

    def signal(self, name: str) -> None: ...

    def close(self) -> None: ...


class Conversation:
    """Starts the peer and asks it questions; for one thread.

    Each answer may take `patience` seconds, each line `longest` bytes. With `guarded`, the first
    request is spelled safely, because a login shell may read it. `notified` is called with each
    notification, `farewell` is the time to end before a signal. `noise` has the first lines on
    stdout that are not JSON-RPC, `stderr` the first lines there, both up to the first message.
    """

    def __init__(
        self,
        peer: Peer,
        patience: float,
        *,
        guarded: bool,
        longest: int,
        farewell: float = _FAREWELL,
        notified: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        self.noise: list[str] = []
        self.stderr: list[str] = []
        self.noise_count = 0
        self.stderr_count = 0
        self._peer = peer
        self._farewell = farewell
        self._notified = notified
        self._patience = patience
        self._guarded = guarded
        self._opened = self._ended = False
        self._next_id = 0
        self._arrived: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self._stdout, self._stderr = LineSplitter(longest), LineSplitter(longest)
        self._messages: list[Message] = []
        peer.start(_Mailbox(self._arrived))

    def ask(self, method: str, params: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Return the result; empty if it is not an object.

        Raises RefusedError, EndedError, and NotMCPError for silence, an echo, or a shell.
        """
        return _object(self.ask_for_text(method, params))

    def ask_for_text(self, method: str, params: Mapping[str, object] | None = None) -> JSONText:
        """Return the result as JSON text, which may be long. Raises what `ask` raises."""
        self._next_id += 1
        request_id = self._next_id
        line = message_line(id=request_id, method=method, params=dict(params or {}))
        self._send(shell_safe(line) if self._guarded and not self._opened else line)
        deadline = time.monotonic() + self._patience
        while True:
            message = self._next_message(deadline)
            if message is None:
                raise self._silence(method)
            if method == message.method == "initialize":  # no server asks for that
                raise echo_error()
            if message.method is not None:
                self._attend(message.method, message)
            elif message.id == request_id:
                return _result(message)

    def tell(self, method: str) -> None:
        """Send a notification."""
        self._send(message_line(method=method))

    def hear_out(self) -> None:
        """Sort out everything received so far, unfinished lines too; ask nothing afterwards."""
        deadline = time.monotonic() + self._farewell
        with suppress(NotMCPError):
            for _ in range(self._arrived.qsize()):
                with suppress(EndedError):  # more may be queued behind the end
                    self._take(deadline)
        for splitter, take in ((self._stdout, self._take_lines), (self._stderr, self._keep_stderr)):
            if splitter.pending:
                with suppress(MessageTooLongError):  # reported already
                    take(splitter.feed(b"\n"))

    def end(self) -> None:
        """Close the server's stdin and wait for its end; signal it if it stays."""
        with suppress(OSError, EndedError, NotMCPError):
            self._peer.close_write()
            for signal in () if self._ended else ("TERM", "KILL"):
                deadline = time.monotonic() + self._farewell
                while self._take(deadline):
                    pass
                self._peer.signal(signal)
        self._peer.close()

    def _send(self, line: bytes) -> None:
        if self._ended:
            raise EndedError
        try:
            self._peer.write(line + b"\n")
        except OSError as exc:
            raise EndedError from exc

    def _next_message(self, deadline: float) -> Message | None:
        while not self._messages:
            if not self._take(deadline):
                return None
            if not self._opened and shell_complains(self.stderr):
                raise shell_error()
        return self._messages.pop(0)

    def _take(self, deadline: float) -> bool:
        """Sort out the next piece that arrives; return False if none does before the deadline."""
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
        self._peer.grant(len(data))
        return True

    def _take_lines(self, lines: list[bytes]) -> None:
        for line in lines:
            self._take_line(line)

    def _take_line(self, line: bytes) -> None:
        messages = _messages_in(line)
        if messages:
            self._opened = True
            self._messages += messages
        else:
            self._keep_noise(line)

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

    def _attend(self, method: str, message: Message) -> None:
        """Hand on a notification; answer a ping, and refuse any other request."""
        if message.id is None:
            self._notified({"jsonrpc": "2.0", "method": method, "params": _object(message.params)})
        elif method == "ping":
            self._send(message_line(id=message.id, result={}))
        else:
            self._send(error_line(message.id, METHOD_NOT_FOUND, "Method not found"))

    def _silence(self, method: str) -> NotMCPError:
        if self._guarded and not self._opened:
            return shell_error()
        return NotMCPError(
            f"No answer to {method} within {self._patience:g} s",
            "Does the command start an MCP server on stdio, and not one that waits for HTTP? "
            "If it only starts slowly, raise the limit with --connect-timeout.",
        )


class _Mailbox:
    """A `Receiver` that queues; bytes are granted when taken out, so at most a window waits."""

    def __init__(self, arrived: queue.SimpleQueue[tuple[str, bytes]]) -> None:
        self._arrived = arrived

    def stdout(self, data: bytes) -> None:
        self._arrived.put(("stdout", data))

    def stderr(self, data: bytes) -> None:
        self._arrived.put(("stderr", data))

    def ended(self) -> None:
        self._arrived.put(("end", b""))


def _messages_in(line: bytes) -> tuple[Message, ...]:
    """Return the messages in a line, if any. Most others are dismissed by a glance."""
    if line.lstrip()[:1] in (b"{", b"["):
        with suppress(NotJSONError, NotJSONRPCError):
            return parse(line).messages
    return ()


def _result(message: Message) -> JSONText:
    if error := _object(message.error):
        text = shortened(printable(str(error.get("message", ""))))
        raise RefusedError(error.get("code"), text)
    return message.result


def _object(text: JSONText) -> dict[str, Any]:
    """Return a JSON object; empty for other text, and for numbers that Python does not read."""
    with suppress(ValueError, RecursionError):
        value = json.loads(bytes(text))
        return value if isinstance(value, dict) else {}
    return {}


def _shown(line: bytes) -> str:
    return shortened(printable(line.rstrip(b"\r")))


def read_all(peer: Peer, patience: float, most: int, given: bytes = b"") -> bytes:
    """Return the stdout of a short command, at most `most` bytes and within `patience`.

    The command is `given` this on stdin.
    """
    arrived: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    peer.start(_Mailbox(arrived))
    deadline = time.monotonic() + patience
    read = b""
    try:
        if given:
            with suppress(OSError):
                peer.write(given)
        while len(read) < most:
            where, data = arrived.get(timeout=max(deadline - time.monotonic(), 0))
            if where == "end":
                break
            read += data if where == "stdout" else b""
    except queue.Empty:
        pass
    finally:
        peer.close()
    return read[:most]
