"""Calls in which a legacy server asks a modern host something.

The legacy request stays open at the server, and is parked here, while the host makes the same call
again with the answers. A random token in `requestState` says which one is meant. Sans-I/O.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import msgspec

from m2m_ssh_client.proxy.eras.bridge import FOR_EVER
from m2m_ssh_client.proxy.eras.terms import object_text
from m2m_ssh_client.proxy.frames.frame import Frame, Id, Members, Message, raw_json

TOKEN_TIME = 600.0
"""Seconds for which a host may think about a question."""

_RETRYING = frozenset({"_meta", "inputResponses", "requestState"})
KEY = "question"
"""The key of the question that a parked call asks."""


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
    capabilities: Any
    """What the host says of itself in the present round."""
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


class Parked:
    """The parked calls, by their tokens. A token is valid once."""

    def __init__(self) -> None:
        self._calls: dict[str, LegacyCall] = {}

    @property
    def next_expiry(self) -> float:
        return min((call.until for call in self._calls.values()), default=FOR_EVER)

    def park(self, call: LegacyCall, now: float) -> bytes:
        """Park a call; return the result that asks its first question."""
        return self.park_with(call, {KEY: call.questions[0].text()}, now)

    def park_with(self, call: LegacyCall, questions: dict[str, bytes], now: float) -> bytes:
        """Park a call; return the result that asks these questions."""
        token = secrets.token_urlsafe(24)
        self._calls[token] = call
        call.at_host = None
        call.until = now + TOKEN_TIME
        asked = {key: msgspec.Raw(text) for key, text in questions.items()}
        return object_text(
            {
                "resultType": raw_json("input_required"),
                "inputRequests": msgspec.Raw(object_text(asked)),
                "requestState": raw_json(token),
            }
        )

    def take(self, token: object, method: str, digest: bytes) -> LegacyCall | None:
        """Return the call that a retry is about, which is parked no longer; None if there is none."""
        call = self._calls.get(token) if isinstance(token, str) else None
        if not isinstance(token, str) or call is None:
            return None
        if (call.method, call.digest) != (method, digest):
            return None
        del self._calls[token]
        call.until = FOR_EVER
        return call

    def expired(self, now: float) -> list[LegacyCall]:
        """Remove and return the calls to which the host has not come back in time."""
        due = {token: call for token, call in self._calls.items() if call.until <= now}
        for token in due:
            del self._calls[token]
        return list(due.values())

    def cancel(self, id_: Id) -> LegacyCall | None:
        """Remove and return the call that the host cancels by the id of any of its rounds."""
        for token, call in self._calls.items():
            if id_ in call.ids:
                del self._calls[token]
                return call
        return None


def digest(params: Members) -> bytes:
    """Return what two rounds of one call have in common."""
    own = sorted((name, bytes(params[name])) for name in params if name not in _RETRYING)
    found = hashlib.sha256()
    for name, value in own:
        found.update(b"%b:%d:%b" % (bytes(raw_json(name)), len(value), value))
    return found.digest()
