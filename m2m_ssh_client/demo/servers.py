"""The SSH server and the key server as a pair: registering with one permits logins to the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import paramiko

from m2m_ssh_client.demo.sample_key_server import KeyServer
from m2m_ssh_client.demo.ssh_server import SSHServer
from m2m_ssh_client.errors import SSHClientError, reason
from m2m_ssh_client.ssh.login.key_files import ensure_client_key, load_client_key
from m2m_ssh_client.ssh.public_key import PublicKey


class Servers(NamedTuple):
    ssh: SSHServer
    key_server: KeyServer
    client_key: Path

    @property
    def client_arguments(self) -> list[str]:
        """The client's options to connect here."""
        return [
            *("--host", "127.0.0.1", "--port", str(self.ssh.port)),
            *("--use-key-server", "--key-server-port", str(self.key_server.port)),
            *("--client-key", str(self.client_key)),
        ]


@contextmanager
def servers(
    command: Sequence[str],
    ssh_port: int,
    key_server_port: int,
    events: Callable[[str], None],
    keys: Path,
) -> Iterator[Servers]:
    """Run both servers, with the host key and the client key in the folder `keys`.

    Missing keys are made. The client key is the only one that can be registered: the ports are open
    to all users of this machine. Raises SSHClientError.
    """

    def authorized(_: str, key: paramiko.PKey) -> bool:
        return _public(key) in key_server.registered

    def command_for(kind: str, text: str | None) -> Sequence[str] | None:
        served = kind == "shell" or (kind, text) == ("subsystem", "mcp")
        return command if served else None

    client_key = keys / "client_key"
    host_key, own = _key(keys / "host_key"), _key(client_key)
    with _needing(key_server_port):
        key_server = KeyServer(_public(host_key), _public(own), port=key_server_port, events=events)
    with key_server:
        with _needing(ssh_port):
            ssh = SSHServer(host_key, authorized, command_for, port=ssh_port, events=events)
        with ssh:
            yield Servers(ssh, key_server, client_key)


def _key(path: Path) -> paramiko.PKey:
    ensure_client_key(path)
    return load_client_key(path, None)


def _public(key: paramiko.PKey) -> PublicKey:
    return PublicKey(key.get_name(), key.asbytes())


@contextmanager
def _needing(port: int) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise SSHClientError(
            f"The demo cannot listen on 127.0.0.1 port {port}: {reason(exc)}",
            "Another demo or server may be running there: stop it and try again.",
        ) from exc
