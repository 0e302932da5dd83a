"""The requests that bring a fresh server into the state of its predecessor. Sans-I/O."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

from m2m_ssh_client.proxy.frames.frame import Frame, Id, Message, fields, member, message_line
from m2m_ssh_client.text import printable, shortened

logger = logging.getLogger(__name__)

_LISTS = ("tools", "prompts", "resources")
_CLIENT_INFO = "io.modelcontextprotocol/clientInfo"
_SERVER_INFO = "io.modelcontextprotocol/serverInfo"
# The members in which a server of either era says who it is and what it can do.
_IDENTITY = (
    ("serverInfo",),
    ("_meta", _SERVER_INFO),
    ("protocolVersion",),
    ("supportedVersions",),
    ("capabilities",),
)
_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
_VERSION = "io.modelcontextprotocol/protocolVersion"

RESTORING = frozenset({"logging/setLevel", "resources/subscribe", "resources/unsubscribe"})
"""The requests that set state, which the replay restores."""

Params = dict[str, Any]
_Subject = tuple[str, str]
"""The piece of state that a request sets: the log level, or the subscription to a resource."""

_LEVEL: _Subject = ("logging/setLevel", "")


class _Change(NamedTuple):
    """The effect of an unanswered request of the host on the state."""

    subject: _Subject
    params: Params | None
    before: Params | None


class Replay:
    """The state of the host's connection, and the requests that restore it on a fresh server.

    Up to 2025-11-25 a connection has state (modelcontextprotocol.io, "Lifecycle"): the handshake,
    the log level and the resource subscriptions. The replay remembers the host's last request for
    each as it passes, and repeats it under an id of the proxy's own. The answer to the repeated
    request also answers any request of the host for the same state that was still open, so such
    requests are never sent again themselves.

    From 2026-07-28 a connection has no such state (see `subscriptions.py`). The fresh server only
    gets a `server/discover`, and the host's frames are held until it has answered that.

    A replay runs in two steps: `begin` returns the opener (`initialize` or `server/discover`), and
    `rest` takes the answer to it and returns the other requests.
    """

    def __init__(self, prefix: str) -> None:
        """`prefix` begins the ids of replayed requests; the host must not use it."""
        self._prefix = prefix
        self._count = 0
        self._initialize_params: Params = {}
        self._initialize_result: Params = {}  # as the host knows it
        self._discover_params: Params = {}
        self._discover_result: Params = {}
        self._modern = False  # the host has spoken 2026-07-28 to a server
        self._initializing = False  # its `initialize` is not answered yet
        self._initialized = b""
        self._state: dict[_Subject, Params] = {}  # by the host's last requests, in their order
        self._changes: dict[Id, _Change] = {}
        self._opener: Id | None = None  # the id of the opener until it is answered
        self._asked: dict[Id, _Subject | None] = {}  # all unanswered replayed requests
        self._waiting: set[Id] = set()  # the host's requests that these will answer

    @property
    def needed(self) -> bool:
        """Return whether a fresh server must answer an opener before it gets anything else."""
        return self.has_handshake or (self._modern and not self._initializing)

    @property
    def has_handshake(self) -> bool:
        """Return whether the host has completed a handshake, which a fresh server must repeat."""
        return bool(self._initialize_result)

    @property
    def host_name(self) -> str:
        """The host's name and version as it gave them; empty before that."""
        info = member(self._initialize_params, "clientInfo")
        return _shown(info or member(self._discover_params, "_meta", _CLIENT_INFO))

    @property
    def server_name(self) -> str:
        """The same for the remote server."""
        info = member(self._initialize_result, "serverInfo")
        return _shown(info or member(self._discover_result, "_meta", _SERVER_INFO))

    def see_request(self, message: Message) -> None:
        """Note a request of the host."""
        params = fields(message.params)
        if message.method == "initialize":
            self._initialize_params = _without_token(params)
            self._initializing = True
        elif message.method == "server/discover":
            self._discover_params = _without_token(params)
        elif message.method in RESTORING and message.id is not None:
            self._set(message.id, message.method, _without_token(params))

    def see_first(self, message: Message) -> None:
        """Note the host's first request.

        In 2026-07-28 any request may be the first. Its `_meta` describes the host, and becomes the
        parameters of the `server/discover` for a fresh server.
        """
        meta = member(fields(message.params), "_meta")
        if message.method != "server/discover" and member(meta, _VERSION) is not None:
            self._discover_params = _without_token({"_meta": meta})
            self._modern = True

    def see_initialized(self, frame: Frame) -> None:
        """Note the host's `notifications/initialized`; the rest of a batch is not repeated."""
        alone = len(frame.messages) == 1
        self._initialized = (
            frame.line if alone else message_line(method="notifications/initialized")
        )

    def see_answer(self, method: str, id_: Id, message: Message) -> None:
        """Note the answer to the host's request with this method and id."""
        if method == "initialize":
            self._initialize_result = fields(message.result)
            self._initializing = False
        elif method == "server/discover" and message.result:
            self._discover_result = fields(message.result)
            self._modern = True
        elif method in RESTORING:
            self.settle(id_, refused=bool(message.error))

    def settle(self, id_: Id, *, refused: bool = False) -> None:
        """Note the end of a request; undo its effect on the state if the server refused it."""
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
        """Return the opener, which a fresh server must answer before it gets the rest."""
        self._asked.clear()
        self._waiting.clear()
        initialize = ("initialize", self._initialize_params)
        discover = ("server/discover", self._discover_params)
        line = self._request(*(initialize if self.has_handshake else discover))
        self._opener = next(iter(self._asked))
        return line

    def ping(self) -> bytes:
        """Return a request that changes nothing, and that each server answers. If `needed`."""
        if self.has_handshake:
            return self._request("ping", {})
        return self._request("server/discover", self._discover_params)

    def is_own(self, message: Message) -> bool:
        """Return whether a message to the remote is part of the replay, not from the host."""
        return message.id in self._asked or (
            self.has_handshake and message.method == "notifications/initialized"
        )

    def asked(self, id_: Id | None) -> bool:
        """Return whether a replayed request with this id is unanswered."""
        return id_ in self._asked

    def is_opener(self, id_: Id) -> bool:
        """Return whether the opener has this id, and is unanswered."""
        return id_ == self._opener

    def refuses(self, message: Message) -> bool:
        """Return whether this answer to the opener rules out the fresh server."""
        return self.has_handshake and not message.result

    def rest(self, opened: Params, waiting: Iterable[Id | None]) -> tuple[list[bytes], list[Id]]:
        """Take the result of the opener, empty if it is unknown.

        `waiting` are the ids of the host's requests that the replay answers. Return the lines that
        follow the opener, and the ids of the waiting requests that need no answer from the server.
        """
        self._opener = None
        self._asked.clear()
        self._compare(self._initialize_result or self._discover_result, opened)
        if not self.has_handshake:
            return [], []
        lines = [self._initialized] if self._initialized else []
        lines += [
            self._request(subject[0], params, subject)
            for subject, params in sorted(self._state.items(), key=lambda item: item[0] != _LEVEL)
        ]
        self._waiting.update(id_ for id_ in waiting if id_ is not None)
        # A fresh server has no subscriptions, so an `unsubscribe` is already done.
        done = [id_ for id_ in self._waiting if self._subject_of(id_) not in self._state]
        return lines, done

    def answered(self, id_: Id) -> list[Id]:
        """Note the answer to a replayed request; return the host's requests that it answers too."""
        subject = self._asked.pop(id_)
        if subject is None:
            return []
        return [each for each in self._waiting if self._subject_of(each) == subject]

    def announcements(self) -> list[bytes]:
        """Return notifications for the host about the fresh server.

        Only notifications that the capabilities of the host's first server allow.
        """
        capabilities = member(self._initialize_result, "capabilities")
        lines = [
            message_line(method=f"notifications/{name}/list_changed")
            for name in _LISTS
            if member(capabilities, name, "listChanged") is True
        ]
        if member(capabilities, "logging") is not None and self._shows("warning"):
            text = (
                "The connection to the remote server was lost and re-established. The server is a "
                "fresh process: anything it kept in memory is gone."
            )
            params = {"level": "warning", "logger": "m2m-ssh-client", "data": text}
            lines.append(message_line(method="notifications/message", params=params))
        return lines

    def _set(self, id_: Id, method: str, params: Params) -> None:
        subject = _LEVEL
        if method != _LEVEL[0]:
            subject = "resources/subscribe", str(params.get("uri"))
        before = self._state.pop(subject, None)
        after = None if method == "resources/unsubscribe" else params
        if after is not None:
            self._state[subject] = after
        self._changes[id_] = _Change(subject, after, before)

    def _subject_of(self, id_: Id) -> _Subject | None:
        change = self._changes.get(id_)
        return change.subject if change is not None else None

    def _shows(self, level: str) -> bool:
        """Return whether the host's log level shows messages of this level."""
        shown_from = member(self._state.get(_LEVEL), "level")
        return shown_from not in _LEVELS or _LEVELS.index(shown_from) <= _LEVELS.index(level)

    def _request(self, method: str, params: Params, subject: _Subject | None = None) -> bytes:
        self._count += 1
        id_ = f"{self._prefix}{self._count}"
        self._asked[id_] = subject
        return message_line(id=id_, method=method, params=params)

    def _compare(self, old: Params, new: Params) -> None:
        """Log how the fresh server differs from its predecessor."""
        for path in _IDENTITY:
            before, now = member(old, *path), member(new, *path)
            if old and new and before != now:
                text = f"the remote server's {path[-1]} was {before} and is now {now}"
                logger.warning("%s", shortened(printable(text), 400))


def _shown(info: Any) -> str:
    """Return name and version of an `Implementation`, fit to show."""
    words = [member(info, name) for name in ("name", "version")]
    return shortened(printable(" ".join(word for word in words if isinstance(word, str))), 80)


def _without_token(params: Params) -> Params:
    """Remove the progress token, which is valid for the original request only."""
    meta = params.get("_meta")
    if not isinstance(meta, dict) or "progressToken" not in meta:
        return params
    return {**params, "_meta": {name: meta[name] for name in meta if name != "progressToken"}}
