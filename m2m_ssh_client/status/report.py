"""The report of one relay: the content of its file."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

State = Literal["connecting", "connected", "open", "reconnecting", "failed"]


class RoundTrip(msgspec.Struct, frozen=True):
    """The answer to one keepalive."""

    at: datetime
    ms: float


class Trouble(msgspec.Struct, frozen=True):
    """The last error."""

    at: datetime
    text: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one relay, and its past in numbers.

    `tag` is its command line's (`entry_tag`). `state` is `connected` until the remote server's
    first answer, then `open`; `since` is the time of the last change. `host` and `server` are
    programs as they call themselves, `parent` is the process that started the relay. `requests` are
    those in flight, held ones included. Commands are reduced to the name of their program.
    """

    pid: int
    tag: str
    version: str
    started: datetime
    state: State
    since: datetime
    alias: str
    destination: str
    command: str
    host: str
    parent: str
    server: str
    requests: int
    connections: int
    losses: int
    round_trips: tuple[RoundTrip, ...] = ()
    last_error: Trouble | None = None
    log_file: str | None = None


def encoded(report: Report) -> bytes:
    """Return the report as one line of JSON."""
    return msgspec.json.encode(report) + b"\n"


def decoded(data: bytes) -> Report | None:
    """Return the report, or None for anything else."""
    try:
        return msgspec.json.decode(data, type=Report)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
