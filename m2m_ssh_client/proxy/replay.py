"""What a fresh server must be told, so that it stands where the one before it stood.

Up to 2025-11-25 a connection has state (modelcontextprotocol.io, "Lifecycle"): the handshake, the log level, the
resource subscriptions. They are remembered as they pass, and told again under ids of the proxy's own, whose answers
the host never sees. From 2026-07-28 there is none of it (see `subscriptions.py`); the fresh server is only asked who
it is, if the host had asked that.

Sans-I/O.
"""

from __future__ import annotations

import logging
from typing import Any

from m2m_ssh_client.proxy.frames import Frame, Id, Message, fields, member, message_line
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


class Replay:
    """The state of one host's connection. `prefix` begins the ids of replayed requests; no host uses it."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._count = 0
        self._initialize: dict[str, Any] = {}  # its params
        self._told: dict[str, Any] = {}  # the InitializeResult that the host knows
        self._discover: dict[str, Any] = {}  # the params of its `server/discover`
        self._discovered: dict[str, Any] = {}  # and the DiscoverResult that it knows
        self._discover_id: Id | None = None  # of the replayed one that waits for its answer
        self._initialized = b""
        self._level: str | None = None
        self._subscriptions: dict[str, dict[str, Any]] = {}  # uri → params
        self._handshake_id: Id | None = None  # of the replayed initialize that waits for its answer
        self.asked: set[Id] = set()
        """The ids of all replayed requests that wait: the host did not send these."""

    @property
    def needed(self) -> bool:
        """Whether the host has been through a handshake that a fresh server has to repeat."""
        return bool(self._told)

    def see_request(self, message: Message) -> None:
        """A request of the host passes."""
        if message.method == "initialize":
            self._initialize = fields(message.params)
        elif message.method == "server/discover":
            self._discover = fields(message.params)
        elif message.method == "logging/setLevel":
            self._level = member(fields(message.params), "level")
        elif message.method in ("resources/subscribe", "resources/unsubscribe"):
            params = fields(message.params)
            uri = str(params.get("uri"))
            self._subscriptions.pop(uri, None)
            if message.method == "resources/subscribe":
                self._subscriptions[uri] = params

    def see_initialized(self, frame: Frame) -> None:
        """The host's `notifications/initialized` passes, perhaps within a batch: the rest of that is not repeated."""
        alone = len(frame.messages) == 1
        self._initialized = (
            frame.line if alone else message_line(method="notifications/initialized")
        )

    def see_handshake(self, result: dict[str, Any]) -> None:
        """The answer to the host's own `initialize` passes."""
        self._told = result

    def see_discovery(self, result: dict[str, Any]) -> None:
        """The answer to the host's own `server/discover` passes."""
        self._discovered = result

    def inquiry(self) -> list[bytes]:
        """The question who a fresh server is, for a host that has no handshake and asked that itself."""
        if self.needed or not self._discovered:
            return []
        self.asked.clear()
        line = self._request("server/discover", self._discover)
        self._discover_id = next(iter(self.asked))
        return [line]

    def begin(self) -> bytes:
        """The `initialize` for a fresh server; the rest follows when it is answered."""
        self.asked.clear()
        line = self._request("initialize", self._initialize)
        self._handshake_id = next(iter(self.asked))
        return line

    def answers_handshake(self, message: Message) -> bool:
        """Take the answer to one of those that were `asked`: whether that is `begin`'s."""
        if message.id is not None:
            self.asked.remove(message.id)
        if message.id == self._discover_id and message.result:
            self._compare(self._discovered, fields(message.result))
        return message.id == self._handshake_id

    def is_own(self, message: Message) -> bool:
        """Whether a message towards the remote is a part of the replay and not the host's."""
        return message.id in self.asked or (
            self.needed and message.method == "notifications/initialized"
        )

    def rest(self, result: dict[str, Any]) -> list[bytes]:
        """What follows on the fresh server's answer to `begin`: the state behind the handshake."""
        self._handshake_id = None
        self._compare(self._told, result)
        lines = [self._initialized] if self._initialized else []
        if self._level is not None:
            lines.append(self._request("logging/setLevel", {"level": self._level}))
        lines += [
            self._request("resources/subscribe", params) for params in self._subscriptions.values()
        ]
        return lines

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

    def _shows(self, level: str) -> bool:
        return self._level not in _LEVELS or _LEVELS.index(self._level) <= _LEVELS.index(level)

    def _request(self, method: str, params: dict[str, Any]) -> bytes:
        self._count += 1
        id_ = f"{self._prefix}{self._count}"
        self.asked.add(id_)
        return message_line(id=id_, method=method, params=params)

    def _compare(self, told: dict[str, Any], result: dict[str, Any]) -> None:
        for path in _IDENTITY:
            before, now = member(told, *path), member(result, *path)
            if before != now:
                text = f"the remote server's {path[-1]} was {before}, and is {now} now"
                logger.warning("%s", shortened(printable(text), 400))
