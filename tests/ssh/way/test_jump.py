"""Channels as sockets: through real sshds, one in another, and with a paramiko server that misbehaves."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import paramiko
import pytest
from support.sshd import Sshd, SshdKeys, free_port, make_privilege_separation_folder

from m2m_ssh_client.errors import UnreachableError
from m2m_ssh_client.ssh.library.tunnel import ChannelSocket
from m2m_ssh_client.ssh.way import jump

ENOUGH = 30.0  # seconds
BULK = 16 * 1024 * 1024  # bytes
# As much in each direction, and none waits for the other: as `cat` would, were its reader slow.
BOTH_WAYS = """
import hashlib, sys, threading
size = int(sys.argv[1])
def write():
    block = b"y" * 65536
    for _ in range(size // len(block)):
        sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()
writer = threading.Thread(target=write)
writer.start()
digest, left = hashlib.sha256(), size
while left:
    data = sys.stdin.buffer.read1(65536)
    digest.update(data)
    left -= len(data)
writer.join()
sys.stdout.write(digest.hexdigest())
"""

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> SshdKeys:
    make_privilege_separation_folder()
    return SshdKeys.generate(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def start(keys: SshdKeys, tmp_path: Path) -> Iterator[Callable[..., Sshd]]:
    """Start a server, with lines added to its configuration."""
    with ExitStack() as stack:
        yield lambda *extra: stack.enter_context(
            Sshd(keys, tmp_path / f"sshd{len(list(tmp_path.iterdir()))}", extra)
        )


@pytest.fixture(autouse=True)
def _no_transport_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 3.0
    left = [
        t for t in threading.enumerate() if isinstance(t, paramiko.Transport) and t not in before
    ]
    for thread in left:
        thread.join(max(0.0, deadline - time.monotonic()))
    assert not [thread for thread in left if thread.is_alive()]


def logged_in(sock: Any, server: Sshd) -> paramiko.Transport:
    transport = paramiko.Transport(sock)
    transport.start_client(timeout=ENOUGH)
    key = paramiko.Ed25519Key.from_private_key_file(str(server.keys.client_key))
    assert not transport.auth_publickey(server.username, key)
    return transport


def tunnel(
    transport: paramiko.Transport, port: int, host: str = "127.0.0.1", timeout: float = ENOUGH
) -> ChannelSocket:
    return jump.tunnel(transport, host, port, timeout, "gate.example")


@contextmanager
def chain(servers: Sequence[Sshd]) -> Iterator[list[paramiko.Transport]]:
    """Each server logged in to through the one before; closed from the last to the first."""
    transports: list[paramiko.Transport] = []
    try:
        for server in servers:
            sock: Any
            if transports:
                sock = tunnel(transports[-1], server.port)
            else:
                sock = socket.create_connection(("127.0.0.1", server.port))
            transports.append(logged_in(sock, server))
        yield transports
    finally:
        for transport in reversed(transports):
            transport.close()


def run(transport: paramiko.Transport, command: str) -> bytes:
    channel = transport.open_session(timeout=ENOUGH)
    channel.settimeout(ENOUGH)
    channel.exec_command(command)
    return b"".join(iter(lambda: channel.recv(65536), b""))


def python(code: str, *arguments: object) -> str:
    script = f"exec {sys.executable} -S -E -c '{code}'"
    return " ".join([script, *map(str, arguments)])


@pytest.mark.parametrize("count", [2, 3])
def test_the_last_of_a_chain_of_servers_runs_the_command(
    count: int, start: Callable[..., Sshd]
) -> None:
    servers = [start() for _ in range(count)]
    with chain(servers) as transports:
        said = run(transports[-1], "echo $SSH_CONNECTION")
    assert said.split()[3] == str(servers[-1].port).encode()
    assert not [server for server in servers[:-1] if "Starting session" in server.log]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("count", [2, 3])
def test_much_data_in_both_directions_at_once_comes_through_whole(
    count: int, start: Callable[..., Sshd]
) -> None:
    with chain([start() for _ in range(count)]) as transports:
        channel = transports[-1].open_session(timeout=ENOUGH)
        channel.settimeout(ENOUGH)
        channel.exec_command(python(BOTH_WAYS, BULK))
        block = os.urandom(65536)

        def write() -> None:
            with suppress(OSError):
                for _ in range(BULK // len(block)):
                    channel.sendall(block)

        writer = threading.Thread(target=write)
        writer.start()
        received = bytearray()
        while data := channel.recv(1 << 20):
            received += data
        writer.join(ENOUGH)
    assert not writer.is_alive()
    assert received[:BULK] == b"y" * BULK
    expected = hashlib.sha256(block * (BULK // len(block))).hexdigest()
    assert received[BULK:].decode() == expected


def test_a_reader_that_pauses_stops_the_sender_and_not_the_other_direction(
    start: Callable[..., Sshd],
) -> None:
    """With a window's worth and more under way, what is sent the other way still arrives."""
    code = 'import os, sys\nwhile True: os.write(1, b"y" * 65536)'
    with chain([start(), start()]) as transports:
        flood = transports[-1].open_session(timeout=ENOUGH)
        flood.exec_command(python(code))
        deadline = time.monotonic() + ENOUGH
        window = flood.in_window_size
        while len(flood.in_buffer) < window and time.monotonic() < deadline:
            flood.status_event.wait(0.01)
        assert len(flood.in_buffer) == window
        assert run(transports[-1], "echo there") == b"there\n"
        assert len(flood.in_buffer) == window
        flood.settimeout(ENOUGH)
        left = 3 * window
        while left > 0:
            left -= len(flood.recv(1 << 20))


REFUSALS = [
    ("AllowTcpForwarding no", "does not forward connections to 127.0.0.1 port"),
    ("PermitOpen 127.0.0.1:1", "does not forward connections to 127.0.0.1 port"),
    ("DisableForwarding yes", "does not forward connections to 127.0.0.1 port"),
]


@pytest.mark.parametrize(("line", "words"), REFUSALS)
def test_a_jump_host_that_does_not_forward_says_so(
    line: str, words: str, start: Callable[..., Sshd]
) -> None:
    gate = start(line)
    with chain([gate]) as [transport]:
        with pytest.raises(UnreachableError) as caught:
            tunnel(transport, gate.port)
        assert transport.is_active()
    text = str(caught.value)
    assert text.startswith("The jump host gate.example ")
    assert words in text
    assert "AllowTcpForwarding" in text


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("127.0.0.1", "cannot connect to 127.0.0.1 port {port}: Connection refused"),
        ("nosuch.invalid", "cannot connect to nosuch.invalid port {port}: "),
        ("\x1b[2J", "cannot connect to "),
    ],
)
def test_a_target_that_the_jump_host_cannot_reach_is_told_in_its_words(
    host: str, words: str, start: Callable[..., Sshd]
) -> None:
    port = free_port()
    with chain([start()]) as [transport], pytest.raises(UnreachableError) as caught:
        tunnel(transport, port, host)
    text = str(caught.value)
    assert words.format(port=port) in text
    assert "\x1b" not in text
    assert "Connect failed" not in text  # paramiko's words, which leave the reason out


