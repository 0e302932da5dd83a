"""Logins through an agent that no variable names, as from hosts that pass on six variables."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import echo_server
from support.host import PACKAGE_PARENT, client_argv
from support.ssh_agent import GpgAgent, SshAgent
from support.sshd import Sshd

if sys.platform == "win32":
    pytest.skip("Windows' agents have fixed places", allow_module_level=True)

pytestmark = pytest.mark.interop

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "host", "version": "1"},
    },
}


@pytest.fixture
def home() -> Iterator[Path]:
    """A home folder with a short path, and a key that the server takes, in no default place."""
    with tempfile.TemporaryDirectory(prefix="h-") as name:
        folder = Path(name)
        (folder / ".ssh" / "agent").mkdir(parents=True, mode=0o700)
        yield folder


def client(home: Path, sshd: Sshd, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Our command in the environment that the SDKs' clients give to servers."""
    path, user = os.environ["PATH"], getpass.getuser()
    six = {"HOME": str(home), "LOGNAME": user, "PATH": path, "SHELL": "/bin/sh", "USER": user}
    place = ["--host", "127.0.0.1", "--port", str(sshd.port), "--username", sshd.username]
    options = [*words, *place, "--known-hosts", str(sshd.known_hosts), "-F", "none"]
    return subprocess.run(
        client_argv(*options, "--", *echo_server.command()),
        input=json.dumps(INITIALIZE) + "\n",
        capture_output=True,
        encoding="utf-8",
        timeout=40,
        env={**six, "TERM": "dumb", "PYTHONPATH": PACKAGE_PARENT, **more},
    )


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(done.stdout)
    return message


def test_an_agent_of_openssh_10_logs_in_although_no_variable_names_it(
    home: Path, sshd: Sshd
) -> None:
    with SshAgent(home / ".ssh" / "agent" / "s.x.agent.y") as agent:
        agent.add(sshd.keys.client_key)
        assert "result" in answer(client(home, sshd))
        done = client(home, sshd, "doctor", "--json")
        login = next(s for s in json.loads(done.stdout) if s["name"] == "authentication")
        remark = f"the agent at {agent.path} (found at the place of ssh-agent) holds 1 key"
        assert login["found"]["agent"] == remark
        assert remark in client(home, sshd, "doctor").stdout


def test_a_gpg_agent_logs_in_although_the_variable_names_one_that_has_ended(
    home: Path, sshd: Sshd
) -> None:
    with GpgAgent(home / ".gnupg") as agent:
        agent.add(sshd.keys.client_key)
        assert "result" in answer(client(home, sshd, SSH_AUTH_SOCK=str(home / "gone")))


@pytest.mark.parametrize("variable", [None, "gone"])
@pytest.mark.parametrize("way", ["ProxyCommand", "--via ssh"])
def test_the_ssh_that_carries_gets_an_agent_that_no_variable_names(
    home: Path, sshd: Sshd, way: str, variable: str | None
) -> None:
    config = home / "config"
    config.write_text(
        f"Host *\n User {sshd.username}\n UserKnownHostsFile {sshd.known_hosts}\n IdentityFile none\n"
    )
    config.chmod(0o600)
    ssh = f"ssh -F {config} -p {sshd.port} -W %h:%p 127.0.0.1"
    words = ["-o", f"ProxyCommand={ssh}", "-i", str(sshd.keys.client_key)]
    if way != "ProxyCommand":
        words = ["--via", "ssh"]
    more = {} if variable is None else {"SSH_AUTH_SOCK": str(home / variable)}
    with SshAgent(home / ".ssh" / "agent" / "s.x.agent.y") as agent:
        agent.add(sshd.keys.client_key)
        assert "result" in answer(client(home, sshd, *words, **more))


def test_the_agent_that_is_named_wins(home: Path, sshd: Sshd) -> None:
    with SshAgent(home / ".ssh" / "agent" / "s.x.agent.y") as other, SshAgent() as named:
        other.add(sshd.keys.client_key)
        text = answer(client(home, sshd, SSH_AUTH_SOCK=named.path))["error"]["message"]
        assert f"the agent at {named.path} (SSH_AUTH_SOCK) holds no keys, or is locked" in text
        for words in (["-o", f"IdentityAgent={named.path}"], ["-o", "IdentityAgent=none"]):
            assert "error" in answer(client(home, sshd, *words))
        assert "error" in answer(client(home, sshd, SSH_AUTH_SOCK=""))


def test_a_refused_login_says_that_no_agent_was_found(home: Path, sshd: Sshd) -> None:
    text = answer(client(home, sshd))["error"]["message"]
    assert "no agent with a key was found, and SSH_AUTH_SOCK is not set" in text


def test_the_keys_of_an_agent_that_nobody_named_do_not_use_up_the_attempts_of_a_file(
    home: Path, sshd: Sshd
) -> None:
    """MaxAuthTries is 6, and what works without the agent must work beside it."""
    shutil.copy(sshd.keys.client_key, home / ".ssh" / "id_ed25519")
    with SshAgent(home / ".ssh" / "agent" / "s.x.agent.y") as agent:
        for number in range(6):
            key = home / f"key{number}"
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
            subprocess.run(argv, check=True, timeout=20, capture_output=True)
            agent.add(key)
        assert "result" in answer(client(home, sshd))
