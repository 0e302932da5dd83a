"""What one host's session must remember: which requests wait for an answer, what is held, what is to be repeated.

Sans-I/O: lines go in, lines come out; nothing blocks, and time is an argument (seconds on any steady clock). The
proxy's promise lives here: each request of the host gets exactly one answer, and nothing runs twice that must not. A
session moves through the states of `State`; docs/architecture.md has the table.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from m2m_ssh_client.proxy.frames import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    PROXY_ERROR,
    Frame,
    Id,
    Message,
    NotJSONError,
    NotJSONRPCError,
    error_line,
    fields,
    id_of_broken_answer,
    is_id,
    only,
    parse,
    shell_safe,
    without_unicode_line_breaks,
)
from m2m_ssh_client.proxy.holding import FOR_EVER, Holding
from m2m_ssh_client.proxy.noise import Noise
from m2m_ssh_client.proxy.questions import Questions
from m2m_ssh_client.proxy.replay import Replay
from m2m_ssh_client.proxy.subscriptions import Subscriptions
from m2m_ssh_client.proxy.tools import HarmlessTools

logger = logging.getLogger(__name__)

# The requests that open a connection, one for each era. Towards what may be a login shell only the first request and
# these go out before an answer has come: a host may try both, if the server says nothing to the first.
_OPENERS = frozenset({"initialize", "server/discover"})

# Requests that read, or set what they set again: a second time does no harm. So does every `…/list`.
_REPEATABLE = frozenset(
    {
        "completion/complete",
        "initialize",
        "logging/setLevel",
        "ping",
        "prompts/get",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "server/discover",
        "subscriptions/listen",
    }
)

# Requests that say, or whose answers say, what a later connection depends on. Most are none, and need no closer look.
_REMEMBERED = frozenset(
    {
        "initialize",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "server/discover",
        "subscriptions/listen",
        "tools/list",
    }
)

_MAY_HAVE_RUN = (
    "This request had been sent and is not repeated: it may or may not have run on the remote server. "
    "Check before you ask again."
)
_SENT_BEFORE = "This request had been sent before, so it may have run; it is one that can be made again without harm."
_NOT_SENT = "This request was not sent; it can be made again without harm."

HOLD_LIMIT = 16 * 1024 * 1024
"""Above this many bytes of held frames the host should not be read (`Session.full`)."""


class State(enum.Enum):
    """Where the session stands towards the remote server."""

    CONNECTING = "connecting"
    """No connection yet: frames of the host are held."""
    GUARDED = "guarded"
    """Connected to what may be a shell: only what opens passes, spelt safely, until it answers."""
    REPLAYING = "replaying"
    """Connected to a fresh server, which is being told what the one before knew: frames are held."""
    OPEN = "open"
    """Every frame passes."""
    LOST = "lost"
    """The connection was lost and is being made again: frames are held, requests for a while only."""
    FAILED = "failed"
    """No connection any more, and none to come: every request is answered with the reason."""


@dataclass(slots=True)
class Output:
    """Lines to send, in order, each way."""

    to_host: list[bytes] = field(default_factory=list)
    to_remote: list[bytes] = field(default_factory=list)

    def __add__(self, later: Output) -> Output:
        return Output(self.to_host + later.to_host, self.to_remote + later.to_remote)


class _Pending(msgspec.Struct, gc=False):
    method: str
    frame: Frame | None  # kept only where it may be repeated


class Session:
    """The memory of one host's session.

    `prefix` begins the ids that the proxy makes, and is to be unique. `may_be_shell`: no command was named, so a login
    shell may answer. `hold_time`: seconds that a request waits for a lost connection. `retry_tool_calls`: repeat calls
    of tools whose own annotations say that this does no harm.
    """

    def __init__(
        self,
        prefix: str = "m2m-",
        *,
        may_be_shell: bool = False,
        hold_time: float = 20.0,
        retry_tool_calls: bool = False,
    ) -> None:
        self.state = State.CONNECTING
        self.answered = False
        """Whether a remote server has ever sent a JSON-RPC message."""
        self.process_answered = False
        """Whether the present one has."""
        self.refused_replay = ""
        """Why a fresh server cannot take the place of the one before, if so."""
        self.noise = Noise()
        self._may_be_shell = may_be_shell
        self._pending: dict[Id, _Pending] = {}  # sent, and not answered yet
        self._held = Holding(hold_time)
        self._failure = ""
        self._reconnecting = False
        self._replay = Replay(prefix)
        self._questions = Questions(prefix)
        self._subscriptions = Subscriptions()
        self._harmless_tools = HarmlessTools(believed=retry_tool_calls)

    @property
    def pending(self) -> int:
        """How many requests of the host wait for an answer, held ones included."""
        held = sum(message.is_request for item in self._held for message in item.frame.messages)
        return len(self._pending) + held

    @property
    def full(self) -> bool:
        """Whether so much is held that the host should not be read for now."""
        return self._held.size > HOLD_LIMIT

    @property
    def next_expiry(self) -> float:
        """When `expire` has something to do; infinite if never."""
        return self._held.next_expiry

    def from_host(self, lines: Iterable[bytes], now: float) -> Output:
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
            self._take(frame, now, output)
        return output

    def connected(self) -> Output:
        """A connection is there, with a fresh server behind it."""
        output = Output()
        self.process_answered = False
        self.noise.begin()
        if self._replay.needed:
            self.state = State.REPLAYING
            line = self._replay.begin()
            output.to_remote.append(shell_safe(line) if self._may_be_shell else line)
        elif self._may_be_shell:
            self.state = State.GUARDED
            self._release(output)
        else:
            self._open(output)
        return output

    def from_remote(self, lines: Iterable[bytes]) -> Output:
        """Take lines of the remote: JSON-RPC goes to the host, anything else is logged."""
        output = Output()
        for line in lines:
            if b"{" not in line:  # sooner than a parser knows it
                self.noise.take(line)
                continue
            try:
                frame = parse(line)
            except (NotJSONError, NotJSONRPCError) as exc:
                self.noise.take(line)
                self._answer_broken(line, exc, output)
                continue
            self.answered = self.process_answered = True
            if self._is_plain_answer(frame):
                output.to_host.append(line)
            else:
                wanted = self._part_for_host(frame, output)
                if wanted is not None:
                    output.to_host.append(self._questions.from_remote(wanted))
            if self._may_be_shell and self.state is State.GUARDED:
                self._open(output)
        return output

    def may_cut_request(self, message: Message) -> bool:
        """Whether this request of the host may go on before all of it is known: none of it is wanted again."""
        may_be_repeated = self._harmless_tools.believed
        usual = self.state is State.OPEN and not self._may_be_shell
        return usual and message.method == "tools/call" and not may_be_repeated

    def may_cut_answer(self, message: Message) -> bool:
        """The same for an answer of the remote: the host could not be spared to see that it was broken off."""
        if message.id is None or message.method is not None or self.state is not State.OPEN:
            return False
        request = self._pending.get(message.id)
        return request is not None and request.method == "tools/call" and request.frame is None

    def break_off(self, id_: Id, reason: str) -> str:
        """The answer to this request is ended before its end. What the host is to read then."""
        self._pending.pop(id_, None)
        return f"{reason.rstrip('.')}. {_MAY_HAVE_RUN}"

    def lost(self, reason: str, unsent: Iterable[bytes], now: float) -> Output:
        """The connection is gone, and another one is to come.

        `unsent` are the lines of `to_remote` of which not a byte left this machine. Requests among them, and those
        that are repeatable, are held; other requests that were sent are answered with `reason`.
        """
        output = Output(to_host=self._questions.lost())
        self.state = State.LOST
        self.process_answered = False
        self._reconnecting = True
        frames = [self._unanswered(frame) for frame in map(parse, unsent)]
        unsent_frames = [frame for frame in frames if frame and self._is_the_hosts(frame)]
        kept = {m.id for frame in unsent_frames for m in frame.messages if m.is_request}
        again: list[Frame] = []
        for id_, request in self._pending.items():
            if id_ in kept:
                continue
            if request.frame is None:
                text = f"{reason.rstrip('.')}. {_MAY_HAVE_RUN}"
                output.to_host.append(error_line(id_, PROXY_ERROR, text))
            else:
                again.append(request.frame)
        self._pending.clear()
        held = self._held.take_all()
        for frame in again:
            self._hold_back(frame, now, sent=True)
        for frame in unsent_frames:
            self._hold_back(frame, now)
        for item in held:
            if not _is_about_a_question(item.frame):
                self._hold_back(item.frame, min(item.since, now), sent=item.sent)
        return output

    def expire(self, now: float, reason: str) -> Output:
        """Answer the requests that have been held for too long: `reason` says what is going on."""
        output = Output()
        for item in self._held.take_expired(now):
            said = _SENT_BEFORE if item.sent else _NOT_SENT
            for message in item.frame.messages:
                if message.id is not None and message.is_request:
                    text = f"{reason.rstrip('.')}. {said}"
                    output.to_host.append(error_line(message.id, PROXY_ERROR, text))
        return output

    def failed(self, reason: str) -> Output:
        """There is no connection and none will be: answer every request, now and from now on, with `reason`."""
        output = Output(to_host=self._questions.lost())
        self.state = State.FAILED
        self._failure = reason
        for id_, request in self._pending.items():
            harmless = request.frame is not None and request.method != "tools/call"
            text = reason if harmless else f"{reason.rstrip('.')}. {_MAY_HAVE_RUN}"
            output.to_host.append(error_line(id_, PROXY_ERROR, text))
        self._pending.clear()
        for item in self._held.take_all():
            self._answer_failed(item.frame, output)
        return output

    def ended_on_discover(self) -> Output | None:
        """The remote process ended before any answer. If that may be for a `server/discover`, answer that one.

        Some servers of the older era end when they get a request before `initialize`; the host falls back to that on
        the error, and a fresh process can take it. None if it was for another reason.
        """
        probes = [
            id_ for id_, request in self._pending.items() if request.method == "server/discover"
        ]
        if not probes or len(probes) < len(self._pending):
            return None
        self._pending.clear()
        self.state = State.CONNECTING
        text = "Method not found: server/discover (the remote server ended when it was asked)"
        return Output([error_line(id_, METHOD_NOT_FOUND, text) for id_ in probes])

    def _take(self, frame: Frame, now: float, output: Output) -> None:
        kept = self._questions.from_host(frame)
        if kept is None:
            return
        frame = kept
        if self.state is State.OPEN:
            self._send(frame, output)
        elif self.state is State.FAILED:
            self._answer_failed(frame, output)
        elif self.state is State.GUARDED and self._may_pass_guard(frame):
            self._send(frame, output)
        elif not self._settle_while_held(frame, output):
            self._hold_back(frame, now)

    def _may_pass_guard(self, frame: Frame) -> bool:
        first, *more = frame.messages
        return first.is_request and not more and (first.method in _OPENERS or not self._pending)

    def _settle_while_held(self, frame: Frame, output: Output) -> bool:
        """Whether the frame needs no sending: the replay says it, or it calls back what is still here."""
        message, *more = frame.messages
        if more or message.is_request:
            return False
        if self._replay.needed and message.method == "notifications/initialized":
            self._replay.see_initialized(frame)
            return True
        if message.method != "notifications/cancelled":
            return False
        id_ = fields(message.params).get("requestId")
        if not is_id(id_) or not self._held.take_request(id_):
            return False
        output.to_host.append(error_line(id_, PROXY_ERROR, "Cancelled before it was sent"))
        return True

    def _open(self, output: Output) -> None:
        self.state = State.OPEN
        self._release(output)
        if self._reconnecting:
            self._reconnecting = False
            output.to_remote += self._replay.inquiry()
            output.to_host += [*self._replay.announcements(), *self._subscriptions.announcements()]

    def _release(self, output: Output) -> None:
        for item in self._held.take_all():
            if self.state is State.OPEN or self._may_pass_guard(item.frame):
                self._send(item.frame, output)
            else:
                self._hold_back(item.frame, item.since, sent=item.sent)

    def _hold_back(self, frame: Frame, since: float, *, sent: bool = False) -> None:
        # Only requests wait for an answer, and only during a reconnect does the wait have a bound of its own. A
        # `subscriptions/listen` stays open: nobody waits for its answer.
        waits = self._reconnecting and any(
            message.is_request and message.method != "subscriptions/listen"
            for message in frame.messages
        )
        self._held.add(frame, since if waits else FOR_EVER, sent=sent)

    def _send(self, frame: Frame, output: Output) -> None:
        for message in frame.messages:
            if message.id is not None and message.method is not None:
                repeat = len(frame.messages) == 1 and self._is_repeatable(message)
                self._pending[message.id] = _Pending(message.method, frame if repeat else None)
                if message.method in _REMEMBERED:
                    self._replay.see_request(message)
                    self._subscriptions.see_request(message)
            elif message.method == "notifications/cancelled":
                self._see_cancelled(message)
            elif message.method == "notifications/initialized":
                self._replay.see_initialized(frame)
        line = frame.line
        if self._may_be_shell:
            spell = shell_safe if self.state is State.GUARDED else without_unicode_line_breaks
            line = spell(line)
        output.to_remote.append(line)

    def _see_cancelled(self, message: Message) -> None:
        id_ = fields(message.params).get("requestId")
        request = self._pending.get(id_) if is_id(id_) else None
        if is_id(id_) and request is not None and request.method == "subscriptions/listen":
            del self._pending[id_]  # it ends so, without an answer
            self._subscriptions.ended(id_)

    def _is_repeatable(self, message: Message) -> bool:
        if message.method == "tools/call":
            return self._harmless_tools.include(message)
        return message.method in _REPEATABLE or str(message.method).endswith("/list")

    def _unanswered(self, frame: Frame) -> Frame | None:
        """Without the requests that were answered although they never left: a server may guess their ids."""
        return only(
            frame,
            [
                not m.is_request or m.id in self._pending or self._replay.is_own(m)
                for m in frame.messages
            ],
        )

    def _is_the_hosts(self, frame: Frame) -> bool:
        return not _is_about_a_question(frame) and not any(
            self._replay.is_own(message) for message in frame.messages
        )

    def _is_plain_answer(self, frame: Frame) -> bool:
        """Whether it answers a request of which nothing is to be remembered, as nearly all do: then it is done with.

        The way through `_part_for_host` takes a third more time for the step.
        """
        message = frame.messages[0]
        id_ = message.id
        if id_ is None or message.method is not None or len(frame.messages) > 1:
            return False
        request = self._pending.get(id_)
        if request is None or request.method in _REMEMBERED:
            return False
        del self._pending[id_]
        return True

    def _part_for_host(self, frame: Frame, output: Output) -> Frame | None:
        if len(frame.messages) == 1:  # as nearly always
            return frame if self._is_for_host(frame.messages[0], output) else None
        return only(frame, [self._is_for_host(message, output) for message in frame.messages])

    def _is_for_host(self, message: Message, output: Output) -> bool:
        """Note what the message answers; False if the host did not ask for it, or has its answer."""
        if message.is_response:
            return self._is_answer_for_host(message, output)
        return not self._subscriptions.repeats(message)

    def _is_answer_for_host(self, message: Message, output: Output) -> bool:
        if message.id in self._replay.asked:
            self._take_replayed(message, output)
            return False
        if message.id is None:
            return True
        id_ = message.id if message.id in self._pending else _number(message.id)
        request = self._pending.pop(id_, None)
        if request is None:
            logger.info("skipped an answer to a request that nobody made, or that was answered")
            return False
        if request.method not in _REMEMBERED:
            return True
        if request.method == "initialize" and message.result:
            self._replay.see_handshake(fields(message.result))
        elif request.method == "server/discover" and message.result:
            self._replay.see_discovery(fields(message.result))
        elif request.method == "tools/list":
            self._harmless_tools.learn(message)
        elif request.method == "subscriptions/listen":
            self._subscriptions.ended(id_)
        return True

    def _take_replayed(self, message: Message, output: Output) -> None:
        if not self._replay.answers_handshake(message):
            return
        if not message.result:
            self.refused_replay = (
                "After the connection was made again, the remote server refused the initialize that the one before "
                "had accepted"
            )
            return
        output.to_remote += self._replay.rest(fields(message.result))
        self._open(output)

    def _answer_failed(self, frame: Frame, output: Output) -> None:
        for message in frame.messages:
            if message.id is not None and message.method is not None:
                output.to_host.append(error_line(message.id, PROXY_ERROR, self._failure))

    def _answer_broken(self, line: bytes, why: ValueError, output: Output) -> None:
        # Whoever waits for it would wait for ever if it was an answer that JSON has no words for, such as NaN.
        id_ = id_of_broken_answer(line)
        if id_ is not None and self._pending.pop(id_, None) is not None:
            text = f"The remote server's answer is not valid JSON-RPC and was dropped: {why}"
            output.to_host.append(error_line(id_, PROXY_ERROR, text))


def _number(id_: Id) -> Id:
    """The id of which a server made text, if it was a number: the SDKs for Python let that pass."""
    as_text = isinstance(id_, str) and id_.isascii() and id_.isdecimal() and len(id_) < 20
    return int(id_) if as_text else id_


def _is_about_a_question(frame: Frame) -> bool:
    """Whether a frame of the host answers a request of the remote, or tells of its progress."""
    return all(
        message.is_response or (message.method == "notifications/progress" and message.id is None)
        for message in frame.messages
    )
