"""The session of one host, across any number of connections to remote servers.

The proxy's promise is kept here: each request of the host gets exactly one answer, and a request
that may have had an effect is never run twice. A session moves through the states of `State`;
docs/architecture.md has the table of transitions.

Sans-I/O: lines go in, lines come out. Nothing blocks, and time is an argument (seconds on any
steady clock).
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

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
    parts,
    unusable_ids,
)
from m2m_ssh_client.proxy.frames.salvage import id_of_broken_request, salvage
from m2m_ssh_client.proxy.frames.spelling import shell_safe, without_unicode_line_breaks
from m2m_ssh_client.proxy.frames.too_long import Reply
from m2m_ssh_client.proxy.memory.harmless_tools import HarmlessTools
from m2m_ssh_client.proxy.memory.held_frames import FOR_EVER, HeldFrame, HeldFrames
from m2m_ssh_client.proxy.memory.open_requests import (
    MAY_HAVE_RUN,
    SENT_BEFORE,
    OpenRequests,
    answerable_under,
)
from m2m_ssh_client.proxy.memory.remote_requests import RemoteRequests
from m2m_ssh_client.proxy.memory.replay import RESTORING, Replay
from m2m_ssh_client.proxy.memory.stray_output import StrayOutput
from m2m_ssh_client.proxy.memory.subscriptions import Subscriptions

logger = logging.getLogger(__name__)

# A later connection depends on these requests or on their answers. All others, which are most,
# need no closer look.
_REMEMBERED = RESTORING | {
    "initialize",
    "server/discover",
    "subscriptions/listen",
    "tools/list",
}

HOLD_LIMIT = 16 * 1024 * 1024
"""The number of bytes of held frames above which the host should not be read (`Session.full`)."""


class State(enum.Enum):
    """The state of the session towards the remote server."""

    CONNECTING = "connecting"
    """There is no connection yet: the host's frames are held."""
    GUARDED = "guarded"
    """A possible login shell has not answered yet: frames pass in a shell-safe spelling."""
    REPLAYING = "replaying"
    """A fresh server has not answered the replay's first request: the host's frames are held."""
    OPEN = "open"
    """All frames pass."""
    LOST = "lost"
    """The connection is being re-established: frames are held, requests for a limited time."""
    FAILED = "failed"
    """There will be no more connection: each request is answered with the reason."""


@dataclass(slots=True)
class Output:
    """Lines to send in each direction, in order."""

    to_host: list[bytes] = field(default_factory=list)
    to_remote: list[bytes] = field(default_factory=list)

    def __add__(self, later: Output) -> Output:
        return Output(self.to_host + later.to_host, self.to_remote + later.to_remote)


