"""A transport: from a connected socket to an encrypted connection with a proved host key."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, Protocol

import paramiko
from paramiko.common import MSG_CHANNEL_REQUEST, MSG_IGNORE

from m2m_ssh_client.ssh.library import negotiation
from m2m_ssh_client.ssh.library.global_requests import GlobalRequests, announced_host_keys
from m2m_ssh_client.ssh.library.negotiation import Offer
from m2m_ssh_client.ssh.library.packets import Packets
from m2m_ssh_client.ssh.wire import strings
from m2m_ssh_client.text import printable, shortened

logger = logging.getLogger(__name__)

# Without logging set up, Python would print paramiko's last words, a traceback, on stderr.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

# Seconds. Our own deadline must come first: paramiko's error would be the one for a server that
# hung up.
_SLACK = 1.0

_LAST_WORDS = 1.0  # seconds in which they arrive, once nothing can be sent any more
_MOST_ACKNOWLEDGEMENTS = 10
_MOST_POSTPONED = 1000  # messages, each the answer to one
_MOST_EXTENSIONS = 1000  # RFC 8308 knows four


class ChannelUser(Protocol):
    """The user of a session channel.

    Called in the transport's thread, which must not be held up.
    """

    def caught_up(self) -> None:
        """Called when everything read ahead has been handled; at least ten times a second."""

    def exited(self, signal: str) -> None:
        """Called when the process has ended, with the signal's name; "" for an exit status."""


class Agreement(NamedTuple):
    """The algorithms that both sides have agreed upon, by their names."""

    key_exchange: str
    host_key: str
    cipher: str
    mac: str


