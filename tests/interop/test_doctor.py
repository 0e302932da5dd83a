"""`doctor` against real sshds: what only they do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import echo_server
from support.host import PACKAGE_PARENT, client_argv
from support.sshd import Sshd

if sys.platform == "win32":
    pytest.skip("sshd with POSIX shells behind it", allow_module_level=True)

pytestmark = pytest.mark.interop

StartSshd = Callable[..., Sshd]

ECHO = echo_server.command()


@dataclass(frozen=True)
class Told:
    status: int
    steps: list[dict[str, Any]]
    stderr: str

    def __getitem__(self, name: str) -> dict[str, Any]:
        """The last step of this name: the one of the machine itself."""
        return [step for step in self.steps if step["name"] == name][-1]

    def failed(self) -> dict[str, Any]:
        assert self.status == 1, self
        (step,) = [step for step in self.steps if step["status"] == "failed"]
        return step


def run(*options: str, command: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    tail = ["--", *command] if command else []
    return subprocess.run(
        client_argv("doctor", *options, *tail),
        env={**os.environ, "PYTHONPATH": PACKAGE_PARENT},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
    )


def doctor(*options: str, command: Sequence[str] = ()) -> Told:
    given = ["-F", "none", *options] if "-F" not in options else list(options)
    done = run(*given, "--json", command=command)
    return Told(done.returncode, json.loads(done.stdout), done.stderr)


def test_all_is_well_with_an_ordinary_server(sshd: Sshd) -> None:
    done = run(*sshd.client_options(), "-F", "none", command=ECHO)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "✓ banner           OpenSSH_" in done.stdout
    assert "✓ MCP              legacy era, 2025-11-25, echo 9.8.7" in done.stdout
    assert "\x1b" not in done.stdout  # it is no terminal


def test_a_subsystem_is_walked_to(sshd: Sshd) -> None:
    told = doctor(*sshd.client_options(), "--subsystem", "mcp")
    assert told.status == 0
    assert told["request"]["found"]["request"] == "subsystem mcp"
    assert told["round_trip"]["found"]["samples"] == 20


def test_a_command_that_is_not_found_is_told_with_the_path_there(sshd: Sshd) -> None:
    told = doctor(*sshd.client_options(), command=["no-such-server", "--all"])
    step = told.failed()
    path = subprocess.run(
        sshd.openssh_argv('printf %s "$PATH"'), capture_output=True, text=True, timeout=20
    ).stdout
    assert path
    assert step["name"] == "mcp"
    assert step["found"] == {
        "exit_status": 127,
        "path": path,
        "login_shell_path": step["found"]["login_shell_path"],
        "error": "The remote command was not found (exit status 127), not even by the user's login "
        "shell",
    }
    assert "/" in step["found"]["login_shell_path"]
    assert "Is no-such-server installed there" in step["advice"]
    assert any("no-such-server" in line for line in told["noise"]["found"]["stderr"])


def test_a_login_shell_is_called_so(sshd: Sshd) -> None:
    step = doctor(*sshd.client_options(), "--connect-timeout", "8").failed()
    assert step["name"] == "mcp"
    assert "looks like a login shell" in step["found"]["error"]


def test_a_server_with_too_many_strangers_before_the_login_is_recognized(
    start_sshd: StartSshd,
) -> None:
    sshd = start_sshd("MaxStartups 1:100:1", "LoginGraceTime 60")
    with sshd.login_in_progress():
        step = doctor(*sshd.client_options()).failed()
    assert step["name"] == "banner"
    assert "MaxStartups" in step["advice"]


def test_too_many_keys_are_too_many(start_sshd: StartSshd, tmp_path: Path) -> None:
    sshd = start_sshd("MaxAuthTries 1")
    config = tmp_path / "config"
    others = [sshd.keys.stranger_key, sshd.keys.host_key("ed25519"), sshd.keys.host_key("ecdsa")]
    config.write_text("".join(f"IdentityFile {path}\n" for path in others))
    options = sshd.client_options()
    at = options.index("--client-key")
    del options[at : at + 2]
    step = doctor("-F", str(config), *options).failed()
    assert step["name"] == "authentication"
    assert "Too many authentication failures" in step["found"]["error"]
    assert "--key-fingerprint" in step["advice"]


def test_an_unknown_machine_can_be_trusted_with_the_command_that_is_told(
    sshd: Sshd, tmp_path: Path
) -> None:
    new = tmp_path / "known_hosts"
    options = [*sshd.client_options(), "--known-hosts", str(new)]
    step = doctor(*options).failed()
    assert step["name"] == "host_key"
    assert not new.exists()
    assert step["found"]["trust_command"] in step["advice"]
    assert str(new) in step["found"]["trust_command"]


def through(gate: Sshd, target: Sshd, folder: Path) -> list[str]:
    config = folder / "config"
    config.write_text(
        f"Host gate\n  HostName 127.0.0.1\n  Port {gate.port}\n  User {gate.username}\n"
        f"  UserKnownHostsFile {gate.known_hosts}\n"
        f"Host lab\n  HostName 127.0.0.1\n  Port {target.port}\n  User {target.username}\n"
        f"  ProxyJump gate\n  UserKnownHostsFile {target.known_hosts}\n"
        f"Host *\n  IdentityFile {target.keys.client_key}\n"
    )
    return ["-F", str(config), "--host", "lab"]


def test_each_machine_on_the_way_has_its_steps(start_sshd: StartSshd, tmp_path: Path) -> None:
    gate, target = start_sshd(), start_sshd()
    options = through(gate, target, tmp_path)
    told = doctor(*options, command=ECHO)
    assert told.status == 0, told
    place = f"127.0.0.1 port {gate.port}"
    assert [(step["found"].get("machine"), step["name"]) for step in told.steps] == [
        (None, "configuration"),
        *((place, name) for name in ("name_resolution", "tcp", "banner", "key_exchange")),
        *((place, name) for name in ("host_key", "authentication")),
        *((None, name) for name in ("tcp", "banner", "key_exchange", "host_key")),
        *((None, name) for name in ("authentication", "request", "noise", "mcp", "round_trip")),
        (None, "eras"),
    ]
    (jump,) = told["configuration"]["found"]["jump_hosts"]
    assert jump["port"] == gate.port
    assert {"keyword": "port", "place": f"{tmp_path / 'config'}:3"} in jump["configuration"]
    assert told["tcp"]["found"]["through"] == f"the jump host {place}"
    text = run(*options, command=ECHO).stdout
    assert f"\njump host {place}:\n" in text
    assert "\ntarget machine:\n" in text


def test_a_jump_host_that_cannot_go_on_is_where_it_fails(
    start_sshd: StartSshd, tmp_path: Path
) -> None:
    gate, target = start_sshd(), start_sshd()
    options = through(gate, target, tmp_path)
    target.stop()
    step = doctor(*options, command=ECHO).failed()
    assert (step["name"], step["found"].get("machine")) == ("tcp", None)
    assert (
        f"The jump host 127.0.0.1 cannot connect to 127.0.0.1 port {target.port}"
        in (step["found"]["error"])
    )


def test_a_jump_host_that_does_not_know_us_is_where_it_fails(
    start_sshd: StartSshd, tmp_path: Path
) -> None:
    gate, target = start_sshd(), start_sshd()
    options = through(gate, target, tmp_path)
    (gate.home.parent / "authorized_keys").write_text("")
    told = doctor(*options, command=ECHO)
    step = told.failed()
    assert step["name"] == "authentication"
    assert step["found"]["machine"] == f"127.0.0.1 port {gate.port}"
    assert told["mcp"]["status"] == told["tcp"]["status"] == "skipped"
