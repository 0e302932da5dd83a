"""Packets of AES-GCM, made and read by paramiko at the other end: it is the oracle."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import paramiko
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED
from paramiko.compress import ZlibCompressor, ZlibDecompressor
from paramiko.packet import NeedRekeyException, Packetizer
from support.waiting import wait_until

from m2m_ssh_client.ssh import algorithms
from m2m_ssh_client.ssh.library.packets import ChannelData, LeftToParamiko, Packets
from m2m_ssh_client.ssh.library.ssh_transport import Transport
from m2m_ssh_client.ssh.settings import Algorithms

KEY, NONCE = bytes(range(16)), bytes(range(100, 112))
TAG = 16
ENOUGH = 10.0  # seconds


class Pipe:
    """A link that brings what was sent on it, in pieces, and a time-out at its end."""

    def __init__(self, sizes: Sequence[int] = (1 << 20,)) -> None:
        self._sizes = sizes
        self.bytes = b""
        self._at = self._reads = 0
        self.sends = 0

    def send(self, data: bytes) -> int:
        self.sends += 1
        self.bytes += data
        return len(data)

    def recv(self, size: int) -> bytes:
        size = min(size, self._sizes[self._reads % len(self._sizes)])
        self._reads += 1
        data = self.bytes[self._at : self._at + size]
        self._at += len(data)
        if not data:
            raise TimeoutError
        return data

    def close(self) -> None: ...


def encrypted(packets: Packetizer) -> Any:
    """The same, with both directions under one key."""
    its: Any = packets
    rest = {
        "block_size": 16,
        "mac_engine": None,
        "mac_size": TAG,
        "mac_key": None,
        "etm": False,
        "aead": True,
    }
    its.set_outbound_cipher(block_engine=AESGCM(KEY), sdctr=False, iv_out=NONCE, **rest)
    its.set_inbound_cipher(block_engine=AESGCM(KEY), iv_in=NONCE, **rest)
    return its


def oracle(link: Any) -> Packetizer:
    return Packetizer(link)


def message(content: bytes) -> paramiko.Message:
    return paramiko.Message(content)


def read(packets: Any, count: int) -> list[bytes]:
    found = []
    for _ in range(count):
        number, content = packets.read_message()
        found.append(bytes((number,)) + content.asbytes())
    return found


def sealed(packet: bytes, size: int | None = None, nonce: bytes = NONCE) -> bytes:
    """The first packet of a connection, whatever is in it."""
    length = (len(packet) if size is None else size).to_bytes(4, "big")
    return length + AESGCM(KEY).encrypt(nonce, packet, length)


CONTENTS = st.lists(st.binary(min_size=1, max_size=100) | st.just(bytes(32 * 1024)), max_size=20)
SIZES = st.lists(st.integers(1, 50) | st.just(1 << 20), min_size=1, max_size=5)


@given(CONTENTS, SIZES)
def test_what_paramiko_sends_is_read(contents: list[bytes], sizes: list[int]) -> None:
    pipe = Pipe(sizes)
    theirs, ours = encrypted(oracle(pipe)), encrypted(Packets(pipe))
    for content in contents:
        theirs.send_message(message(content))
    assert read(ours, len(contents)) == contents


@given(CONTENTS)
def test_paramiko_reads_what_is_sent(contents: list[bytes]) -> None:
    pipe = Pipe()
    theirs, ours = encrypted(oracle(pipe)), encrypted(Packets(pipe))
    for content in contents:
        ours.send_message(message(content))
    assert read(theirs, len(contents)) == contents


@given(st.binary(max_size=300), st.integers(1, 100), st.booleans(), st.booleans())
def test_data_for_a_channel_fill_messages_of_the_size_that_it_takes(
    data: bytes, most: int, has_cipher: bool, is_compressed: bool
) -> None:
    pipe = Pipe()
    theirs, ours = oracle(pipe), Packets(pipe)
    if has_cipher:
        encrypted(theirs)
        encrypted(ours)
    if is_compressed:
        ours.set_outbound_compressor(ZlibCompressor())
        theirs.set_inbound_compressor(ZlibDecompressor())
    ours.send_message(ChannelData(7, memoryview(data), most))
    parts = [data[at : at + most] for at in range(0, len(data), most)]
    heads = [bytes((94, 0, 0, 0, 7)) + len(part).to_bytes(4, "big") for part in parts]
    assert read(theirs, len(parts)) == [
        head + part for head, part in zip(heads, parts, strict=True)
    ]


def test_data_for_a_channel_go_to_the_link_at_once() -> None:
    pipe = Pipe()
    ours = encrypted(Packets(pipe))
    ours.send_message(ChannelData(7, memoryview(bytes(100_000)), 32_768))
    assert pipe.sends == 1


@given(st.binary(min_size=1, max_size=300))
def test_a_packet_is_as_long_as_rfc_4253_wants_it(content: bytes) -> None:
    pipe = Pipe()
    encrypted(Packets(pipe)).send_message(message(content))
    size = int.from_bytes(pipe.bytes[:4], "big")
    packet = AESGCM(KEY).decrypt(NONCE, pipe.bytes[4:], pipe.bytes[:4])
    assert len(packet) == size == 1 + len(content) + packet[0]
    assert size % 16 == 0
    assert 4 <= packet[0] < 4 + 16
    assert packet[1 : -packet[0]] == content


def test_compressed_messages_travel_both_ways() -> None:
    pipe = Pipe()
    theirs, ours = encrypted(oracle(pipe)), encrypted(Packets(pipe))
    contents = [b"before", b"^" + b"much of the same, " * 100, b"^and again, much of the same"]
    theirs.send_message(message(contents[0]))
    assert read(ours, 1) == contents[:1]
    theirs.set_outbound_compressor(ZlibCompressor())  # as after the login
    ours.set_inbound_compressor(ZlibDecompressor())
    for content in contents[1:]:
        theirs.send_message(message(content))
    assert read(ours, 2) == contents[1:]

    ours.set_outbound_compressor(ZlibCompressor())
    theirs.set_inbound_compressor(ZlibDecompressor())
    for content in contents[1:]:
        ours.send_message(message(content))
    assert read(theirs, 2) == contents[1:]


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (sealed(bytes((4,)) + bytes(15))[:-1] + b"!", "damaged"),
        (sealed(bytes((4,)) + bytes(15), nonce=bytes(12)), "damaged"),
        (sealed(bytes((4,)) + bytes(7)), "length: 8 bytes"),
        (sealed(b""), "length: 0 bytes"),
        (b"\xff\xff\xff\xff" + bytes(100), "length: 4294967295 bytes"),
        (b"\x00\x04\x00\x01" + bytes(100), "length: 262145 bytes"),
        (sealed(bytes((15,)) + bytes(15)), "without a message"),
        (sealed(bytes((255,)) + bytes(15)), "without a message"),
    ],
)
def test_what_is_no_packet_is_refused(sent: bytes, why: str) -> None:
    pipe = Pipe()
    pipe.send(sent)
    with pytest.raises(paramiko.SSHException, match=why):
        encrypted(Packets(pipe)).read_message()


def data_message(channel: int, data: bytes, size: int | None = None) -> paramiko.Message:
    made = paramiko.Message()
    made.add_byte(b"\x5e")  # SSH_MSG_CHANNEL_DATA
    made.add_int(channel)
    made.add_int(len(data) if size is None else size)
    made.add_bytes(data)
    return made


class Seven(LeftToParamiko):
    """Takes what is for channel 7, and notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, bytes | int]] = []
        self.calls: list[Callable[[], object]] = []

    def deliver_data(self, channel: int, data: bytes) -> bool:
        self.asked.append((channel, data))
        return channel == 7

    def widen_window(self, channel: int, size: int) -> bool:
        self.asked.append((channel, size))
        return channel == 7

    def caught_up(self) -> None:
        for call in self.calls:
            call()


