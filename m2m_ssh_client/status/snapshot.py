"""The report of this relay, as things are now."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from m2m_ssh_client import entry_tag, logs
from m2m_ssh_client._version import __version__
from m2m_ssh_client.proxy.memory.session import State as SessionState
from m2m_ssh_client.status import report
from m2m_ssh_client.status.report import Report, RoundTrip, Trouble
from m2m_ssh_client.text import printable, shortened

if TYPE_CHECKING:
    from m2m_ssh_client.parameters import Parameters
    from m2m_ssh_client.proxy.server import Proxy
    from m2m_ssh_client.ssh.opener import Opener

_STATES: dict[SessionState, report.State] = {
    SessionState.CONNECTING: "connecting",
    SessionState.GUARDED: "connected",
    SessionState.REPLAYING: "connected",
    SessionState.OPEN: "open",
    SessionState.LOST: "reconnecting",
    SessionState.FAILED: "failed",
}
_MOST_ERROR = 500  # characters
_PROGRAM = re.compile(r"[\w./~+-]+")


def reports_of(remote: Opener, proxy: Proxy, arguments: Sequence[str]) -> Callable[[], Report]:
    """Return a function that takes a snapshot of this relay, for one thread."""
    tag, parent, started = entry_tag.tag(arguments), _parent(), _time(proxy.history.started)

    def snapshot() -> Report:
        history, facts = proxy.history, proxy.facts
        state = _STATES[facts.state]
        if state == "open" and history.is_away:  # the session of a kept server stays open
            state = "reconnecting"
        return Report(
            pid=os.getpid(),
            tag=tag,
            version=__version__,
            started=started,
            state="connected" if state == "open" and not facts.answered else state,
            since=_time(history.since),
            alias=remote.params.host,
            destination=_destination(remote),
            command=_program(remote.params),
            host=facts.host,
            parent=parent,
            server=facts.server,
            requests=facts.pending,
            connections=history.connections,
            losses=history.losses,
            round_trips=_round_trips(remote),
            last_error=_trouble(history.error, history.error_time),
            log_file=_text(logs.file()),
        )

    return snapshot


def _destination(remote: Opener) -> str:
    """Return `user@host:port`, or the host as it was named until the configuration is read."""
    found = remote.destination
    if found is None:
        return remote.params.host
    host, port = found.settings.address.host, found.settings.address.port
    return f"{found.settings.login.user}@{f'[{host}]' if ':' in host else host}:{port}"


def _program(params: Parameters) -> str:
    """Return the program's name; the rest of the command may be secret."""
    if params.subsystem is not None:
        return f"subsystem {params.subsystem}"
    if not params.command:
        return ""
    one, *more = params.command
    word, *rest = params.command if more else one.removeprefix("exec ").split() or [""]
    if not _PROGRAM.fullmatch(word):  # an assignment, or something in quotes
        return "…"
    return shortened(word.rpartition("/")[2] + " …" * bool(rest), 40)


def _round_trips(remote: Opener) -> tuple[RoundTrip, ...]:
    return tuple(
        RoundTrip(_time(at), round(seconds * 1000, 1)) for at, seconds in remote.round_trips.copy()
    )


def _trouble(text: str, when: float) -> Trouble | None:
    if not text:
        return None
    from m2m_ssh_client.masking import masked  # takes long to load, and is seldom needed

    return Trouble(_time(when), shortened(printable(masked(text)), _MOST_ERROR))


def _parent() -> str:
    """Return the name of the process that started this one; "" where it is not known cheaply."""
    if sys.platform == "linux":
        with suppress(OSError):
            return printable(Path(f"/proc/{os.getppid()}/comm").read_bytes().strip())
    return ""


def _text(path: Path | None) -> str | None:
    return None if path is None else printable(str(path))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
