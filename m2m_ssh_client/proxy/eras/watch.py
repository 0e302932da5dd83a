"""A watch over the first words of host and server: do they speak the same protocol era?

In most sessions they do; then the watch ends with the first answer, and nothing was changed. A
bridge takes its place if a server refuses the host's `initialize`, or does not understand the first
request of a modern host (modelcontextprotocol.io, "Versioning"). Sans-I/O.
"""

from __future__ import annotations

from collections.abc import Iterable

from m2m_ssh_client.proxy.eras.crossing import Between
from m2m_ssh_client.proxy.eras.terms import (
    CANCELLED,
    QUESTIONS,
    is_enveloped,
    is_modern_answer,
    is_own_error,
    says_not_understood,
)
from m2m_ssh_client.proxy.frames.frame import (
    Frame,
    Id,
    Message,
    NotJSONError,
    NotJSONRPCError,
    as_id,
    fields,
    parse,
    parts,
)
from m2m_ssh_client.proxy.memory.session import Output

_SILENCE = 5.0  # seconds until a server that does not answer a discover counts as a legacy one
_MOST_WORDS = 32  # of a host that never opens a session
_DISCOVER = "server/discover"


class EraWatch:
    """Watches until the era of both sides is known. Lines pass unchanged."""

    is_awaited = False  # what it has seen is the session's

    def __init__(self, prefix: str, mode: str, hold_time: float = 20.0) -> None:
        """`prefix` begins the ids that a bridge makes. `mode` is `auto` or `modern`.

        With `auto`, an error that answers a host's `server/discover` is given to the host, because
        a host of both eras then speaks the older one. With `modern` it is bridged. `hold_time` is
        for the bridge.
        """
        self.next: Between | None = self
        self._prefix = prefix
        self._mode = mode
        self._hold_time = hold_time
        self._words = 0
        self._initialize: Frame | None = None
        self._modern: dict[Id, Frame] = {}  # unanswered requests with an envelope
        self._cancelled: set[Id | None] = set()  # by the host
        self._first_modern: Message | None = None
        self.next_expiry = float("inf")

    def from_host(self, lines: Iterable[bytes], _now: float) -> Output:
        output = Output(to_remote=list(lines))
        for line in output.to_remote:
            if self.next is self:
                self._hear_host(line)
        return output

    def from_session(self, lines: Iterable[bytes], now: float) -> Output:
        output = Output()
        for line in lines:
            successor = self.next
            if successor is self:
                output += self._hear_server(line, now)
            elif successor is None:
                output.to_host.append(line)
            else:
                output += successor.from_session([line], now)
        return output

    def sent(self, now: float) -> None:
        waits = self._mode == "modern" and self._initialize is None
        if waits and self.next_expiry == float("inf") and self._discover() is not None:
            self.next_expiry = now + _SILENCE

    def lost(self, _now: float) -> None:
        """Note that nobody is silent who is not there."""
        self.next_expiry = float("inf")

    def expire(self, _now: float, _reason: str) -> Output:
        """Bridge, because the server does not answer the host's discover."""
        self.next_expiry = float("inf")
        id_ = self._discover()
        if id_ is None or self.next is not self:
            return Output()
        return self._bridge_modern(self._modern.pop(id_), b"")

    def failed(self, _reason: str) -> Output:
        self.next = None
        return Output()

    def _hear_host(self, line: bytes) -> None:
        self._words += 1
        if self._words > _MOST_WORDS:
            self.next = None
        try:
            frame = parse(line)
        except (NotJSONError, NotJSONRPCError):
            return
        message = frame.messages[0]
        if message.method == CANCELLED:
            self._cancelled.add(as_id(fields(message.params).get("requestId")))
        if message.id is None or message.method is None or self._initialize is not None:
            return
        if message.method == "initialize":
            self._initialize = parts(frame)[0]
        elif is_enveloped(message):
            self._first_modern = self._first_modern or message
            self._modern[message.id] = frame

    def _hear_server(self, line: bytes, now: float) -> Output:
        message = parse(line).messages[0]
        unchanged = Output(to_host=[line])
        if message.method in QUESTIONS and self._is_modern_alone():
            return self._bridge_answered([], line, now)  # no modern server asks by itself
        if message.method is not None or message.id is None:
            return unchanged
        if self._initialize is not None:
            return self._judge_initialize(self._initialize, message, line)
        asked = self._modern.pop(message.id, None)
        if asked is None or is_own_error(message):
            return unchanged
        if is_modern_answer(message) or self._may_be_of_both_eras(asked):
            self.next = None
            return unchanged
        if not message.error:
            if asked.messages[0].method == _DISCOVER:
                self.next = None
                return unchanged
            return self._bridge_answered([asked], line, now)
        if says_not_understood(message.error, asked.messages[0].method):
            return self._bridge_modern(asked, line)
        return self._bridge_answered([asked], line, now)

    def _is_modern_alone(self) -> bool:
        """Return whether the host has begun as one that speaks nothing older."""
        first = self._first_modern
        if first is None or self._initialize is not None or not self._modern:
            return False
        return self._mode == "modern" or first.method != _DISCOVER

    def _may_be_of_both_eras(self, asked: Frame) -> bool:
        """Return whether a host that began like this wants to know that its discover failed."""
        first = self._first_modern or asked.messages[0]
        discovers = first.method == asked.messages[0].method == _DISCOVER
        return self._mode == "auto" and discovers

    def _judge_initialize(self, asked: Frame, answer: Message, line: bytes) -> Output:
        if answer.id != asked.messages[0].id:
            return Output(to_host=[line])
        if is_own_error(answer):  # which says nothing of the server; the host may try again
            self._initialize = None
            return Output(to_host=[line])
        if not answer.error:
            self.next = None
            return Output(to_host=[line])
        from m2m_ssh_client.proxy.eras.legacy_host import LegacyHost

        bridge = LegacyHost(self._prefix, self._hold_time, asked, line)
        self.next = bridge
        return bridge.begin()

    def _bridge_modern(self, asked: Frame, answer: bytes) -> Output:
        """Begin to bridge; the server gets this request again, or is asked nothing for it."""
        from m2m_ssh_client.proxy.eras.modern_host import ModernHost

        first = self._first_modern or asked.messages[0]
        bridge = ModernHost(self._prefix, self._hold_time, first)
        self.next = bridge
        return bridge.begin(
            self._wanted(self._modern.values()), [(each, answer) for each in self._wanted([asked])]
        )

    def _bridge_answered(self, asked: list[Frame], line: bytes, now: float) -> Output:
        """Begin to bridge; a legacy server runs a request without being initialized."""
        from m2m_ssh_client.proxy.eras.modern_host import ModernHost

        sent = [*asked, *self._wanted(self._modern.values())]
        first = self._first_modern or asked[0].messages[0]
        bridge = ModernHost(self._prefix, self._hold_time, first)
        self.next = bridge
        output = bridge.begin(sent)
        return output + bridge.from_session([line], now)

    def _wanted(self, frames: Iterable[Frame]) -> list[Frame]:
        """Leave out what the host has cancelled."""
        return [frame for frame in frames if frame.messages[0].id not in self._cancelled]

    def _discover(self) -> Id | None:
        found = (
            id_ for id_, frame in self._modern.items() if frame.messages[0].method == _DISCOVER
        )
        return next(found, None)
