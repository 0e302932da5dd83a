"""What one host's session must remember: which requests wait for an answer, and what is held back.

Sans-I/O: lines go in, lines come out, nothing blocks and nothing is timed here. The proxy's promise lives here: each
request of the host gets exactly one answer. A session moves through the states of `State`; docs/architecture.md has
the table.
"""

from __future__ import annotations

import enum
import json
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from m2m_ssh_client.proxy.frames import (
    INVALID_REQUEST,
    PARSE_ERROR,
    PROXY_ERROR,
    Frame,
    Id,
    NotJSONError,
    NotJSONRPCError,
    error_line,
    parse,
    shell_safe,
    without_unicode_line_breaks,
)
from m2m_ssh_client.text import printable, shortened

logger = logging.getLogger(__name__)

# The requests that open a connection, one for each era. Towards what may be a login shell only the first request and
# these go out before an answer has come: a host may try both, if the server says nothing to the first.
_OPENERS = frozenset({"initialize", "server/discover"})

_MAY_HAVE_RUN = "This request had been sent: it may or may not have run."
_NOISE_HINT = " (does its ~/.bashrc print, or its server log to stdout?)"

HOLD_LIMIT = 16 * 1024 * 1024
"""Above this many bytes of held frames the host should not be read (`Session.full`)."""


class State(enum.Enum):
    """Where the session stands towards the remote server."""

    CONNECTING = "connecting"
    """No connection yet: frames of the host are held."""
    GUARDED = "guarded"
    """Connected to what may be a shell: only what opens passes, spelt safely, until it answers."""
    OPEN = "open"
    """Every frame passes."""
    FAILED = "failed"
    """No connection any more: every request is answered with the reason."""


@dataclass(slots=True)
class Output:
    """Lines to send, in order, each way."""

    to_host: list[bytes] = field(default_factory=list)
    to_remote: list[bytes] = field(default_factory=list)


class Session:
    """The memory of one host's session. `may_be_shell`: no command was named, so a login shell may answer."""

    def __init__(self, *, may_be_shell: bool = False) -> None:
        self.state = State.CONNECTING
        self.answered = False
        """Whether the remote has ever sent a JSON-RPC message."""
        self._may_be_shell = may_be_shell
        self._pending: dict[Id, str] = {}  # id → method, sent and not answered yet
        self._held: deque[Frame] = deque()
        self._held_bytes = 0
        self._failure = ""
        self.noise: deque[str] = deque(maxlen=3)
        """The last lines of the remote that were not JSON-RPC, as excerpts fit to be shown."""

    @property
    def pending(self) -> int:
        """How many requests of the host wait for an answer, held ones included."""
        held = sum(message.is_request for frame in self._held for message in frame.messages)
        return len(self._pending) + held

    @property
    def full(self) -> bool:
        """Whether so much is held that the host should not be read for now."""
        return self._held_bytes > HOLD_LIMIT

    def from_host(self, lines: Iterable[bytes]) -> Output:
        """Take lines of the host: forward, hold or answer each."""
        output = Output()
        for line in lines:
            try:
                frame = parse(line)
            except NotJSONError as exc:
                if line.strip():
                    output.to_host.append(error_line(None, PARSE_ERROR, f"Parse error: {exc}"))
                continue
            except NotJSONRPCError as exc:
                text = f"Invalid Request: not JSON-RPC 2.0: {exc}"
                output.to_host.append(error_line(None, INVALID_REQUEST, text))
                continue
            self._take(frame, output)
        return output

    def connected(self) -> Output:
        """A connection is there: what was held goes out, all of it or what may."""
        output = Output()
        self.state = State.GUARDED if self._may_be_shell else State.OPEN
        self._release(output)
        return output

    def from_remote(self, lines: Iterable[bytes]) -> Output:
        """Take lines of the remote: JSON-RPC goes to the host, anything else is logged."""
        output = Output()
        for line in lines:
            try:
                frame = parse(line)
            except (NotJSONError, NotJSONRPCError) as exc:
                self._take_noise(line, exc, output)
                continue
            for message in frame.messages:
                if message.is_response and message.id is not None:
                    self._pending.pop(message.id, None)
            output.to_host.append(line)
            if not self.answered:
                self.answered = True
                if self.state is State.GUARDED:
                    self.state = State.OPEN
                    self._release(output)
        return output

    def failed(self, reason: str) -> Output:
        """There is no connection and none will be: answer every request, now and from now on, with `reason`."""
        output = Output()
        self.state = State.FAILED
        self._failure = reason
        for id_, method in self._pending.items():
            text = reason if method in _OPENERS else f"{reason.rstrip('.')}. {_MAY_HAVE_RUN}"
            output.to_host.append(error_line(id_, PROXY_ERROR, text))
        self._pending.clear()
        held, self._held, self._held_bytes = self._held, deque(), 0
        for frame in held:
            self._answer_failed(frame, output)
        return output

    def _take(self, frame: Frame, output: Output) -> None:
        if self.state is State.OPEN:
            self._send(frame, output)
        elif self.state is State.FAILED:
            self._answer_failed(frame, output)
        elif self.state is State.GUARDED and self._may_pass_guard(frame):
            self._send(frame, output)
        else:
            self._held.append(frame)
            self._held_bytes += len(frame.line)

    def _may_pass_guard(self, frame: Frame) -> bool:
        first, *more = frame.messages
        return first.is_request and not more and (first.method in _OPENERS or not self._pending)

    def _release(self, output: Output) -> None:
        held, self._held, self._held_bytes = self._held, deque(), 0
        for frame in held:
            self._take(frame, output)

    def _send(self, frame: Frame, output: Output) -> None:
        for message in frame.messages:
            if message.id is not None and message.method is not None:
                self._pending[message.id] = message.method
        line = frame.line
        if self.state is State.GUARDED:
            line = shell_safe(line)
        elif self._may_be_shell:
            line = without_unicode_line_breaks(line)
        output.to_remote.append(line)

    def _answer_failed(self, frame: Frame, output: Output) -> None:
        for message in frame.messages:
            if message.id is not None and message.method is not None:
                output.to_host.append(error_line(message.id, PROXY_ERROR, self._failure))

    def _take_noise(self, line: bytes, why: ValueError, output: Output) -> None:
        if not line.strip():
            return
        hint = "" if self.noise else _NOISE_HINT
        self.noise.append(_excerpt(line))
        logger.warning(
            "skipped a line of the remote that is not JSON-RPC%s: %s", hint, self.noise[-1]
        )
        # Whoever waits for it would wait for ever if it was an answer that JSON has no words for, such as NaN.
        id_ = _id_of_broken_answer(line)
        if id_ is not None and self._pending.pop(id_, None) is not None:
            text = f"The remote server's answer is not valid JSON-RPC and was dropped: {why}"
            output.to_host.append(error_line(id_, PROXY_ERROR, text))


def _excerpt(line: bytes) -> str:
    return shortened(printable(line[:400]))


def _id_of_broken_answer(line: bytes) -> Id | None:
    """The id of a response that Python's json reads and the JSON standard does not allow."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or "method" in value or not value.keys() & {"result", "error"}:
        return None
    id_ = value.get("id")
    return id_ if isinstance(id_, (int, str)) and not isinstance(id_, bool) else None
