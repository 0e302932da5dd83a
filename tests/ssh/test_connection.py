"""Connections to real SSH servers on loopback: the embedded one, and odd ones made here with paramiko."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import paramiko
import pytest
from paramiko.common import (
    AUTH_PARTIALLY_SUCCESSFUL,
    MSG_CHANNEL_DATA,
    MSG_GLOBAL_REQUEST,
    MSG_IGNORE,
    cMSG_UNIMPLEMENTED,
)
from support.host import PACKAGE_PARENT
from support.odd_ssh import (
    CAT,
    ENOUGH,
    Keys,
    Odd,
    OneWay,
    hangs_up,
    listening,
    mute,
    odd_server,
    public,
    python,
    say_farewell,
    speaks_http,
)
from support.received import Received, read_all
from support.waiting import wait_until

from m2m_ssh_client.api import SSHServerParameters
from m2m_ssh_client.demo.ssh_server import SSHServer
from m2m_ssh_client.errors import (
    AuthenticationError,
    ChannelRefusedError,
    ConnectionLostError,
    HostKeyError,
    KnownHostsError,
    RemoteExitError,
    SSHClientError,
    UnreachableError,
)
from m2m_ssh_client.ssh.algorithms import KEX as ALL_KEX
from m2m_ssh_client.ssh.connection import Connection
from m2m_ssh_client.ssh.destination import resolve
from m2m_ssh_client.ssh.login.key_files import public_key_line
from m2m_ssh_client.ssh.login.unlocked_keys import UnlockedKeys
from m2m_ssh_client.ssh.process.carrier import ChannelCarrier
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.settings import Request
from m2m_ssh_client.ssh.trust.known_hosts import entry

USER = "mcp"
KINDS = ["ed25519", "ecdsa", "ecdsa-521", "rsa"]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


class Link(Connection):
    """A connection that the parameters name, with the request that they wish for."""

    def __init__(self, known_hosts: Sequence[Path], **options: Any) -> None:
        params = SSHServerParameters(ssh_config="none", **options)
        destination = resolve(params)
        settings = destination.settings
        super().__init__(
            settings._replace(
                trust=settings.trust._replace(user_files=tuple(known_hosts), global_files=())
            ),
            UnlockedKeys(),
            connect_timeout=destination.connect_timeout,
            keepalive=destination.keepalive,
            keepalive_count=destination.keepalive_count,
            answered=lambda seconds: self.round_trips.append(seconds),
        )
        self.round_trips: list[float] = []
        self._wish = destination.request

    def channel(
        self, request: Request | None = None, ahead: Callable[[], bytes] = lambda: b""
    ) -> ChannelCarrier:
        return super().channel(request or self._wish, ahead)


@pytest.fixture(autouse=True)
def _no_connection_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 3.0
    left = [t for t in threading.enumerate() if isinstance(t, paramiko.Transport)]
    for thread in left:
        thread.join(max(0.0, deadline - time.monotonic()))
    assert not [t for t in left if t.is_alive() and t not in before]


class Far:
    """The embedded server with what a test wants to know about it and how to reach it."""

    def __init__(self, server: SSHServer, log: list[str], folder: Path, client: Path) -> None:
        self.server = server
        self.log = log
        self.requests: list[tuple[str, str | None]] = []
        self.host_key = public(server.host_key)
        self.known_hosts = folder / "known_hosts"
        self.client = client
        self.trust(self.host_key)

    def trust(self, key: PublicKey) -> None:
        self.known_hosts.write_text(entry("127.0.0.1", self.server.port, key))

    def connection(self, key: Path | None = None, **options: Any) -> Link:
        return connection(self.server.port, key or self.client, [self.known_hosts], **options)

    def authentication_was_tried(self) -> bool:
        return any("offers key" in line for line in self.log)


def connection(port: int, key: Path, known_hosts: Sequence[Path] = (), **options: Any) -> Link:
    place = {"host": "127.0.0.1", "port": port, "username": USER, "client_key": key}
    return Link(known_hosts, **{**place, "connect_timeout": ENOUGH, **options})


StartFar = Callable[..., Far]


@pytest.fixture
def start(keys: Keys, tmp_path: Path) -> Iterator[StartFar]:
    """Start the embedded server. `run` is what every granted request runs, None refuses it."""
    with ExitStack() as stack:

        def start(
            run: Sequence[str] | None = CAT, host: str = "ed25519 host", client: str = "ed25519"
        ) -> Far:
            log: list[str] = []
            wanted = keys[client].asbytes()

            def authorized(user: str, key: paramiko.PKey) -> bool:
                return user == USER and key.asbytes() == wanted

            def command_for(kind: str, text: str | None) -> Sequence[str] | None:
                far.requests.append((kind, text))
                return run

            server = SSHServer(keys[host], authorized, command_for, events=log.append)
            far = Far(server, log, tmp_path, keys.path(keys[client]))
            stack.enter_context(server)
            return far

        yield start


@contextmanager
def opened(link: Link) -> Iterator[ChannelCarrier]:
    try:
        link.open()
        yield link.channel()
    finally:
        link.close()


def refusal(link: Link, kind: type[SSHClientError]) -> str:
    """The one line of the error with which opening fails."""
    with pytest.raises(SSHClientError) as caught, opened(link):
        pass
    assert type(caught.value) is kind, repr(caught.value)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_link_is_prompt_until_a_process_is_started_on_it(start: StartFar) -> None:
    far = start()
    link = far.connection()
    link.open()
    try:
        assert link._link is not None
        assert link._link.prompt
        link.channel()
        assert not link._link.prompt
    finally:
        link.close()


class Listening(Odd):
    """Counts what comes, by the numbers of the messages, and calls itself this."""

    def __init__(self, version: str) -> None:
        super().__init__()
        self._version = version
        self.got: list[int] = []

    def configure(self, transport: paramiko.Transport) -> None:
        its: Any = transport
        its.local_version = f"SSH-2.0-{self._version}"
        read = its.packetizer.read_message

        def counted() -> tuple[int, paramiko.Message]:
            kind, message = read()
            self.got.append(kind)
            return kind, message

        its.packetizer.read_message = counted

    def announce_host_keys(self, times: int) -> None:
        """Announce none, and wait until that has been heard."""
        its: Any = self.transport
        for _ in range(times):
            its.global_request("hostkeys-00@openssh.com", wait=False)
        its.global_request("anything", wait=True)


@pytest.mark.parametrize(
    ("version", "prompt", "acknowledged"),
    [("OpenSSH_9.9", False, 10), ("OpenSSH_9.9", True, 0), ("dropbear_2022.83", False, 0)],
)
def test_a_link_that_is_not_prompt_acknowledges_what_openssh_says_by_packets_but_not_without_end(
    version: str, prompt: bool, acknowledged: int, keys: Keys
) -> None:
    class Way(Link):
        def _reach(self, deadline: float) -> Any:
            link = super()._reach(deadline)
            link.prompt = prompt
            return link

    server = Listening(version)
    with odd_server(server, keys["ed25519 host"]) as port:
        place: dict[str, Any] = {"host": "127.0.0.1", "port": port, "username": USER}
        key = keys.path(keys["ed25519"])
        link = Way([], client_key=key, disable_host_key_checking=True, **place)
        try:
            link.open()
            server.announce_host_keys(20)
            assert server.got.count(MSG_IGNORE) == acknowledged
        finally:
            link.close()


# Host keys


@pytest.mark.parametrize("kind", KINDS)
def test_a_machine_on_file_is_reached_whatever_the_type_of_its_key(
    kind: str, start: StartFar
) -> None:
    far = start(host=f"{kind} host")
    with opened(far.connection()) as carrier:
        carrier.write(b"hello")
        carrier.close_write()
        assert read_all(carrier) == b"hello"


def test_a_machine_that_is_not_on_file_is_refused_before_we_show_our_key(start: StartFar) -> None:
    far = start()
    far.known_hosts.write_text("")
    text = refusal(far.connection(), HostKeyError)
    assert text.startswith("Host key verification failed")
    assert far.host_key.fingerprint in text
    assert "ed25519" in text.lower()
    assert not far.authentication_was_tried()


def test_a_known_hosts_file_that_is_missing_knows_nobody(start: StartFar) -> None:
    far = start()
    far.known_hosts.unlink()
    assert far.host_key.fingerprint in refusal(far.connection(), HostKeyError)
    assert not far.authentication_was_tried()


@pytest.mark.parametrize("other", ["ed25519 other", "rsa other"])
def test_a_changed_key_is_refused_before_we_show_ours(
    other: str, start: StartFar, keys: Keys
) -> None:
    far = start()
    far.trust(public(keys[other]))
    text = refusal(far.connection(), HostKeyError)
    assert text.startswith("Host key verification failed")
    assert far.host_key.fingerprint in text
    assert not far.authentication_was_tried()


def test_known_hosts_that_cannot_be_read_are_an_error_before_anything_is_sent(
    start: StartFar,
) -> None:
    far = start()
    far.known_hosts.unlink()
    far.known_hosts.mkdir()
    assert str(far.known_hosts) in refusal(far.connection(), KnownHostsError)
    assert not far.log


def test_a_pinned_fingerprint_needs_no_file(start: StartFar) -> None:
    far = start()
    far.known_hosts.unlink()
    with opened(far.connection(host_key=far.host_key.fingerprint)) as carrier:
        carrier.close_write()
        assert read_all(carrier) == b""


def test_another_key_than_the_pinned_one_is_refused_although_it_is_on_file(
    start: StartFar, keys: Keys
) -> None:
    far = start()
    pinned = public(keys["ed25519 other"]).fingerprint
    text = refusal(far.connection(host_key=pinned), HostKeyError)
    assert text.startswith("Host key verification failed")
    assert pinned in text
    assert far.host_key.fingerprint in text
    assert not far.authentication_was_tried()


def test_no_key_is_asked_for_when_checking_is_disabled(start: StartFar) -> None:
    far = start()
    far.known_hosts.write_text("")
    with opened(far.connection(disable_host_key_checking=True)):
        assert far.authentication_was_tried()


# Authentication


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_of_client_key_authenticates(kind: str, start: StartFar) -> None:
    far = start(client=kind)
    with opened(far.connection()) as carrier:
        carrier.close_write()
        assert read_all(carrier) == b""


def test_a_key_that_is_not_authorized_is_refused_with_the_line_to_add(
    start: StartFar, keys: Keys
) -> None:
    far = start()
    stranger = keys["ed25519 stranger"]
    text = refusal(far.connection(keys.path(stranger)), AuthenticationError)
    assert text.startswith("Authentication failed for mcp@127.0.0.1")
    assert str(keys.path(stranger)) in text
    assert "~/.ssh/authorized_keys" in text
    assert text.endswith(public_key_line(stranger))


def test_another_user_is_refused_by_name(start: StartFar) -> None:
    far = start()
    assert "root@127.0.0.1" in refusal(far.connection(username="root"), AuthenticationError)


# What is asked for


@pytest.mark.parametrize(
    ("options", "request_"),
    [
        ({}, ("shell", None)),
        ({"command": ["uvx server --all > /dev/null"]}, ("exec", "uvx server --all > /dev/null")),
        ({"command": ["run", "a b", "$x"]}, ("exec", "run 'a b' '$x'")),
        ({"command": ["écho", "☂"]}, ("exec", "'écho' '☂'")),
        ({"subsystem": "mcp"}, ("subsystem", "mcp")),
    ],
    ids=["shell", "one argument", "several", "not ASCII", "subsystem"],
)
def test_the_options_decide_what_is_asked_for(
    options: dict[str, Any], request_: tuple[str, str | None], start: StartFar
) -> None:
    far = start()
    with opened(far.connection(**options)):
        assert far.requests == [request_]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["refused a shell", "--"]),
        ({"command": ["no-such"]}, ["refused to run the command", "no-such", "--subsystem"]),
        ({"command": ["x" * 5000]}, ["refused to run the command", "…"]),
        ({"subsystem": "nothing"}, ["no subsystem 'nothing'", "sshd_config"]),
    ],
    ids=["shell", "exec", "long exec", "subsystem"],
)
def test_a_refused_request_says_what_else_to_try(
    options: dict[str, Any], words: list[str], start: StartFar
) -> None:
    far = start(run=None)
    text = refusal(far.connection(**options), ChannelRefusedError)
    assert all(word in text for word in words)
    assert len(text) < 500


# Packets


class Narrow(Odd):
    """Takes small packets only."""

    limit = 500

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def configure(self, transport: paramiko.Transport) -> None:
        transport.default_max_packet_size = self.limit
        its: Any = transport
        feed = its._channel_handler_table[MSG_CHANNEL_DATA]

        def count(channel: Any, message: paramiko.Message) -> None:
            self.sizes.append(len(message.get_remainder()) - 4)
            feed(channel, message)

        its._channel_handler_table = {**its._channel_handler_table, MSG_CHANNEL_DATA: count}


def test_no_packet_is_larger_than_the_server_takes(keys: Keys) -> None:
    server = Narrow()
    with odd_server(server, keys["ed25519 host"]) as port:
        pin = public(keys["ed25519 host"]).fingerprint
        with opened(connection(port, keys.path(keys["ed25519"]), host_key=pin)) as carrier:
            carrier.write(bytes(range(250)) * 20)
            wait_until(lambda: sum(server.sizes) >= 5000)
    assert server.sizes == [Narrow.limit] * 10


# Signs of life


class Unimplemented(Odd):
    """Says to each global request that it does not know such messages, as old libssh and appliances do."""

    def __init__(self, *, rekeying: bool = False) -> None:
        super().__init__()
        self.asked = 0
        self._rekeying = rekeying

    def configure(self, transport: paramiko.Transport) -> None:
        its: Any = transport

        def refuse(message: paramiko.Message) -> None:
            self.asked += 1
            if self._rekeying:
                its._send_kex_init()
            answer = paramiko.Message()
            answer.add_byte(cMSG_UNIMPLEMENTED)
            answer.add_int(message.seqno)
            its._send_message(answer)

        its._handler_table = {**its._handler_table, MSG_GLOBAL_REQUEST: refuse}


@pytest.mark.parametrize("rekeying", [False, True], ids=["at once", "within a key exchange"])
def test_a_server_that_does_not_implement_keepalives_lives(rekeying: bool, keys: Keys) -> None:
    server = Unimplemented(rekeying=rekeying)
    with odd_server(server, keys["ed25519 host"]) as port:
        pin = public(keys["ed25519 host"]).fingerprint
        key = keys.path(keys["ed25519"])
        link = connection(port, key, host_key=pin, keepalive=0.2, keepalive_count=2)
        with opened(link) as carrier:
            wait_until(lambda: server.asked >= 6 or not link.alive)
            assert link.alive, link.lost()
            wait_until(lambda: len(link.round_trips) >= 5)
            assert all(0 < seconds < 2 for seconds in link.round_trips)
            received = Received(carrier)
            assert server.channel is not None
            server.channel.sendall(b"still there")
            server.channel.close()
            assert received.to_the_end() == (b"still there", b"")


@pytest.mark.parametrize("count", [1, 2])
def test_a_server_that_falls_silent_is_dead_when_its_probes_have_gone_unanswered(
    count: int, keys: Keys
) -> None:
    server = Odd()
    with odd_server(server, keys["ed25519 host"]) as port:
        pin = public(keys["ed25519 host"]).fingerprint
        key = keys.path(keys["ed25519"])
        link = connection(port, key, host_key=pin, keepalive=0.3, keepalive_count=count)
        with opened(link):
            assert server.transport is not None
            its: Any = server.transport
            asked: list[float] = []
            its._handler_table[MSG_GLOBAL_REQUEST] = lambda _: asked.append(time.monotonic())
            begun = time.monotonic()
            wait_until(lambda: not link.alive)
            assert time.monotonic() - begun >= 0.3 * count
            assert len(asked) == count
            assert link.round_trips == []
            assert "no sign of life" in str(link.lost())


def test_the_reason_for_a_lost_connection_is_told_to_each_who_asks(keys: Keys) -> None:
    server = Odd()
    with odd_server(server, keys["ed25519 host"]) as port:
        way: dict[str, Any] = {"disable_host_key_checking": True}
        with opened(connection(port, keys.path(keys["ed25519"]), **way)) as carrier:
            its: Any = server.transport
            its._send_message(paramiko.Message(b"\x14"))  # a KEXINIT of no lists
            wait_until(lambda: not carrier._way.alive)
            told = {str(carrier._way.lost()) for _ in range(2)}
    assert len(told) == 1
    assert " was lost: " in told.pop()


# How far it came


def test_the_trail_tells_what_was_agreed_and_who_was_let_in(start: StartFar) -> None:
    far = start()
    link = far.connection()
    with opened(link):
        (stage,) = link.trail()
        assert stage.transport is not None
        assert stage.transport.agreement.key_exchange in ALL_KEX
        assert stage.transport.greeting == ()
        assert stage.login is not None
        assert stage.login.succeeded
        assert [str(each.path) for each in stage.login.taken] == [str(far.client)]


def test_the_trail_ends_where_the_connection_failed(start: StartFar, keys: Keys) -> None:
    far = start()
    link = far.connection(keys.path(keys["ed25519 stranger"]))
    assert [stage.transport for stage in link.trail()] == [None]
    refusal(link, AuthenticationError)
    (stage,) = link.trail()
    assert stage.login is not None
    assert not stage.login.succeeded
    assert stage.login.methods == ["publickey"]
    far.known_hosts.write_text("")
    link = far.connection()
    refusal(link, HostKeyError)
    (stage,) = link.trail()
    assert stage.transport is not None
    assert stage.login is None


# The session


def test_what_is_short_is_written_at_once_and_what_is_long_is_not(start: StartFar) -> None:
    far = start()
    with opened(far.connection()) as carrier:
        assert carrier.write_now(b"hello")
        assert not carrier.write_now(bytes(100_000))
        carrier.close_write()
        assert read_all(carrier) == b"hello"


def test_nothing_is_written_at_once_to_a_connection_that_is_closed(start: StartFar) -> None:
    far = start()
    link = far.connection()
    with opened(link) as carrier:
        link.close()
        assert not carrier.write_now(b"too late")


def test_stdout_and_stderr_come_apart(start: StartFar) -> None:
    far = start(python("import sys; sys.stdout.write('out'); sys.stderr.write('err')"))
    with opened(far.connection()) as carrier:
        assert Received(carrier).to_the_end() == (b"out", b"err")


def test_end_of_file_reaches_the_remote_and_its_last_words_come_back(start: StartFar) -> None:
    far = start(python("import sys; n = len(sys.stdin.read()); print('read', n, flush=True)"))
    with opened(far.connection()) as carrier:
        carrier.write(b"12345")
        carrier.close_write()
        assert read_all(carrier).split() == [b"read", b"5"]


# A digest of what came, read in small sips with pauses between them.
SLOW_READER = python(
    "import hashlib, sys, time\n"
    "digest, size = hashlib.sha256(), 0\n"
    "while piece := sys.stdin.buffer.raw.read(65536):\n"
    "    digest.update(piece); size += len(piece); time.sleep(0.001)\n"
    "print(size, digest.hexdigest())\n"
)


def test_five_megabytes_reach_a_slow_reader_whole(start: StartFar) -> None:
    data = bytes(range(256)) * (5 * 4096)
    far = start(SLOW_READER)
    with opened(far.connection()) as carrier:
        carrier.write(data)
        carrier.close_write()
        size, digest = read_all(carrier).decode().split()
    assert int(size) == len(data)
    assert digest == hashlib.sha256(data).hexdigest()


def test_what_is_written_without_waiting_comes_whole_too(start: StartFar) -> None:
    data = bytes(range(256)) * (5 * 4096)
    far = start(SLOW_READER)
    with opened(far.connection()) as carrier:
        written = 0

        def write() -> bool:
            nonlocal written
            written += carrier.write_some(data[written:])
            return written == len(data)

        wait_until(write)
        carrier.close_write()
        size, digest = read_all(carrier).decode().split()
    assert int(size) == len(data)
    assert digest == hashlib.sha256(data).hexdigest()


def test_to_a_remote_that_does_not_read_as_much_is_written_as_its_window_has_room_for(
    start: StartFar,
) -> None:
    far = start(python("import time; time.sleep(60)"))
    with opened(far.connection()) as carrier:
        written = 0

        def write() -> bool:
            nonlocal written
            written += carrier.write_some(bytes(10_000_000))
            return written >= paramiko.common.DEFAULT_WINDOW_SIZE

        wait_until(write)
        assert carrier.write_some(bytes(10)) == 0
        assert written == paramiko.common.DEFAULT_WINDOW_SIZE


def test_twenty_megabytes_are_read_whole(start: StartFar) -> None:
    size = 20 * 1024 * 1024
    far = start(python(f"import sys; sys.stdout.buffer.write(bytes(range(256)) * {size // 256})"))
    with opened(far.connection()) as carrier:
        data = read_all(carrier)
    assert len(data) == size
    assert data == bytes(range(256)) * (size // 256)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, ["exit status 0"]),
        (3, ["exit status 3"]),
        (255, ["exit status 255"]),
        (127, ["not found", "127", "absolute path", "--login-shell"]),
    ],
)
def test_the_exit_status_is_told_in_words(status: int, words: list[str], start: StartFar) -> None:
    far = start(python(f"import os; os._exit({status})"))
    with opened(far.connection()) as carrier:
        assert read_all(carrier) == b""
        reason = carrier.ending()
    assert isinstance(reason, RemoteExitError)
    assert reason.status == status
    assert all(word in str(reason) for word in words)


def test_a_cut_connection_ends_the_reading_and_is_called_lost(start: StartFar) -> None:
    far = start()
    with opened(far.connection()) as carrier:
        far.server.close_connections()
        assert Received(carrier).to_the_end() == (b"", b"")
        reason = carrier.ending()
        assert isinstance(reason, ConnectionLostError)
        assert "lost" in str(reason)
        assert not reason.permanent
        with pytest.raises(OSError, match="closed"):
            carrier.write(b"too late")


def test_closing_from_another_thread_ends_a_read_and_a_write(start: StartFar) -> None:
    far = start(python("import time; time.sleep(60)"))  # reads nothing, says nothing
    ended: list[object] = []
    link = far.connection()
    with opened(link) as carrier:
        received = Received(carrier)

        def write() -> None:
            with suppress(OSError):
                carrier.write(bytes(50_000_000))
            ended.append("write")

        threads = [
            threading.Thread(target=write),
            threading.Thread(target=lambda: ended.append(received.to_the_end())),
        ]
        for thread in threads:
            thread.start()
        link.close()
        for thread in threads:
            thread.join(2.0)
        assert sorted(map(str, ended)) == ["(b'', b'')", "write"]
        link.close()  # twice does no harm


# Servers that are odd, or none at all


def greets_and_falls_silent(sock: socket.socket) -> None:
    sock.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
    while sock.recv(1 << 16):
        pass


def drips(sock: socket.socket) -> None:
    with suppress(OSError):
        while True:
            sock.sendall(b"x")
            time.sleep(0.02)  # this is the behaviour, not a wait for something


@pytest.mark.parametrize("server", [mute, greets_and_falls_silent, drips])
def test_a_server_that_never_gets_to_the_point_is_given_up_in_time(
    server: Callable[[socket.socket], None], keys: Keys
) -> None:
    with listening(server) as port:
        link = connection(port, keys.path(keys["ed25519"]), connect_timeout=0.6)
        started = time.monotonic()
        text = refusal(link, UnreachableError)
        assert 0.5 < time.monotonic() - started < ENOUGH / 2
    assert "Timed out after 0.6 s while negotiating the encryption" in text
    assert f"127.0.0.1 port {port}" in text
    assert "--connect-timeout" in text


@pytest.mark.parametrize(
    "lines",
    [
        "Zugriff nur für Befugte".encode("cp1252"),
        "未经授权禁止访问".encode("gbk"),
        b"\r\n".join(b"line %d of the house rules" % n for n in range(1024)),
        b"x" * 8192,
        b"SSH",
        b"",
    ],
    ids=["cp1252", "GBK", "1024 lines", "a long line", "nearly a version", "an empty line"],
)
def test_lines_before_the_version_are_skipped(lines: bytes, keys: Keys) -> None:
    class Verbose(Odd):
        def serve(self, sock: socket.socket, *host_keys: paramiko.PKey) -> None:
            sock.sendall(lines + b"\r\n")
            super().serve(sock, *host_keys)

    with odd_server(Verbose(), keys["ed25519 host"]) as port:
        pin = public(keys["ed25519 host"]).fingerprint
        link = connection(port, keys.path(keys["ed25519"]), host_key=pin)
        with opened(link):
            (stage,) = link.trail()
            assert stage.transport is not None
            first, *_ = stage.transport.greeting
            assert first == lines.split(b"\r\n")[0].decode("utf-8", "backslashreplace")
            assert len(stage.transport.greeting) <= 100


def test_a_server_of_another_kind_that_waits_for_us_is_quoted(keys: Keys) -> None:
    def speaks_smtp(sock: socket.socket) -> None:
        sock.sendall(b"220 mail.example \x1b[2J ESMTP\r\n")
        while sock.recv(1 << 16):
            pass

    with listening(speaks_smtp) as port:
        link = connection(port, keys.path(keys["ed25519"]), connect_timeout=0.6)
        text = refusal(link, UnreachableError)
    assert "Timed out after 0.6 s while negotiating the encryption" in text
    assert 'it said "220 mail.example \\x1b[2J ESMTP"' in text


@pytest.mark.parametrize(
    ("step", "phase"),
    [
        ("authentication", "authenticating"),
        ("channel", "opening the session"),
        ("request", "opening the session"),
    ],
)
def test_a_server_that_freezes_later_is_given_up_in_time_too(
    step: str, phase: str, keys: Keys
) -> None:
    server = Odd(freeze=step)
    with odd_server(server, keys["ed25519 host"]) as port:
        pin = public(keys["ed25519 host"]).fingerprint
        link = connection(port, keys.path(keys["ed25519"]), host_key=pin, connect_timeout=1.5)
        started = time.monotonic()
        text = refusal(link, UnreachableError)
        assert time.monotonic() - started < ENOUGH / 2
        assert server.reached.is_set()
    assert f"Timed out after 1.5 s while {phase}" in text


@pytest.mark.parametrize("step", ["greeting", "authentication", "channel", "request"])
def test_closing_from_another_thread_ends_the_opening_at_once(step: str, keys: Keys) -> None:
    server = Odd(freeze=step)
    greeted = threading.Event()

    def never_greets(sock: socket.socket) -> None:
        greeted.set()
        mute(sock)

    with ExitStack() as stack:
        if step == "greeting":
            port, reached = stack.enter_context(listening(never_greets)), greeted
        else:
            port = stack.enter_context(odd_server(server, keys["ed25519 host"]))
            reached = server.reached
        link = connection(port, keys.path(keys["ed25519"]), disable_host_key_checking=True)
        failures: list[BaseException] = []

        def open_() -> None:
            try:
                link.open()
                link.channel()
            except SSHClientError as exc:
                failures.append(exc)

        opener = threading.Thread(target=open_)
        opener.start()
        assert reached.wait(ENOUGH)
        link.close()
        started = time.monotonic()
        opener.join(ENOUGH)
        assert time.monotonic() - started < ENOUGH / 2
        assert failures


def test_a_connection_that_was_closed_before_does_not_open(start: StartFar) -> None:
    far = start()
    link = far.connection()
    link.close()
    with pytest.raises(SSHClientError):
        link.open()
    assert not far.authentication_was_tried()


def resets(sock: socket.socket) -> None:
    sock.recv(1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def greets_and_hangs_up(sock: socket.socket) -> None:
    sock.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
    sock.recv(1 << 16)


def greets_and_talks_nonsense(sock: socket.socket) -> None:
    sock.sendall(b"SSH-2.0-OpenSSH_9.9\r\n" + b"\x1b[2J\n" * 2000)
    mute(sock)


@pytest.mark.parametrize(
    "server",
    [
        speaks_http,
        hangs_up,
        resets,
        greets_and_hangs_up,
        greets_and_talks_nonsense,
    ],
)
def test_what_is_no_ssh_server_is_told_apart_at_once(
    server: Callable[[socket.socket], None], keys: Keys
) -> None:
    with listening(server) as port:
        started = time.monotonic()
        text = refusal(connection(port, keys.path(keys["ed25519"])), UnreachableError)
        assert time.monotonic() - started < ENOUGH / 2
    assert f"127.0.0.1 port {port} ended the connection while negotiating" in text
    assert "--port" in text
    assert text.isprintable()


def test_the_last_words_of_a_server_that_takes_nothing_any_more_are_the_reason(keys: Keys) -> None:
    class Behind(Link):
        def _reach(self, deadline: float) -> Any:
            sock: Any = super()._reach(deadline)
            self.link = OneWay(sock)
            return self.link

    class Farewell(Odd):
        def check_channel_request(self, kind: str, chanid: int) -> int:
            link.link.close_before(lambda: say_farewell(self.transport, "the account has expired"))
            return super().check_channel_request(kind, chanid)

    with odd_server(Farewell(), keys["ed25519 host"]) as port:
        way: dict[str, Any] = {"host": "127.0.0.1", "port": port, "username": USER}
        trust: dict[str, Any] = {"disable_host_key_checking": True}
        link = Behind([], client_key=keys.path(keys["ed25519"]), **way, **trust)
        link.open()
        with pytest.raises(UnreachableError, match="opening the session: the account has expired"):
            link.channel()


def test_a_server_with_several_keys_shows_the_one_on_file(keys: Keys, tmp_path: Path) -> None:
    host_keys = [keys[f"{kind} host"] for kind in ("ed25519", "ecdsa", "rsa")]
    known_hosts = tmp_path / "known_hosts"
    for on_file in host_keys:
        server = Odd()
        with odd_server(server, *host_keys) as port:
            known_hosts.write_text(entry("127.0.0.1", port, public(on_file)))
            with opened(connection(port, keys.path(keys["ed25519"]), [known_hosts])):
                assert server.transport is not None
                shown = server.transport.get_server_key()
                assert shown is not None
                assert public(shown) == public(on_file)


def test_aes_gcm_is_preferred(keys: Keys) -> None:
    server = Odd()
    with odd_server(server, keys["ed25519 host"]) as port:
        link = connection(port, keys.path(keys["ed25519"]), disable_host_key_checking=True)
        with opened(link):
            transport: Any = server.transport
            assert transport.local_cipher == transport.remote_cipher == "aes128-gcm@openssh.com"


def test_version_1_of_the_protocol_is_not_spoken(keys: Keys) -> None:
    def speak_ssh_1(sock: socket.socket) -> None:
        sock.sendall(b"SSH-1.5-old\r\n")
        mute(sock)

    with listening(speak_ssh_1) as port:
        text = refusal(connection(port, keys.path(keys["ed25519"])), UnreachableError)
    assert "1.5" in text


class OldCiphers(Odd):
    def configure(self, transport: paramiko.Transport) -> None:
        transport.get_security_options().ciphers = ("aes128-cbc", "3des-cbc")


class OldMACs(Odd):
    def configure(self, transport: paramiko.Transport) -> None:
        options = transport.get_security_options()
        options.ciphers, options.digests = ("aes128-ctr",), ("hmac-md5", "hmac-sha1-96")


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (
            OldCiphers,
            "its only ciphers are aes128-cbc, 3des-cbc; this client offers aes128-gcm@openssh.com, ",
        ),
        (OldCiphers, "`Ciphers +aes128-cbc` adds one that this client can do"),
        (OldMACs, "its only MACs are hmac-md5, hmac-sha1-96; this client offers hmac-sha2-256-etm"),
    ],
)
def test_what_openssh_leaves_out_is_not_spoken(server: type[Odd], words: str, keys: Keys) -> None:
    with odd_server(server(), keys["ed25519 host"]) as port:
        text = refusal(connection(port, keys.path(keys["ed25519"])), UnreachableError)
    assert "No encryption in common" in text
    assert words in text


class PasswordOnly(Odd):
    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002 - inherited
        return "password,keyboard-interactive"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:  # noqa: ARG002
        return paramiko.common.AUTH_FAILED


class WantsMore(Odd):
    took_a_key = False

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002 - inherited
        return "keyboard-interactive" if self.took_a_key else "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:  # noqa: ARG002
        self.took_a_key = True
        return AUTH_PARTIALLY_SUCCESSFUL


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (PasswordOnly, "accepts only password, keyboard-interactive"),
        (WantsMore, "wants keyboard-interactive as well"),
    ],
)
def test_a_server_that_wants_something_else_than_a_key_is_named_as_such(
    server: type[Odd], words: str, keys: Keys
) -> None:
    with odd_server(server(), keys["ed25519 host"]) as port:
        link = connection(port, keys.path(keys["ed25519"]), disable_host_key_checking=True)
        assert words in refusal(link, AuthenticationError)


class HangsUpOnKeys(Odd):
    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:  # noqa: ARG002
        assert self.transport is not None
        self.transport.close()
        return paramiko.common.AUTH_FAILED


def test_hanging_up_while_authenticating_is_no_refusal_of_the_key(keys: Keys) -> None:
    """It may be a server that restarts: time may mend that, and a wrong key it does not."""
    with odd_server(HangsUpOnKeys(), keys["ed25519 host"]) as port:
        link = connection(port, keys.path(keys["ed25519"]), disable_host_key_checking=True)
        text = refusal(link, UnreachableError)
    assert "while authenticating" in text


class NoSessions(Odd):
    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002 - inherited
        return paramiko.common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED


def test_an_account_without_sessions_is_explained(keys: Keys) -> None:
    with odd_server(NoSessions(), keys["ed25519 host"]) as port:
        link = connection(port, keys.path(keys["ed25519"]), disable_host_key_checking=True)
        text = refusal(link, ChannelRefusedError)
    assert "refused to open a session" in text


def test_an_end_without_a_status_is_told_as_such(keys: Keys) -> None:
    """As m2m-mcp-server-ssh-server does it: it closes its channel and says no more."""
    server = Odd()
    with odd_server(server, keys["ed25519 host"]) as port:
        link = connection(port, keys.path(keys["ed25519"]), disable_host_key_checking=True)
        with opened(link) as carrier:
            assert server.channel is not None
            server.channel.close()
            assert read_all(carrier) == b""
            reason = carrier.ending()
    assert isinstance(reason, RemoteExitError)
    assert reason.status is None
    assert "without an exit status" in str(reason)


def test_a_signal_is_sent_as_rfc_4254_has_it(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[str, bool, str]] = []
    arrived = threading.Event()
    handle = paramiko.Channel._handle_request  # type: ignore[attr-defined]  # not in the stubs

    def listen(channel: paramiko.Channel, message: paramiko.Message) -> None:
        copy = paramiko.Message(message.get_remainder())
        kind, wants_reply = copy.get_text(), copy.get_boolean()
        if kind == "signal":
            heard.append((kind, wants_reply, copy.get_text()))
            arrived.set()
        handle(channel, message)

    monkeypatch.setitem(
        paramiko.Transport._channel_handler_table,  # type: ignore[attr-defined]
        paramiko.common.MSG_CHANNEL_REQUEST,
        listen,
    )
    with odd_server(Odd(), keys["ed25519 host"]) as port:
        link = connection(port, keys.path(keys["ed25519"]), disable_host_key_checking=True)
        with opened(link) as carrier:
            carrier.signal("TERM")
            assert arrived.wait(ENOUGH)
    assert heard == [("signal", False, "TERM")]


@pytest.mark.parametrize("how", ["cut", "closed"])
def test_a_write_that_is_stuck_ends_with_an_oserror(how: str, keys: Keys) -> None:
    """What waits in a frozen link ends when that is cut or given up; paramiko's word for it is EOFError."""

    class Wide(Odd):
        def configure(self, transport: paramiko.Transport) -> None:
            transport.default_window_size = 2**31 - 1  # so that TCP is what the write waits for

    frozen, cut = threading.Event(), threading.Event()

    def carry(client: socket.socket) -> None:
        """To the server and back; frozen, it takes nothing any more; cut, it resets."""
        with socket.create_connection(("127.0.0.1", server_port)) as server:

            def back() -> None:
                with suppress(OSError):
                    while data := server.recv(1 << 16):
                        client.sendall(data)

            returning = threading.Thread(target=back)
            returning.start()
            client.settimeout(0.05)
            while not frozen.is_set():
                with suppress(TimeoutError):
                    server.sendall(client.recv(1 << 16))
            cut.wait(ENOUGH)
            resets(client)
            server.shutdown(socket.SHUT_RDWR)
            returning.join(ENOUGH)

    failures: list[BaseException] = []

    def write() -> None:
        try:
            carrier.write(bytes(200_000_000))
        except BaseException as exc:  # noqa: BLE001 - which one is what the test is about
            failures.append(exc)

    with odd_server(Wide(), keys["ed25519 host"]) as server_port, listening(carry) as port:
        link = connection(port, keys.path(keys["ed25519"]), disable_host_key_checking=True)
        with opened(link) as carrier:
            frozen.set()
            writer = threading.Thread(target=write)
            writer.start()
            writer.join(0.5)
            assert writer.is_alive()
            if how == "closed":
                link.close()
            cut.set()
            writer.join(ENOUGH)
    (failure,) = failures
    assert isinstance(failure, OSError)


def test_paramiko_keeps_its_last_words_to_itself_where_nobody_wants_to_hear_them() -> None:
    code = (
        "import logging, m2m_ssh_client.ssh.connection\n"
        "logging.getLogger('paramiko.transport').error('Exception (client): ...')\n"
    )
    environment = {**os.environ, "PYTHONPATH": PACKAGE_PARENT}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, b"")
