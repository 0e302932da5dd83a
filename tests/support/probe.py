"""What a program sends first and which variables it passes on when it starts our client.

The variables are noted by a program with our client's name, which then becomes the client. The first
message is recorded by the server at the other end, since the relay changes nothing.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import m2m_ssh_client
from m2m_ssh_client._version import PROGRAM

# Variables that matter to a client of SSH, and one that no program can know.
_ASKED = ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "SSH_AUTH_SOCK", "TERM", "USER"]
_UNKNOWN = "M2M_PROBE"
_PROTOCOL = "io.modelcontextprotocol/protocolVersion"
_PAGE = Path(__file__).parents[2] / "docs/hosts.md"

# The variables as the kernel has them: Python adds its own to os.environ.
_PROGRAM = """\
#!{python} -SE
import os, sys
with open("/proc/self/environ") as source, open({variables!r}, "a") as sink:
    sink.write(" ".join(each.partition("=")[0] for each in source.read().split("\\0")) + "\\n")
os.execv({python!r}, [{python!r}, {client!r}, *sys.argv[1:]])
"""


class Probe:
    """`program` is to be started instead of our client; the server at the other end writes `record`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.program = folder / PROGRAM
        self.record = folder / "record"
        self._variables = folder / "variables"
        client = str(Path(m2m_ssh_client.__file__).with_name("__main__.py"))
        variables = str(self._variables)
        text = _PROGRAM.format(python=sys.executable, variables=variables, client=client)
        self.program.write_text(text)
        self.program.chmod(0o755)

    @staticmethod
    def environment() -> dict[str, str]:
        """The environment for a program under test, with all that is asked about."""
        asked = dict.fromkeys([*_ASKED, _UNKNOWN], "x")
        return {**asked, **os.environ, "LANG": "C.UTF-8", "SHELL": "/bin/sh", "TERM": "dumb"}

    def starts(self) -> int:
        """How often the program has started our client."""
        return len(self._noted())

    def seen(self) -> list[str]:
        """The first message, its protocol version and the variables, as in the table in docs/hosts.md."""
        first = json.loads(self.record.read_text(encoding="utf-8").splitlines()[0])
        params = first["params"]
        version = params.get("protocolVersion") or params["_meta"][_PROTOCOL]
        given = set(self._noted()[0].split())
        return [f"`{first['method']}`", version, _in_words(given)]

    def _noted(self) -> list[str]:
        return self._variables.read_text().splitlines() if self._variables.exists() else []


def documented(program: str) -> list[str]:
    """The same three cells of the program's row, behind the version."""
    for line in _PAGE.read_text(encoding="utf-8").partition("\n## First messages")[2].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == program:
            return cells[1:5]
    raise AssertionError(f"docs/hosts.md has no first message of {program}")


def _in_words(given: set[str]) -> str:
    if _UNKNOWN not in given:
        return " ".join(f"`{name}`" for name in _ASKED if name in given)
    missing = " ".join(f"`{name}`" for name in _ASKED if name not in given)
    return f"all but {missing}" if missing else "all"
