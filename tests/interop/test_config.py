"""Where `ssh` gets with a configuration, this client gets, and nowhere else: both are let loose on a real sshd."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from interop.config_cases import CASES, REST
from support import programs
from support.received import read_all
from support.sshd import Sshd

from m2m_ssh_client.api import SSHServerParameters
from m2m_ssh_client.errors import RemoteExitError, SSHClientError
from m2m_ssh_client.ssh.opener import Opener

if sys.platform == "win32":
    pytest.skip("sshd and ssh as they are elsewhere", allow_module_level=True)

pytestmark = pytest.mark.interop

TUNNEL = (
    "import os, socket, sys, threading\n"
    "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
    "def up():\n"
    "    while d := os.read(0, 65536): s.sendall(d)\n"
    "threading.Thread(target=up, daemon=True).start()\n"
    "while d := s.recv(65536): os.write(1, d)\n"
)


@pytest.fixture(scope="module")
def own_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with keys that no server knows: an encrypted one, and six that are not."""
    folder = tmp_path_factory.mktemp("own-keys")
    _keygen("-N", "a secret", "-f", folder / "encrypted")
    for number in range(6):
        _keygen("-N", "", "-f", folder / f"k{number}")
    return folder


@pytest.fixture
def fill(
    sshd: Sshd, own_keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], str]:
    """Puts the server's places into a text, and makes the files that are named there."""
    keys = sshd.keys
    monkeypatch.setenv("CASE_KEY", str(keys.client_key))
    known = sshd.known_hosts.read_text()
    named = known.replace(f"[127.0.0.1]:{sshd.port}", "known-as")
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(known + named)
    stranger = " ".join(keys.stranger_key.with_suffix(".pub").read_text().split()[:2])
    (tmp_path / "other_hosts").write_text(f"[127.0.0.1]:{sshd.port} {stranger}\n")
    (tmp_path / "wrong-port").write_text("Port 1\n")
    (tmp_path / "revoked").write_text(keys.public_host_key("ed25519") + "\n")
    (tmp_path / "tunnel.py").write_text(TUNNEL)
    (tmp_path / f"alias_{sshd.username}").symlink_to(keys.client_key)
    shutil.copytree(own_keys, tmp_path, dirs_exist_ok=True)
    places = {
        "address": "127.0.0.1",
        "port": sshd.port,
        "user": sshd.username,
        "local_user": getpass.getuser(),
        "key": keys.client_key,
        "stranger": keys.stranger_key,
        "encrypted": tmp_path / "encrypted",
        "known_hosts": known_hosts,
        "other_hosts": tmp_path / "other_hosts",
        "folder": tmp_path,
        "tunnel": f"{sys.executable} -S -E {tmp_path / 'tunnel.py'}",
    }
    return lambda text: text.format(**places)


def _keygen(*arguments: str | Path) -> None:
    subprocess.run(
        [programs.require("ssh-keygen"), "-q", "-t", "ed25519", *arguments],
        check=True,
        capture_output=True,
        timeout=20,
    )


def ssh_gets_in(config: Path) -> bool:
    done = subprocess.run(
        [programs.require("ssh"), "-F", config, "-o", "BatchMode=yes", "-n", "alias", "true"],
        env={"PATH": os.environ["PATH"], "CASE_KEY": os.environ["CASE_KEY"]},
        capture_output=True,
        timeout=30,
    )
    return done.returncode == 0


def we_get_in(config: Path) -> tuple[bool, str]:
    """Whether, and the words if not."""
    params = SSHServerParameters(host="alias", ssh_config=str(config), command=("true",))
    with closing(Opener(params)) as remote:
        try:
            carrier = remote.open()
        except SSHClientError as exc:
            return False, str(exc)
        read_all(carrier)
        ending = carrier.ending()
    return isinstance(ending, RemoteExitError) and ending.status == 0, str(ending)


@pytest.mark.parametrize("name", CASES)
def test_both_get_in_or_neither(name: str, fill: Callable[[str], str], tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(fill(CASES[name] + REST))
    config.chmod(0o600)
    new = tmp_path / "new"
    expected = ssh_gets_in(config), new.exists()
    new.unlink(missing_ok=True)
    got_in, words = we_get_in(config)
    assert (got_in, new.exists()) == expected, words
