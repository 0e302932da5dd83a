"""An SSH server and a key server on loopback with which any client registers, as with m2m-mcp-server-ssh-server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import paramiko

from m2m_ssh_client.demo.sample_key_server import KeyServer
from m2m_ssh_client.demo.ssh_server import SSHServer
from m2m_ssh_client.ssh.login.key_files import ensure_client_key, load_client_key
from m2m_ssh_client.ssh.public_key import PublicKey


class Pair(NamedTuple):
    ssh: SSHServer
    key_server: KeyServer


@contextmanager
def pair(command: Sequence[str], events: Callable[[str], None] = lambda _: None) -> Iterator[Pair]:
    """Run both. A shell request and the subsystem mcp start the command."""

    def authorized(_: str, key: paramiko.PKey) -> bool:
        return _public(key) in key_server.registered

    def command_for(kind: str, text: str | None) -> Sequence[str] | None:
        return command if kind == "shell" or (kind, text) == ("subsystem", "mcp") else None

    with TemporaryDirectory() as folder:
        path = Path(folder, "host_key")
        ensure_client_key(path)
        host_key = load_client_key(path, None)
    with (
        KeyServer(_public(host_key), events=events) as key_server,
        SSHServer(host_key, authorized, command_for, events=events) as ssh,
    ):
        yield Pair(ssh, key_server)


def _public(key: paramiko.PKey) -> PublicKey:
    return PublicKey(key.get_name(), key.asbytes())
