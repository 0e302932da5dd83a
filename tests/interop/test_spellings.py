"""Where `ssh lab` works, `--host lab` is all that is needed: the same machine, however it is spelt."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support import echo_server, programs
from support.host import Host, client_argv
from support.sshd import Sshd

from m2m_ssh_client import cli, options
from m2m_ssh_client.ssh.destination import resolve

if sys.platform == "win32":
    pytest.skip("sshd", allow_module_level=True)

pytestmark = [pytest.mark.interop, pytest.mark.cold]

# Our words; those of ssh, if they are other ones.
SPELLINGS: list[tuple[list[str], list[str] | None]] = [
    (["lab"], None),
    (["--host", "lab"], ["lab"]),
    (["ada@lab"], None),
    (["-l", "ada", "-p", "2200", "lab"], None),
    (["-J", "bastion,bob@gate:2022", "lab"], None),
    (["-o", "Port=2201", "-i", "/k", "lab"], None),
    (["ssh://ada@lab:2202"], None),
    (["--host", "ada@other:2204"], ["-p", "2204", "ada@other"]),
    (["other"], None),
    (["--port", "2205", "--username", "ada", "other"], ["-p", "2205", "-l", "ada", "other"]),
]

CONFIG = """\
Host lab
  HostName 10.1.2.3
  Port 2222
  User carol
  ProxyJump hop
"""


def ids(words: object) -> str:
    return " ".join(words) if isinstance(words, list) else ""


@pytest.mark.parametrize(("ours", "theirs"), SPELLINGS, ids=ids)
def test_each_spelling_is_read_as_ssh_reads_it(
    ours: list[str], theirs: list[str] | None, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text(CONFIG)
    config.chmod(0o600)
    said = subprocess.run(
        [programs.require("ssh"), "-G", "-F", config, *(theirs or ours)],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    ).stdout
    of_ssh = dict(line.split(" ", 1) for line in said.splitlines() if " " in line)
    args, command = options.understood(cli.parser(), ["-F", str(config), *ours, "--", "serve"])
    found = resolve(options.parameters(args, command)).settings
    assert (found.login.user, found.address.host, found.address.port) == (
        of_ssh["user"],
        of_ssh["hostname"],
        int(of_ssh["port"]),
    )
    assert bool(found.jump) == ("proxyjump" in of_ssh)


@pytest.mark.parametrize("words", [["lab"], ["--host", "lab"], ["tester@lab"]], ids=ids)
def test_an_alias_is_all_that_a_remote_command_needs(
    words: Sequence[str], sshd: Sshd, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"Host lab\n  HostName 127.0.0.1\n  Port {sshd.port}\n  IdentityFile {sshd.keys.client_key}\n"
        f"  UserKnownHostsFile {sshd.known_hosts}\n"
    )
    config.chmod(0o600)
    words = [word.replace("tester", sshd.username) for word in words]
    with Host(client_argv("-F", str(config), *words, "--", *echo_server.command())) as host:
        assert "result" in host.initialize()