def test_data_is_taken_by_whoever_takes_it_and_else_comes_as_a_message() -> None:
    pipe, channels = Pipe(), Seven()
    theirs, ours = encrypted(oracle(pipe)), encrypted(Packets(pipe, channels))
    for sent in (data_message(7, b"first"), data_message(7, b""), data_message(8, b"other")):
        theirs.send_message(sent)
    number, rest = ours.read_message()
    assert channels.asked == [(7, b"first"), (7, b""), (8, b"other")]
    assert (number, rest.get_int(), rest.get_binary()) == (94, 8, b"other")


@pytest.mark.parametrize("size", [0, 4, 6, 0xFFFFFFFF])
def test_data_that_says_a_wrong_size_of_itself_is_not_taken(size: int) -> None:
    pipe, channels = Pipe(), Seven()
    theirs, ours = encrypted(oracle(pipe)), encrypted(Packets(pipe, channels))
    theirs.send_message(data_message(7, b"first", size))
    assert ours.read_message()[0] == 94
    assert not channels.asked


def window_message(channel: int, size: int, more: bytes = b"") -> paramiko.Message:
    made = paramiko.Message()
    made.add_byte(b"\x5d")  # SSH_MSG_CHANNEL_WINDOW_ADJUST
    made.add_int(channel)
    made.add_int(size)
    made.add_bytes(more)
    return made


