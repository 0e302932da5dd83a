"""A remote machine for commands that use one: the embedded SSH server, with MCP servers to choose from."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support import echo_server, showcase_server
from support.host import PACKAGE_PARENT, client_argv

from m2m_ssh_client.demo.ssh_server import SSHServer
from m2m_ssh_client.ssh.host_key import HostKey
from m2m_ssh_client.ssh.keys import ensure_client_key, load_client_key
from m2m_ssh_client.ssh.known_hosts import entry

ENOUGH = 40.0  # seconds; the SDK takes two to load on a slow machine
ENVIRONMENT = {
    **{
        name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")
    },
    "PYTHONPATH": PACKAGE_PARENT,
    "PYTHONUTF8": "1",
}


class Far:
    """How the commands get there, and in which folder they run."""

    def __init__(self, folder: Path, server: SSHServer) -> None:
        self.server = server
        self.connection = [
            *("-F", "none", "--host", "127.0.0.1", "--port", str(server.port)),
            *("--client-key", str(folder / "client"), "--known-hosts", str(folder / "known_hosts")),
        ]
        self.here = folder

    def argv(self, *words: str, server: Sequence[str] = ("showcase",)) -> list[str]:
        return client_argv(*words, *self.connection, "--", *server)

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
            env={**ENVIRONMENT, **(env or {})},
            cwd=self.here,
        )


def _command_for(_kind: str, text: str | None) -> Sequence[str]:
    name, *options = shlex.split(text or "showcase")
    if name == "sample":
        return [sys.executable, "-m", "m2m_ssh_client.demo.sample_server"]
    if name == "ends":
        return [sys.executable, "-S", "-E", "-c", "import sys; sys.exit('no such module')"]
    of = {"showcase": showcase_server.command, "echo": echo_server.command}[name]
    return of(*options)


@contextmanager
def machine(folder: Path) -> Iterator[Far]:
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
        key = HostKey(host_key.get_name(), host_key.asbytes())
        (folder / "known_hosts").write_text(entry("127.0.0.1", server.port, key))
        yield Far(folder, server)
