"""The key exchange: from a connected socket to an encrypted transport, and the host key that was proved."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import paramiko
from paramiko.common import MSG_CHANNEL_REQUEST, cMSG_GLOBAL_REQUEST

from m2m_ssh_client.ssh.library import algorithms
from m2m_ssh_client.ssh.library.packets import Packets
from m2m_ssh_client.ssh.login.authentication import LoginTransport
from m2m_ssh_client.ssh.settings import Algorithms
from m2m_ssh_client.text import printable

# Where nobody has set up logging, or no longer, Python would print paramiko's last words, a traceback, on stderr.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

# Seconds. Who closes the connection at the deadline, and says so, comes first: paramiko's own words for it are those
# for a server that hung up.
_SLACK = 1.0

_MOST_POSTPONED = 1000  # messages, each the answer to one
_MOST_EXTENSIONS = 1000  # RFC 8308 knows four


class Transport(LoginTransport):
    """One that can log in, with the algorithms that are wanted, and with one host key for its whole life."""

    key_exchange = ""  # the name of the one that was agreed upon

    def __init__(self, sock: Any, wanted: Algorithms, exchange_timeout: float = 30.0) -> None:
        """`exchange_timeout`, in seconds, is for each key exchange that comes after the first."""
        super().__init__(sock, packetizer_class=Packets)
        self._exchange_timeout = exchange_timeout
        # Who writes waits for the exchange, and learns from the connection's end that there is none to wait for.
        self.clear_to_send_timeout = exchange_timeout + _SLACK
        self._host_key_algorithms: tuple[str, ...] = ()
        self._postponed: list[paramiko.Message] = []  # until new keys are there
        self.packets.take_data = self._take_data
        self.packets.take_room = self._take_room
        self.on_exit: dict[int, Callable[[str], None]] = {}  # by the number of the channel
        its: Any = self  # the stubs leave its tables out
        its._channel_handler_table = {
            **its._channel_handler_table,
            MSG_CHANNEL_REQUEST: self._take_request,
        }
        algorithms.apply(self, wanted)

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        # Certificates where they are wanted: paramiko would put each type's behind all plain types.
        return self._host_key_algorithms

    @property
    def host_key_blob(self) -> bytes:
        """The key or the certificate, as it travelled; empty before the key exchange."""
        return self.host_key_proof[0]

    @property
    def greeting(self) -> Sequence[str]:
        """The lines that the server sent before its version, or instead of it; of many the first."""
        return self.packets.greeting

    @property
    def packets(self) -> Packets:
        packets: Any = self.packetizer
        return packets  # type: ignore[no-any-return]

    def get_exception(self) -> Exception | None:
        """Why it ended. Where a message made no sense to paramiko, that may be any exception: an SSHException here."""
        cause = super().get_exception()
        if cause is None and self.farewell:
            return paramiko.SSHException(self.farewell)
        if cause is None or isinstance(cause, (paramiko.SSHException, OSError, EOFError)):
            return cause
        return paramiko.SSHException(f"The server broke the protocol ({cause})")

    @property
    def last_received(self) -> float:
        """When the link brought something last, on the monotonic clock."""
        link: Any = self.sock
        return link.last_received  # type: ignore[no-any-return]

    def probe(self) -> None:
        """Ask for a sign of life, which is whatever comes back. Does not wait for it; to send it may block.

        Nothing happens where the connection is closed.

        What a server does not know it refuses (RFC 4254 section 4), or calls unimplemented (RFC 4253 section 11.4).
        paramiko's `global_request` waits for a success or a failure, and the latter is neither.
        """
        self.packets.asked_unknown = True
        message = paramiko.Message()
        message.add_byte(cMSG_GLOBAL_REQUEST)
        message.add_string("keepalive@openssh.com")
        message.add_boolean(True)
        with suppress(paramiko.SSHException, OSError, EOFError):
            self._send_user_message(message)

    def exchange_keys(self, host_key_algorithms: Sequence[str], deadline: float) -> None:
        """Raises paramiko's SSHException, OSError or EOFError. `deadline` is on the monotonic clock."""
        self._host_key_algorithms = tuple(host_key_algorithms)
        left = max(deadline - time.monotonic(), 0.001) + _SLACK
        self.banner_timeout = self.handshake_timeout = left
        self.auth_timeout = self.channel_timeout = left
        self.start_client(timeout=left)

    def _take_data(self, number: int, data: bytes) -> bool:
        """What paramiko does with a channel's data, but for a key exchange, where it may be out of order."""
        channel = self._open_channel(number)
        if channel is None:
            return False
        channel.in_buffer.feed(data)
        return True

    def _take_room(self, number: int, size: int) -> bool:
        """The same for a window that becomes wider."""
        channel = self._open_channel(number)
        if channel is None:
            return False
        with channel.lock:
            channel.out_window_size += size
            channel.out_buffer_cv.notify_all()
        return True

    def _take_request(self, channel: Any, message: paramiko.Message) -> None:
        """What paramiko does with a channel's request; then `on_exit` is told of the end of the process.

        RFC 4254 section 6.10. It gets the name of the signal that ended the process, which paramiko does not know; an
        empty one with an exit status.
        """
        channel._handle_request(message)
        told = self.on_exit.get(channel.chanid)
        if told is None:
            return
        request = paramiko.Message(message.asbytes()[4:])  # behind the number of the channel
        kind = request.get_string()
        if kind in (b"exit-status", b"exit-signal"):
            self.on_exit.pop(channel.chanid, None)  # it counts once
            request.get_boolean()  # whether a reply is wanted, which paramiko has sent
            told("" if kind == b"exit-status" else printable(request.get_string()))

    def _open_channel(self, number: int) -> Any:
        its: Any = self  # the stubs leave its tables out
        return None if its.in_kex else its._channels.get(number)

    # Protected hooks of paramiko's.

    def _send_user_message(self, data: paramiko.Message) -> None:
        # Whoever sends has to wait while keys are exchanged. paramiko's own thread, which exchanges them, would wait
        # for itself when it has to answer: the end of a channel, say, that was on its way.
        if threading.current_thread() is not self or self.clear_to_send.is_set():
            super()._send_user_message(data)  # type: ignore[misc]  # not in the stubs
        elif len(self._postponed) < _MOST_POSTPONED:
            self._postponed.append(data)
        else:
            raise paramiko.SSHException("The server does not finish the key exchange")

    def _send_kex_init(self) -> None:
        super()._send_kex_init()  # type: ignore[misc]  # not in the stubs
        if self.initial_kex_done:
            self.packets.deadline = time.monotonic() + self._exchange_timeout

    def _parse_newkeys(self, m: paramiko.Message) -> None:
        super()._parse_newkeys(m)  # type: ignore[misc]  # not in the stubs
        self.packets.deadline = float("inf")
        postponed, self._postponed = self._postponed, []
        for message in postponed:
            self._send_user_message(message)

    def _parse_ext_info(self, m: paramiko.Message) -> None:
        # It would count to what the server says, four billion for one, although nothing follows.
        if paramiko.Message(m.asbytes()).get_int() > _MOST_EXTENSIONS:
            raise paramiko.SSHException("The server sends too many extensions")
        super()._parse_ext_info(m)  # type: ignore[misc]  # not in the stubs

    def _verify_key(self, host_key: bytes, sig: bytes) -> None:
        # It exchanges keys again after some gigabytes, when nobody asks for the host key any more.
        super()._verify_key(host_key, sig)
        self.key_exchange = self._key_exchange_under_way()
        if host_key != self.host_key_blob:
            raise paramiko.SSHException("the host key changed within the connection")

    def _key_exchange_under_way(self) -> str:
        tables: Any = self  # the stubs leave its tables out
        kind = type(tables.kex_engine)
        names: Sequence[str] = tables.preferred_kex
        return next(name for name in names if tables._kex_info[name] is kind)
