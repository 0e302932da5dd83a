"""The servers that keepers hold for this user on a machine: which there are, and their end."""

from __future__ import annotations

from typing import NamedTuple

from m2m_ssh_client.conversation import read_all
from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.keeping.keeper_command import keeper_command
from m2m_ssh_client.keeping.stream import END_SERVER, LIST, READY, order
from m2m_ssh_client.ssh.opener import Opener
from m2m_ssh_client.ssh.settings import Request
from m2m_ssh_client.text import printable

_PATIENCE = 20.0  # seconds
_MOST = 1024 * 1024  # bytes


class Kept(NamedTuple):
    """A server; times in seconds. `pid` is its keeper's, `state` attached, kept or ended."""

    pid: int
    state: str
    age: int
    left: int
    program: str


def servers(remote: Opener) -> list[Kept]:
    """Return those that are kept. Blocking. Raises an SSHClientError."""
    return _asked(remote, LIST, 0)


def end(remote: Opener, pid: int) -> list[Kept]:
    """End the server of this keeper, or all of them for 0; return what was ended, as above."""
    return _asked(remote, END_SERVER, pid)


def _asked(remote: Opener, what: bytes, pid: int) -> list[Kept]:
    carrier = remote.open(lambda _request: Request(keeper_command(), shown="python3"))
    said = read_all(carrier, _PATIENCE, _MOST, order(what, b"%d" % pid))
    before, ready, lines = said.partition(READY + b"\n")
    if not ready:
        raise SSHClientError(
            "Nothing can be kept on this machine: there is no `python3` of version 3.6 or later",
            f"It said: {printable(before.strip()) or 'nothing'}",
        )
    return [_read(line) for line in lines.splitlines()]


def _read(line: bytes) -> Kept:
    try:
        pid, state, age, left, program = line.split(b"\t", 4)
        return Kept(int(pid), printable(state), int(age), int(left), printable(program))
    except ValueError:
        raise SSHClientError(
            f"A keeper there says what is not understood: {printable(line)}"
        ) from None
