"""What one host's session must remember: which requests wait for an answer, what is held, what is to be repeated.

Sans-I/O: lines go in, lines come out; nothing blocks, and time is an argument (seconds on any steady clock). The
proxy's promise lives here: each request of the host gets exactly one answer, and nothing runs twice that must not. A
session moves through the states of `State`; docs/architecture.md has the table.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from m2m_ssh_client.proxy.frames.frame import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    PROXY_ERROR,
    Frame,
    Id,
    Message,
    NotJSONError,
    NotJSONRPCError,
    answer_line,
    as_id,
    error_line,
    fields,
    message_line,
    only,
    parse,
    unusable_ids,
)
from m2m_ssh_client.proxy.frames.salvage import id_of_broken_request, salvage
from m2m_ssh_client.proxy.frames.spelling import shell_safe, without_unicode_line_breaks
from m2m_ssh_client.proxy.frames.too_long import Reply
from m2m_ssh_client.proxy.memory.harmless_tools import HarmlessTools
from m2m_ssh_client.proxy.memory.held_frames import FOR_EVER, Held, Holding
from m2m_ssh_client.proxy.memory.open_requests import (
    MAY_HAVE_RUN,
    NOT_SENT,
    SENT_BEFORE,
    OpenRequests,
    answerable_under,
)
from m2m_ssh_client.proxy.memory.remote_requests import Questions
from m2m_ssh_client.proxy.memory.replay import RESTORING, Replay
from m2m_ssh_client.proxy.memory.stray_output import Noise
from m2m_ssh_client.proxy.memory.subscriptions import Subscriptions

logger = logging.getLogger(__name__)

# Requests that say, or whose answers say, what a later connection depends on. Most are none, and need no closer look.
_REMEMBERED = RESTORING | {
    "initialize",
    "server/discover",
    "subscriptions/listen",
    "tools/list",
}

HOLD_LIMIT = 16 * 1024 * 1024
"""Above this many bytes of held frames the host should not be read (`Session.full`)."""


class State(enum.Enum):
    """Where the session stands towards the remote server."""

    CONNECTING = "connecting"
    """No connection yet: frames of the host are held."""
    GUARDED = "guarded"
    """Connected to what may be a shell: every frame passes, spelt safely, until it answers."""
    REPLAYING = "replaying"
    """Connected to a fresh server, which has to answer what opens a connection and is told what the one before knew:
    frames are held until then."""
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
        self._held = Holding(hold_time)
        self._failure = ""
        self._reconnecting = False
        self._replay = Replay(prefix)
        self._questions = Questions(prefix)
        self._subscriptions = Subscriptions()
        self._harmless_tools = HarmlessTools(believed=retry_tool_calls)
        self._open_requests = OpenRequests(self._harmless_tools)
        self._first = True  # no request has gone out yet

    @property
    def pending(self) -> int:
        """How many requests of the host wait for an answer, held ones included."""
        held = sum(message.is_request for item in self._held for message in item.frame.messages)
        return len(self._open_requests) + held

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
            if isinstance(line, Reply):
                output.to_host.append(line)
                continue
            try:
                frame = parse(line)
            except NotJSONError as exc:
                if line.strip():
                    self._refuse_line(line, PARSE_ERROR, f"Parse error: {exc}", output)
                continue
            except NotJSONRPCError as exc:
                text = f"Invalid Request: not JSON-RPC 2.0: {exc}"
                self._refuse_line(line, INVALID_REQUEST, text, output)
                continue
            if b'"id"' in line if frame.messages[0].id is None else len(frame.messages) > 1:
                answerable = self._answerable(frame, output)
                if answerable is None:
                    continue
                frame = answerable
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
            if isinstance(line, Reply):
                output.to_remote.append(line)
                continue
            try:
                frame = parse(line)
            except (NotJSONError, NotJSONRPCError) as exc:
                self._take_broken(line, exc, output)
            else:
                self._take_from_remote(frame, output)
        return output

    def last_words(self, line: bytes) -> Output:
        """Take what the remote printed before its end without ending the line."""
        try:
            parse(line)
        except (NotJSONError, NotJSONRPCError):
            self.noise.take(line)  # whatever waits for it is answered as the end demands
            return Output()
        return self.from_remote([line])

    def may_cut_request(self, message: Message) -> bool:
        """Whether this request of the host may go on before all of it is known: none of it is wanted again."""
        may_be_repeated = self._harmless_tools.believed
        usual = self.state is State.OPEN and not self._may_be_shell
        return usual and message.method == "tools/call" and not may_be_repeated

    def may_cut_answer(self, message: Message) -> bool:
        """The same for an answer of the remote: the host could not be spared to see that it was broken off."""
        if message.id is None or message.method is not None or self.state is not State.OPEN:
            return False
        request = self._open_requests.get(message.id)
        return request is not None and request.method == "tools/call" and request.frame is None

    def break_off(self, id_: Id, reason: str) -> str:
        """The answer to this request is ended before its end. What the host is to read then."""
        self._close(id_)
        return f"{reason.rstrip('.')}. {MAY_HAVE_RUN}"

    def lost(
        self, reason: str, unsent: Iterable[bytes], now: float, *, ended: bool = False
    ) -> Output:
        """The connection is gone, and another one is to come.

        `unsent` are the lines of `to_remote` of which not a byte left this machine. Requests among them, and those
        that are repeatable, are held; other requests that were sent are answered with `reason`. `ended`: the server
        ended or fell silent, for which a request that was open may be to blame.
        """
        output = Output(to_host=self._questions.lost())
        self.state = State.LOST
        self.process_answered = False
        self._reconnecting = True
        unsent_frames = [
            left
            for frame in map(parse, unsent)
            if (left := only(frame, list(map(self._still_wanted, frame.messages)))) is not None
            and not _is_about_a_question(left)
        ]
        kept = {m.id for frame in unsent_frames for m in frame.messages if m.is_request}
        before = self._held.take_all()
        for id_, request in self._open_requests.take_all(ended=ended).items():
            if id_ in kept:
                continue
            text = request.outcome(reason)
            if text:
                self._answer_error(id_, text, output)
            elif request.frame is not None:
                self._hold_back(self._again(request.frame, now, sent=True, ends=request.ends))
        for frame in unsent_frames:
            self._hold_back(self._again(frame, now))
        for item in before:
            if not _is_about_a_question(item.frame):
                self._hold_back(item._replace(since=min(item.since, now)))
        return output

    def expire(self, now: float, reason: str) -> Output:
        """Answer the requests that have been held for too long: `reason` says what is going on."""
        output = Output()
        for item in self._held.take_expired(now):
            said = SENT_BEFORE if item.sent else NOT_SENT
            for message in item.frame.messages:
                if message.id is not None and message.is_request:
                    self._answer_error(message.id, f"{reason.rstrip('.')}. {said}", output)
        return output

    def failed(self, reason: str) -> Output:
        """There is no connection and none will be: answer every request, now and from now on, with `reason`."""
        output = Output(to_host=self._questions.lost())
        self.state = State.FAILED
        self._failure = reason
        for id_, request in self._open_requests.take_all().items():
            harmless = request.frame is not None and request.method != "tools/call"
            text = reason if harmless else f"{reason.rstrip('.')}. {MAY_HAVE_RUN}"
            self._answer_error(id_, text, output)
        for item in self._held.take_all():
            self._answer_failed(item.frame, output)
        return output

    def ended_on_discover(self) -> Output | None:
        """The remote process ended before any answer. If that may be for a `server/discover`, answer that one.

        Some servers of the older era end when they get a request before `initialize`; the host falls back to that on
        the error, and a fresh process can take it. None if it was for another reason.
        """
        if {request.method for request in self._open_requests.values()} != {"server/discover"}:
            return None
        self.state = State.CONNECTING
        text = "Method not found: server/discover (the remote server ended when it was asked)"
        probes = self._open_requests.take_all()
        return Output([error_line(id_, METHOD_NOT_FOUND, text) for id_ in probes])

    def _take(self, frame: Frame, now: float, output: Output) -> None:
        kept = self._questions.from_host(frame)
        if kept is None:
            return
        if self.state is State.OPEN or self.state is State.GUARDED:
            self._send(kept, output)
            return
        left = only(kept, [not self._settles(message, kept) for message in kept.messages])
        if left is None:
            return
        if self.state is State.FAILED:
            self._answer_failed(left, output)
        else:
            self._hold_back(Held(left, now))

    def _answerable(self, frame: Frame, output: Output) -> Frame | None:
        """Refuse the requests of a frame that have an id under which nobody could be answered; return the rest."""
        unusable = unusable_ids(frame)
        for _ in filter(None, unusable):
            text = "Invalid Request: an id is an integer or a text"
            output.to_host.append(error_line(None, INVALID_REQUEST, text))
        return only(frame, [not each for each in unusable])

    def _refuse_line(self, line: bytes, code: int, text: str, output: Output) -> None:
        """Refuse what the host said under its id, if that is known and not another request's."""
        id_ = id_of_broken_request(line)
        if id_ is not None and self._is_waiting(answerable_under(id_)):
            id_ = None
        output.to_host.append(error_line(id_, code, text))

    def _is_waiting(self, ids: Collection[Id]) -> bool:
        """Whether a request under one of these ids has no answer yet."""
        return any(id_ in self._open_requests for id_ in ids) or any(
            message.id in ids for item in self._held for message in item.frame.messages
        )

    def _settles(self, message: Message, frame: Frame) -> bool:
        """Whether a message needs no sending, now that there is nobody to send it to.

        The replay says it to the next server; or it calls back what is held here, or what ended with the last server.
        """
        if message.is_request:
            return False
        if message.method == "notifications/cancelled":
            return self._see_cancelled(message)
        if message.method == "notifications/initialized" and self._replay.has_handshake:
            self._replay.see_initialized(frame)
            return True
        return False

    def _open(self, output: Output) -> None:
        self.state = State.OPEN
        self._release(output)
        if self._reconnecting:
            self._reconnecting = False
            output.to_host += [*self._replay.announcements(), *self._subscriptions.announcements()]

    def _release(self, output: Output) -> None:
        for item in self._held.take_all():
            self._send(item.frame, output, item.ends)

    def _hold_back(self, item: Held) -> None:
        # Only requests wait for an answer, and only during a reconnect does the wait have a bound of its own. A
        # `subscriptions/listen` stays open: nobody waits for its answer.
        waits = self._reconnecting and any(
            message.is_request and message.method != "subscriptions/listen"
            for message in item.frame.messages
        )
        self._held.add(item if waits else item._replace(since=FOR_EVER))

    def _send(self, frame: Frame, output: Output, ends: int = 0) -> None:
        for message in frame.messages:
            if message.id is not None and message.method is not None:
                self._open_requests.add(message, frame, ends)
                if self._first:
                    self._first = False
                    self._replay.see_first(message)
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

    def _see_cancelled(self, message: Message) -> bool:
        """Forget the request that the host calls back: it has no answer, and is not sent again.

        (modelcontextprotocol.io, "Cancellation".) Whether it is one that can be: `initialize` cannot.
        """
        id_ = as_id(fields(message.params).get("requestId"))
        if id_ is None:
            return True
        request = self._open_requests.get(id_)
        if request is not None and request.method == "initialize":
            return False
        self._held.cancel(id_)
        self._close(id_)
        return True

    def _close(self, id_: Id, *, refused: bool = False) -> None:
        """Forget an open request, which is over; `refused` by the server."""
        self._open_requests.pop(id_, None)
        self._replay.settle(id_, refused=refused)
        self._subscriptions.ended(id_)

    def _again(self, frame: Frame, now: float, *, sent: bool = False, ends: int = 0) -> Held:
        """What went out towards a server that is gone, and is for the next one."""
        first, *more = frame.messages
        restored = self._replay.has_handshake and not more and first.method in RESTORING
        return Held(frame, now, sent, ends, restored)

    def _still_wanted(self, message: Message) -> bool:
        """Whether a message that never left is to be sent to the next server.

        Not a request that was answered all the same, as a server may guess its id; nor what is about one that is gone.
        """
        if message.is_request:
            return message.id in self._open_requests
        return message.method != "notifications/cancelled" and not self._replay.is_own(message)

    def _take_from_remote(self, frame: Frame, output: Output) -> None:
        self.answered = self.process_answered = True
        if self._is_plain_answer(frame):
            output.to_host.append(frame.line)
        else:
            wanted = self._part_for_host(frame, output)
            if wanted is not None:
                output.to_host.append(self._questions.from_remote(wanted))
        if self._may_be_shell and self.state is State.GUARDED:
            self._open(output)

    def _take_broken(self, line: bytes, why: ValueError, output: Output) -> None:
        """Take a line that is no frame: hand on what is certain, and answer for what is not."""
        self.noise.take(line)
        frames, broken = salvage(line, why, self._is_awaited)
        for frame in frames:
            self._take_from_remote(frame, output)
        text = f"The remote server's answer is not valid JSON-RPC and was dropped: {why}"
        for id_ in broken:
            # Whoever waits for it would wait for ever.
            for asked in self._waiting_for(id_):
                self._answer_error(asked, text, output)

    def _waiting_for(self, id_: Id) -> list[Id]:
        """Return the open requests that an answer under this id is for: one, or what the replay answers."""
        if self._replay.asked(id_):
            return [each for each in self._replay.answered(id_) if each in self._open_requests]
        asked = self._open_requests.answered_by(id_)
        return [] if asked is None else [asked]

    def _is_awaited(self, id_: Id) -> bool:
        return self._replay.asked(id_) or self._open_requests.answered_by(id_) is not None

    def _is_plain_answer(self, frame: Frame) -> bool:
        """Whether it answers a request of which nothing is to be remembered, as nearly all do: then it is done with.

        The way through `_part_for_host` takes a third more time for the step.
        """
        message = frame.messages[0]
        id_ = message.id
        if id_ is None or message.method is not None or len(frame.messages) > 1:
            return False
        request = self._open_requests.get(id_)
        if request is None or request.method in _REMEMBERED:
            return False
        del self._open_requests[id_]
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
        if self._replay.asked(message.id):
            self._take_replayed(message, output)
            return False
        if message.id is None:
            return True
        id_ = self._open_requests.answered_by(message.id)
        if id_ is None:
            logger.info("skipped an answer to a request that is not open")
            return False
        method = self._open_requests.pop(id_).method
        if method == "tools/list":
            self._harmless_tools.learn(message)
        elif method == "subscriptions/listen":
            self._subscriptions.ended(id_)
        elif method in _REMEMBERED:
            self._replay.see_answer(method, id_, message)
        return True

    def _take_replayed(self, message: Message, output: Output) -> None:
        """Take an answer that is not the host's own; it may answer what the host asked before."""
        if message.id is not None and not self._replay.is_opener(message):
            for id_ in self._waiting_for(message.id):
                self._close(id_, refused=bool(message.error))
                output.to_host.append(answer_line(id_, message))
            return
        if self._replay.refuses(message):
            self.refused_replay = (
                "After the connection was made again, the remote server refused the initialize that the one before "
                "had accepted"
            )
            return
        waiting = [(item, item.frame.messages[0]) for item in self._held.take_restored()]
        for item, request in waiting:
            self._open_requests.add(request, item.frame, item.ends)
        lines, done = self._replay.rest(message, [request.id for _, request in waiting])
        output.to_remote += lines
        for id_ in done:
            self._close(id_)
            output.to_host.append(message_line(id=id_, result={}))
        self._open(output)

    def _answer_failed(self, frame: Frame, output: Output) -> None:
        for message in frame.messages:
            if message.id is not None and message.method is not None:
                self._answer_error(message.id, self._failure, output)

    def _answer_error(self, id_: Id, text: str, output: Output) -> None:
        self._close(id_)
        output.to_host.append(error_line(id_, PROXY_ERROR, text))


def _is_about_a_question(frame: Frame) -> bool:
    """Whether a frame of the host answers a request of the remote, or tells of its progress."""
    return all(
        message.is_response or (message.method == "notifications/progress" and message.id is None)
        for message in frame.messages
    )
