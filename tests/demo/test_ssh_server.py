"""The embedded SSH server, with paramiko's client and, if installed, OpenSSH's."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support import programs

from m2m_ssh_client.demo.ssh_server import SSHServer

CommandFor = Callable[[str, "str | None"], "Sequence[str] | None"]

_posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups")


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


CAT = _python("import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)")
WAIT = _python("import sys, time; print('ready', end='', flush=True); time.sleep(600)")


def _new_pem() -> str:
    return (
        Ed25519PrivateKey.generate()
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        .decode()
    )


PEM = _new_pem()
KEY = paramiko.Ed25519Key.from_private_key(io.StringIO(PEM))
STRANGER = paramiko.Ed25519Key.from_private_key(io.StringIO(_new_pem()))
HOST_KEY = paramiko.Ed25519Key.from_private_key(io.StringIO(_new_pem()))


class _Running:
    """A server and its events so far."""

    def __init__(self, command_for: CommandFor, **options: object) -> None:
        self.events: list[str] = []
        self.server = SSHServer(
            HOST_KEY,
            lambda user, key: user == "mcp" and key == KEY,
            command_for,
            events=self.events.append,
            **options,  # type: ignore[arg-type]
        )

    def told(self, text: str) -> bool:
        return any(text in event for event in self.events)


@contextmanager
def _serving(command: Sequence[str] | CommandFor, **options: object) -> Iterator[_Running]:
    running = _Running(command if callable(command) else lambda *_: command, **options)
    with running.server:
        yield running


@contextmanager
def _connected(
    port: int, user: str = "mcp", key: paramiko.PKey = KEY
) -> Iterator[paramiko.Transport]:
    transport = paramiko.Transport(socket.create_connection(("127.0.0.1", port), 5))
    try:
        transport.connect(HOST_KEY, user, pkey=key)
        yield transport
    finally:
        transport.close()


def _channel(transport: paramiko.Transport) -> paramiko.Channel:
    channel = transport.open_session(timeout=10)
    channel.settimeout(20)
    return channel


def _shell(transport: paramiko.Transport) -> paramiko.Channel:
    channel = _channel(transport)
    channel.invoke_shell()
    return channel


def _rest(channel: paramiko.Channel) -> bytes:
    return b"".join(iter(lambda: channel.recv(65536), b""))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _until(condition: Callable[[], bool]) -> bool:
    """Return True if the condition becomes true within a few seconds."""
    deadline = time.monotonic() + 5
    while not condition():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.01)
    return True


# Requests


def test_output_error_output_and_exit_status_come_back() -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"
    with _serving(_python(code)) as running, _connected(running.server.port) as transport:
        channel = _channel(transport)
        channel.exec_command("anything")
        assert _rest(channel).split() == [b"out"]
        assert channel.recv_stderr(100).split() == [b"err"]
        assert channel.recv_exit_status() == 7


@_posix
def test_an_end_by_signal_is_told_as_a_shell_would() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with _serving(_python(code)) as running, _connected(running.server.port) as transport:
        assert _shell(transport).recv_exit_status() == 128 + 9


def test_the_request_decides_what_runs() -> None:
    def command_for(kind: str, text: str | None) -> Sequence[str] | None:
        return _python(f"print({kind!r}, {text!r})") if text != "forbidden" else None

    with _serving(command_for) as running, _connected(running.server.port) as transport:
        assert _rest(_shell(transport)).split() == [b"shell", b"None"]
        channel = _channel(transport)
        channel.exec_command("some command")
        assert _rest(channel).split() == [b"exec", b"some", b"command"]
        channel = _channel(transport)
        channel.invoke_subsystem("mcp")
        assert _rest(channel).split() == [b"subsystem", b"mcp"]


def test_a_refused_request_fails_and_the_connection_stays() -> None:
    def command_for(kind: str, _: str | None) -> Sequence[str] | None:
        return None if kind == "exec" else CAT

    with _serving(command_for) as running, _connected(running.server.port) as transport:
        with pytest.raises(paramiko.SSHException):
            _channel(transport).exec_command("id")
        assert running.told("refused: exec 'id'")
        channel = _shell(transport)
        channel.shutdown_write()
        assert channel.recv_exit_status() == 0


def test_a_program_that_does_not_exist_is_a_refusal() -> None:
    with _serving(["/does/not/exist"]) as running, _connected(running.server.port) as transport:
        with pytest.raises(paramiko.SSHException):
            _shell(transport)
        assert running.told("/does/not/exist")


def test_a_channel_runs_one_command_only() -> None:
    with _serving(CAT) as running, _connected(running.server.port) as transport:
        channel = _shell(transport)
        with pytest.raises(paramiko.SSHException):
            channel.exec_command("another")


def test_a_child_that_ends_at_once_does_not_overtake_the_answer() -> None:
    class Dawdling(SSHServer):
        """Lets the session end before the request that started it is answered."""

        def start_session(self, session: threading.Thread) -> None:
            super().start_session(session)  # type: ignore[arg-type]
            session.join(0.5)

    with (
        Dawdling(HOST_KEY, lambda *_: True, lambda *_: _python("print('out')")) as server,
        _connected(server.port) as transport,
    ):
        channel = _shell(transport)
        assert _rest(channel).split() == [b"out"]
        assert channel.recv_exit_status() == 0


def test_terminals_forwarding_and_passwords_are_refused() -> None:
    with _serving(CAT) as running:
        with _connected(running.server.port) as transport:
            with pytest.raises(paramiko.SSHException):
                _channel(transport).get_pty()
            with pytest.raises(paramiko.SSHException):
                transport.request_port_forward("127.0.0.1", 0)
            with pytest.raises(paramiko.ChannelException):
                transport.open_channel("direct-tcpip", ("127.0.0.1", 22), ("127.0.0.1", 1))
        transport = paramiko.Transport(socket.create_connection(("127.0.0.1", running.server.port)))
        try:
            with pytest.raises(paramiko.BadAuthenticationType):
                transport.connect(HOST_KEY, "mcp", "password")
        finally:
            transport.close()


@pytest.mark.parametrize(("user", "key"), [("mcp", STRANGER), ("root", KEY)])
def test_only_the_authorized_get_in(user: str, key: paramiko.PKey) -> None:
    with _serving(CAT) as running:
        with pytest.raises(paramiko.AuthenticationException):
            _connected(running.server.port, user, key).__enter__()
        assert running.told(": not authorized")
        assert not running.told("is authenticated")


def test_the_environment_is_the_one_given() -> None:
    code = "import os; print(*(os.environ.get(name) for name in ('A', 'HOME', 'FROM_CLIENT')))"
    env = {"A": "b"} | {n: v for n, v in os.environ.items() if n.upper() == "SYSTEMROOT"}
    with (
        _serving(_python(code), env=env) as running,
        _connected(running.server.port) as transport,
    ):
        channel = _channel(transport)
        channel.set_environment_variable("FROM_CLIENT", "refused, without an answer")
        channel.invoke_shell()
        assert _rest(channel).split() == [b"b", b"None", b"None"]


# Data


def test_end_of_file_reaches_the_child() -> None:
    with _serving(CAT) as running, _connected(running.server.port) as transport:
        channel = _shell(transport)
        channel.sendall(b"half a line")
        channel.shutdown_write()
        assert _rest(channel) == b"half a line"
        assert channel.recv_exit_status() == 0


def test_five_megabytes_go_both_ways_unchanged() -> None:
    data = os.urandom(5 * 1024 * 1024)
    with _serving(CAT) as running, _connected(running.server.port) as transport:
        channel = _shell(transport)

        def send() -> None:
            for start in range(0, len(data), 32768):
                channel.sendall(data[start : start + 32768])
            channel.shutdown_write()

        sender = threading.Thread(target=send)
        sender.start()
        received = _rest(channel)
        sender.join(20)
        assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()


def test_output_that_waits_for_the_client_is_not_cut_when_the_child_ends() -> None:
    window, in_the_pipe = 64 * 1024, 8 * 1024
    code = f"import sys; sys.stdout.write('x' * {window + in_the_pipe})"
    with _serving(_python(code)) as running, _connected(running.server.port) as transport:
        channel = transport.open_session(window_size=window)
        channel.settimeout(20)
        channel.invoke_shell()
        assert _until(lambda: not _alive(_child_pid(running)))
        assert len(_rest(channel)) == window + in_the_pipe
        assert channel.recv_exit_status() == 0


def test_many_channels_and_connections_at_once() -> None:
    with _serving(CAT) as running:
        port = running.server.port
        with _connected(port) as one, _connected(port) as two:
            channels = [_shell(transport) for transport in (one, two) for _ in range(8)]
            for number, channel in enumerate(channels):
                channel.sendall(b"%d" % number)
                channel.shutdown_write()
            for number, channel in enumerate(channels):
                assert _rest(channel) == b"%d" % number
                assert channel.recv_exit_status() == 0


# Ends


def _child_pid(running: _Running) -> int:
    (event,) = [event for event in running.events if event.startswith("granted")]
    return int(event.rpartition(" ")[2])


def test_closing_the_channel_ends_the_child() -> None:
    with _serving(WAIT) as running, _connected(running.server.port) as transport:
        channel = _shell(transport)
        assert channel.recv(5) == b"ready"
        channel.close()
        assert _until(lambda: running.told("has ended"))
        assert not _alive(_child_pid(running))


def test_cutting_the_connections_ends_the_children_and_new_ones_are_welcome() -> None:
    with _serving(WAIT) as running, _connected(running.server.port) as transport:
        channel = _shell(transport)
        assert channel.recv(5) == b"ready"
        running.server.close_connections()
        assert _rest(channel) == b""
        assert channel.exit_status == -1
        assert _until(lambda: running.told("has ended"))
        with _connected(running.server.port) as again:
            assert _shell(again).recv(5) == b"ready"


@_posix
def test_a_child_that_ignores_being_asked_is_killed_with_all_it_started() -> None:
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with _serving(_python(code)) as running, _connected(running.server.port) as transport:
        grandchild = int(_shell(transport).recv(100))
    assert not _alive(_child_pid(running))
    assert _until(lambda: not _alive(grandchild) or _is_zombie(grandchild))


def _is_zombie(pid: int) -> bool:
    """Return True for an ended process that waits for an init process."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_leaving_ends_everything() -> None:
    before = set(threading.enumerate())
    with _serving(WAIT) as running:
        transport = paramiko.Transport(socket.create_connection(("127.0.0.1", running.server.port)))
        transport.connect(HOST_KEY, "mcp", pkey=KEY)
        channels = [_shell(transport) for _ in range(3)]
        for channel in channels:
            assert channel.recv(5) == b"ready"
        started = time.monotonic()
    assert time.monotonic() - started < 4
    transport.close()
    transport.join(5)
    assert sum("has ended" in event for event in running.events) == 3
    left = [thread for thread in set(threading.enumerate()) - before if thread.is_alive()]
    assert left == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", running.server.port), 5)


