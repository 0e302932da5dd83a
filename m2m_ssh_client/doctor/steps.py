"""A step of the way: what was found there, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from m2m_ssh_client.errors import SSHClientError

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
}
"""Every step, and what a person reads for it."""


class Status(Enum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Step(NamedTuple):
    """`found` has the facts, fit for JSON; `summary` and `details` are the same for a person, a line each.

    `advice` is the one thing to do. `machine` is the jump host that the step is about, empty for the machine itself.
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
    """A step that ended with this error; `advice` is better than the error's own hint."""
    facts = {**(found or {}), "error": error.message}
    return Step(name, Status.FAILED, facts, error.message, advice or error.hint, details)


def not_reached(name: str, machine: str) -> Step:
    return Step(name, Status.SKIPPED, {}, "not reached", machine=machine)
