"""A host that starts the command several times for one entry: no start disturbs another."""

from __future__ import annotations

import getpass
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from interop import client_scripts as scripts
from interop.conftest import StartSshd
from support import echo_server, installed, programs
from support.fault_proxy import FaultProxy
from support.host import MODERN_VERSION, Host, Message, client_argv, modern_meta
from support.probe import Probe
from support.sshd import Sshd
from support.waiting import wait_until

pytestmark = [
    pytest.mark.interop,
    pytest.mark.cold,
    pytest.mark.timeout(300),  # the first run installs the package
    pytest.mark.skipif(sys.platform != "linux", reason="the probe reads /proc"),
]

_TYPESCRIPT = "@modelcontextprotocol/client@2.4.0"
_RUN_TIMEOUT = 90.0  # seconds
_STARTS = 4
_LINE = re.compile(r"^\S+ \S+ .*?(\d+)/([0-9a-f]{6})")


def newcomers_options(port: int, username: str, *more: str) -> list[str]:
    """Nothing is there yet: neither a key, which the first start makes, nor a host key."""
    settings = ["-o", "StrictHostKeyChecking=accept-new", "-o", "IdentityAgent=none", *more]
    return ["-F", "none", "--host", "127.0.0.1", "-p", str(port), "-l", username, *settings]


@pytest.fixture
def trusting(start_sshd: StartSshd) -> Sshd:
    """A server that lets in the key that a first start makes."""
    key = Path(os.environ["HOME"]) / ".ssh/m2m_mcp_server_ssh_client"
    keys = f"AuthorizedKeysCommand {programs.require('ssh-keygen')} -y -f {key}"
    return start_sshd(keys, f"AuthorizedKeysCommandUser {getpass.getuser()}")


@contextmanager
def typescript(options: Sequence[str], probe: Probe, /, **settings: object) -> Iterator[None]:
    """Runs meanwhile; has called a tool at the end."""
    script = scripts.typescript_2("auto", **settings)
    command = [str(probe.program), *options, "--", *echo_server.command()]
    with subprocess.Popen(
        [*installed.node_script_argv(_TYPESCRIPT, script), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=probe.environment(),
    ) as running:
        try:
            yield
            told, why = running.communicate(timeout=_RUN_TIMEOUT)
        finally:
            running.kill()
    assert "Grüße" in told.decode(), why.decode()


def nothing_is_left_but_one_key() -> None:
    home = Path(os.environ["HOME"])
    known = (home / ".ssh/known_hosts").read_text().splitlines()
    assert len(known) == len(set(known)) >= 1
    kept = {path.name for path in (home / ".ssh").iterdir()}
    assert kept == {"known_hosts", "m2m_mcp_server_ssh_client", "m2m_mcp_server_ssh_client.pub"}


def test_a_typescript_client_that_starts_it_twice_finds_nothing_of_the_first(
    trusting: Sshd, tmp_path: Path
) -> None:
    probe = Probe(tmp_path / "probe")
    options = newcomers_options(trusting.port, trusting.username, "--log-level", "DEBUG")
    with typescript(options, probe):
        pass
    assert probe.starts() == 2
    nothing_is_left_but_one_key()
    log = Path(os.environ["HOME"]) / ".local/state/m2m-mcp-server-ssh-client/client.log"
    lines = log.read_text().splitlines()
    seen = {match.groups() for line in lines if (match := _LINE.match(line))}
    assert len({pid for pid, _tag in seen}) == 2, lines
    assert len({tag for _pid, tag in seen}) == 1, lines


def test_a_start_that_is_given_up_while_it_connects_does_not_hold_up_the_next(
    trusting: Sshd, tmp_path: Path
) -> None:
    """The first waits for a machine that is slow to answer; the client takes it for an old one."""
    probe = Probe(tmp_path / "probe")
    with FaultProxy(trusting.port) as network:
        network.freeze(new=True)
        options = newcomers_options(network.port, trusting.username)
        with typescript(options, probe, probe={"timeoutMs": 2000}):
            wait_until(lambda: probe.starts() == 2)
            network.thaw()
    assert probe.starts() == 2
    nothing_is_left_but_one_key()


def test_starts_at_the_same_moment_in_an_empty_home_all_get_a_session(trusting: Sshd) -> None:
    with FaultProxy(trusting.port) as network, ExitStack() as running:
        network.freeze(new=True)
        options = newcomers_options(network.port, trusting.username)
        argv = client_argv(*options, "--", *echo_server.command())
        hosts = [running.enter_context(Host(argv)) for _ in range(_STARTS)]
        network.wait_for_connection(_STARTS)
        network.thaw()  # now all of them write known_hosts and make a key
        for host in hosts:
            assert "result" in host.initialize(), host.stderr
            assert "result" in host.call("echo", {"text": "hello"})
        for host in hosts:
            host.close_stdin()
        assert [host.wait() for host in hosts] == [0] * _STARTS
    nothing_is_left_but_one_key()


@pytest.mark.parametrize("modern_only", [False, True])
def test_a_host_that_gives_up_the_newer_revision_while_it_connects_still_gets_an_answer(
    modern_only: bool, sshd: Sshd
) -> None:
    """The Python SDK 2, FastMCP 4 and Copilot CLI send the second request after ten seconds."""
    server = echo_server.command(*["--modern-only"] * modern_only)
    with FaultProxy(sshd.port) as network:
        network.freeze(new=True)
        options = sshd.client_options()
        options[options.index("--port") + 1] = str(network.port)
        alias = f"HostKeyAlias=[127.0.0.1]:{sshd.port}"
        with Host(client_argv(*options, "-o", alias, "--", *server)) as host:
            network.wait_for_connection(1)
            host.send(request(1, "server/discover", {"_meta": modern_meta()}))
            host.send(request(2, "initialize", {"protocolVersion": "2025-11-25"}))
            network.thaw()
            answers = [host.receive(), host.receive()]
            assert [answer["id"] for answer in answers] == [1, 2]
            assert answers[0]["result"]["supportedVersions"] == [MODERN_VERSION]
            # A server of the newer era alone is bridged then.
            assert answers[1]["result"]["serverInfo"]["name"] == "echo"


def request(number: int, method: str, params: Message) -> Message:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