def test_a_wider_window_is_taken_in_the_same_way_and_none_that_says_more() -> None:
    pipe, channels = Pipe(), Seven()
    theirs, ours = encrypted(oracle(pipe)), encrypted(Packets(pipe, channels))
    theirs.send_message(window_message(7, 1))
    theirs.send_message(window_message(7, 0xFFFFFFFF))
    theirs.send_message(window_message(8, 2))
    theirs.send_message(window_message(7, 3, b"more"))
    assert ours.read_message()[0] == 93
    assert ours.read_message()[0] == 93
    assert channels.asked == [(7, 1), (7, 0xFFFFFFFF), (8, 2)]


def test_before_it_waits_for_more_it_says_so_also_within_a_packet() -> None:
    pipe, channels = Pipe(), Seven()
    theirs, ours = encrypted(oracle(pipe)), encrypted(Packets(pipe, channels))
    read_by_then: list[int] = []
    channels.calls.append(lambda: read_by_then.append(pipe._at))
    for content in (b"first", b"second"):
        theirs.send_message(message(content))
    whole, pipe.bytes = pipe.bytes, pipe.bytes[:-1]
    assert read(ours, 1) == [b"first"]
    assert read_by_then == [0]

    def bring_the_rest() -> None:
        pipe.bytes = whole

    channels.calls.append(bring_the_rest)
    assert read(ours, 1) == [b"second"]
    assert read_by_then == [0, len(whole) - 1]


class Few(Packets):
    """Keys that serve for a kilobyte, and for another one while the far side does nothing about it."""

    REKEY_BYTES = REKEY_BYTES_OVERFLOW_MAX = 1024


def test_a_far_side_that_does_not_exchange_keys_when_it_is_time_is_refused() -> None:
    pipe = Pipe()
    theirs, ours = encrypted(oracle(pipe)), encrypted(Few(pipe))
    while len(pipe.bytes) < 1900:
        assert ours.need_rekey() == (len(pipe.bytes) >= 1024)
        theirs.send_message(message(bytes(100)))
        assert read(ours, 1) == [bytes(100)]
    theirs.send_message(message(bytes(200)))
    with pytest.raises(paramiko.SSHException, match="does not exchange keys"):
        ours.read_message()


def test_who_waits_for_a_packet_is_told_that_it_is_time_for_other_keys() -> None:
    pipe = Pipe()
    ours = encrypted(Few(pipe))
    ours.send_message(message(bytes(2000)))
    pipe.bytes = b""
    with pytest.raises(NeedRekeyException):
        ours.read_message()


class Server(paramiko.ServerInterface):
    def check_auth_none(self, username: str) -> int:  # noqa: ARG002 - inherited
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002 - inherited
        return OPEN_SUCCEEDED


class Counting(Transport):
    exchanges = 0

    def _verify_key(self, host_key: bytes, sig: bytes) -> None:
        super()._verify_key(host_key, sig)
        self.exchanges += 1


