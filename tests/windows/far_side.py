"""The Linux side of the tests under Wine: a real sshd, named to the Windows side by the environment."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from support import echo_server
from support.sshd import Sshd, SshdKeys, make_privilege_separation_folder

_VARIABLE = "M2M_TESTS_FAR_SIDE"


@dataclass(frozen=True)
class FarSide:
    """A server to log in to, on a port of loopback, and the command that runs the echo server there.

    `files` is its folder on Linux, with the files `client` and `known_hosts`.
    """

    port: int
    username: str
    host_key: str
    files: str
    command: list[str]

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> FarSide | None:
        text = variables.get(_VARIABLE)
        return cls(**json.loads(text)) if text else None


@contextmanager
def far_side() -> Iterator[dict[str, str]]:
    """Run the server meanwhile; yields the variable that names it."""
    make_privilege_separation_folder()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys = SshdKeys.generate(folder)
        with Sshd(keys, folder / "sshd") as sshd:
            host_key, command = keys.public_host_key("ed25519"), echo_server.command()
            known = FarSide(sshd.port, sshd.username, host_key, os.fspath(folder), command)
            yield {_VARIABLE: json.dumps(asdict(known))}
