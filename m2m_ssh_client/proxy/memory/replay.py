"""What a fresh server must be told, so that it stands where the one before it stood.

Up to 2025-11-25 a connection has state (modelcontextprotocol.io, "Lifecycle"): the handshake, the log level, the
resource subscriptions. The host's last word on each is remembered as it passes, and told again under ids of the
proxy's own. Whatever the host had asked for of it and was not answered is answered by that, and not sent again: what
restores state is this alone. From 2026-07-28 there is no such state (see `subscriptions.py`); the fresh server is
asked who it is, and what the host waits for goes out once it has shown that it serves.

Sans-I/O.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

from m2m_ssh_client.proxy.frames.frame import Frame, Id, Message, fields, member, message_line
from m2m_ssh_client.text import printable, shortened

logger = logging.getLogger(__name__)

_LISTS = ("tools", "prompts", "resources")
# Where the two eras say who a server is and what it can do.
_IDENTITY = (
    ("serverInfo",),
    ("_meta", "io.modelcontextprotocol/serverInfo"),
    ("protocolVersion",),
    ("supportedVersions",),
    ("capabilities",),
)
_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
_VERSION = "io.modelcontextprotocol/protocolVersion"

RESTORING = frozenset({"logging/setLevel", "resources/subscribe", "resources/unsubscribe"})
"""The requests that set what a fresh server is told."""

Params = dict[str, Any]
_Subject = tuple[str, str]
"""What a request sets: the log level, or the subscription to a resource."""

_LEVEL: _Subject = ("logging/setLevel", "")


class _Change(NamedTuple):
    """What a request of the host set that is not answered yet."""

    subject: _Subject
    params: Params | None
    before: Params | None


class Replay:
    """The state of one host's connection. `prefix` begins the ids of replayed requests; no host uses it."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._count = 0
        self._initialize: Params = {}
        self._told: Params = {}  # the InitializeResult that the host knows
        self._discover: Params = {}
        self._discovered: Params = {}  # and the DiscoverResult
        self._modern = False  # the host has spoken 2026-07-28 to a server
        self._initialized = b""
        self._state: dict[_Subject, Params] = {}  # the host's last word, in the order of these
        self._changes: dict[Id, _Change] = {}
        self._opener: Id | None = (
            None  # the replayed initialize or discover that waits for its answer
        )
        self._asked: dict[Id, _Subject | None] = {}  # all replayed requests that do
        self._waiting: set[Id] = set()  # the host's requests that these answer

    @property
    def needed(self) -> bool:
        """Whether a fresh server has to answer what opens a connection before anything else."""
        return self.has_handshake or self._modern

    @property
    def has_handshake(self) -> bool:
        """Whether the host has been through a handshake that a fresh server has to repeat."""
        return bool(self._told)

    def see_request(self, message: Message) -> None:
        """A request of the host passes."""
        params = fields(message.params)
        if message.method == "initialize":
            self._initialize = _without_token(params)
        elif message.method == "server/discover":
            self._discover = _without_token(params)
        elif message.method in RESTORING and message.id is not None:
            self._set(message.id, message.method, _without_token(params))

    def see_first(self, message: Message) -> None:
        """The host's first request passes. In 2026-07-28 it need not be one that opens a connection.

        How it presents itself is what a fresh server is asked with.
        """
        meta = member(fields(message.params), "_meta")
        if message.method != "server/discover" and member(meta, _VERSION) is not None:
            self._discover = _without_token({"_meta": meta})
            self._modern = True

    def see_initialized(self, frame: Frame) -> None:
        """The host's `notifications/initialized` passes, perhaps within a batch: the rest of that is not repeated."""
        alone = len(frame.messages) == 1
        self._initialized = (
            frame.line if alone else message_line(method="notifications/initialized")
        )

    def see_answer(self, method: str, id_: Id, message: Message) -> None:
        """The answer to the host's own request with this id passes."""
        if method == "initialize" and message.result:
            self._told = fields(message.result)
        elif method == "server/discover" and message.result:
            self._discovered = fields(message.result)
            self._modern = True
        elif method in RESTORING:
            self.settle(id_, refused=bool(message.error))

    def settle(self, id_: Id, *, refused: bool = False) -> None:
        """A request that set something is over; what was refused is as if it had not been said."""
        change = self._changes.pop(id_, None)
        if change is None or not refused:
            return
        if self._state.get(change.subject) is change.params:
            self._state.pop(change.subject, None)
            if change.before is not None:
                self._state[change.subject] = change.before
        for later, other in self._changes.items():
            if other.subject == change.subject and other.before is change.params:
                self._changes[later] = other._replace(before=change.before)

    def begin(self) -> bytes:
        """Return what a fresh server has to answer first; the rest follows."""
        self._asked.clear()
        self._waiting.clear()
        opener = ("initialize", self._initialize)
        line = self._request(*(opener if self._told else ("server/discover", self._discover)))
        self._opener = next(iter(self._asked))
        return line

    def is_own(self, message: Message) -> bool:
        """Whether a message towards the remote is a part of the replay and not the host's."""
        return message.id in self._asked or (
            self.has_handshake and message.method == "notifications/initialized"
        )

    def asked(self, id_: Id | None) -> bool:
        """Whether the host did not send the request with this id, as it is a replayed one."""
        return id_ in self._asked

    def is_opener(self, message: Message) -> bool:
        """Whether a message answers `begin`'s request."""
        return message.id == self._opener

    def refuses(self, message: Message) -> bool:
        """Whether the answer to `begin`'s request leaves no way on."""
        return self.has_handshake and not message.result

    def rest(self, opener: Message, waiting: Iterable[Id | None]) -> tuple[list[bytes], list[Id]]:
        """Take the answer to `begin`'s request. What follows it; and of the requests that wait, those that are done."""
        self._opener = None
        self._asked.clear()
        self._compare(self._told or self._discovered, fields(opener.result))
        if not self.has_handshake:
            return [], []
        lines = [self._initialized] if self._initialized else []
        lines += [
            self._request(subject[0], params, subject)
            for subject, params in sorted(self._state.items(), key=lambda item: item[0] != _LEVEL)
        ]
        self._waiting.update(id_ for id_ in waiting if id_ is not None)
        # A fresh server has no subscriptions, which is what an `unsubscribe` wants.
        done = [id_ for id_ in self._waiting if self._subject_of(id_) not in self._state]
        return lines, done

    def answered(self, id_: Id) -> list[Id]:
        """Note that a replayed request has its answer. The host's requests that it answers too."""
        subject = self._asked.pop(id_)
        if subject is None:
            return []
        return [each for each in self._waiting if self._subject_of(each) == subject]

    def announcements(self) -> list[bytes]:
        """What the host is to know of the change, as far as the server it knows may say such things."""
        capabilities = member(self._told, "capabilities")
        lines = [
            message_line(method=f"notifications/{name}/list_changed")
            for name in _LISTS
            if member(capabilities, name, "listChanged") is True
        ]
        if member(capabilities, "logging") is not None and self._shows("warning"):
            text = (
                "The connection to the remote server was lost and made again. It is a fresh process: what "
                "it kept in memory is gone."
            )
            params = {"level": "warning", "logger": "m2m-ssh-client", "data": text}
            lines.append(message_line(method="notifications/message", params=params))
        return lines

    def _set(self, id_: Id, method: str, params: Params) -> None:
        subject = _LEVEL
        if method != _LEVEL[0]:
            subject = "resources/subscribe", str(params.get("uri"))
        before = self._state.pop(subject, None)
        said = None if method == "resources/unsubscribe" else params
        if said is not None:
            self._state[subject] = said
        self._changes[id_] = _Change(subject, said, before)

    def _subject_of(self, id_: Id) -> _Subject | None:
        change = self._changes.get(id_)
        return change.subject if change is not None else None

    def _shows(self, level: str) -> bool:
        shown_from = member(self._state.get(_LEVEL), "level")
        return shown_from not in _LEVELS or _LEVELS.index(shown_from) <= _LEVELS.index(level)

    def _request(self, method: str, params: Params, subject: _Subject | None = None) -> bytes:
        self._count += 1
        id_ = f"{self._prefix}{self._count}"
        self._asked[id_] = subject
        return message_line(id=id_, method=method, params=params)

    def _compare(self, told: Params, result: Params) -> None:
        for path in _IDENTITY:
            before, now = member(told, *path), member(result, *path)
            if told and result and before != now:
                text = f"the remote server's {path[-1]} was {before}, and is {now} now"
                logger.warning("%s", shortened(printable(text), 400))


def _without_token(params: Params) -> Params:
    """A progress token is for one request, and that is over when this is said again."""
    meta = params.get("_meta")
    if not isinstance(meta, dict) or "progressToken" not in meta:
        return params
    return {**params, "_meta": {name: meta[name] for name in meta if name != "progressToken"}}
