"""`trust` against a real sshd: what the error for an unknown machine tells to run makes it a known one."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support import echo_server, programs
from support.fault_proxy import FaultProxy
from support.host import PACKAGE_PARENT, Host, client_argv
from support.sshd import Sshd

if sys.platform == "win32":
    pytest.skip("a pseudo-terminal to be asked on", allow_module_level=True)

import pty

pytestmark = pytest.mark.interop

PROGRAM = "m2m-mcp-server-ssh-client"


def fingerprint(sshd: Sshd, kind: str = "ed25519") -> str:
    """As OpenSSH shows it."""
    keygen = [str(programs.require("ssh-keygen")), "-lf", str(sshd.keys.host_key(kind))]
    done = subprocess.run(keygen, check=True, capture_output=True, text=True, timeout=20)
    return done.stdout.split()[1]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": PACKAGE_PARENT}


def trust(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        client_argv("trust", *options),
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=40,
    )


def trust_on_a_terminal(options: Sequence[str], typed: bytes) -> tuple[int, str]:
    """The exit status and what the terminal showed; `typed` is there from the start."""
    controller, terminal = pty.openpty()
    try:
        process = subprocess.Popen(
            client_argv("trust", *options),
            env=environment(),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        os.write(controller, typed)
        shown = bytearray()
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            try:
                shown += os.read(controller, 65536)
            except OSError:  # the last one who had the terminal open is gone
                break
        return process.wait(10), shown.decode()
    finally:
        os.close(controller)


def place(sshd: Sshd, known_hosts: Path) -> list[str]:
    port = str(sshd.port)
    return ["--host", "127.0.0.1", "--port", port, "-F", "none", "--known-hosts", str(known_hosts)]


def works(sshd: Sshd, known_hosts: Path, *options: str) -> str:
    """Empty if a session can be had, else the error."""
    argv = client_argv(*sshd.client_options(), *place(sshd, known_hosts), *options)
    with Host([*argv, "--", *echo_server.command()]) as host:
        answer = host.initialize()
        host.close_stdin()
        host.wait()
    return str(answer["error"]["message"]) if "error" in answer else ""


@pytest.mark.cold
def test_the_command_in_the_error_makes_the_machine_known(sshd: Sshd, tmp_path: Path) -> None:
    known_hosts = tmp_path / "a folder" / "known_hosts"
    error = works(sshd, known_hosts)
    assert "no key is on file" in error
    (command,) = [part for part in error.split("`") if part.startswith(f"{PROGRAM} trust")]
    options = shlex.split(command)[2:]
    done = trust(*options, "--yes", "--host-key", fingerprint(sshd))
    assert done.returncode == 0, done.stderr
    assert fingerprint(sshd) in done.stdout
    assert fingerprint(sshd, "rsa") not in done.stdout  # that would take another connection
    assert works(sshd, known_hosts) == ""
    assert len(known_hosts.read_text().splitlines()) == 1


def test_a_person_is_asked_for_each_key(sshd: Sshd, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    named = [word for kind in ("ecdsa", "rsa") for word in ("--host-key", fingerprint(sshd, kind))]
    options = [*place(sshd, known_hosts), *named]
    status, shown = trust_on_a_terminal(
        options, b"yes\nno\n" + fingerprint(sshd, "rsa").encode() + b"\n"
    )
    assert status == 0, shown
    assert "+--[ED25519 256]--+" in shown
    types = [line.split()[1] for line in known_hosts.read_text().splitlines()]
    assert types == ["ssh-ed25519", "ssh-rsa"]
    assert works(sshd, known_hosts) == ""


def test_one_connection_is_enough(start_sshd: Callable[..., Sshd], tmp_path: Path) -> None:
    sshd = start_sshd()
    with FaultProxy(sshd.port) as network:
        known_hosts = tmp_path / "known_hosts"
        options = [*place(sshd, known_hosts), "--port", str(network.port), "--yes", "--host-key"]
        assert trust(*options, fingerprint(sshd)).returncode == 0
        assert network.connections == 1
        done = trust(*options, fingerprint(sshd, "rsa"))
        assert done.returncode == 0, done.stdout
        assert network.connections <= 4
        assert len(known_hosts.read_text().splitlines()) == 2


def test_nothing_is_added_for_an_answer_of_no(sshd: Sshd, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    status, _ = trust_on_a_terminal(place(sshd, known_hosts), b"no\n")
    assert status == 1
    assert not known_hosts.exists()


def test_a_changed_key_is_not_added_to(sshd: Sshd, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    stranger = " ".join(sshd.keys.stranger_key.with_suffix(".pub").read_text().split()[:2])
    line = f"[127.0.0.1]:{sshd.port} {stranger}\n"
    known_hosts.write_text(line)
    done = trust(*place(sshd, known_hosts), "--yes", "--host-key", fingerprint(sshd))
    assert done.returncode == 1
    assert "ssh-keygen -R" in done.stdout
    assert known_hosts.read_text() == line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "no terminal"),
        (["--yes"], "--host-key"),
        (["--yes", "--host-key", "MD5:1"], "must be a SHA256"),
        (["--yes", "--host-key", "SHA256:" + "A" * 43, "--port", "1"], "refused"),
    ],
)
def test_what_cannot_be_done_is_told(
    options: list[str], words: str, sshd: Sshd, tmp_path: Path
) -> None:
    done = trust(*place(sshd, tmp_path / "known_hosts"), *options)
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_machine_behind_a_jump_host_is_asked_through_it(sshd: Sshd, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    jump = f"ProxyJump={sshd.username}@127.0.0.1:{sshd.port}"
    way = ["--host", "localhost", "-o", jump, "--client-key", str(sshd.keys.client_key)]
    pinned = ["--yes", "--host-key", fingerprint(sshd)]
    options = [*place(sshd, known_hosts), *way, *pinned]
    done = trust(*options)
    assert done.returncode == 1
    assert f"trust --host 127.0.0.1 --port {sshd.port}" in done.stderr  # the jump host comes first
    assert trust(*place(sshd, known_hosts), *pinned).returncode == 0
    done = trust(*options)
    assert done.returncode == 0, done.stderr
    assert works(sshd, known_hosts, *way) == ""
