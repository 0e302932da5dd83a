"""The server that this client was first made for: `m2m-mcp-server-ssh-server` with its key server."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support import echo_server, installed, programs
from support.host import Host, client_argv
from support.sshd import free_port

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(300),  # the first run installs the server
    pytest.mark.xdist_group("m2m-server"),  # all of them with one server
]

_START_TIMEOUT = 30.0  # seconds
_WINDOW = 3.0  # seconds: the rate limit counts ten requests in so long (a minute in real life)


@dataclass(frozen=True)
class Peer:
    """A running server: its SSH port, its key server's, and where it keeps its host key."""

    port: int
    key_server_port: int
    key_file: Path

    def options(self, folder: Path, *trust: str) -> list[str]:
        """Everything is kept in `folder`: the key is made there on first use."""
        options = ["--host", "127.0.0.1", "--port", str(self.port), *trust]
        return [*options, "--client-key", str(folder / "client_key")]

    def with_key_server(self, folder: Path) -> list[str]:
        trust = ["--use-key-server", "--key-server-port", str(self.key_server_port)]
        return client_argv(*self.options(folder, *trust))

    def get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.key_server_port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    @property
    def host_key(self) -> str:
        return self.key_file.with_suffix(".pub").read_text().strip()

    def answers(self) -> bool:
        try:
            return self.get("/health")[0] == 200
        except OSError:
            return False


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    home = tmp_path_factory.mktemp("m2m-server")
    command, *arguments = echo_server.command()
    config = home / "servers_config.json"
    config.write_text(json.dumps({"mcpServers": {"echo": {"command": command, "args": arguments}}}))
    running = Peer(free_port(), free_port(), home / "server_key")
    options = {
        "--port": running.port,
        "--key-server-port": running.key_server_port,
        "--servers-config": config,
        "--server-key": running.key_file,
    }
    words = [str(word) for pair in options.items() for word in pair]
    log = home / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*installed.peer_argv(_WINDOW), *words, "--run-key-server"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=home,
            env={"HOME": str(home), "PATH": str(Path(sys.executable).parent)},
        )
    try:
        deadline = time.monotonic() + _START_TIMEOUT
        while not running.answers():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def test_keys_are_exchanged_and_a_session_follows(peer: Peer, tmp_path: Path) -> None:
    with Host(peer.with_key_server(tmp_path)) as host:
        assert "result" in host.initialize(timeout=40)
        tools = host.request("tools/list")["result"]["tools"]
        assert "echo" in {tool["name"] for tool in tools}
        answer = host.call("echo", {"text": "Grüße"})
        assert json.loads(answer["result"]["content"][0]["text"]) == {"text": "Grüße"}
        host.close_stdin()
        assert host.wait() == 0
    assert (tmp_path / "client_key").exists()


def test_line_separators_that_the_server_would_cut_at_arrive_in_one_piece(
    peer: Peer, tmp_path: Path
) -> None:
    """It splits its input at U+0085, U+2028 and U+2029 too, which JSON strings may hold as they are."""
    text = "a\u2028b\u2029c\u0085d"
    arguments = json.dumps({"text": text}, ensure_ascii=False)
    call = (
        '{"jsonrpc":"2.0","id":"u","method":"tools/call","params":{"name":"echo","arguments":'
        f"{arguments}}}}}\n"
    )
    with Host(peer.with_key_server(tmp_path)) as host:
        host.initialize(timeout=40)
        host.request("tools/list")  # from which this server learns where to send calls
        host.send(call.encode())
        answer = host.receive_until(lambda m: m.get("id") == "u")
        assert json.loads(answer["result"]["content"][0]["text"])["text"] == text


def test_too_many_requests_are_waited_out(peer: Peer, tmp_path: Path) -> None:
    while peer.get("/health")[0] == 200:
        pass
    with Host(peer.with_key_server(tmp_path)) as host:
        assert "result" in host.initialize(timeout=40)
        assert "429" in host.stderr


def test_twelve_runs_in_a_row_all_come_through(peer: Peer, tmp_path: Path) -> None:
    for run in range(12):
        with Host(peer.with_key_server(tmp_path)) as host:
            assert "result" in host.initialize(timeout=40), run
            host.close_stdin()
            assert host.wait() == 0


def test_a_key_that_was_never_registered_is_refused(peer: Peer, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{peer.port} {peer.host_key}\n")
    key = ["-q", "-N", "", "-t", "ed25519", "-f", str(tmp_path / "client_key")]
    subprocess.run([programs.require("ssh-keygen"), *key], check=True, timeout=30)
    options = peer.options(tmp_path, "--known-hosts", str(known_hosts))
    with Host(client_argv(*options)) as host:
        assert "Authentication failed" in host.initialize(timeout=40)["error"]["message"]
        assert host.wait() == 1


def test_a_key_server_that_is_not_there_is_named(peer: Peer, tmp_path: Path) -> None:
    nobody = replace(peer, key_server_port=free_port())
    with Host(nobody.with_key_server(tmp_path)) as host:
        message = host.initialize(timeout=40)["error"]["message"]
        assert "/server_pub_key" in message
        assert str(nobody.key_server_port) in message
        assert host.wait() == 1