class Transport(paramiko.Transport):
    """paramiko's transport, bounded, and with one host key for the connection's whole life.

    Its thread receives everything. Data for channels goes straight from `Packets` to the channel's
    buffer; everything else takes paramiko's way. It remembers what paramiko drops: the lines before
    the server's version, its last words, the signature under the first key exchange.
    """

    farewell = ""
    """The text of the server's SSH_MSG_DISCONNECT."""

    def __init__(self, sock: Any, offer: Offer, exchange_timeout: float = 30.0) -> None:
        """`exchange_timeout`, in seconds, bounds each key exchange after the first."""
        self.answered: Callable[[float], None] = lambda _: None
        """Called with the round-trip time of a probe, in seconds; in the transport's thread."""
        self.announced_host_keys: Sequence[bytes] = ()
        """The keys and certificates that the server says it has, after the login."""
        self._requests = GlobalRequests(self._send_user_message)
        self._users: dict[
            int, ChannelUser
        ] = {}  # by the numbers of their channels; replaced, never changed
        self._attaching = threading.Lock()
        packets: Any = partial(Packets, channels=self, unimplemented=self._take_refusal)
        super().__init__(sock, packetizer_class=packets)
        self.offer = offer
        self._proof = b"", b""  # the host key or certificate, and the first signature by that
        self._key_exchange = ""  # its name
        self._ended_by: Exception | None = None
        self._acknowledgements = _MOST_ACKNOWLEDGEMENTS
        self._exchange_timeout = exchange_timeout
        # Writers wait for the exchange; if it fails, the end of the connection wakes them.
        self.clear_to_send_timeout = exchange_timeout + _SLACK
        self._host_key_algorithms: tuple[str, ...] = ()
        self._postponed: list[paramiko.Message] = []  # until the new keys are in use
        its: Any = self  # the stubs leave its tables out
        its._channel_handler_table = {
            **its._channel_handler_table,
            MSG_CHANNEL_REQUEST: self._take_request,
        }
        negotiation.apply(self, offer)

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        # In the wanted order: paramiko would put each certificate type behind all plain types.
        return self._host_key_algorithms

    @property
    def host_key_blob(self) -> bytes:
        """The key or certificate in wire format; empty before the key exchange."""
        return self._proof[0]

    @property
    def session_binding(self) -> tuple[bytes, bytes, bytes]:
        """The host key, the session id and the server's signature over it, for an agent."""
        host_key, signature = self._proof
        return host_key, self.session_id or b"", signature

    @property
    def server_version(self) -> str:
        """The server's version line; empty before it has arrived."""
        return self.remote_version

    @property
    def server_signatures(self) -> Sequence[str]:
        """The signatures of user keys that the server lists (RFC 8308 section 3.1), if any."""
        its: Any = self
        listed: bytes = its.server_extensions.get("server-sig-algs", b"")
        return listed.decode("ascii", "replace").split(",") if listed else ()

    @property
    def agreement(self) -> Agreement:
        """The algorithms in use, after the key exchange."""
        its: Any = self
        return Agreement(
            self._key_exchange, str(its.host_key_type), str(its.local_cipher), str(its.local_mac)
        )

    @property
    def greeting(self) -> Sequence[str]:
        """The first lines that the server sent before its version, or instead of it."""
        return self.packets.greeting

    @property
    def packets(self) -> Packets:
        packets: Any = self.packetizer
        return packets  # type: ignore[no-any-return]

    def get_exception(self) -> Exception | None:
        """Return why it ended, as an SSHException, OSError or EOFError, to each who asks.

        A message that makes no sense to paramiko can raise any exception there. paramiko's own
        method returns it once.
        """
        cause = super().get_exception()
        if not self.is_active():  # before that, it is about a channel
            cause = self._ended_by = cause or self._ended_by
        if cause is None and self.farewell:
            return paramiko.SSHException(self.farewell)
        if cause is None or isinstance(cause, (paramiko.SSHException, OSError, EOFError)):
            return cause
        return paramiko.SSHException(f"The server broke the protocol ({cause})")

    def heard_out(self) -> bool:
        """Return whether the connection has ended, after what the server said before that was read.

        To be called when nothing can be sent any more; waits a second at the most. Any thread but
        the transport's.
        """
        self.join(_LAST_WORDS)
        return not self.is_active()

    @property
    def last_received(self) -> float:
        """Time at which the link last brought something, on the monotonic clock."""
        link: Any = self.sock
        return link.last_received  # type: ignore[no-any-return]

    def probe(self) -> None:
        """Ask for a sign of life without waiting for it. Sending may block.

        Any reply counts. A server refuses what it does not know (RFC 4254 section 4) or calls it
        unimplemented (RFC 4253 section 11.4); paramiko's `global_request` would wait for a success
        or a failure, and the latter is neither. On a closed connection, nothing happens.
        """
        self.packets.asked_unknown = True
        sent = time.monotonic()

        def answered(_: bytes | None) -> None:
            self.answered(time.monotonic() - sent)

        with suppress(paramiko.SSHException, OSError, EOFError):
            self._requests.send("keepalive@openssh.com", b"", answered)

    def ask(self, kind: str, data: bytes, seconds: float) -> bytes | None:
        """Return the data of the reply to a global request; None if it is refused, or comes late.

        Raises paramiko's SSHException, OSError or EOFError.
        """
        self.packets.asked_unknown = True
        return self._requests.ask(kind, data, time.monotonic() + seconds, self.is_active)

    def acknowledge(self) -> None:
        """Send a packet without a meaning, so that an acknowledgement of what came goes with it.

        For links that cannot do better: see `LiveSocket.hurry`. Only OpenSSH is known both to wait
        for that and to take such packets anywhere (RFC 4253 section 11.2).
        """
        link: Any = self.sock
        if "OpenSSH" not in self.server_version or getattr(link, "prompt", False):
            return
        if self._acknowledgements:  # no server makes us send without end
            self._acknowledgements -= 1
            self._send_user_message(paramiko.Message(bytes([MSG_IGNORE]) + strings(b"")))

    def settle(self) -> None:
        """Acknowledge as usual, once a process was started: OpenSSH sends at once from then on.

        A jump host's does not, as it starts none.
        """
        link: Any = self.sock
        link.prompt = False
        self._acknowledgements = 0

    def attach(self, channel: int, user: ChannelUser) -> None:
        """Notify the user of this channel of events, until `detach`. Any thread."""
        with self._attaching:
            self._users = {**self._users, channel: user}

    def detach(self, channel: int) -> None:
        """Forget the user of this channel. Any thread."""
        with self._attaching:
            self._users = {
                number: user for number, user in self._users.items() if number != channel
            }

    def exchange_keys(self, host_key_algorithms: Sequence[str], deadline: float) -> None:
        """Exchange keys; `deadline` is on the monotonic clock.

        Raises paramiko's SSHException, OSError or EOFError.
        """
        self._host_key_algorithms = tuple(host_key_algorithms)
        left = max(deadline - time.monotonic(), 0.001) + _SLACK
        self.banner_timeout = self.handshake_timeout = left
        self.auth_timeout = self.channel_timeout = left
        self.start_client(timeout=left)

    # Called by `Packets`.

    def deliver_data(self, channel: int, data: bytes) -> bool:
        """Feed the channel as paramiko does; in a key exchange, leave it to paramiko.

        Data may be out of order there.
        """
        found = self._open_channel(channel)
        if found is None:
            return False
        found.in_buffer.feed(data)
        return True

    def widen_window(self, channel: int, size: int) -> bool:
        """Widen the channel's window as paramiko does; in a key exchange, leave it to paramiko."""
        found = self._open_channel(channel)
        if found is None:
            return False
        with found.lock:
            found.out_window_size += size
            found.out_buffer_cv.notify_all()
        return True

    def caught_up(self) -> None:
        for user in self._users.values():
            user.caught_up()

    def _take_request(self, channel: Any, message: paramiko.Message) -> None:
        """Handle a channel's request as paramiko does, then report the end of a process.

        RFC 4254 section 6.10. paramiko does not know the name of the signal that ended it.
        """
        channel._handle_request(message)
        user = self._users.get(channel.get_id())
        if user is None:
            return
        request = paramiko.Message(message.asbytes()[4:])  # behind the number of the channel
        kind = request.get_string()
        if kind in (b"exit-status", b"exit-signal"):
            request.get_boolean()  # whether a reply is wanted, which paramiko has sent
            user.exited("" if kind == b"exit-status" else printable(request.get_string()))

    def _take_refusal(self) -> None:
        self._requests.replied(None)

    def _open_channel(self, number: int) -> Any:
        its: Any = self  # the stubs leave its tables out
        return None if its.in_kex else its._channels.get(number)

    # Hooks that paramiko calls.

    def _sanitize_packet_size(self, max_packet_size: int | None) -> int:
        """Return the server's limit as it is (RFC 4254 section 5.1); paramiko raises low ones."""
        its: Any = super()
        size: int = its._sanitize_packet_size(max_packet_size)
        return min(size, max_packet_size) if max_packet_size else size

    def _parse_disconnect(self, m: paramiko.Message) -> None:
        m.get_int()
        self.farewell = shortened(printable(m.get_string())) or "no reason given"
        logger.info("the server ends the connection: %s", self.farewell)

    def _parse_request_success(self, m: paramiko.Message) -> None:
        super()._parse_request_success(m)  # type: ignore[misc]  # not in the stubs
        self._requests.replied(m.asbytes())

    def _parse_request_failure(self, m: paramiko.Message) -> None:
        super()._parse_request_failure(m)  # type: ignore[misc]  # not in the stubs
        self._take_refusal()

    def _parse_global_request(self, m: paramiko.Message) -> None:
        with suppress(ValueError):
            self.announced_host_keys = announced_host_keys(m.asbytes()) or self.announced_host_keys
        super()._parse_global_request(m)  # type: ignore[misc]  # not in the stubs
        self.acknowledge()

    def _send_user_message(self, data: paramiko.Message) -> None:
        # Senders wait while keys are exchanged. paramiko's own thread, which exchanges them, would
        # wait for itself if it had to answer something that was on its way, such as the end of a
        # channel.
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

    def _really_parse_kex_init(
        self, m: paramiko.Message, ignore_first_byte: bool = False
    ) -> dict[str, Any]:
        parsed = super()._really_parse_kex_init(m, ignore_first_byte)  # type: ignore[misc]
        return negotiation.check_lists(self, parsed)

    def _parse_newkeys(self, m: paramiko.Message) -> None:
        super()._parse_newkeys(m)  # type: ignore[misc]  # not in the stubs
        self.packets.deadline = float("inf")
        postponed, self._postponed = self._postponed, []
        for message in postponed:
            self._send_user_message(message)

    def _parse_ext_info(self, m: paramiko.Message) -> None:
        # paramiko would count up to the server's number, four billion for example, although nothing
        # follows.
        if paramiko.Message(m.asbytes()).get_int() > _MOST_EXTENSIONS:
            raise paramiko.SSHException("The server sends too many extensions")
        super()._parse_ext_info(m)  # type: ignore[misc]  # not in the stubs

    def _verify_key(self, host_key: bytes, sig: bytes) -> None:
        # Keys are exchanged again after some gigabytes, when nobody checks the host key any more.
        super()._verify_key(host_key, sig)  # type: ignore[misc]  # not in the stubs
        if not self.host_key_blob:
            self._proof = bytes(host_key), bytes(sig)
        self._key_exchange = negotiation.key_exchange_under_way(self)
        if host_key != self.host_key_blob:
            raise paramiko.SSHException("the host key changed within the connection")
