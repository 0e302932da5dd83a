"""A modern host's requests that are open at a legacy server. Sans-I/O."""

from __future__ import annotations

import hashlib

import msgspec

from m2m_ssh_client.proxy.eras.for_modern_host import rank_of
from m2m_ssh_client.proxy.eras.terms import ASKING, LEVELS, object_text
from m2m_ssh_client.proxy.frames.frame import Frame, Id, JSONText, Members, Message, raw_json
from m2m_ssh_client.proxy.memory.held_frames import FOR_EVER
from m2m_ssh_client.proxy.memory.open_requests import answerable_under

_RETRYING = frozenset({"_meta", "inputResponses", "requestState"})


class Question(msgspec.Struct):
    """A request of the server. Its `id` is None once it no longer waits for an answer."""

    id: Id | None
    method: str
    params: Members

    def text(self) -> bytes:
        params = {name: self.params[name] for name in self.params if name != "elicitationId"}
        return object_text(
            {"method": raw_json(self.method), "params": msgspec.Raw(object_text(params))}
        )


class LegacyCall(msgspec.Struct):
    """A request that is open at a legacy server."""

    at_server: Id
    method: str
    digest: bytes
    """Tells the retry of this call from other calls."""
    capabilities: JSONText
    """The capabilities that the host declares in the present round."""
    at_host: Id | None
    """The host's id of the present round; None while the call is parked."""
    ids: list[Id]
    """The host's ids of all rounds."""
    level: str = ""
    """The log level that the host asks for in the present round."""
    server_token: Id | None = None
    """The progress token that the server knows, from the first round."""
    host_token: Id | None = None
    """The progress token of the present round."""
    questions: list[Question] = []
    """Open questions, oldest first; the host has the first one while the call is parked."""
    ending: Message | None = None
    """The server's answer, if that came while the call was parked."""
    again: bool = False
    """The server has ended the call, and wants it again once the questions are answered."""
    doubtful: Frame | None = None
    """The host's frame as it was sent before it was known that the server is a legacy one."""
    until: float = FOR_EVER


class LegacyCalls:
    """The open requests, by the id and by the progress token that the server knows."""

    def __init__(self) -> None:
        self._calls: dict[Id, LegacyCall] = {}
        self._tokens: dict[Id, LegacyCall] = {}

    def add(self, call: LegacyCall) -> None:
        """Note that a request is sent, in its first round."""
        self._calls[call.at_server] = call
        call.server_token = call.host_token
        if call.server_token is not None:
            self._tokens[call.server_token] = call

    def remove(self, call: LegacyCall) -> bool:
        """Note that a request is over; return False if it was already."""
        if call.server_token is not None and self._tokens.get(call.server_token) is call:
            del self._tokens[call.server_token]
        if self._calls.get(call.at_server) is not call:
            return False
        del self._calls[call.at_server]
        return True

    def answered_by(self, id_: Id | None) -> LegacyCall | None:
        """Return the request that an answer of the server belongs to."""
        ids = answerable_under(id_) if id_ is not None else ()
        return next((self._calls[each] for each in ids if each in self._calls), None)

    def with_token(self, token: Id | None) -> LegacyCall | None:
        """Return the request that a progress notification of the server is about."""
        return self._tokens.get(token) if token is not None else None

    def of_host(self, id_: Id) -> LegacyCall | None:
        """Return the request whose present round has this id at the host."""
        return next((call for call in self._calls.values() if call.at_host == id_), None)

    def asking(self) -> LegacyCall | None:
        """Return the call in which the server asks something, as far as that can be known.

        The server's request does not name it: it is the oldest call without a question.
        """
        calls = [call for call in self._calls.values() if call.method in ASKING]
        return next((call for call in calls if not call.questions), next(iter(calls), None))

    @property
    def finest_level(self) -> str:
        """The log level that shows most, of those that open requests ask for; empty for none."""
        return min((call.level for call in self._calls.values()), key=rank_of, default="")

    def want_log(self, level: object) -> bool:
        """Return whether an open request has asked for log messages of this level."""
        rank = rank_of(level if isinstance(level, str) else "")
        return any(
            call.at_host is not None and rank_of(call.level) <= rank < len(LEVELS)
            for call in self._calls.values()
        )

    def question_cancelled(self, id_: Id | None) -> None:
        """Note that the server no longer waits for the answer to its question."""
        for call in self._calls.values():
            for question in call.questions:
                if question.id == id_:
                    question.id = None


def digest(params: Members) -> bytes:
    """Return what two rounds of one call have in common."""
    own = {name: params[name] for name in sorted(params) if name not in _RETRYING}
    return hashlib.sha256(object_text(own)).digest()
