"""SSH packets: bounded, read ahead, and with AES-GCM at half of paramiko's cost.

Both ends agree on AES-GCM (RFC 5647) whenever both may choose. Its packets are taken apart and put
together here: paramiko copies their bytes five times each way and reads the socket twice. So are
those of ChaCha20-Poly1305, which paramiko does not know. All other ciphers are left to paramiko.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import paramiko
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from paramiko.common import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_WINDOW_ADJUST,
    MSG_UNIMPLEMENTED,
    cMSG_CHANNEL_DATA,
)
from paramiko.packet import NeedRekeyException, Packetizer

_READ_AHEAD = 96 * 1024  # bytes

_LONGEST_PACKET = 256 * 1024  # bytes

# OpenSSH's limits for the version and the lines before it (its SSH_MAX_BANNER_LEN,
# SSH_MAX_PRE_BANNER_LINES).
_LONGEST_LINE = 8192  # bytes
_MOST_LINES = 1024
_LINES_KEPT = 100  # of these, to be shown

_TAG = 16  # bytes
_BLOCK = 16  # bytes; encrypted data is a multiple of it
_DATA_AT = 10  # in a packet of a channel's data, behind its length
_LEAST_PADDING = 4  # RFC 4253 section 6

# paramiko keeps these numbers private. The authentication codes of other ciphers, which may follow,
# cover them.
_NUMBER_IN = "_Packetizer__sequence_number_in"
_NUMBER_OUT = "_Packetizer__sequence_number_out"


class ChannelData(paramiko.Message):
    """Data for a channel (RFC 4254 section 5.2): all its messages, sent at once."""

    def __init__(self, channel: int, data: memoryview, most: int) -> None:
        """`most` is the number of data bytes in one message."""
        super().__init__()
        head = cMSG_CHANNEL_DATA + channel.to_bytes(4, "big")
        parts = (data[at : at + most] for at in range(0, len(data), most))
        self.messages = [(head, len(part).to_bytes(4, "big"), part) for part in parts]


class Channels(Protocol):
    """The receiver of channels' packets. Called in the thread that reads."""

    def deliver_data(self, channel: int, data: bytes) -> bool:
        """Take data of this channel (RFC 4254 section 5.2); False leaves it to paramiko."""

    def widen_window(self, channel: int, size: int) -> bool:
        """Add that many bytes to this channel's window; False leaves it to paramiko."""

    def caught_up(self) -> None:
        """Called before each wait for more, when everything read ahead has been handled.

        At least ten times a second.
        """


class Cipher(Protocol):
    """A cipher with a tag, for one direction; `number` is that of the packet.

    `least` is the smallest size of a packet, `served` the number of bytes that it
    was used for.
    """

    least: int
    served: int

    def size(self, length: bytes, number: int) -> int:
        """Return the size of a packet from the four bytes before it."""

    def sealed(self, packet: bytes, length: bytes, number: int) -> tuple[bytes, bytes]:
        """Return the four bytes before the packet, and the packet encrypted, with its tag."""

    def opened(self, packet: memoryview, length: bytes, number: int) -> bytes:
        """Return the packet decrypted. Raises SSHException if the other end did not send it."""


class LeftToParamiko:
    """Channels whose packets all take paramiko's longer way."""

    def deliver_data(self, _channel: int, _data: bytes) -> bool:
        return False

    def widen_window(self, _channel: int, _size: int) -> bool:
        return False

    def caught_up(self) -> None: ...


