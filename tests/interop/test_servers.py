"""Servers that are not OpenSSH, as users meet them, beside `ssh -T` on the same server; docs/servers.md."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support import echo_server
from support.far import environment
from support.fault_proxy import FaultProxy
from support.host import PROGRAM, Host, client_argv
from support.waiting import wait_until

if sys.platform == "win32":
    pytest.skip("these servers are POSIX's", allow_module_level=True)

from support import ssh_servers
from support.received import Received
from support.ssh_servers import OtherServer
from support.sshd import Sshd, SshdKeys

from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.ssh.opener import Opener
from m2m_ssh_client.ssh.public_key import PublicKey

pytestmark = pytest.mark.interop

PAGE = Path(__file__).parents[2] / "docs" / "servers.md"
BULK = 16 * 1024 * 1024  # bytes
ENOUGH = 60.0  # seconds
SERVERS = {
    "dropbear": "dropbear",
    "TinySSH": "TinySSH",
    "libssh": "libssh",
    "asyncssh": f"asyncssh {ssh_servers.ASYNCSSH}",
    "Conch": f"Twisted Conch {ssh_servers.CONCH}",
    "ssh2": f"npm ssh2 {ssh_servers.SSH2}",
    "Erlang": "Erlang/OTP",
}


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, sshd_keys: SshdKeys, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OtherServer]:
    with ssh_servers.started(request.param, sshd_keys, tmp_path_factory.mktemp("other")) as made:
        yield made


@pytest.fixture
def opener(server: OtherServer, request: pytest.FixtureRequest) -> Iterator[Opener]:
    """A session that runs the command line of the test."""
    made = opener_for(server, request.param)
    yield made
    made.close()


def opener_for(server: OtherServer, command: str) -> Opener:
    return Opener(
        Parameters(
            "127.0.0.1",
            port=server.port,
            username=server.username,
            client_key=server.client_key,
            known_hosts=server.known_hosts,
            ssh_config="none",
            ssh_options=(f"RemoteCommand={command}",),
            keepalive=0.2,
        )
    )


def assert_all_comes_back(opener: Opener) -> None:
    carrier = opener.open()
    received = Received(carrier)
    sent = bytes(range(256)) * (BULK // 256)
    carrier.write(sent)
    carrier.close_write()
    came, _ = received.to_the_end()
    assert came == sent


@pytest.mark.parametrize("opener", ["cat"], indirect=True)
def test_sixteen_megabytes_there_and_back_arrive_whole(opener: Opener) -> None:
    assert_all_comes_back(opener)


def test_they_do_so_while_openssh_changes_its_keys(start_sshd: Callable[..., Sshd]) -> None:
    sshd = start_sshd("RekeyLimit 1M")
    known = sshd.known_hosts, sshd.keys.client_key
    with closing(opener_for(OtherServer(sshd.port, sshd.username, *known), "cat")) as opener:
        assert_all_comes_back(opener)


@pytest.mark.parametrize("opener", ["cat"], indirect=True)
def test_its_replies_to_keepalives_are_signs_of_life(opener: Opener) -> None:
    carrier = opener.open()
    wait_until(lambda: len(opener.round_trips) > 1)
    received = Received(carrier)
    carrier.write(b"still there")
    carrier.close_write()
    assert received.to_the_end() == (b"still there", b"")


def test_two_thousand_requests_at_once_are_answered_before_a_cut_and_after_it(
    server: OtherServer,
) -> None:
    pings = range(1000, 3000)
    with FaultProxy(server.port) as network:
        name = f"HostKeyAlias=[127.0.0.1]:{server.port}"
        options = [*server.options(), "--port", str(network.port), "-o", name]
        with Host(client_argv(*options, "--", *echo_server.command())) as host:
            assert "result" in host.initialize()
            for _ in range(2):
                sent = [{"jsonrpc": "2.0", "id": number, "method": "ping"} for number in pings]
                host.send("".join(json.dumps(each) + "\n" for each in sent).encode())
                missing = set(pings)
                while missing:
                    answer = host.receive_until(lambda each: each.get("id") in pings)
                    assert "result" in answer
                    missing.remove(answer["id"])
                network.cut()
        assert network.connections == 2


def test_a_server_is_kept_there_over_a_cut(server: OtherServer) -> None:
    answering = (
        "while read line; do "
        """printf '{"jsonrpc":"2.0","id":%s,"result":{"pid":"%s"}}\\n' $((n += 1)) $$; done"""
    )
    with FaultProxy(server.port) as network:
        name = f"HostKeyAlias=[127.0.0.1]:{server.port}"
        options = [*server.options(), "--port", str(network.port), "-o", name]
        with Host(client_argv(*options, "--keep", "20", "--", answering)) as host:
            pids = set()
            for number in (1, 2, 3):
                host.send({"jsonrpc": "2.0", "id": number, "method": "ping"})
                pids.add(host.receive()["result"]["pid"])
                network.cut()
            assert "cannot be kept" not in host.stderr
            host.close_stdin()
            assert host.wait(10) == 0
    assert len(pids) == 1


@pytest.mark.parametrize(
    ("opener", "words"),
    [
        ("echo oops >&2; exit 7", ["status 7", "oops"]),
        ("printf bad; exit 7", ["status 7", "bad"]),
        ("/no/such/program", ["status 127", "not found"]),
        ("kill -9 $$", ["{killed}"]),
    ],
    indirect=["opener"],
    ids=["stderr", "stdout", "not found", "signal"],
)
def test_the_end_of_a_process_is_told_with_its_last_words(
    opener: Opener, words: list[str], server: OtherServer
) -> None:
    carrier = opener.open()
    stdout, stderr = Received(carrier).to_the_end()
    text = f"{carrier.ending()} {stdout.decode()} {stderr.decode()}"
    assert all(word.format(killed=server.killed) in text for word in words), text
    (option,) = opener.params.ssh_options
    argv = server.openssh_argv(option.removeprefix("RemoteCommand="))
    theirs = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    assert (f"status {theirs.returncode}" in text) or ("SIGKILL" in text and theirs.returncode)


def test_an_mcp_server_there_is_used(server: OtherServer) -> None:
    argv = [*PROGRAM, "tools", *server.options(), "--json", "--", *echo_server.command()]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=ENOUGH, env=environment())
    assert done.returncode == 0, done.stderr
    assert "echo" in json.dumps(json.loads(done.stdout))


def test_its_key_is_trusted_by_its_fingerprint(server: OtherServer, tmp_path: Path) -> None:
    key = PublicKey.parse_host_key(server.known_hosts.read_text().split(maxsplit=1)[1].strip())
    place = ["--host", "127.0.0.1", "--port", str(server.port), "-F", "none"]
    file = tmp_path / "known_hosts"
    argv = [*PROGRAM, "trust", *place, "--known-hosts", str(file), "--yes"]
    done = subprocess.run(
        [*argv, "--host-key", key.fingerprint],
        capture_output=True,
        text=True,
        timeout=ENOUGH,
        env=environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert file.read_text() == server.known_hosts.read_text()


def test_doctor_finds_nothing(server: OtherServer) -> None:
    argv = [*PROGRAM, "doctor", *server.options(), "--", *echo_server.command()]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=ENOUGH, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr


def test_erlang_without_programs_is_named(sshd_keys: SshdKeys, tmp_path: Path) -> None:
    with ssh_servers.started("Erlang alone", sshd_keys, tmp_path) as server:
        for words, said in (
            (("--", "uvx", "mcp-server-git"), "A server in Erlang says so"),
            ((), "it looks like a login shell"),
        ):
            with Host(client_argv(*server.options(), *words)) as host:
                assert said in host.initialize()["error"]["message"]


def test_the_page_lists_the_servers_of_this_test() -> None:
    rows = [line.split("|")[1].strip() for line in PAGE.read_text().splitlines() if "|" in line]
    assert rows[2:] == ["OpenSSH", *SERVERS.values()]
