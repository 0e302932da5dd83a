"""A step of a connection: its findings, and advice."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from m2m_ssh_client.errors import SSHClientError

if TYPE_CHECKING:
    from m2m_ssh_client.flow.remote_stdio import Carrier
    from m2m_ssh_client.ssh.settings import Request

TITLES = {
    "configuration": "configuration",
    "key_server": "key server",
    "name_resolution": "name resolution",
    "tcp": "TCP",
    "banner": "banner",
    "key_exchange": "key exchange",
    "host_key": "host key",
    "authentication": "authentication",
    "request": "request",
    "noise": "noise",
    "mcp": "MCP",
    "round_trip": "round trip",
    "eras": "protocol eras",
    "keeping": "keeping",
}
"""Every step with its title."""


class Channels(Protocol):
    """A connection, as far as the steps behind it use it."""

    def channel(self, request: Request) -> Carrier: ...

    def close(self) -> None: ...


class Status(Enum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Step(NamedTuple):
    """A step: `found` has the facts for JSON, `summary` and `details` the lines for a person.

    `advice` is the one thing to do. `machine` is the jump host concerned, empty for the target.
    """

    name: str
    status: Status
    found: Mapping[str, object]
    summary: str
    advice: str = ""
    details: tuple[str, ...] = ()
    machine: str = ""


def failed(
    name: str,
    error: SSHClientError,
    found: Mapping[str, object] | None = None,
    *,
    advice: str = "",
    details: tuple[str, ...] = (),
) -> Step:
    """Return the step for an error; `advice` replaces the error's own hint."""
    facts = {**(found or {}), "error": error.message}
    return Step(name, Status.FAILED, facts, error.message, advice or error.hint, details)


def not_reached(name: str, machine: str) -> Step:
    return Step(name, Status.SKIPPED, {}, "not reached", machine=machine)