class Packets(Packetizer):
    """The packets of one transport; one thread may receive, all may send.

    One read of the socket brings many packets, and data for a channel goes straight to `Channels`,
    without a message object. Everything else is handed to the transport as paramiko would do it.

    It refuses packets longer than OpenSSH sends or takes (PACKET_MAX_SIZE). The length is the only
    part of a packet that is believed before it is authenticated: with one damaged bit in it,
    paramiko would wait for gigabytes and take every answer for a part of them.
    """

    greeting: tuple[str, ...] = ()
    """The first lines before the version (RFC 4253 section 4.2)."""
    asked_unknown = False
    """True once a request was sent that the server need not know, and may report at any time."""
    deadline = float("inf")
    """The time on the monotonic clock when the present key exchange must be over."""

    def __init__(
        self,
        link: Any,
        channels: Channels | None = None,
        unimplemented: Callable[[], None] = lambda: None,
    ) -> None:
        """`unimplemented` is called when the server does not know what `asked_unknown` is about."""
        super().__init__(link)
        self._unimplemented = unimplemented
        self._link = link
        channels = channels or LeftToParamiko()
        # Bound here, because they are called for each packet.
        self._deliver_data = channels.deliver_data
        self._widen_window = channels.widen_window
        self._caught_up = channels.caught_up
        self._ahead = b""  # receive buffer; the first `_used` bytes are consumed
        self._used = 0
        self._sending = threading.RLock()
        self._inbound: Cipher | None = None
        self._outbound: Cipher | None = None
        self._compress: Callable[[bytes], bytes] | None = None
        self._decompress: Callable[[bytes], bytes] | None = None

    def close(self) -> None:
        super().close()
        self.complete_handshake()  # or its timer thread would run to the end

    def readline(self, timeout: float) -> str:
        """Return the server's version. `timeout` in seconds.

        The lines before it need not be text in any encoding (RFC 4253 section 4.2); paramiko takes
        only UTF-8, and a hundred of them. Raises TimeoutError, SSHException, UnicodeDecodeError,
        EOFError.
        """
        deadline = time.monotonic() + timeout
        for _ in range(_MOST_LINES + 1):
            line = self._line(deadline)
            if line.startswith(b"SSH-"):
                return line.decode()
            if len(self.greeting) < _LINES_KEPT:
                self.greeting += (line.decode("utf-8", "backslashreplace"),)
        raise paramiko.SSHException(f": more than {_MOST_LINES} lines before a version")

    def _line(self, deadline: float) -> bytes:
        while True:
            end = self._ahead.find(b"\n", self._used)
            line = self._ahead[self._used : end if end >= 0 else None].removesuffix(b"\r")
            if len(line) > _LONGEST_LINE:
                raise paramiko.SSHException(f": a line of more than {_LONGEST_LINE} bytes")
            if b"\0" in line:  # forbidden even in these lines
                raise paramiko.SSHException(": that is no text")
            if end >= 0:
                self._used = end + 1
                return line
            if time.monotonic() > deadline:
                raise TimeoutError
            self._receive()

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        _check_size(n, least=0)
        self._have(n, check_rekey=check_rekey)
        self._used += n
        return self._ahead[self._used - n : self._used]

    def read_message(self) -> tuple[int, paramiko.Message]:
        """Return the number of the next message that `Channels` has not taken, and its content.

        Raises SSHException for anything but a packet, EOFError at the end, and NeedRekeyException.
        """
        while True:
            number, message = self._next_message()
            if number != MSG_UNIMPLEMENTED or not self.asked_unknown:
                return number, message
            self._unimplemented()

    def _next_message(self) -> tuple[int, paramiko.Message]:
        while self._inbound is not None:
            packet = self._next_packet(self._inbound)
            end = len(packet) - packet[0]
            if not self.need_rekey() and self._is_taken(packet, end):
                continue
            message = paramiko.Message(packet[2:end])
            message.seqno = (getattr(self, _NUMBER_IN) - 1) & 0xFFFFFFFF
            return packet[1], message
        number, message = super().read_message()
        return number, message

    def _is_taken(self, packet: bytes, end: int) -> bool:
        channel = int.from_bytes(packet[2:6], "big")
        size = int.from_bytes(packet[6:_DATA_AT], "big")
        if packet[1] == MSG_CHANNEL_DATA and end == _DATA_AT + size:
            return self._deliver_data(channel, packet[_DATA_AT:end])
        return (
            packet[1] == MSG_CHANNEL_WINDOW_ADJUST
            and end == _DATA_AT
            and self._widen_window(channel, size)
        )

    def send_message(self, data: paramiko.Message) -> None:
        """Send all of it before returning. Raises EOFError if that is impossible."""
        messages = data.messages if isinstance(data, ChannelData) else [(data.asbytes(),)]
        with self._sending:
            if self._outbound is None:
                for parts in messages:
                    super().send_message(paramiko.Message(b"".join(parts)))
                return
            packets: list[bytes] = []
            for parts in messages:
                packets += self._sealed(self._outbound, parts)
            self.write_all(b"".join(packets))

    def set_inbound_cipher(self, block_engine: Any, *args: Any, **options: Any) -> None:
        super().set_inbound_cipher(block_engine, *args, **options)
        self._inbound = _cipher(block_engine, options["iv_in"]) if options["aead"] else None

    def set_outbound_cipher(self, block_engine: Any, *args: Any, **options: Any) -> None:
        super().set_outbound_cipher(block_engine, *args, **options)
        self._outbound = _cipher(block_engine, options["iv_out"]) if options["aead"] else None

    def set_inbound_compressor(self, compressor: Any) -> None:
        super().set_inbound_compressor(compressor)
        self._decompress = compressor

    def set_outbound_compressor(self, compressor: Any) -> None:
        super().set_outbound_compressor(compressor)
        self._compress = compressor

    def _next_packet(self, cipher: Cipher) -> bytes:
        """Return the next packet: the length of its padding, the message, the padding."""
        self._have(4, check_rekey=True)
        at = self._used
        length = self._ahead[at : at + 4]
        number = getattr(self, _NUMBER_IN)
        size = cipher.size(length, number)
        _check_size(size, least=cipher.least)
        self._have(4 + size + _TAG)
        at = self._used
        self._used += 4 + size + _TAG
        packet = cipher.opened(memoryview(self._ahead)[at + 4 : self._used], length, number)
        setattr(self, _NUMBER_IN, (number + 1) & 0xFFFFFFFF)
        self._age(cipher, 4 + size + _TAG)
        if self._decompress is not None:
            packet = b"\0" + self._decompress(packet[1 : len(packet) - packet[0]])
        if packet[0] > len(packet) - 2:
            raise paramiko.SSHException("A packet without a message")
        return packet

    def _sealed(self, cipher: Cipher, parts: Sequence[bytes | memoryview]) -> tuple[bytes, bytes]:
        """Return the length of the packet and the encrypted packet."""
        if self._compress is not None:
            parts = (self._compress(b"".join(parts)),)
        length = sum(map(len, parts))
        padding = _LEAST_PADDING + -(1 + length + _LEAST_PADDING) % _BLOCK
        size = (1 + length + padding).to_bytes(4, "big")
        number = getattr(self, _NUMBER_OUT)
        packet = b"".join((bytes((padding,)), *parts, os.urandom(padding)))
        sealed = cipher.sealed(packet, size, number)
        setattr(self, _NUMBER_OUT, (number + 1) & 0xFFFFFFFF)
        self._age(cipher, len(size) + len(sealed[1]))
        return sealed

    def _age(self, cipher: Cipher, size: int) -> None:
        """Count the bytes of these keys, and ask for new keys when it is time."""
        before, cipher.served = cipher.served, cipher.served + size
        if cipher.served < self.REKEY_BYTES:
            return
        if before < self.REKEY_BYTES:
            self._trigger_rekey()  # type: ignore[attr-defined]  # not in the stubs
        elif cipher.served >= self.REKEY_BYTES + self.REKEY_BYTES_OVERFLOW_MAX:
            raise paramiko.SSHException("The server does not exchange keys although it is time")

    def _have(self, size: int, *, check_rekey: bool = False) -> None:
        """Receive until that many bytes are ahead.

        With `check_rekey`, a wait for the first byte raises NeedRekeyException if it is time for
        new keys.
        """
        while len(self._ahead) - self._used < size:
            came = self._receive()
            if not came and check_rekey and self._used == len(self._ahead) and self.need_rekey():
                raise NeedRekeyException

    def _receive(self) -> bool:
        """Read ahead; False if nothing arrived in the link's timeout, a fraction of a second."""
        if self.handshake_timed_out():
            raise EOFError
        if time.monotonic() > self.deadline:
            raise paramiko.SSHException("The server does not finish the key exchange")
        self._caught_up()
        try:
            data = self._link.recv(_READ_AHEAD)
        except (TimeoutError, BlockingIOError):
            if self.closed:
                raise EOFError from None
            return False
        except OSError:
            if self.closed:
                raise EOFError from None
            raise
        if not data:
            raise EOFError
        self._ahead = self._ahead[self._used :] + data
        self._used = 0
        return True