@contextmanager
def connected(*, strict: bool = True) -> Iterator[tuple[Counting, paramiko.Transport]]:
    """Logged in."""
    ours, theirs = socket.socketpair()
    near = Counting(Gate(ours), algorithms.offer(Algorithms()))
    far = paramiko.Transport(theirs, strict_kex=strict)
    far.add_server_key(paramiko.ECDSAKey.generate())
    try:
        far.start_server(event=threading.Event(), server=Server())
        near.exchange_keys(["ecdsa-sha2-nistp256"], time.monotonic() + ENOUGH)
        near.auth_none("user")
        yield near, far
    finally:
        near.close()
        far.close()


def echo(near: paramiko.Transport, far: paramiko.Transport, data: bytes) -> bytes:
    """There and back again. The channel stays open: paramiko's own end must not close one while it exchanges keys."""
    channel = near.open_session(timeout=ENOUGH)
    there = far.accept(ENOUGH)
    assert there is not None
    channel.settimeout(ENOUGH)
    there.settimeout(ENOUGH)

    def carry_back() -> None:
        for piece in pieces(there, len(data)):
            there.sendall(piece)

    threads = [
        threading.Thread(target=carry_back),
        threading.Thread(target=channel.sendall, args=(data,)),
    ]
    for thread in threads:
        thread.start()
    came = b"".join(pieces(channel, len(data)))
    for thread in threads:
        thread.join(ENOUGH)
    return came


def pieces(channel: paramiko.Channel, size: int) -> Iterator[bytes]:
    while size:
        piece = channel.recv(1 << 16)
        assert piece
        size -= len(piece)
        yield piece


def test_nothing_is_lost_while_keys_are_exchanged_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Packets, "REKEY_BYTES", 100_000)
    data = os.urandom(1_000_000)
    with connected() as (near, far):
        assert echo(near, far, data) == data
        assert near.exchanges > 1  # how many more than at the start depends on the machine


@pytest.mark.parametrize("strict", [True, False])
def test_ciphers_can_change_within_a_connection(strict: bool) -> None:
    """Those that have an authentication code of their own count the packets that came before (RFC 4253 section 6.4)."""
    with connected(strict=strict) as (near, far):
        for cipher in (
            "aes256-ctr",
            "aes256-gcm@openssh.com",
            "aes128-ctr",
            "aes128-gcm@openssh.com",
        ):
            assert echo(near, far, b"some") == b"some"
            near.get_security_options().ciphers = (cipher,)
            near.renegotiate_keys()
            assert near.remote_cipher == near.local_cipher == cipher  # type: ignore[attr-defined]
        assert echo(near, far, b"more") == b"more"


class Gate(socket.socket):
    """Lets nothing in while it is shut."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(fileno=sock.detach())
        self.open = threading.Event()
        self.open.set()

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data = super().recv(size, flags)
        assert self.open.wait(ENOUGH)
        return data


def channels(transport: Any) -> list[paramiko.Channel]:
    open_ones: list[paramiko.Channel] = transport._channels.values()
    return open_ones


def test_a_channel_that_ends_while_keys_are_exchanged_holds_nothing_up() -> None:
    with connected() as (near, far):
        gate = cast("Gate", near.sock)
        channel = near.open_session(timeout=ENOUGH)
        there = far.accept(ENOUGH)
        assert there is not None
        gate.open.clear()
        there.close()  # which is on its way
        exchanging = threading.Thread(target=near.renegotiate_keys)
        exchanging.start()
        wait_until(lambda: not near.clear_to_send.is_set())
        gate.open.set()
        exchanging.join(ENOUGH)
        assert not exchanging.is_alive()
        assert channel.closed
        assert echo(near, far, b"some") == b"some"
        wait_until(lambda: there not in channels(far))  # our end has said so, too


def test_an_end_before_keys_are_exchanged_leaves_no_thread_that_waits() -> None:
    packets = Packets(Pipe())
    before = set(threading.enumerate())
    packets.start_handshake(ENOUGH)
    (waiting,) = set(threading.enumerate()) - before
    packets.close()
    waiting.join(ENOUGH)
    assert not waiting.is_alive()
