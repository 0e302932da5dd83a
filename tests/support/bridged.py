"""A host and a server of any era, with the session and the era bridge between them, without I/O."""

from __future__ import annotations

import json
from typing import Any

from m2m_ssh_client.proxy.eras.crossing import Crossing
from m2m_ssh_client.proxy.eras.watch import EraWatch
from m2m_ssh_client.proxy.memory.session import Output, Session

MODERN = "2026-07-28"
META = "io.modelcontextprotocol/"
Json = dict[str, Any]


def envelope(capabilities: Json | None = None, **more: Any) -> Json:
    """The `_meta` of a modern host's request."""
    return {
        f"{META}protocolVersion": MODERN,
        f"{META}clientCapabilities": capabilities or {},
        f"{META}clientInfo": {"name": "host", "version": "1"},
        **more,
    }


def request(id_: Any, method: str, **params: Any) -> Json:
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}


def note(method: str, **params: Any) -> Json:
    return {"jsonrpc": "2.0", "method": f"notifications/{method}", "params": params}


def result(id_: Any, **members: Any) -> Json:
    return {"jsonrpc": "2.0", "id": id_, "result": members}


def error(id_: Any, code: int, message: str = "no", **data: Any) -> Json:
    said = {"code": code, "message": message, **({"data": data} if data else {})}
    return {"jsonrpc": "2.0", "id": id_, "error": said}


class Bridged:
    """Both sides as a test plays them. What was said to either is in its list, until it is taken."""

    def __init__(self, mode: str = "auto", **options: Any) -> None:
        self.session = Session("s-", **options)
        self.now = 0.0
        self.crossing = Crossing(
            EraWatch("s-b", mode), lambda lines: self.session.from_host(lines, self.now)
        )
        self.to_host: list[bytes] = []
        self.to_server: list[bytes] = []
        self._note(self.crossing.from_session(self.session.connected(), self.now))

    def host(self, *messages: Json | bytes) -> None:
        """The host says something."""
        self._note(self.crossing.from_host([*map(_line, messages)], self.now))

    def server(self, *messages: Json | bytes) -> None:
        """The server says something."""
        output = self.session.from_remote([*map(_line, messages)])
        self._note(self.crossing.from_session(output, self.now))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self._note(self.crossing.expire(self.now, "Still away"))

    def lose(self, *, ended: bool = False) -> None:
        """Lose the connection. What the server was sent had arrived."""
        self.to_server.clear()
        self.crossing.lost(self.now)
        self._note(
            self.crossing.from_session(
                self.session.lost("Lost", [], self.now, ended=ended), self.now
            )
        )

    def reconnect(self) -> None:
        self._note(self.crossing.from_session(self.session.connected(), self.now))

    def expire_held(self) -> None:
        """Let so much time go by that what waits for a connection is given up."""
        self.pass_time(1000)
        output = self.session.expire(self.now, "Still away")
        self._note(self.crossing.from_session(output, self.now))

    def fail(self, reason: str) -> None:
        self._note(self.crossing.failed(reason, self.now))
        self._note(self.crossing.from_session(self.session.failed(reason), self.now))

    def heard_by_host(self) -> list[Any]:
        """Take what was said to the host."""
        said, self.to_host = self.to_host, []
        return [json.loads(line) for line in said]

    def heard_by_server(self) -> list[Any]:
        """Take what was said to the server."""
        said, self.to_server = self.to_server, []
        return [json.loads(line) for line in said]

    def _note(self, output: Output) -> None:
        self.to_host += output.to_host
        self.to_server += output.to_remote


def _line(message: Json | bytes) -> bytes:
    return message if isinstance(message, bytes) else json.dumps(message).encode()
