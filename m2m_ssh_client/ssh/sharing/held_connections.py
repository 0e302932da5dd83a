"""Connections that other processes hold, found or started: OpenSSH's master, or our holder.

A holder is a process of ours that has nothing but the connection. The first that needs one starts
it; it ends with the last that uses it. Its socket is in a private folder beside the log, under a
name made of all that matters for the connection: the machine, the way there, the login, the trust.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if sys.platform == "win32":
    raise ImportError("Windows passes no descriptors on")

from m2m_ssh_client import file_lock, logs, user_only_files
from m2m_ssh_client._version import HOLDER, __version__
from m2m_ssh_client.errors import (
    ChannelRefusedError,
    ConnectionLostError,
    UnreachableError,
)
from m2m_ssh_client.log_file import default_path
from m2m_ssh_client.ssh.settings import HostSettings, Request
from m2m_ssh_client.ssh.sharing import holder_task
from m2m_ssh_client.ssh.sharing.private_sockets import connected
from m2m_ssh_client.ssh.sharing.shared_carrier import NobodyError, SharedCarrier, join
from m2m_ssh_client.ssh.sharing.told_error import heard
from m2m_ssh_client.ssh.way import process_group
from m2m_ssh_client.text import printable, shortened

if TYPE_CHECKING:
    from m2m_ssh_client.parameters import Parameters

logger = logging.getLogger(__name__)

_POLL = 0.05  # seconds
_PATIENCE = 5.0  # seconds for an ssh that may hold a dead connection without knowing it
_TRIES = 3


class Waiting(NamedTuple):
    """A time limit: until `deadline` on the monotonic clock, or until `stopped` says so."""

    deadline: float
    stopped: Callable[[], bool]

    @property
    def left(self) -> float:
        """Seconds, more than 0. Raises an SSHClientError at the end."""
        if self.stopped():
            raise ConnectionLostError("Stopped while connecting")
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise UnreachableError(
                "The process that is to hold the shared connection did not get it in time",
                "Without --share, each entry connects by itself.",
            )
        return left


def of_openssh(path: Path, request: Request, waiting: Waiting) -> SharedCarrier | None:
    """Start the process on the connection that ssh holds there (ControlPath), if it does."""
    try:
        carrier = join(path, request, min(waiting.left, _PATIENCE))
    except (NobodyError, ChannelRefusedError) as exc:
        logger.info("ssh holds no connection for us at %s: %s", printable(str(path)), exc)
        return None
    logger.info("using the connection that ssh holds: ControlPath %s", printable(str(path)))
    return carrier


def of_ours(
    params: Parameters, settings: HostSettings, persist: float, request: Request, waiting: Waiting
) -> SharedCarrier | None:
    """Start the process on a connection that a holder of ours has; start one if there is none.

    Return None if the server has no room for one more session on it, or if nothing can be shared
    here. A holder has no terminal, so where a person may be asked for a passphrase, none is
    started. Raises what the holder's attempt to connect raises.
    """
    try:
        path = socket_path(settings)
        for _ in range(_TRIES):
            with suppress(NobodyError):
                return join(path, request, waiting.left)
            if params.passphrase_prompt is not None:
                return None
            with _locked(path.with_suffix(".lock"), waiting):
                with suppress(NobodyError):  # started while we waited
                    return join(path, request, waiting.left)
                _start(path, params, persist, waiting)
                with suppress(NobodyError):  # else it has lost the connection already
                    return join(path, request, waiting.left)
    except ChannelRefusedError as exc:
        logger.info("%s; connecting by ourselves", exc)
    except OSError as exc:
        logger.warning("the connection cannot be shared, so this is one of our own: %s", exc)
    return None


def socket_path(settings: HostSettings) -> Path:
    """Return the path of the socket of the holder for these settings."""
    content = json.dumps([__version__, *_identity(settings)], default=str)
    name = hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()[:20]
    return default_path().with_name("shared") / name


def _identity(settings: HostSettings) -> Iterator[object]:
    """Yield what makes two connections different, for each machine on the way; no secrets."""
    login = settings.login._replace(passphrase=None, passphrase_file=None, passphrase_prompt=None)
    trust = settings.trust._replace(command="")
    yield settings._replace(login=login, trust=trust, jump=None, origins={})
    if settings.jump is not None:
        yield from _identity(settings.jump)


def forget(path: Path) -> None:
    """Remove the socket of a holder that has ended, unless another one listens there, or will."""
    with suppress(OSError):
        descriptor = user_only_files.opened(path.with_suffix(".lock"), os.O_RDWR)
        try:
            if file_lock.try_lock(descriptor):
                connected(path, _POLL).close()
        except ConnectionRefusedError:
            path.unlink()
        finally:
            os.close(descriptor)


@contextmanager
def _locked(path: Path, waiting: Waiting) -> Iterator[None]:
    """Hold the lock of those who start a holder.

    Raises OSError, and an SSHClientError at the end of the time.
    """
    user_only_files.make_folder(path.parent)
    descriptor = user_only_files.opened(path, os.O_RDWR)
    try:
        while not file_lock.try_lock(descriptor):
            time.sleep(min(_POLL, waiting.left))
        yield
    finally:
        os.close(descriptor)


def _start(path: Path, params: Parameters, persist: float, waiting: Waiting) -> None:
    """Start a holder, and wait until it listens. Raises OSError, and what its attempt raises."""
    with suppress(FileNotFoundError):
        path.unlink()  # that of one that has ended
    task = holder_task.Task(params, path, persist, logs.file(), logs.level())
    main = Path(__file__).parents[2] / "__main__.py"
    process = process_group.start(
        [sys.executable, str(main), HOLDER], user_only_files.environment()
    )
    stdin, stdout, stderr = process.stdin, process.stdout, process.stderr
    assert stdin is not None  # noqa: S101 - all three were asked for
    assert stdout is not None  # noqa: S101
    assert stderr is not None  # noqa: S101
    try:
        with stdin, stdout, stderr:
            stdin.write(holder_task.written(task))
            stdin.close()
            said = _line(stdout.fileno(), waiting)
            last = b"" if said is not None else stderr.read(2000)
            process.wait()  # it goes on in a child, so that it is nobody's to wait for
    except BaseException:
        process_group.kill(process)
        raise
    if said is None:
        told = shortened(printable(last.decode("utf-8", "replace")))
        raise OSError(f"the process that was to hold it has ended: {told}")
    if said:
        raise heard(said)
    logger.info("the connection is held by a process of its own, for all who share it")


def _line(descriptor: int, waiting: Waiting) -> str | None:
    """Return the line that comes, None if there is none. Raises an SSHClientError at the end."""
    data = b""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while not data.endswith(b"\n"):
        if poll.poll(min(_POLL, waiting.left) * 1000):
            part = os.read(descriptor, 64 * 1024)
            if not part:
                return None
            data += part
    return data.decode("utf-8", "replace").strip()