def test_a_port_that_is_taken_is_an_error_and_one_just_freed_is_not() -> None:
    with _serving(CAT) as running:
        port = running.server.port
        with pytest.raises(OSError, match=r"."):
            _Running(lambda *_: None, port=port)
        with _connected(port) as transport:
            _shell(transport).shutdown_write()
    with _serving(CAT, port=port) as running:
        assert running.server.port == port


# OpenSSH's own client


@pytest.fixture
def ssh(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    program = str(programs.require("ssh"))
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text(PEM)

    def run(port: int, *arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        known_hosts = tmp_path / "known_hosts"
        name = f"[127.0.0.1]:{port}"
        known_hosts.write_text(f"{name} {HOST_KEY.get_name()} {HOST_KEY.get_base64()}\n")
        options = [
            *("-F", "none", "-i", str(key), "-p", str(port)),
            *("-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes"),
            *("-o", f"UserKnownHostsFile={known_hosts}", "-o", "StrictHostKeyChecking=yes"),
        ]
        argv = [program, *options, *arguments[:1], "mcp@127.0.0.1", *arguments[1:]]
        return subprocess.run(argv, input=data, capture_output=True, timeout=30, check=False)

    return run


def test_openssh_gets_a_shell_and_a_subsystem(
    ssh: Callable[..., subprocess.CompletedProcess[bytes]],
) -> None:
    data = os.urandom(1024 * 1024)
    with _serving(CAT) as running:
        assert ssh(running.server.port, "-T", data=data).stdout == data
        assert ssh(running.server.port, "-s", "mcp", data=data).stdout == data


def test_openssh_sees_the_status_and_a_refusal(
    ssh: Callable[..., subprocess.CompletedProcess[bytes]],
) -> None:
    def command_for(kind: str, _: str | None) -> Sequence[str] | None:
        return None if kind == "exec" else _python("import sys; sys.exit(9)")

    with _serving(command_for) as running:
        assert ssh(running.server.port, "-T").returncode == 9
        refused = ssh(running.server.port, "-T", "id")
        assert refused.returncode == 255
        assert b"exec request failed" in refused.stderr
