"""Assembly: a host's streams, the proxy, and a bridge over SSH.

For the command and for the Python API.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

import anyio

from m2m_ssh_client import logs
from m2m_ssh_client.errors import SSHClientError, unexpected
from m2m_ssh_client.flow.bridge import Bridge, opened
from m2m_ssh_client.flow.hand_over import loop_caller, run_in_thread
from m2m_ssh_client.flow.host_stdio import stdio
from m2m_ssh_client.flow.splitting import Intake
from m2m_ssh_client.lean_imports import look_for_garbage
from m2m_ssh_client.parameters import (
    DEFAULT_CONNECT_TIMEOUT,
    DEFAULT_KEEPALIVE_COUNT,
    Parameters,
)
from m2m_ssh_client.proxy.history import History
from m2m_ssh_client.proxy.locked_session import Watch
from m2m_ssh_client.proxy.pinging import MakeWatch
from m2m_ssh_client.proxy.server import Proxy, Settings
from m2m_ssh_client.ssh.destination import Destination, resolve
from m2m_ssh_client.ssh.opener import Opener
from m2m_ssh_client.status.reporter import reporting

_CLOSE_TIME = 0.1  # as the bridge's at its end

if TYPE_CHECKING:
    from m2m_ssh_client.flow.remote_stdio import Carrier
    from m2m_ssh_client.status.report import Report

logger = logging.getLogger(__name__)


def relay_stdio(remote: Opener, arguments: Sequence[str]) -> int:
    """Serve the host on stdin and stdout until it ends; return the exit status. Main thread only.

    The host has been answered and a failure has been logged by then. `arguments` are those of this
    process, for the status.
    """
    _keep_memory()
    return anyio.run(_relay_stdio, remote, arguments)


def _keep_memory() -> None:
    """Make the C library keep freed blocks for the next read instead of returning them each time.

    glibc keeps blocks up to the size of one that it has seen freed (mallopt(3), M_MMAP_THRESHOLD).
    The block is never touched, so it takes no memory. Other C libraries ignore this.
    """
    bytes(4 * 1024 * 1024)


async def _relay_stdio(remote: Opener, arguments: Sequence[str]) -> int:
    look_for_garbage()
    received: list[int] = []
    async with proxy_for(remote) as proxy, stdio(proxy.intake) as host:
        with (
            reporting(partial(_reports, remote, proxy, arguments), proxy.history.changed),
            ending_signals(proxy.stop, received),
        ):
            failure = await proxy.run(host)
    if received:
        return 128 + received[0]
    if host.cut_off:
        return 1
    return 0 if failure is None else failure.exit_status


def _reports(remote: Opener, proxy: Proxy, arguments: Sequence[str]) -> Callable[[], Report]:
    from m2m_ssh_client.status.snapshot import reports_of  # not needed to start

    return reports_of(remote, proxy, arguments)


@asynccontextmanager
async def proxy_for(remote: Opener) -> AsyncIterator[Proxy]:
    """Yield a proxy for this remote server; its connections end with the context."""
    settings = _settings(remote.params, await _destination(remote))
    history = History()
    try:
        proxy = Proxy(
            partial(_dial, remote, _opening(remote, history)),
            settings,
            _watch(),
            another_way=remote.use_login_shell,
            history=history,
            pings=_pings(remote),
        )
        if remote.params.keep is None:  # a keeper is spoken to in another way
            remote.first_words = proxy.first_words
        yield proxy
    finally:
        with anyio.move_on_after(_CLOSE_TIME, shield=True):
            await run_in_thread("ssh-close", remote.close)


def _opening(remote: Opener, history: History) -> Callable[[], Carrier]:
    """Return the function that starts a server, one that is kept if that is wanted."""
    if remote.params.keep is None:
        return remote.open
    from m2m_ssh_client.keeping.kept_servers import KeptServers

    return KeptServers(remote, remote.params.keep, history).open


def _pings(remote: Opener) -> MakeWatch | None:
    """Return the function that makes watches over silent servers, if that is wanted."""
    seconds = remote.params.ping
    if seconds is None:
        return None
    from m2m_ssh_client.ssh.way.liveness import Liveness

    count = remote.params.keepalive_count or DEFAULT_KEEPALIVE_COUNT
    return lambda heard, ask: Liveness(seconds, count, heard, ask, remote.give_up_program)


def _watch() -> Watch | None:
    if not logs.shows_payloads():
        return None
    from m2m_ssh_client.proxy.payload_log import log_payloads

    return log_payloads


async def _destination(remote: Opener) -> Destination | None:
    """Return the destination as it was resolved last, or None if that fails.

    The first connection fails in the same way then, and the host is told.
    """
    with suppress(Exception):
        return await run_in_thread(
            "ssh-config", lambda: remote.destination or resolve(remote.params)
        )
    return None


def _settings(params: Parameters, destination: Destination | None) -> Settings:
    """Return the proxy's settings by the parameters and the OpenSSH configuration."""
    answer_timeout = params.connect_timeout or DEFAULT_CONNECT_TIMEOUT
    may_be_shell = not params.command and params.subsystem is None
    if destination is not None:
        for warning in destination.warnings:
            logger.warning("%s", warning)
        logs.set_default_level(destination.log_level)
        answer_timeout = destination.connect_timeout
        may_be_shell = destination.request.may_be_shell
    return Settings(
        may_be_shell=may_be_shell,
        answer_timeout=answer_timeout,
        reconnect=params.reconnect,
        reconnect_timeout=params.reconnect_timeout or float("inf"),
        hold_timeout=params.hold_timeout,
        retry_tool_calls=params.retry_tool_calls,
        tools=params.tool,
        ignore_tools=params.ignore_tool,
        bridge=params.bridge,
        max_message_size=params.max_message_size,
        log_file=logs.file(),
    )


@asynccontextmanager
async def _dial(
    remote: Opener, open_: Callable[[], Carrier], intake: Intake
) -> AsyncIterator[Bridge]:
    try:
        carrier = await run_in_thread("ssh-connect", open_)
    except SSHClientError:
        raise
    except Exception as exc:
        logger.info("details", exc_info=exc)
        raise unexpected(exc) from exc
    async with opened(carrier, intake, remote.sent_ahead) as bridge:
        yield bridge


@contextmanager
def ending_signals(end: Callable[[], None], received: list[int]) -> Iterator[None]:
    """Call `end` in the loop on signals that mean "end", and append their numbers to `received`.

    Main thread only.
    """
    call_soon = loop_caller()

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        call_soon(end)

    # signal.signal, because event loops on Windows have no handlers of their own.
    previous = {
        number: signal.signal(number, stop) for number in _ending_signals() if _is_heeded(number)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _is_heeded(number: signal.Signals) -> bool:
    """Return whether the signal is not ignored: `nohup` and scripts' background jobs ignore some.

    (POSIX, Shell Command Language, 2.11 and 2.9.3.1; nohup.)
    """
    return signal.getsignal(number) is not signal.SIG_IGN


def _ending_signals() -> list[signal.Signals]:
    if sys.platform == "win32":
        return [signal.SIGINT, signal.SIGTERM, signal.SIGBREAK]
    return [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
