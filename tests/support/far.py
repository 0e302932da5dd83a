"""A remote machine for commands that use one: any, or the embedded SSH server with MCP servers to choose from."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support import echo_server, showcase_server
from support.host import PACKAGE_PARENT, PROGRAM
from support.waiting import wait_until

from m2m_ssh_client.demo.ssh_server import SSHServer
from m2m_ssh_client.ssh.login.key_files import ensure_client_key, load_client_key
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.trust.known_hosts import entry

ENOUGH = 40.0  # seconds; the SDK takes two to load on a slow machine


def environment(**more: str) -> dict[str, str]:
    """Of the commands: the test's own, home folder included, without what colours depend on."""
    own = {name: v for name, v in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    return {**own, "PYTHONPATH": PACKAGE_PARENT, "PYTHONUTF8": "1", **more}


class Far:
    """A machine: the options with which the commands get there, and the folder in which they run here."""

    def __init__(self, connection: Sequence[str], here: Path) -> None:
        self.connection = ["-F", "none", *connection]
        self.here = here

    def argv(self, *words: str, server: Sequence[str] = ("showcase",)) -> list[str]:
        return [*PROGRAM, *words, *self.connection, "--", *server]

    def __call__(
        self,
        *words: str,
        server: Sequence[str] = ("showcase",),
        stdin: str = "",
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """The command, done: its status, stdout and stderr, without a terminal."""
        return subprocess.run(
            self.argv(*words, server=server),
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=ENOUGH,
            env=environment(**(env or {})),
            cwd=self.here,
        )

    @contextmanager
    def hanging(self, record: Path, server: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
        """A call that the showcase server, which writes to `record`, has got and does not answer."""
        process = subprocess.Popen(
            self.argv("call", "hang", server=server),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            cwd=self.here,
        )
        try:
            wait_until(lambda: record.exists() and b'"hang"' in record.read_bytes(), ENOUGH)
            yield process
        finally:
            process.kill()
            process.wait()


class Embedded(Far):
    """Here `showcase`, `sample`, `echo` and `ends` are the servers' names."""

    def __init__(self, folder: Path, server: SSHServer) -> None:
        self.server = server
        place = ["--host", "127.0.0.1", "--port", str(server.port)]
        keys = [
            "--client-key",
            str(folder / "client"),
            "--known-hosts",
            str(folder / "known_hosts"),
        ]
        super().__init__([*place, *keys], folder)


def _command_for(_kind: str, text: str | None) -> Sequence[str]:
    name, *options = shlex.split(text or "showcase")
    if name == "sample":
        return [sys.executable, "-m", "m2m_ssh_client.demo.sample_server"]
    if name == "ends":
        return [sys.executable, "-S", "-E", "-c", "import sys; sys.exit('no such module')"]
    of = {"showcase": showcase_server.command, "echo": echo_server.command}[name]
    return of(*options)


@contextmanager
def machine(folder: Path) -> Iterator[Embedded]:
    """Its keys, and the known_hosts that has it, are made in `folder`."""
    for name in ("host", "client"):
        ensure_client_key(folder / name)
    host_key = load_client_key(folder / "host", None)
    client = load_client_key(folder / "client", None)
    with SSHServer(
        host_key,
        lambda _, key: key.asbytes() == client.asbytes(),
        _command_for,
        env={**os.environ, "PYTHONPATH": PACKAGE_PARENT},
    ) as server:
        key = PublicKey(host_key.get_name(), host_key.asbytes())
        (folder / "known_hosts").write_text(entry("127.0.0.1", server.port, key))
        yield Embedded(folder, server)
