"""The least that a client in Python with paramiko does: connect, log in, pass bytes on. Verifies and remembers nothing.

`python benchmarks/floor.py PORT USER KEY COMMAND`. What this takes, no client of this kind can save.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

from m2m_ssh_client.lean_imports import leave_out_openssl
from m2m_ssh_client.ssh.library.loading import load_paramiko

leave_out_openssl()
load_paramiko()

import paramiko  # noqa: E402 - without the parts that are left out


def main(port: str, user: str, key: str, command: str) -> None:
    sys.setswitchinterval(0.0005)
    sock = socket.create_connection(("127.0.0.1", int(port)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = paramiko.Transport(sock)
    transport.start_client(timeout=30)
    transport.auth_publickey(user, paramiko.Ed25519Key(filename=key))
    channel = transport.open_session(window_size=1 << 21)
    channel.exec_command(command)
    threading.Thread(target=_to_remote, args=(channel,), daemon=True).start()
    while data := channel.recv(1 << 18):
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(1, rest) :]


def _to_remote(channel: paramiko.Channel) -> None:
    while data := os.read(0, 1 << 18):
        channel.sendall(data)
    channel.shutdown_write()


if __name__ == "__main__":
    main(*sys.argv[1:])
