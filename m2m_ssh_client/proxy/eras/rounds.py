"""The rounds of a call, in which a modern server asks a legacy host something. Sans-I/O.

A modern server ends a request with `input_required`: questions, a state, or both. Each question
becomes a request to the host. When all are answered, the same request is made again under another
id, with the answers and exactly that state (modelcontextprotocol.io, "Multi Round-Trip Requests").
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from m2m_ssh_client.proxy.eras.capabilities import missing_capability, mode_of
from m2m_ssh_client.proxy.eras.terms import (
    CANCELLED,
    INTERNAL_ERROR,
    error_answer,
    members,
    object_text,
    request_line,
    value_in,
)
from m2m_ssh_client.proxy.frames.frame import (
    PROXY_ERROR,
    Id,
    Members,
    Message,
    NotJSONRPCError,
    error_line,
    fields,
    is_id,
    message_line,
    raw_json,
)
from m2m_ssh_client.proxy.memory.held_frames import FOR_EVER
from m2m_ssh_client.proxy.memory.open_requests import MAY_HAVE_RUN, NOT_SENT
from m2m_ssh_client.proxy.memory.session import Output

MOST_ROUNDS = 10
_FIRST_WAIT = 0.1  # seconds, before a request is made again without an answer; doubles each time
_MOST_TOKENS = 1000


class Call(msgspec.Struct):
    """A request of the host, in any of its rounds."""

    id: Id
    method: str
    params: Members
    at_server: Id
    """The id of the present round."""
    round: int = 1
    questions: dict[Id, str] = {}
    """The server's keys of the questions that the host has, by their ids."""
    answers: Members = {}
    state: msgspec.Raw | None = None
    again_at: float = FOR_EVER

    def outcome(self, reason: str) -> str:
        """Return the error text for the host if there is no further round."""
        if self.method != "tools/call":
            return reason
        return f"{reason.replace(NOT_SENT, '').strip().rstrip('.')}. {MAY_HAVE_RUN}"


class Send(Protocol):
    def __call__(self, call: Call, output: Output, **more: msgspec.Raw) -> None: ...


class Rounds:
    """The calls that wait for their next round: for the host's answers, or for a time."""

    def __init__(self, own_id: Callable[[], str], capabilities: Any, send: Send) -> None:
        """`capabilities` are the host's; `send` makes the next round of a call."""
        self._own_id = own_id
        self._capabilities = capabilities
        self._send = send
        self._asked: dict[Id, Call] = {}  # by the ids of open questions
        self._paused: list[Call] = []
        self._progress: dict[Id, float] = {}  # of each token, as far as the host knows

    @property
    def next_expiry(self) -> float:
        return min((call.again_at for call in self._paused), default=FOR_EVER)

    def expire(self, now: float, output: Output) -> None:
        """Make the rounds for which the time has come."""
        due = [call for call in self._paused if call.again_at <= now]
        self._paused = [call for call in self._paused if call.again_at > now]
        for call in due:
            self._next_round(call, output)

    def ask(self, call: Call, result: Members, now: float, output: Output) -> None:
        """Ask the host what the server wants to know. May raise NotJSONRPCError."""
        questions = {
            key: members(question)
            for key, question in members(result.get("inputRequests", b"")).items()
        }
        call.state = result.get("requestState")
        call.answers = {}
        problem = self._problem(call, questions)
        if problem:
            self.ended(call)
            output.to_host.append(error_line(call.id, INTERNAL_ERROR, problem))
        elif not questions:
            call.again_at = now + _FIRST_WAIT * 2 ** (call.round - 1)
            self._paused.append(call)
        else:
            call.questions = {self._own_id(): key for key in questions}
            for id_, key in call.questions.items():
                self._asked[id_] = call
                output.to_host.append(_question_line(id_, questions[key]))

    def answered(self, message: Message, output: Output) -> None:
        """Take the host's answer to a question; the next round follows the last one."""
        call = self._asked.pop(message.id, None) if message.id is not None else None
        if call is None or message.id is None:
            return
        key = call.questions.pop(message.id)
        if message.error:
            self._withdraw(call, output)
            output.to_host.append(error_answer(call.id, bytes(message.error)))
            return
        call.answers[key] = message.result
        if not call.questions:
            self._next_round(call, output)

    def cancel(self, id_: Id, output: Output) -> None:
        """Forget a request that the host cancels, and withdraw its questions."""
        self._paused = [call for call in self._paused if call.id != id_]
        for call in {id(call): call for call in self._asked.values() if call.id == id_}.values():
            self._withdraw(call, output)

    def failed(self, reason: str, output: Output) -> None:
        """Answer all calls that wait for their next round."""
        waiting = {id(call): call for call in [*self._paused, *self._asked.values()]}
        self._paused = []
        for call in waiting.values():
            self._withdraw(call, output)
            output.to_host.append(error_line(call.id, PROXY_ERROR, call.outcome(reason)))

    def rises(self, message: Message) -> bool:
        """Return whether a progress notification says more than the last one with its token.

        Each round of a call may begin at zero, but a host expects the progress to rise.
        """
        params = fields(message.params)
        token, progress = params.get("progressToken"), params.get("progress")
        if not is_id(token) or not isinstance(progress, (int, float)):
            return True
        if progress <= self._progress.get(token, -FOR_EVER):
            return False
        self._progress[token] = progress
        if len(self._progress) > _MOST_TOKENS:
            del self._progress[next(iter(self._progress))]
        return True

    def ended(self, call: Call) -> None:
        """Forget how far a call got; its token may be used again."""
        if self._progress and "_meta" in call.params:
            token = fields(call.params["_meta"]).get("progressToken")
            if is_id(token):
                self._progress.pop(token, None)

    def _problem(self, call: Call, questions: dict[str, Members]) -> str:
        """Return why the server's questions cannot be put to the host; empty if they can."""
        if call.round >= MOST_ROUNDS:
            return f"The server asked again after {MOST_ROUNDS} rounds"
        if not questions and call.state is None:
            return "The server asked for input without a question"
        for question in questions.values():
            method, params = _method_of(question), members(question.get("params", b""))
            missing = missing_capability(self._capabilities, method, params)
            if missing:
                return (
                    f"The server asks for {method[:60]}, which this host does not offer "
                    f"(capability {missing[:60]})"
                )
        return ""

    def _next_round(self, call: Call, output: Output) -> None:
        call.round += 1
        call.again_at = FOR_EVER
        call.at_server = self._own_id()
        more: Members = {}
        if call.answers:
            more["inputResponses"] = msgspec.Raw(object_text(call.answers))
        if call.state is not None:
            more["requestState"] = call.state
        self._send(call, output, **more)

    def _withdraw(self, call: Call, output: Output) -> None:
        self.ended(call)
        for id_ in call.questions:
            self._asked.pop(id_, None)
            params = {"requestId": id_, "reason": "The request that asked this has ended"}
            output.to_host.append(message_line(method=CANCELLED, params=params))
        call.questions = {}


def _method_of(question: Members) -> str:
    method = value_in(question, "method")
    if not isinstance(method, str):
        raise NotJSONRPCError("a question without a method")
    return method


def _question_line(id_: Id, question: Members) -> bytes:
    method, params = _method_of(question), members(question.get("params", b""))
    if method == "elicitation/create" and mode_of(params) == "url":
        params["elicitationId"] = raw_json(secrets.token_hex(8))  # the legacy era needs one
    return request_line(id_, method, params)