class Session:
    """A state machine between one host and its successive remote servers.

    The caller reports events: lines of either side (`from_host`, `from_remote`), and the fate of
    the connection (`connected`, `lost`, `failed`). Each call returns the lines to send, which the
    caller hands on before it reports the next event. While all is well, a frame leaves as the bytes
    that came in; while there is no server, the session holds it or answers it with an error.

    The parts of the memory are classes of their own: `OpenRequests` are with the remote,
    `HeldFrames` wait for a connection, `Replay` and `Subscriptions` restore a fresh server's state,
    `RemoteRequests` are with the host. The session decides which of them sees a message.
    """

    def __init__(
        self,
        prefix: str = "m2m-",
        *,
        may_be_shell: bool = False,
        hold_time: float = 20.0,
        retry_tool_calls: bool = False,
    ) -> None:
        """Start without a connection.

        `prefix` begins all ids that the proxy makes, an era bridge included; the host must not use
        it. `may_be_shell`: the user named no command, so a login shell may answer. `hold_time`:
        seconds for which a request waits for a lost connection. `retry_tool_calls`: repeat calls of
        tools whose annotations say that this does no harm.
        """
        self.state = State.CONNECTING
        self.process_answered = False
        """The current remote server has sent a JSON-RPC message."""
        self.echoes = False
        """The current remote server has sent back the first request."""
        self.refused_replay = ""
        """The reason why a fresh server cannot replace its predecessor, or empty."""
        self.stray_output = StrayOutput()
        self._prefix = prefix
        self._may_be_shell = may_be_shell
        self._held = HeldFrames(hold_time)
        self._failure = ""
        self._reconnecting = False
        self._replay = Replay(prefix)
        self._remote_requests = RemoteRequests(prefix)
        self._subscriptions = Subscriptions()
        self._harmless_tools = HarmlessTools(believed=retry_tool_calls)
        self._open_requests = OpenRequests(self._harmless_tools)
        self._first = True  # no request has been sent yet
        # The frames sent to the present process, until it has answered, or they are too many.
        self._early: HeldFrames | None = None

    @property
    def pending(self) -> int:
        """The number of unanswered requests of the host, held ones included."""
        held = sum(message.is_request for item in self._held for message in item.frame.messages)
        return len(self._open_requests) + held

    @property
    def host_name(self) -> str:
        """The host's name and version as it gave them; empty before that."""
        return self._replay.host_name

    @property
    def server_name(self) -> str:
        """The same for the remote server."""
        return self._replay.server_name

    @property
    def full(self) -> bool:
        """Return whether the held frames are so many that the host should not be read for now."""
        return self._held.size > HOLD_LIMIT

    @property
    def first_line(self) -> bytes:
        """The host's `initialize`, if the first server will get that first; else empty.

        It may be sent before `connected`, and again to the next server: it has no effect but to
        begin a session.
        """
        first = next(iter(self._held), None)
        if first is None or self.state is not State.CONNECTING or self._replay.needed:
            return b""
        if [message.method for message in first.frame.messages] != ["initialize"]:
            return b""
        return shell_safe(first.frame.line) if self._may_be_shell else first.frame.line

    @property
    def next_expiry(self) -> float:
        """The time at which `expire` must be called; infinite if there is none."""
        return self._held.next_expiry

    @property
    def can_be_pinged(self) -> bool:
        """Return whether the server can be asked for a sign of life."""
        return self.state is State.OPEN and self._replay.needed

    def ping(self) -> Output:
        """Ask the server for a sign of life, if possible; the host does not get the answer."""
        return Output(to_remote=[self._replay.ping()] if self.can_be_pinged else [])

    def from_host(self, lines: Iterable[bytes], now: float) -> Output:
        """Forward, hold or answer lines of the host."""
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
            self._route(frame, now, output)
        return output

    def connected(self) -> Output:
        """Note a new connection, with a fresh server."""
        output = Output()
        self.process_answered = False
        self._early = HeldFrames(FOR_EVER)
        self.stray_output.begin()
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
        """Deliver lines of the remote to the host; log those that are not JSON-RPC."""
        output = Output()
        for line in lines:
            if b"{" not in line:  # a quicker test than parsing
                self.stray_output.add(line)
                continue
            if isinstance(line, Reply):
                output.to_remote.append(line)
                continue
            try:
                frame = parse(line)
            except (NotJSONError, NotJSONRPCError) as exc:
                self._repair(line, exc, output)
            else:
                self._deliver(frame, output)
        return output

    def last_words(self, line: bytes) -> Output:
        """Deliver the unterminated last line of a remote that has ended."""
        try:
            parse(line)
        except (NotJSONError, NotJSONRPCError):
            self.stray_output.add(line)  # `lost` or `failed` answers the request
            return Output()
        return self.from_remote([line])

    def may_begin_request(self, message: Message) -> bool:
        """Return whether this request may be forwarded before its line is complete.

        Only a request that will never be repeated, and that needs no other spelling.
        """
        may_be_repeated = self._harmless_tools.believed
        usual = self.state is State.OPEN and not self._may_be_shell
        return usual and message.method == "tools/call" and not may_be_repeated

    def may_begin_answer(self, message: Message) -> bool:
        """Return whether this answer may be forwarded before its line is complete.

        Only the answer to a request that is not repeated: the host would notice the truncation.
        """
        if message.id is None or message.method is not None or self.state is not State.OPEN:
            return False
        request = self._open_requests.get(message.id)
        return request is not None and request.method == "tools/call" and request.frame is None

    def break_off(self, id_: Id, reason: str) -> str:
        """Close a request whose answer is truncated on its way to the host.

        Return the text that completes the answer.
        """
        self._close(id_)
        return f"{reason.rstrip('.')}. {MAY_HAVE_RUN}"

    def lost(
        self, reason: str, unsent: Iterable[bytes], now: float, *, ended: bool = False
    ) -> Output:
        """Note that the connection is lost and will be made again.

        `unsent` are the lines of `to_remote` of which not a byte left this machine. They are held,
        and so are repeatable requests that were sent; all other requests that were sent are
        answered with `reason`. `ended`: the server ended or fell silent, and an open request may be
        the cause.
        """
        output = Output(to_host=self._remote_requests.lost())
        self.state = State.LOST
        self.process_answered = False
        self._reconnecting = True
        unsent_frames = [
            frame
            for line in unsent
            for frame in parts(parse(line))
            if any(map(self._still_wanted, frame.messages)) and not _is_about_remote_request(frame)
        ]
        kept = {m.id for frame in unsent_frames for m in frame.messages if m.is_request}
        before = self._held.take_all()
        for id_, request in self._open_requests.take_all(ended=ended).items():
            if id_ in kept:
                continue
            text = "" if self._sets_up(id_, request.method) else request.outcome(reason)
            if text:
                self._answer_error(id_, text, output)
            elif request.frame is not None:
                self._hold(self._again(request.frame, now, sent=True, ends=request.ends))
        for frame in unsent_frames:
            self._hold(self._again(frame, now))
        for item in before:
            if not _is_about_remote_request(item.frame):
                self._hold(item._replace(since=min(item.since, now)))
        return output

    def expire(self, now: float, reason: str) -> Output:
        """Answer the requests that have been held for too long; `reason` says why they wait."""
        output = Output()
        for item in self._held.take_expired(now):
            for message in item.frame.messages:
                if message.id is not None and message.is_request:
                    self._answer_error(message.id, item.expired(reason), output)
        return output

    def failed(self, reason: str) -> Output:
        """Answer all requests with `reason`, now and later: there will be no connection."""
        output = Output(to_host=self._remote_requests.lost())
        self.state = State.FAILED
        self._failure = reason
        for id_, request in self._open_requests.take_all().items():
            harmless = request.frame is not None and request.method != "tools/call"
            text = reason if harmless else f"{reason.rstrip('.')}. {MAY_HAVE_RUN}"
            self._answer_error(id_, text, output)
        for item in self._held.take_all():
            self._answer_failed(item.frame, output, sent=item.sent)
        return output

    def ended_on_discover(self) -> Output | None:
        """Answer a `server/discover` on which the remote process ended; return None if it was not.

        Some servers of the older era end when they get a request before `initialize`. The error
        makes the host fall back to `initialize`, which a fresh process can answer.
        """
        if {request.method for request in self._open_requests.values()} != {"server/discover"}:
            return None
        self.state = State.CONNECTING
        text = "Method not found: server/discover (the remote server exited on this request)"
        probes = self._open_requests.take_all()
        return Output([error_line(id_, METHOD_NOT_FOUND, text) for id_ in probes])

    def never_ran(self, now: float) -> bool:
        """Hold all that was sent to a process that never ran, for the next one.

        Return False, and change nothing, if it was sent too much to remember, or has answered.
        """
        if self._early is None or self.process_answered:
            return False
        self.state = State.LOST if self._reconnecting else State.CONNECTING
        self._open_requests.clear()
        later = self._held.take_all()
        for item in self._early.take_all():
            self._hold(item._replace(since=now))
        for item in later:
            self._held.add(item)
        return True

    def _route(self, frame: Frame, now: float, output: Output) -> None:
        """Send, hold or answer a frame of the host, depending on the state."""
        kept = self._remote_requests.from_host(frame)
        if kept is None:
            return
        if self.state is State.OPEN or self.state is State.GUARDED:
            self._send(kept, output)
            return
        # A batch that has to wait is taken apart: each of its messages may fare differently.
        for part in parts(kept):
            if self._settles(part):
                continue
            if self.state is State.FAILED:
                self._answer_failed(part, output)
            else:
                self._hold(HeldFrame(part, now))

    def _answerable(self, frame: Frame, output: Output) -> Frame | None:
        """Refuse the requests whose id is invalid; return the rest of the frame."""
        unusable = unusable_ids(frame)
        for _ in filter(None, unusable):
            text = "Invalid Request: an id must be an integer or a string"
            output.to_host.append(error_line(None, INVALID_REQUEST, text))
        return only(frame, [not each for each in unusable])

    def _refuse_line(self, line: bytes, code: int, text: str, output: Output) -> None:
        """Refuse an invalid line of the host, under its id if that is known and not in use."""
        id_ = id_of_broken_request(line)
        if id_ is not None and self._is_waiting(answerable_under(id_)):
            id_ = None
        output.to_host.append(error_line(id_, code, text))

    def _is_waiting(self, ids: Collection[Id]) -> bool:
        """Return whether a request with one of these ids is unanswered."""
        return any(id_ in self._open_requests for id_ in ids) or any(
            message.id in ids for item in self._held for message in item.frame.messages
        )

    def _settles(self, frame: Frame) -> bool:
        """Process a message that concerns only this session while there is no server.

        Return True if the next server must not get it: a cancellation of a request that is held
        here or that ended with the last server, or an `initialized` that the replay repeats.
        """
        message = frame.messages[0]
        if any(each.is_request for each in frame.messages):
            return False
        if message.method == "notifications/cancelled":
            return self._see_cancelled(message)
        if message.method == "notifications/initialized" and self._replay.has_handshake:
            self._replay.see_initialized(frame)
            return True
        return False

    def _open(self, output: Output) -> None:
        """Send the held frames; after a reconnect, tell the host what may have changed."""
        self.state = State.OPEN
        self._release(output)
        if self._reconnecting:
            self._reconnecting = False
            output.to_host += [*self._replay.announcements(), *self._subscriptions.announcements()]

    def _release(self, output: Output) -> None:
        for item in self._held.take_all():
            self._send(item.frame, output, item.ends)

    def _hold(self, item: HeldFrame) -> None:
        # Only during a reconnect does a wait have a limit, and only for requests: nobody waits for
        # the answer to a notification, nor to a `subscriptions/listen`, which stays open.
        waits = self._reconnecting and any(
            message.is_request and message.method != "subscriptions/listen"
            for message in item.frame.messages
            if not self._sets_up(message.id, message.method)
        )
        self._held.add(item if waits else item._replace(since=FOR_EVER))

    def _sets_up(self, id_: Id | None, method: str | None) -> bool:
        """Return whether an era bridge opens a session or sets its state with this request."""
        own = isinstance(id_, str) and id_.startswith(self._prefix)
        return own and method in _REMEMBERED

    def _send(self, frame: Frame, output: Output, ends: int = 0) -> None:
        if self._early is not None:
            self._keep_early(self._early, HeldFrame(frame, FOR_EVER, ends=ends))
        # The requests of a batch are repeated one by one, those that may be.
        for part in [frame] if len(frame.messages) == 1 else parts(frame):
            for message in part.messages:
                self._note_sent(message, part, ends)
        line = frame.line
        if self._may_be_shell:
            spell = shell_safe if self.state is State.GUARDED else without_unicode_line_breaks
            line = spell(line)
        output.to_remote.append(line)

    def _note_sent(self, message: Message, frame: Frame, ends: int) -> None:
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

    def _keep_early(self, early: HeldFrames, item: HeldFrame) -> None:
        early.add(item)
        if self.process_answered or early.size > HOLD_LIMIT:
            self._early = None

    def _see_cancelled(self, message: Message) -> bool:
        """Forget the request that the host cancels: it is neither answered nor sent again.

        Return False for `initialize`, which cannot be cancelled (modelcontextprotocol.io,
        "Cancellation").
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
        """Forget a request that is over; `refused`: the server answered it with an error."""
        self._open_requests.pop(id_, None)
        self._replay.settle(id_, refused=refused)
        self._subscriptions.ended(id_)

    def _again(self, frame: Frame, now: float, *, sent: bool = False, ends: int = 0) -> HeldFrame:
        """Return a frame that was meant for a lost server, to hold it for the next one."""
        restored = self._replay.has_handshake and frame.messages[0].method in RESTORING
        return HeldFrame(frame, now, sent, ends, restored)

    def _still_wanted(self, message: Message) -> bool:
        """Return whether an unsent message is for the next server.

        An unsent request may be closed already: a server can answer an id that it guessed.
        """
        if message.is_request:
            return message.id in self._open_requests
        return message.method != "notifications/cancelled" and not self._replay.is_own(message)

    def _deliver(self, frame: Frame, output: Output) -> None:
        """Pass a frame of the remote to the host, as far as the host expects it."""
        if not self.process_answered:
            if self._is_echo(frame):
                self.echoes = True
                return
            self.process_answered = True
        if self._is_plain_answer(frame):
            output.to_host.append(frame.line)
        else:
            wanted = self._part_for_host(frame, output)
            if wanted is not None:
                output.to_host.append(self._remote_requests.from_remote(wanted))
        if self._may_be_shell and self.state is State.GUARDED:
            self._open(output)

    def _is_echo(self, frame: Frame) -> bool:
        """Return whether the remote's first frame is what it was sent: no server would say that."""
        message = frame.messages[0]
        request = self._open_requests.get(message.id) if message.id is not None else None
        sent = request.frame if request is not None else None
        return message.is_request and sent is not None and sent.line == frame.line

    def _repair(self, line: bytes, why: ValueError, output: Output) -> None:
        """Deliver the messages in an invalid line; answer requests whose answer cannot be read."""
        self.stray_output.add(line)
        frames, broken = salvage(line, why, self._is_awaited)
        for frame in frames:
            self._deliver(frame, output)
        text = f"The remote server's answer is not valid JSON-RPC and was dropped: {why}"
        for id_ in broken:
            if self._replay.is_opener(id_):
                # It is answered, whatever that says: the host knows what the predecessor said.
                self.process_answered = True
                self._restore({}, output)
            # Without an error, the host would wait for ever.
            for asked in self._waiting_for(id_):
                self._answer_error(asked, text, output)

    def _waiting_for(self, id_: Id) -> list[Id]:
        """Return the host's open requests that an answer with this id belongs to.

        There is one at most, or more if it answers a replayed request.
        """
        if self._replay.asked(id_):
            return [each for each in self._replay.answered(id_) if each in self._open_requests]
        asked = self._open_requests.answered_by(id_)
        return [] if asked is None else [asked]

    def _is_awaited(self, id_: Id) -> bool:
        return self._replay.asked(id_) or self._open_requests.answered_by(id_) is not None

    def _is_plain_answer(self, frame: Frame) -> bool:
        """Close the request that a frame answers, in the usual case; return whether it was that.

        In the usual case the request is open and nothing about it must be remembered. Taking
        `_part_for_host` for all frames makes `_deliver` a third slower.
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
        if len(frame.messages) == 1:  # the usual case
            return frame if self._is_for_host(frame.messages[0], output) else None
        return only(frame, [self._is_for_host(message, output) for message in frame.messages])

    def _is_for_host(self, message: Message, output: Output) -> bool:
        """Note a message of the remote; return whether the host expects it."""
        if message.is_response:
            return self._is_answer_for_host(message, output)
        return not self._subscriptions.is_needless(message)

    def _is_answer_for_host(self, message: Message, output: Output) -> bool:
        """Note an answer of the remote; return whether it answers an open request of the host."""
        if message.id is None:
            return True
        if self._replay.asked(message.id):
            if self._replay.is_opener(message.id):
                self._finish_replay(message, output)
            else:
                self._pass_on_replayed(message.id, message, output)
            return False
        id_ = self._open_requests.answered_by(message.id)
        if id_ is None:
            self.stray_output.add_answer()
            return False
        method = self._open_requests.pop(id_).method
        if method == "tools/list":
            self._harmless_tools.learn(message)
        elif method == "subscriptions/listen":
            self._subscriptions.ended(id_)
        elif method in _REMEMBERED:
            self._replay.see_answer(method, id_, message)
        return True

    def _pass_on_replayed(self, replayed: Id, answer: Message, output: Output) -> None:
        """Give the answer to a replayed request to the host's requests for the same state."""
        for id_ in self._waiting_for(replayed):
            self._close(id_, refused=bool(answer.error))
            output.to_host.append(answer_line(id_, answer))

    def _finish_replay(self, message: Message, output: Output) -> None:
        """Go on with the replay if this answer to the opener accepts the host."""
        if self._replay.refuses(message):
            self.refused_replay = (
                "After the reconnect, the remote server refused the initialize request that its "
                "predecessor had accepted"
            )
            return
        self._restore(fields(message.result), output)

    def _restore(self, opened: dict[str, Any], output: Output) -> None:
        """Send the rest of the replay and the held frames; `opened` is the opener's result."""
        waiting = [(item, item.frame.messages[0]) for item in self._held.take_restored()]
        for item, request in waiting:
            self._open_requests.add(request, item.frame, item.ends)
        lines, done = self._replay.rest(opened, [request.id for _, request in waiting])
        output.to_remote += lines
        for id_ in done:
            self._close(id_)
            output.to_host.append(message_line(id=id_, result={}))
        self._open(output)

    def _answer_failed(self, frame: Frame, output: Output, *, sent: bool = False) -> None:
        for message in frame.messages:
            if message.id is not None and message.method is not None:
                ran = sent and message.method == "tools/call"
                text = f"{self._failure.rstrip('.')}. {SENT_BEFORE}" if ran else self._failure
                self._answer_error(message.id, text, output)

    def _answer_error(self, id_: Id, text: str, output: Output) -> None:
        self._close(id_)
        output.to_host.append(error_line(id_, PROXY_ERROR, text))


def _is_about_remote_request(frame: Frame) -> bool:
    """Return whether a frame of the host answers a request of the remote or reports progress."""
    return all(
        message.is_response or (message.method == "notifications/progress" and message.id is None)
        for message in frame.messages
    )
