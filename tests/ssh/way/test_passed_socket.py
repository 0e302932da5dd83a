"""ProxyCommands that pass a connected socket, and those that fail to, beside what `ssh` makes of them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.received import Received
from support.waiting import wait_until

if sys.platform == "win32":
    pytest.skip("no program passes a socket there", allow_module_level=True)

from support.sshd import Sshd

from m2m_ssh_client.errors import UnreachableError
from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.ssh.opener import Opener
from m2m_ssh_client.ssh.way import passed_socket

ENOUGH = 20.0  # seconds

# Passes what its argument says to whoever holds the other end of its stdin.
PASSES = """
import os, socket, sys
kind, port, pid_file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
open(pid_file, "w").write(str(os.getpid()))
way = socket.socket(fileno=0)
if kind == "tcp":
    passed = socket.create_connection(("127.0.0.1", port)).detach()
elif kind == "file":
    passed = os.open(sys.argv[0], os.O_RDONLY)
if kind == "waits":
    way.recv(1)
if kind == "nothing":
    sys.exit("no such machine")
if kind == "text":
    sys.stdout.write("hello")
    sys.exit()
socket.send_fds(way, [b"x"], [passed])
"""


class Passer:
    """The ProxyCommand that does one of these things; it notes its number."""

    def __init__(self, folder: Path, kind: str, port: int = 1) -> None:
        self._pid_file = folder / "pid"
        script = folder / "passer.py"
        script.write_text(PASSES)
        self.command = f"{sys.executable} -S -E {script} {kind} {port} {self._pid_file}"

    @property
    def running(self) -> bool:
        try:
            return "State:\tZ" not in Path(f"/proc/{self._pid_file.read_text()}/status").read_text()
        except OSError:
            return False


@pytest.mark.interop
def test_a_server_is_reached_over_the_socket_that_is_passed_as_with_ssh(
    sshd: Sshd, tmp_path: Path
) -> None:
    passer = Passer(tmp_path, "tcp", sshd.port)
    options = (f"ProxyCommand={passer.command}", "ProxyUseFdpass=yes")
    params = Parameters(
        "127.0.0.1",
        port=sshd.port,
        username=sshd.username,
        client_key=sshd.keys.client_key,
        known_hosts=sshd.known_hosts,
        ssh_config="none",
        ssh_options=options,
        command=("cat",),
    )
    opener = Opener(params)
    try:
        carrier = opener.open()
        received = Received(carrier)
        carrier.write(b"there and back\n")
        carrier.close_write()
        came, _ = received.to_the_end()
        wait_until(lambda: not passer.running, ENOUGH)
    finally:
        opener.close()
    assert came == b"there and back\n"
    ssh, *argv = sshd.openssh_argv("exit 7")
    words = [word for option in options for word in ("-o", option)]
    done = subprocess.run([ssh, *words, *argv], stdin=subprocess.DEVNULL, timeout=ENOUGH)
    assert done.returncode == 7


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("nothing", "passed no connection, and ended with exit status 1: no such machine"),
        ("text", "passed no connection, and ended with exit status 0"),
        ("file", "passed nothing that can be used"),
    ],
)
def test_a_program_that_passes_no_socket_is_named_with_its_words(
    kind: str, words: str, tmp_path: Path
) -> None:
    passer = Passer(tmp_path, kind)
    with pytest.raises(UnreachableError) as caught:
        passed_socket.receive(passer.command, time.monotonic() + ENOUGH, lambda: False)
    assert f"The ProxyCommand ({Path(sys.executable).name}) {words}" in caught.value.message
    assert "ProxyUseFdpass no" in caught.value.hint
    assert not passer.running


@pytest.mark.parametrize("why", ["the deadline", "a close"])
def test_a_program_that_passes_nothing_is_ended(why: str, tmp_path: Path) -> None:
    passer = Passer(tmp_path, "waits")
    closed = threading.Event()
    if why == "a close":
        closed.set()
    limit = 0.2 if why == "the deadline" else ENOUGH
    began = time.monotonic()
    with pytest.raises(UnreachableError):
        passed_socket.receive(passer.command, began + limit, closed.is_set)
    assert time.monotonic() - began < ENOUGH / 2
    wait_until(lambda: not passer.running, ENOUGH)