def _check_size(size: int, least: int) -> None:
    if not least <= size <= _LONGEST_PACKET:
        raise paramiko.SSHException(f"Bad packet length: {size} bytes")


def _cipher(engine: Any, nonce: bytes) -> Cipher:
    cipher: Cipher = _AESGCM(engine, nonce) if isinstance(engine, AESGCM) else engine
    return cipher


class _AESGCM:
    """AES-GCM. A nonce ends in a counter (RFC 5647 section 7.1)."""

    least = _BLOCK

    __slots__ = ("_counter", "_engine", "_fixed", "served")

    def __init__(self, engine: AESGCM, nonce: bytes) -> None:
        self._engine = engine
        self._fixed, self._counter = nonce[:4], int.from_bytes(nonce[4:], "big")
        self.served = 0

    def size(self, length: bytes, _number: int) -> int:
        return int.from_bytes(length, "big")

    def sealed(self, packet: bytes, length: bytes, _number: int) -> tuple[bytes, bytes]:
        return length, self._engine.encrypt(self._next_nonce(), packet, length)

    def opened(self, packet: memoryview, length: bytes, _number: int) -> bytes:
        try:
            return self._engine.decrypt(self._next_nonce(), packet, length)
        except InvalidTag:
            raise paramiko.SSHException("A packet was damaged on its way") from None

    def _next_nonce(self) -> bytes:
        nonce = self._fixed + self._counter.to_bytes(8, "big")
        self._counter = (self._counter + 1) & 0xFFFFFFFFFFFFFFFF
        return nonce
