"""The conformance suite of MCP in each era, through this client, with a server of the other era.

The suite speaks only HTTP, so `HttpFront` stands between it and this client. `docs/eras.md` says what
the whole suite found. With a legacy host, each scenario starts a process and so takes seconds: here
run those that the bridge has most work with.
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import installed
from support.era_peers import Peer, Peers
from support.host import client_argv
from support.http_front import HttpFront
from support.sshd import Sshd

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(600),  # the first run installs the suite
    pytest.mark.skipif(sys.platform != "linux", reason="the suite's Node is installed for Linux"),
]

SUITE = "@modelcontextprotocol/conformance"
VERSION = "0.2.0-alpha.12"
NODE = "22.23.3"  # the suite needs a newer one than our other peers
_RUN_TIMEOUT = 120.0  # seconds

# What fails without this client too: it is about HTTP, or needs a schema that sdk 1.x cannot have.
FAIL_DIRECTLY = {
    "server-stateless",
    "dns-rebinding-protection",
    "http-header-validation",
    "http-custom-header-server-validation",
    "json-schema-2020-12",
}
# What a legacy server cannot say: the name of a question, and several at once. The last one asks for
# what the host did not declare, which server 2.x notices and sdk 1.x does not.
NOT_WITH_A_LEGACY_SERVER = {
    "input-required-result-basic-elicitation",
    "input-required-result-multiple-input-requests",
    "input-required-result-capability-check",
}
FOR_A_LEGACY_HOST = (
    "logging-set-level",
    "tools-call-with-logging",
    "tools-call-with-progress",
    "tools-call-sampling",
    "tools-call-elicitation",
    "json-schema-2020-12",
    "resources-subscribe",
)


@pytest.fixture(scope="module")
def suite() -> list[str]:
    """The argv of the suite, and of the Node that runs it."""
    machine = "arm64" if platform.machine() in ("arm64", "aarch64") else "x64"
    node = f"node-linux-{machine}"
    packages = installed.npm_folder(f"{SUITE}@{VERSION}", f"{node}@{NODE}") / "node_modules"
    return [str(packages / node / "bin" / "node"), str(packages / SUITE / "dist" / "index.js")]


def run(
    suite: list[str], front: HttpFront, version: str, *options: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*suite, "server", "--url", front.url, "--spec-version", version, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=_RUN_TIMEOUT,
    )


def through(sshd: Sshd, peers: Peers, mode: str, *options: str) -> HttpFront:
    """This client, behind HTTP, with the suite's server in one of its modes."""
    server = peers.argv(Peer("", "", "node", ("conformance_server.mjs", mode)))
    return HttpFront(client_argv(*sshd.client_options(), *options, "--", *server))


def test_a_modern_host_finds_a_legacy_server_conforming(
    suite: list[str], peers: Peers, sshd: Sshd
) -> None:
    with through(sshd, peers, "legacy", "--bridge", "modern") as front:
        done = run(suite, front, "2026-07-28", "--suite", "all")
    found = {name: mark for mark, name in re.findall(r"(?m)^([✓✗]) ([\w-]+): ", done.stdout)}
    assert len(found) == 40, done.stdout
    failed = {name for name, mark in found.items() if mark == "✗"}
    assert failed == FAIL_DIRECTLY | NOT_WITH_A_LEGACY_SERVER


def test_a_legacy_host_finds_a_modern_server_conforming(
    suite: list[str], peers: Peers, sshd: Sshd
) -> None:
    def failure(scenario: str) -> str:
        done = run(suite, front, "2025-11-25", "--scenario", scenario)
        return done.stdout if done.returncode else ""

    with through(sshd, peers, "reject") as front, ThreadPoolExecutor(2) as pool:
        failures = [*filter(None, pool.map(failure, FOR_A_LEGACY_HOST))]
    assert not failures, "\n".join(failures)
