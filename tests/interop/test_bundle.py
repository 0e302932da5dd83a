"""The MCPB bundle: valid for its own tool, and runnable by the uv that hosts bring."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support import echo_server, installed, programs
from support.host import Host
from support.sshd import Sshd

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "mcpb"))

import bundle  # noqa: E402 - the folder comes first

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]  # the first run installs the programs


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    with zipfile.ZipFile(bundle.build(tmp_path)) as archive:
        archive.extractall(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_the_manifest_is_valid(unpacked: Path) -> None:
    argv = [*installed.node_argv(installed.MCPB), "validate", str(unpacked / "manifest.json")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_host_that_starts_the_bundle_reaches_the_remote_server(
    unpacked: Path, sshd: Sshd
) -> None:
    config = unpacked / "ssh_config"
    config.write_text(
        f"Host lab\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {sshd.username}\n"
        f"  IdentityFile {sshd.keys.client_key}\n  UserKnownHostsFile {sshd.known_hosts}\n"
    )
    start = json.loads((unpacked / "manifest.json").read_text())["server"]["mcp_config"]
    given = {
        "${__dirname}": str(unpacked),
        "${user_config.host}": "lab",
        "${user_config.command}": " ".join(echo_server.command()),
    }
    words = [given.get(word, word) for word in start["args"]]
    words[words.index("--host") : words.index("--host")] = ["-F", str(config)]
    assert not [word for word in words if "${" in word]
    argv = [str(installed.uv()), *words]
    env = {**programs.ORIGINAL_ENVIRONMENT, "M2M_SSH_PASSPHRASE": "", "PYTHONPATH": ""}
    with Host(argv, env=env) as host:
        assert "result" in host.initialize(timeout=200.0)
        host.close_stdin()
        assert host.wait() == 0
