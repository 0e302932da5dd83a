"""A report to change for a test."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from msgspec.structs import replace

from m2m_ssh_client.status.report import Report, RoundTrip, Trouble

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=timezone.utc)

REPORT = Report(
    pid=4711,
    tag="3fa9c2",
    version="0.2.0",
    started=NOW - timedelta(hours=3),
    state="open",
    since=NOW - timedelta(minutes=125),
    alias="lab",
    destination="ada@lab.example:22",
    command="uvx …",
    host="Claude 1.2",
    parent="claude",
    server="mcp-git 1.0",
    requests=1,
    connections=3,
    losses=2,
    round_trips=tuple(RoundTrip(NOW, ms) for ms in (18.2, 40.0, 17.5)),
    last_error=Trouble(NOW - timedelta(minutes=126), "The SSH connection to lab was lost"),
    log_file="/home/ada/client.log",
)


def report(**changed: Any) -> Report:
    return replace(REPORT, **changed)
