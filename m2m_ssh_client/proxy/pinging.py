"""Signs of life of a server behind a program that looks for none (`--ping`): MCP's own `ping`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from m2m_ssh_client.flow.bridge import Bridge
from m2m_ssh_client.proxy.locked_session import LockedSession
from m2m_ssh_client.proxy.memory.session import Session


class Watch(Protocol):
    """A watch over a connection, from `start` to `stop`; see `Liveness`."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


MakeWatch = Callable[[Callable[[], float], Callable[[], object]], Watch]
"""Makes a watch of a function for the time of the last sign of life, and one that asks for one."""


@contextmanager
def watched(
    make: MakeWatch | None, bridge: Bridge, locked: LockedSession, session: Session
) -> Iterator[None]:
    """Let the server be asked for signs of life within the context, if there is a `make`."""
    if make is None:
        yield
        return
    progress = -1

    def heard() -> float:
        nonlocal progress
        before, progress = progress, bridge.outbound.progress
        # While much is queued for the server, a ping would wait behind it; while we read nothing,
        # its answer would.
        is_sent_to = not bridge.outbound.has_room and progress != before
        if is_sent_to or not bridge.inbound.has_room or not session.can_be_pinged:
            return time.monotonic()
        return bridge.heard

    watch = make(heard, lambda: locked.step(session.ping))
    watch.start()
    try:
        yield
    finally:
        watch.stop()
