"""A process with one SSH connection for all who share it, from login to its last user's end."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if sys.platform == "win32":
    raise ImportError("Windows passes no descriptors on")

from m2m_ssh_client import logs, threads
from m2m_ssh_client.errors import SSHClientError, unexpected
from m2m_ssh_client.holding.guest import Guest
from m2m_ssh_client.lean_imports import leave_out_openssl, look_for_garbage
from m2m_ssh_client.ssh.library.loading import load_paramiko
from m2m_ssh_client.ssh.opener import Opener
from m2m_ssh_client.ssh.sharing import holder_task
from m2m_ssh_client.ssh.sharing.held_connections import forget
from m2m_ssh_client.ssh.sharing.private_sockets import listening
from m2m_ssh_client.ssh.sharing.told_error import told

if TYPE_CHECKING:
    from m2m_ssh_client.ssh.connection import Connection

logger = logging.getLogger(__name__)

_FIRST = 10.0  # seconds in which the one that started the holder comes
_LOOK = 1.0  # seconds
_FAREWELL = 10.0  # seconds in which guests are told of the connection's end


def main() -> int:
    """Read the task from stdin, connect, write a line, and hold the connection.

    The line is empty, or has the error. The process that was started returns at once: a child of it
    goes on.
    """
    task = holder_task.read(sys.stdin.buffer.read())
    if os.fork():
        return 0
    with logs.configured(task.log_level, task.log_file or Path(logs.NO_FILE)):
        if not task.params.use_key_server:
            leave_out_openssl()
        load_paramiko()
        remote = Opener(task.params)
        try:
            connection = remote.connect()
            listener = listening(task.socket)
        except Exception as exc:  # noqa: BLE001 - told to the one that waits for it
            remote.close()
            _tell(told(exc if isinstance(exc, SSHClientError) else unexpected(exc)))
            return 1
        _tell("")
        look_for_garbage()  # it may live for days
        holder = Holder(connection, listener)
        try:
            holder.hold(task.persist)
        finally:
            holder.take_no_more()
            forget(task.socket)
            holder.see_off()
            remote.close()
    return 0


def _tell(line: str) -> None:
    """Write the line, and leave the pipes to the one that reads it."""
    with suppress(OSError):
        os.write(1, f"{line}\n".encode())
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


class Holder:
    """A connection and its guests."""

    def __init__(self, connection: Connection, listener: socket.socket) -> None:
        self._connection = connection
        self._listener = listener
        self._guests = 0
        self._idle_since = time.monotonic() + _FIRST
        self._changed = threading.Condition()
        self._listening = threads.start("holder-listen", self._listen)

    def hold(self, persist: float) -> None:
        """Serve guests until there has been none for `persist` seconds, or the connection ends."""
        with self._changed:
            while self._connection.alive:
                left = self._idle_since + persist - time.monotonic()
                if not self._guests and left <= 0:
                    logger.info("nobody shares the connection any more: it is closed")
                    return
                self._changed.wait(_LOOK if self._guests else min(left, _LOOK))
        logger.info("the shared connection has ended: %s", self._connection.lost().message)

    def take_no_more(self) -> None:
        """Let nobody in any more: whoever comes now finds or starts another holder."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # a call of accept would keep it open
        self._listener.close()

    def see_off(self) -> None:
        """Wait for the guests: those who came at the last moment stay as long as they like.

        Behind the end of the connection, each is told so: one that is only cut off knows no reason.
        """
        self._listening.join()
        with self._changed:
            while self._guests and self._connection.alive:
                self._changed.wait(_LOOK)
            self._changed.wait_for(lambda: not self._guests, _FAREWELL)

    def _listen(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                sock, _ = self._listener.accept()
                with self._changed:
                    self._guests += 1
                threads.start("holder-guest", partial(self._serve, sock))

    def _serve(self, sock: socket.socket) -> None:
        try:
            Guest(sock, self._connection).serve()
        finally:
            with self._changed:
                self._guests -= 1
                self._idle_since = time.monotonic()
                self._changed.notify()
