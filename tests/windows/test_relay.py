"""Whole sessions through Windows' pipes, with a real sshd on another system."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform != "win32":
    pytest.skip("a host's pipes as Windows has them", allow_module_level=True)

from support.far import environment
from support.fault_proxy import FaultProxy
from support.host import Host, client_argv
from windows.far_side import FarSide

AT_ONCE = 2.0  # seconds
PATIENT = 60.0
BIG = 16_000_000
MANY = 2_000

_FAR = FarSide.from_environment(os.environ)
pytestmark = pytest.mark.skipif(
    _FAR is None, reason="no sshd on another system; tests/windows/under_wine.py starts one"
)

# A ProxyCommand: what OpenSSH's `ssh -W` does. It leaves its process number in a file.
_PROXY = """
import os, pathlib, socket, sys, threading
pathlib.Path(__file__).with_name("pid").write_text(str(os.getpid()))
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def send():
    while data := os.read(0, 65536):
        sock.sendall(data)
threading.Thread(target=send, daemon=True).start()
while data := sock.recv(65536):
    os.write(1, data)
"""

# A host whose client has the pipes that the host itself has from the test, which keeps them open.
_HOST = """
import subprocess, sys, time
print(subprocess.Popen(sys.argv[1:]).pid, flush=True, file=sys.stderr)
time.sleep(60)
"""


@pytest.fixture
def network() -> Iterator[FaultProxy]:
    assert _FAR is not None
    with FaultProxy(_FAR.port) as proxy:
        yield proxy


@pytest.fixture
def options(network: FaultProxy, tmp_path: Path) -> list[str]:
    assert _FAR is not None
    key, known_hosts = tmp_path / "client", tmp_path / "known_hosts"
    key.write_bytes(Path("Z:", _FAR.files, "client").read_bytes())
    known_hosts.write_text(f"[127.0.0.1]:{network.port} {_FAR.host_key}\n")
    return [
        *("--host", "127.0.0.1", "--port", str(network.port), "--username", _FAR.username),
        *("--client-key", str(key), "--known-hosts", str(known_hosts)),
        *("--connect-timeout", str(PATIENT)),
    ]


@pytest.fixture
def argv(options: list[str]) -> list[str]:
    assert _FAR is not None
    return client_argv(*options, "--", *_FAR.command)


@pytest.fixture
def host(argv: list[str]) -> Iterator[Host]:
    with Host(argv) as host:
        assert "result" in host.initialize(timeout=PATIENT), host.stderr
        yield host


def test_tools_are_listed_and_called(host: Host) -> None:
    tools = host.request("tools/list")["result"]["tools"]
    assert "echo" in [tool["name"] for tool in tools]
    answer = host.call("echo", {"text": "Grüße, 日本"})
    assert answer["result"]["structuredContent"]["arguments"] == {"text": "Grüße, 日本"}


def test_sixteen_megabytes_go_both_ways(host: Host) -> None:
    answer = host.call("echo", {"text": "x" * BIG}, timeout=PATIENT)
    assert answer["result"]["structuredContent"]["arguments"]["text"] == "x" * BIG


def test_calls_sent_without_waiting_are_answered_in_order(host: Host) -> None:
    call = '{{"jsonrpc":"2.0","id":"{}","method":"tools/call","params":{{"name":"echo","arguments":{{}}}}}}\n'
    host.send("".join(call.format(number) for number in range(MANY)).encode())
    assert [host.receive(PATIENT)["id"] for _ in range(MANY)] == [str(n) for n in range(MANY)]


def test_a_connection_that_is_cut_is_replaced(host: Host, network: FaultProxy) -> None:
    network.cut()
    assert "result" in host.request("tools/list", timeout=PATIENT)  # may be repeated, a call not
    answer = host.call("echo", {"text": "again"}, timeout=PATIENT)
    assert answer["result"]["structuredContent"]["arguments"] == {"text": "again"}
    assert network.connections == 2


def test_what_the_server_writes_to_stderr_arrives_there(host: Host) -> None:
    host.call("stderr", {"bytes": 2_000})
    host.wait_for_stderr("chatter chatter")


def test_the_client_ends_with_the_hosts_input(host: Host) -> None:
    start = time.monotonic()
    host.close_stdin()
    assert host.wait(PATIENT) == 0
    assert time.monotonic() - start < AT_ONCE


def test_the_client_ends_with_a_host_that_is_killed(argv: list[str]) -> None:
    from m2m_ssh_client.windows.calls import Process

    between = subprocess.Popen(
        [sys.executable, "-c", _HOST, *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert between.stderr is not None
    assert between.stdin is not None
    assert between.stdout is not None
    client = Process(int(between.stderr.readline()))
    try:
        between.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        between.stdin.flush()
        assert between.stdout.readline()
        between.kill()
        assert client.ended(AT_ONCE + 1)
    finally:
        client.close()
        between.communicate(timeout=PATIENT)


def test_a_proxy_command_in_quotes_carries_the_connection_and_ends_with_a_client_that_is_killed(
    options: list[str], network: FaultProxy, tmp_path: Path
) -> None:
    from m2m_ssh_client.windows.calls import Process

    assert _FAR is not None
    script = tmp_path / "way there" / "proxy.py"
    script.parent.mkdir()
    script.write_text(_PROXY)
    way = f'ProxyCommand="{sys.executable}" "{script}" %h %p'
    with Host(client_argv(*options, "-o", way, "--", *_FAR.command)) as host:
        for answer in (host.initialize(timeout=PATIENT), host.call("echo", {}, timeout=PATIENT)):
            assert "result" in answer, (answer, host.stderr)
        assert network.connections == 1
        proxy = Process(int(script.with_name("pid").read_text()))
        try:
            host.kill()
            assert proxy.ended(AT_ONCE)
        finally:
            proxy.close()