def test_a_second_try_after_a_refusal_succeeds(start: Callable[..., Sshd]) -> None:
    gate = start()
    with chain([gate]) as [transport]:
        with pytest.raises(UnreachableError):
            tunnel(transport, free_port())
        with_sock = logged_in(tunnel(transport, gate.port), gate)
        assert run(with_sock, "echo hello") == b"hello\n"
        with_sock.close()


@contextmanager
def echoing() -> Iterator[int]:
    """A TCP server that sends back what comes, one connection at a time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    there, _ = listener.accept()
                    with there, suppress(OSError):
                        while data := there.recv(65536):
                            there.sendall(data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(ENOUGH)


@pytest.fixture
def sock(start: Callable[..., Sshd]) -> Iterator[ChannelSocket]:
    """To a server that sends back what comes."""
    with echoing() as port, chain([start()]) as [transport]:
        with_sock = tunnel(transport, port)
        yield with_sock
        with_sock.close()


def read(sock: ChannelSocket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data))
    return data


def test_it_reads_what_is_asked_for_and_keeps_the_rest(sock: ChannelSocket) -> None:
    sock.settimeout(ENOUGH)
    assert sock.send(b"abcdefgh") == 8
    assert read(sock, 3) == b"abc"
    assert read(sock, 5) == b"defgh"


def test_it_remembers_when_it_last_received(sock: ChannelSocket) -> None:
    sock.settimeout(ENOUGH)
    before = sock.last_received
    assert 0 <= time.monotonic() - before < ENOUGH
    sock.send(b"a")
    assert sock.last_received == before
    read(sock, 1)
    assert sock.last_received > before


def test_it_times_out_as_a_socket_does(sock: ChannelSocket) -> None:
    sock.settimeout(0.01)
    with pytest.raises(TimeoutError):
        sock.recv(1)


def test_its_peer_is_the_target(sock: ChannelSocket) -> None:
    assert sock.getpeername()[0] == "127.0.0.1"


def test_closing_wakes_a_reader_that_waits_for_ever(sock: ChannelSocket) -> None:
    sock.settimeout(None)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(sock.recv(1)))
    reader.start()
    sock.close()
    reader.join(ENOUGH)
    assert got == [b""]


def test_after_closing_nothing_is_read_or_sent(sock: ChannelSocket) -> None:
    sock.settimeout(ENOUGH)
    sock.send(b"abc")
    assert read(sock, 1) == b"a"
    sock.close()
    sock.close()
    assert sock.recv(10) == b""
    with pytest.raises(OSError, match="closed"):
        sock.send(b"x")


def test_closing_tells_the_jump_host(start: Callable[..., Sshd]) -> None:
    """Whose connection to the target would stay open otherwise."""
    with socket.create_server(("127.0.0.1", 0)) as listener, chain([start()]) as [transport]:
        listener.settimeout(ENOUGH)
        sock = tunnel(transport, listener.getsockname()[1])
        there, _ = listener.accept()
        with there:
            there.settimeout(ENOUGH)
            sock.close()
            assert there.recv(1) == b""
        assert transport.is_active()


def test_the_end_of_the_target_is_the_end_of_the_data(start: Callable[..., Sshd]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, chain([start()]) as [transport]:
        listener.settimeout(ENOUGH)
        sock = tunnel(transport, listener.getsockname()[1])
        sock.settimeout(ENOUGH)
        there, _ = listener.accept()
        there.sendall(b"last words")
        there.close()
        assert read(sock, 10) == b"last words"
        assert sock.recv(1) == b""
        sock.close()


def test_the_end_of_the_jump_host_ends_the_inner_connection(start: Callable[..., Sshd]) -> None:
    with chain([start(), start()]) as [outer, inner]:
        outer.close()
        inner.join(ENOUGH)
        assert not inner.is_active()


class _Stuck(paramiko.ServerInterface):
    """Opens the channel, and then its process stops reading."""

    def check_auth_none(self, _username: str) -> int:
        return paramiko.common.AUTH_SUCCESSFUL

    def check_channel_direct_tcpip_request(self, *_: Any) -> int:
        return paramiko.common.OPEN_SUCCEEDED


@contextmanager
def bad_jump_host(
    *, reads: bool
) -> Iterator[tuple[ChannelSocket, paramiko.Transport, paramiko.Channel]]:
    """A tunnel through it, our connection to it, and its own end of the channel.

    Unless it `reads`, it does not read any more: as when the network is gone.
    """
    here, there = socket.socketpair()
    gate_open = threading.Event()
    gate_open.set()

    class Gate(socket.socket):
        def recv(self, size: int, flags: int = 0, /) -> bytes:
            gate_open.wait()
            return super().recv(size, flags)

    server = paramiko.Transport(Gate(fileno=there.detach()))
    server.add_server_key(paramiko.ECDSAKey.generate())
    server.start_server(server=_Stuck(), event=threading.Event())
    client = paramiko.Transport(here)
    try:
        client.start_client(timeout=ENOUGH)
        client.auth_none("somebody")
        sock = tunnel(client, 22)
        channel = server.accept(ENOUGH)
        assert channel is not None
        if not reads:
            gate_open.clear()
        yield sock, client, channel
    finally:
        gate_open.set()
        client.close()
        server.close()


def test_closing_does_not_wait_for_a_jump_host_that_does_not_read() -> None:
    with bad_jump_host(reads=False) as (sock, _, _):
        sock.settimeout(0.1)
        writer = threading.Thread(target=_fill, args=(sock,))
        writer.start()
        reader = threading.Thread(target=_read_to_the_end, args=(sock,))
        reader.start()
        writer.join(1.0)
        assert writer.is_alive()
        started = time.monotonic()
        sock.close()
        reader.join(ENOUGH)
        assert time.monotonic() - started < ENOUGH / 2
    writer.join(ENOUGH)
    assert not writer.is_alive()


@pytest.mark.parametrize("stream", ["sendall", "sendall_stderr"])
def test_a_jump_host_that_sends_more_than_its_window_is_left(stream: str) -> None:
    with bad_jump_host(reads=True) as (sock, client, channel):
        channel.out_window_size = 1 << 30
        with suppress(OSError, EOFError):
            getattr(channel, stream)(bytes(16 * 1024 * 1024))
        client.join(ENOUGH)
        assert not client.is_alive()
        assert "more than its window" in str(client.get_exception())
        unread = sock._channel.in_buffer, sock._channel.in_stderr_buffer
        assert sum(map(len, unread)) <= client.default_window_size
        sock.close()


def _fill(sock: ChannelSocket) -> None:
    with suppress(OSError, EOFError):
        while True:
            with suppress(TimeoutError):
                sock.send(b"x" * 65536)


def _read_to_the_end(sock: ChannelSocket) -> None:
    while True:
        with suppress(TimeoutError):
            if not sock.recv(1):
                return
