"""The SSH server and the key server as a pair: registering with one permits logins to the other."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from m2m_ssh_client.demo.sample_key_server import KeyServer
from m2m_ssh_client.demo.ssh_server import SSHServer
from m2m_ssh_client.errors import SSHClientError, reason
from m2m_ssh_client.ssh.public_key import PublicKey


class Servers(NamedTuple):
    ssh: SSHServer
    key_server: KeyServer

    def client_arguments(self, home: Path) -> list[str]:
        """Return the client's options to connect here, with its key in `home`."""
        return [
            *("--host", "127.0.0.1", "--port", str(self.ssh.port)),
            *("--use-key-server", "--key-server-port", str(self.key_server.port)),
            *("--client-key", str(home / "m2m_demo_key")),
        ]


@contextmanager
def servers(
    command: Sequence[str], ssh_port: int, key_server_port: int, events: Callable[[str], None]
) -> Iterator[Servers]:
    """Run both servers; the SSH server accepts every key registered with the key server."""

    def authorized(_: str, key: paramiko.PKey) -> bool:
        return PublicKey(key.get_name(), key.asbytes()) in key_server.registered

    def command_for(kind: str, text: str | None) -> Sequence[str] | None:
        # No exec: any local user could register a key and run commands as the demo's user.
        served = kind == "shell" or (kind, text) == ("subsystem", "mcp")
        return command if served else None

    host_key = _new_host_key()
    public = PublicKey(host_key.get_name(), host_key.asbytes())
    with _needing(key_server_port):
        key_server = KeyServer(public, port=key_server_port, events=events)
    with key_server:
        with _needing(ssh_port):
            ssh = SSHServer(host_key, authorized, command_for, port=ssh_port, events=events)
        with ssh:
            yield Servers(ssh, key_server)


def _new_host_key() -> paramiko.PKey:
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    return paramiko.Ed25519Key.from_private_key(io.StringIO(pem.decode()))


@contextmanager
def _needing(port: int) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise SSHClientError(
            f"The demo cannot listen on 127.0.0.1 port {port}: {reason(exc)}",
            "Another demo or server may be running there: stop it and try again.",
        ) from exc
