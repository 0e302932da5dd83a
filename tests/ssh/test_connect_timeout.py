"""ConnectTimeout (ssh_config(5)) bounds connecting and the key exchange of each machine, and no login."""

from __future__ import annotations

import getpass
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import programs
from support.odd_ssh import Keys, Odd, listening, mute, odd_server, public

from m2m_ssh_client.errors import UnreachableError
from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.ssh.connection import Connection
from m2m_ssh_client.ssh.destination import resolve
from m2m_ssh_client.ssh.login.unlocked_keys import UnlockedKeys

ENOUGH = 20.0  # seconds
LIMIT = 1.0  # seconds
SLOW = 1.3  # seconds, which is the behaviour and not a wait for something


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def opened() -> Iterator[list[Connection]]:
    """The connections to close."""
    made: list[Connection] = []
    yield made
    for each in made:
        each.close()


def connection(opened: list[Connection], config: Path, host: str = "lab") -> Connection:
    """To the machine as this file describes it, with ConnectTimeout for all."""
    with config.open("a") as file:
        file.write(f"Host *\n  ConnectTimeout {LIMIT:g}\n  HostName 127.0.0.1\n")
    destination = resolve(Parameters(host, ssh_config=str(config), connect_timeout=ENOUGH))
    made = Connection(
        destination.settings, UnlockedKeys(), connect_timeout=destination.connect_timeout
    )
    opened.append(made)
    return made


@pytest.mark.parametrize("way", ["TCP", "ProxyCommand"])
def test_a_server_that_does_not_exchange_keys_is_given_up(
    way: str, opened: list[Connection], tmp_path: Path
) -> None:
    if way == "ProxyCommand" and sys.platform == "win32":
        pytest.skip("a mode, path or shell of POSIX")
    config = tmp_path / "config"
    with listening(mute) as port:
        proxy = "  ProxyCommand sleep 60\n" if way == "ProxyCommand" else ""
        config.write_text(f"Host lab\n  Port {port}\n{proxy}")
        started = time.monotonic()
        with pytest.raises(UnreachableError) as caught:
            connection(opened, config).open()
    assert LIMIT <= time.monotonic() - started < ENOUGH / 2
    assert "Timed out after 1 s while negotiating the encryption" in caught.value.message
    assert "ConnectTimeout in your SSH configuration" in caught.value.hint


def test_a_slow_login_takes_its_time(keys: Keys, opened: list[Connection], tmp_path: Path) -> None:
    server = Odd(freeze="authentication")
    config = tmp_path / "config"
    with odd_server(server, keys["ed25519 host"]) as port:
        known_hosts = tmp_path / "known_hosts"
        known_hosts.write_text(f"[127.0.0.1]:{port} {public(keys['ed25519 host']).line}\n")
        key = keys.path(keys["ed25519"])
        config.write_text(
            f"Host lab\n  Port {port}\n  IdentityFile '{key}'\n  UserKnownHostsFile '{known_hosts}'\n"
        )
        thaw = threading.Timer(SLOW, server.thaw.set)
        thaw.start()
        try:
            link = connection(opened, config)
            link.open()
            assert link.alive
        finally:
            thaw.cancel()


if sys.platform != "win32":
    from support.ssh_agent import SshAgent
    from support.sshd import Sshd

    def block(name: str, server: Sshd, *more: str) -> str:
        lines = [
            f"Port {server.port}",
            f"User {getpass.getuser()}",
            f"UserKnownHostsFile {server.known_hosts}",
            *more,
        ]
        return f"Host {name}\n" + "".join(f"  {line}\n" for line in lines)

    @pytest.mark.interop
    def test_an_agent_that_asks_for_confirmation_takes_its_time_as_with_ssh(
        sshd: Sshd, opened: list[Connection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asks = tmp_path / "asks"
        asks.write_text(f"#!/bin/sh\nsleep {SLOW}\n")
        asks.chmod(0o700)
        monkeypatch.setenv("SSH_ASKPASS", str(asks))
        monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
        config = tmp_path / "config"
        with SshAgent() as agent:
            agent.add("-c", sshd.keys.client_key)
            config.write_text(block("lab", sshd, f"IdentityAgent {agent.path}"))
            link = connection(opened, config)
            started = time.monotonic()
            link.open()
            assert time.monotonic() - started >= SLOW
            argv = [
                str(programs.require("ssh")),
                "-F",
                str(config),
                "-o",
                "BatchMode=yes",
                "lab",
                "exit 7",
            ]
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=ENOUGH)
        assert done.returncode == 7

    @pytest.mark.interop
    def test_a_machine_behind_a_jump_host_has_a_limit_of_its_own(
        sshd: Sshd, opened: list[Connection], tmp_path: Path
    ) -> None:
        config = tmp_path / "config"
        with listening(mute) as port, ExitStack() as stack:
            config.write_text(
                block("jump", sshd, f"IdentityFile {sshd.keys.client_key}")
                + f"Host lab\n  Port {port}\n  ProxyJump jump\n"
            )
            link = connection(opened, config)
            stack.callback(link.close)
            with pytest.raises(UnreachableError) as caught:
                link.open()
            first, _ = link.trail()
        assert first.login is not None
        assert first.login.succeeded
        assert f"Timed out after 1 s while negotiating the encryption (127.0.0.1 port {port})" in (
            caught.value.message
        )
