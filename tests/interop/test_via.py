"""`--via`: OpenSSH with what is its own (ControlMaster), and other programs whose stdio is the remote's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support import counting_server, echo_server, programs
from support.counting_server import Books
from support.host import Host, client_argv, finished, modern_meta
from support.sshd import Sshd
from support.waiting import wait_until

if sys.platform == "win32":
    pytest.skip("programs of POSIX", allow_module_level=True)

pytestmark = pytest.mark.interop

StartSshd = Callable[..., Sshd]

ECHO = echo_server.command()
SOURCE = Path(__file__).parents[1] / "support" / "security_key.c"


def answers(*options: str, command: Sequence[str] = ECHO) -> str:
    """Start a session and use it; return stderr."""
    with Host(client_argv(*options, "--", *command)) as host:
        assert "result" in host.initialize(), host.stderr
        assert host.call("echo", {"text": "hello"})
        host.close_stdin()
        assert host.wait(10) == 0
        return host.stderr


@pytest.mark.parametrize(
    "via",
    [
        "/bin/sh -c {command}",
        "env -u NOTHING {words}",
        "busybox sh -c {command}",
        "unshare --mount -- {words}",
        "chroot / {words}",
    ],
)
def test_a_program_whose_stdio_is_the_servers_carries(via: str) -> None:
    program = via.split()[0]
    programs.require(program)
    if program in ("unshare", "chroot") and os.geteuid() != 0:
        pytest.skip("only root may do that")
    assert answers("--via", via, "box") == ""


def test_its_status_is_the_end_of_the_server() -> None:
    with Host(client_argv("--via", "/bin/sh -c {command}", "box", "--", "echo no; exit 9")) as host:
        message = host.initialize()["error"]["message"]
        assert "ended with exit status 9" in message
        assert "it printed: no" in message


PINGED = ("--via", "/bin/sh -c {command}", "--ping", "0.3", "--keepalive-count", "2", "box")


@pytest.mark.parametrize("ping", ["ping", "server/discover"])
def test_a_frozen_program_is_found_by_pings_and_replaced(ping: str, tmp_path: Path) -> None:
    books = Books(tmp_path)
    with Host(client_argv(*PINGED, "--", *counting_server.command(tmp_path))) as host:
        meta = {} if ping == "ping" else {"_meta": modern_meta()}
        first = host.request(ping, meta) if meta else host.initialize()
        assert "result" in first
        wait_until(lambda: books.methods(1).count(ping) > 3)  # idle, and not taken for dead
        (server,) = books.pids
        os.killpg(os.getpgid(server), signal.SIGSTOP)
        assert "result" in host.request("tools/list", meta)
        assert len(books.pids) == 2
        host.close_stdin()
        assert host.wait(10) == 0
    ids = [json.loads(line)["id"] for line in host.lines if b'"id"' in line]
    assert ids == list(range(1, len(ids) + 1))
    assert "was asked for a sign of life" in host.stderr


def test_a_kept_server_lives_through_a_frozen_program(tmp_path: Path) -> None:
    books = Books(tmp_path)
    argv = client_argv(*PINGED, "--keep", "60", "--", *counting_server.command(tmp_path))
    with Host(argv) as host:
        assert "result" in host.initialize()
        (program,) = Path(f"/proc/{host.pid}/task/{host.pid}/children").read_text().split()
        os.killpg(int(program), signal.SIGSTOP)
        assert "result" in host.call("count", {"key": "once"})
        assert len(books.pids) == 1
        host.close_stdin()
        assert host.wait(10) == 0
    assert books.executions == {"once": 1}


@pytest.mark.parametrize("via", [[], ["--via", "ssh"]])
def test_pings_are_not_for_ssh_which_looks_for_itself(via: list[str]) -> None:
    done = finished("box", *via, "--ping", "5", "--", "x")
    assert done.returncode == 2
    assert "keepalive" in done.stderr


def test_a_program_that_is_missing_is_named() -> None:
    with Host(client_argv("--via", "no-such-program {command}", "box", "--", "x")) as host:
        message = host.initialize()["error"]["message"]
        assert "no-such-program cannot be started" in message


def test_a_shared_connection_of_ssh_outlives_the_session(sshd: Sshd, tmp_path: Path) -> None:
    """The master holds the stderr of the ssh that started it; our end does not wait for that."""
    socket = tmp_path / "master"
    shared = ("ControlMaster=auto", f"ControlPath={socket}", "ControlPersist=30")
    options = [word for line in shared for word in ("-o", line)]
    try:
        for _ in range(2):
            answers(*sshd.client_options(), "--via", "ssh", *options)
            assert socket.exists()
    finally:
        ssh = programs.require("ssh")
        stop = [str(ssh), "-F", "none", "-S", str(socket), "-O", "exit", "127.0.0.1"]
        subprocess.run(stop, capture_output=True, timeout=10, check=True)


class SecurityKey:
    """A FIDO key of which only software is there, and a server that lets nobody else in."""

    def __init__(self, sshd: Sshd, folder: Path) -> None:
        provider, key = folder / "security_key.so", folder / "id_ed25519_sk"
        flags = ["-O1", "-shared", "-fPIC", "-o", str(provider)]
        built = subprocess.run(
            [programs.require("cc"), *flags, str(SOURCE), "-lcrypto"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        if built.returncode:
            programs.unavailable(f"the security key cannot be built: {built.stderr[-500:]}")
        make = [str(programs.require("ssh-keygen")), "-q", "-t", "ed25519-sk", "-N", ""]
        subprocess.run(
            [*make, "-w", str(provider), "-f", str(key)],
            check=True,
            capture_output=True,
            timeout=20,
        )
        public = key.with_suffix(".pub").read_text()
        assert public.startswith("sk-ssh-ed25519@openssh.com ")
        (sshd.home.parent / "authorized_keys").write_text(public)
        there = sshd.client_options()
        there[there.index("--client-key") + 1] = str(key)
        self.options = [*there, "-F", "none"]
        self.provider = ["-o", f"SecurityKeyProvider={provider}"]


def test_ssh_logs_in_with_a_security_key(start_sshd: StartSshd, tmp_path: Path) -> None:
    key = SecurityKey(start_sshd(), tmp_path)
    assert answers(*key.options, "--via", "ssh", *key.provider) == ""


def test_the_error_for_a_security_key_names_the_way_by_ssh(
    start_sshd: StartSshd, tmp_path: Path
) -> None:
    key = SecurityKey(start_sshd(), tmp_path)
    with Host(client_argv(*key.options, "--", *ECHO)) as host:
        assert "--via ssh" in host.initialize()["error"]["message"]


def test_variables_reach_the_server(start_sshd: StartSshd) -> None:
    sshd = start_sshd("AcceptEnv LC_*")
    options = [*sshd.client_options(), "--via", "ssh", "--env", "LC_MINE=S3CRET"]
    with Host(client_argv(*options, "--", "sh", "-c", "echo $LC_MINE; exit 3")) as host:
        assert "it printed: S3CRET" in host.initialize()["error"]["message"]


def test_doctor_walks_over_it(sshd: Sshd) -> None:
    done = finished(
        "doctor", "--json", *sshd.client_options(), "--via", "ssh", "--keep", "--", *ECHO
    )
    steps = {step["name"]: step for step in json.loads(done.stdout)}
    assert list(steps) == [
        *("configuration", "request", "noise", "mcp", "round_trip", "eras", "keeping"),
    ]
    assert {step["status"] for step in steps.values()} == {"ok"}, done.stdout


def test_a_tool_is_called_over_it(sshd: Sshd) -> None:
    done = finished("tools", *sshd.client_options(), "-F", "none", "--via", "ssh", "--", *ECHO)
    assert done.returncode == 0, done.stderr
    assert "echo" in done.stdout
