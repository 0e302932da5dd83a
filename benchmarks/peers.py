"""Who is compared: programs that a host could start, all of them towards the same sshd."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support import programs
from support.sshd import Sshd

BASE = "ssh -T"
OURS = "this client"
FLOOR = "paramiko alone"
ASYNCSSH = "asyncssh client"

_ASYNCSSH_PACKAGES = ("m2m-mcp-server-ssh-client==0.1.3", "mcp<2")


@dataclass(frozen=True)
class Peer:
    """`argv(port)` starts it towards that port on loopback, where sshd listens or something in front of it."""

    name: str
    argv: Callable[[int], list[str]]


def openssh(sshd: Sshd) -> Peer:
    def argv(port: int) -> list[str]:
        return [
            f"Port={port}" if word.startswith("Port=") else word for word in sshd.openssh_argv("-")
        ]

    return Peer(BASE, argv)


def ours(sshd: Sshd, python: str | None = None) -> Peer:
    """This client, on the Python that measures or on another one."""
    name = OURS if python is None else f"{OURS} on {_version(python)}"

    def argv(port: int) -> list[str]:
        options = sshd.client_options()
        options[options.index("--port") + 1] = str(port)
        return [python or sys.executable, "-m", "m2m_ssh_client", *options, "--", "-"]

    return Peer(name, argv)


def floor(sshd: Sshd) -> Peer:
    """A program with nothing in it but what cannot be left out."""
    options = sshd.client_options()
    user, key = (options[options.index(name) + 1] for name in ("--username", "--client-key"))
    program = str(Path(__file__).resolve().parent / "floor.py")
    return Peer(FLOOR, lambda port: [sys.executable, program, str(port), user, key, "-"])


def _version(python: str) -> str:
    done = subprocess.run([python, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def asyncssh(sshd: Sshd) -> Peer:
    """The client of m2m-mcp-server-ssh-client 0.1, in a virtual environment of its own."""
    python = _asyncssh_python()

    def argv(port: int) -> list[str]:
        options = sshd.client_options()
        options[options.index("--port") + 1] = str(port)
        return [str(python.parent / "m2m-mcp-server-ssh-client"), *options, "--log-level", "ERROR"]

    return Peer(ASYNCSSH, argv)


def _asyncssh_python() -> Path:
    folder = programs.cache_folder() / "benchmark-asyncssh-client"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "-q"]
        with tempfile.TemporaryDirectory() as empty:  # not the sources in the current folder
            subprocess.run([*pip, *_ASYNCSSH_PACKAGES], check=True, cwd=empty)
        (folder / "complete").touch()
    return python
