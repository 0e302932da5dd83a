"""Calls in which a legacy server asks a modern host something.

The legacy request stays open at the server, and is parked here, while the host makes the same call
again with the answers. A random token in `requestState` says which one is meant. Sans-I/O.
"""

from __future__ import annotations

import secrets

import msgspec

from m2m_ssh_client.proxy.eras.legacy_calls import LegacyCall, Question
from m2m_ssh_client.proxy.eras.terms import members, object_text
from m2m_ssh_client.proxy.frames.frame import Id, NotJSONError, NotJSONRPCError, items_of, raw_json
from m2m_ssh_client.proxy.memory.held_frames import FOR_EVER

TOKEN_TIME = 600.0
"""Seconds for which a host may think about a question."""

KEY = "question"
"""The key of the question that a parked call asks."""


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
        """Return the call that a retry is about, and park it no longer; None if there is none."""
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


def pages_of(error: msgspec.Raw) -> dict[str, bytes]:
    """Return the pages that must be opened first, as questions."""
    try:
        pages = items_of(bytes(members(members(error).get("data", b"")).get("elicitations", b"[]")))
        found = [members(page) for page in pages]
    except (NotJSONError, NotJSONRPCError, TypeError, RecursionError):
        return {}
    return {
        f"{KEY}-{number}": Question(
            None, "elicitation/create", {"mode": raw_json("url"), **page}
        ).text()
        for number, page in enumerate(found)
    }
