"""Real peers, started once for the session; tests that need others start their own."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import echo_server, programs
from support.era_peers import Peers
from support.sshd import Guest, Sshd, SshdKeys, make_privilege_separation_folder

StartSshd = Callable[..., Sshd]


@pytest.fixture(scope="session")
def sshd_keys(tmp_path_factory: pytest.TempPathFactory) -> SshdKeys:
    programs.require("sshd")
    make_privilege_separation_folder()
    return SshdKeys.generate(tmp_path_factory.mktemp("sshd-keys"))


@pytest.fixture(scope="session")
def sshd(sshd_keys: SshdKeys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An ordinary server whose subsystem `mcp` is the echo server."""
    subsystem = "Subsystem mcp " + " ".join(echo_server.command())
    with Sshd(sshd_keys, tmp_path_factory.mktemp("sshd"), [subsystem]) as server:
        yield server


@pytest.fixture(scope="session")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Peers:
    return Peers(tmp_path_factory.mktemp("peers"))


@pytest.fixture
def ordinary_sshd(sshd_keys: SshdKeys) -> Iterator[Sshd]:
    """A server where the user is not root, whoever runs the tests."""
    guest = None
    # Not below pytest's folders, which nobody else may enter.
    with tempfile.TemporaryDirectory(prefix="sshd-guest-") as name:
        folder = Path(name)
        if sys.platform != "win32" and os.geteuid() == 0:
            guest = Guest()
            folder.chmod(0o755)
        with Sshd(sshd_keys, folder, guest=guest) as server:
            if sys.platform != "win32" and guest:
                os.chown(server.home, guest.uid, guest.uid)
            yield server


@pytest.fixture
def start_sshd(sshd_keys: SshdKeys, tmp_path: Path) -> Iterator[StartSshd]:
    """Starts a server with further lines of configuration, which ends with the test."""
    with ExitStack() as servers:
        count = 0

        def start(*extra: str) -> Sshd:
            nonlocal count
            count += 1
            return servers.enter_context(Sshd(sshd_keys, tmp_path / f"sshd-{count}", extra))

        yield start
