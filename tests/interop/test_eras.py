"""Real hosts and servers of both protocol eras, each with each, through this client."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from support import echo_server
from support.bridged import envelope
from support.era_peers import FEATURES, HOSTS, SERVERS, Peer, Peers, works
from support.fault_proxy import FaultProxy
from support.host import Host, client_argv
from support.sshd import Sshd

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]  # the first run installs the peers

PAGE = Path(__file__).resolve().parents[2] / "docs" / "eras.md"
SLOW = {"FastMCP 4.2"}  # starts for seconds; the other hosts were tried by hand
LEGACY_SERVER, MODERN_SERVER = SERVERS[0], SERVERS[2]


def cell(names: list[str]) -> str:
    """What works, as the table of the page has it."""
    missing = [name for name in FEATURES if name not in names]
    if not missing:
        return "all"
    return f"all but {', '.join(missing)}" if names else "nothing"


def in_table(host: Peer, server: Peer) -> str:
    """The cell of the page for a pair."""
    rows = [
        [text.strip() for text in line.strip("|").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("|")
    ]
    header = next(row for row in rows if row[0] == "host ↓, server →")
    row = next(row for row in rows if row[0] == host.name)
    return re.sub(r"[¹²³⁴]", "", row[header.index(server.name)])


def servers_of(host: Peer) -> list[Peer]:
    return [each for each in SERVERS if each.name not in SLOW or host.era == "both"]


@pytest.fixture(scope="module")
def reports(peers: Peers, sshd: Sshd) -> Callable[[Peer], dict[str, dict[str, object]]]:
    """What a host says of each of its servers; it is started once."""

    @cache
    def found(host: Peer) -> dict[str, dict[str, object]]:
        # An option is needed where a modern host asks like one of both eras.
        bridge = ["--bridge", "modern"] if host.era == "modern" else []
        client = client_argv(*sshd.client_options(), *bridge)
        return peers.reports(host, servers_of(host), client)

    return found


@pytest.mark.parametrize(
    ("host", "server"),
    [
        pytest.param(
            host,
            server,
            id=f"{host.name} - {server.name}",
            marks=pytest.mark.xdist_group(f"eras of {host.name}"),
        )
        for host in HOSTS
        for server in servers_of(host)
    ],
)
def test_a_host_uses_a_server(
    host: Peer, server: Peer, reports: Callable[[Peer], dict[str, dict[str, object]]]
) -> None:
    report = reports(host)[server.name]
    is_modern = host.era == "modern" or (host.era == "both" and server.era != "legacy")
    assert (report["version"] == "2026-07-28") == is_modern, report
    assert cell(works(report)) == in_table(host, server), report


@pytest.mark.parametrize("discover", ["unknown", "exit"])
def test_a_modern_host_uses_a_server_that_does_not_survive_its_first_word(
    discover: str, sshd: Sshd
) -> None:
    server = echo_server.command("--discover", discover, "--status", "1")
    argv = client_argv(*sshd.client_options(), "--bridge", "modern", "--", *server)
    with Host(argv) as host:
        meta = {"_meta": envelope()}
        found = host.request("server/discover", meta)["result"]
        assert found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "echo"
        said = host.request("tools/call", {"name": "echo", "arguments": {"text": "on"}, **meta})
        assert said["result"]["resultType"] == "complete"


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_call_that_is_cut_off_is_told_and_the_session_goes_on(
    era: str, peers: Peers, sshd: Sshd, tmp_path: Path
) -> None:
    server = MODERN_SERVER if era == "legacy" else LEGACY_SERVER
    meta = {"_meta": envelope()} if era == "modern" else {}
    with FaultProxy(sshd.port) as network:
        known_hosts = tmp_path / "known_hosts"
        lines = sshd.known_hosts.read_text()
        known_hosts.write_text(lines.replace(f":{sshd.port} ", f":{network.port} "))
        options = [*sshd.client_options(), "--bridge", "modern", "--port", str(network.port)]
        options += ["--known-hosts", str(known_hosts)]
        with Host(client_argv(*options, "--", *peers.argv(server))) as host:
            if era == "legacy":
                assert host.initialize()["result"]["serverInfo"]["name"] == "ts2"
            else:
                found = host.request("server/discover", meta)["result"]
                assert found["supportedVersions"] == ["2026-07-28"]
            host.send(
                {
                    "jsonrpc": "2.0",
                    "id": "cut",
                    "method": "tools/call",
                    "params": {"name": "hang", **meta},
                }
            )
            host.wait_for_stderr("hanging")
            network.cut()
            lost = host.receive_until(lambda message: message.get("id") == "cut")
            assert "may or may not have run" in lost["error"]["message"]
            said = host.request("tools/call", {"name": "echo", "arguments": {"text": "on"}, **meta})
            assert said["result"]["content"][0]["text"] == "on"
