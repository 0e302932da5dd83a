"""Agents that are found although no SSH_AUTH_SOCK names them: real ones, where they listen."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import programs
from support.ssh_agent import GpgAgent, SshAgent

from m2m_ssh_client.ssh.login import agent_places
from m2m_ssh_client.ssh.login.agent_places import first_with_keys, places

if sys.platform == "win32":
    pytest.skip("Windows' agents have fixed places", allow_module_level=True)

Listen = Callable[[str], Path]


def never() -> bool:
    return False


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder, a runtime folder and one for temporary files, with short paths."""
    with tempfile.TemporaryDirectory(prefix="h-") as name:
        folder = Path(name).resolve()
        for part, variable in (("home", "HOME"), ("run", "XDG_RUNTIME_DIR"), ("tmp", "TMPDIR")):
            (folder / part).mkdir(mode=0o700)
            monkeypatch.setenv(variable, str(folder / part))
        yield folder


@pytest.fixture
def listen(root: Path) -> Iterator[Listen]:
    """Make a socket at this place below `root` that nobody serves."""
    sockets = []

    def listen(name: str) -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        sock = socket.socket(socket.AF_UNIX)
        sockets.append(sock)
        sock.bind(str(path))
        sock.listen()
        return path

    yield listen
    for sock in sockets:
        sock.close()


def found(root: Path) -> list[str]:
    return [str(place.path.relative_to(root)) for place in places()]


def test_the_places_of_the_session_come_before_older_ones(root: Path, listen: Listen) -> None:
    names = [
        "tmp/ssh-abc/agent.12",
        "home/.1password/agent.sock",
        "run/gnupg/S.gpg-agent.ssh",
        "run/keyring/ssh",
        "home/.ssh/agent/s.abc.agent.def",
    ]
    for name in names:
        listen(name)
    assert found(root) == names[::-1]


def test_agents_of_macos_are_found_where_launchd_and_the_library_have_them(
    root: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [
        "tmp/com.apple.launchd.a1B2c3/Listeners",
        "home/Library/Group Containers/2BUA8C4S2C.com.1password/t/agent.sock",
        "home/Library/Containers/com.maxgoedjen.Secretive.SecretAgent/Data/socket.ssh",
        "home/.ssh/agent/s.abc.agent.def",
    ]
    for name in names[::-1]:
        listen(name)
    assert found(root) == names[3:]
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(agent_places, "_LAUNCHD", (str(root / "missing"), str(root / "tmp")))
    assert found(root) == names


def test_the_newest_of_several_agents_comes_first(root: Path, listen: Listen) -> None:
    names = [f"home/.ssh/agent/s.{number}.agent.x" for number in range(3)]
    for age, name in enumerate(names):
        os.utime(listen(name), (1000 + age, 1000 + age))
    assert found(root) == names[::-1]


def test_only_sockets_count(root: Path, listen: Listen) -> None:
    real = listen("run/keyring/ssh")
    folder = root / "home/.ssh/agent"
    folder.mkdir(parents=True)
    (folder / "s.file").write_text("")
    (folder / "s.link").symlink_to(real)
    assert found(root) == ["run/keyring/ssh"]


def test_what_others_own_or_could_replace_is_left_alone(
    root: Path, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket_ = listen("tmp/ssh-abc/agent.1")
    assert found(root) == ["tmp/ssh-abc/agent.1"]
    socket_.parent.chmod(0o770)
    assert found(root) == []
    socket_.parent.chmod(0o700)
    (root / "tmp").chmod(0o777)
    assert found(root) == []
    (root / "tmp").chmod(0o1777)  # nobody can rename another's folder there
    assert found(root) == ["tmp/ssh-abc/agent.1"]
    someone = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: someone)
    assert found(root) == []


@pytest.mark.skipif("os.geteuid()", reason="only root can plant things for others")
def test_what_another_user_plants_is_left_alone(root: Path, listen: Listen) -> None:
    other = 61234
    (root / "tmp").chmod(0o1777)
    own = listen("home/own/agent.1")
    planted = listen("tmp/ssh-planted/agent.1")
    os.chown(planted, other, other)
    assert found(root) == []
    os.chown(planted, 0, 0)
    os.chown(planted.parent, other, other)
    assert found(root) == []
    link = root / "tmp/ssh-link"
    link.symlink_to(own.parent)
    os.chown(link, other, other, follow_symlinks=False)
    assert found(root) == []


def test_without_any_of_these_folders_nothing_is_found(root: Path) -> None:
    assert found(root) == []
    assert first_with_keys(never) is None


@pytest.mark.interop
def test_dead_and_empty_agents_are_passed_over_for_one_with_a_key(
    root: Path, listen: Listen
) -> None:
    dead = listen("home/.ssh/agent/s.dead.agent.x")
    dead.unlink()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(dead))  # nobody will listen
    (root / "run/keyring").mkdir(mode=0o700)
    (root / "tmp/ssh-full").mkdir(mode=0o700)
    key = _key(root)
    with SshAgent(root / "run/keyring/ssh"), SshAgent(root / "tmp/ssh-full/agent.1") as full:
        assert first_with_keys(never) is None
        full.add(key)
        agent = first_with_keys(never)
        assert agent is not None
        with agent:
            assert (agent.path, agent.found) == (full.path, "ssh-agent")
            assert len(agent.keys()) == 1


def test_agents_that_hang_are_given_up_in_time(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_places, "_PATIENCE", 0.2)
    monkeypatch.setattr(agent_places, "_MOST_TIME", 0.5)
    for number in range(10):
        listen(f"home/.ssh/agent/s.{number}.agent.x")
    began = time.monotonic()
    assert first_with_keys(never) is None
    assert time.monotonic() - began < 2


@pytest.mark.interop
def test_a_gpg_agent_with_a_key_is_found(root: Path) -> None:
    with GpgAgent(root / "home" / ".gnupg") as gpg:
        gpg.add(_key(root))
        agent = first_with_keys(never)
        assert agent is not None
        with agent:
            assert (agent.path, agent.found) == (gpg.path, "gpg-agent")
            assert len(agent.keys()) == 1


def _key(folder: Path) -> Path:
    key = folder / "key"
    ssh_keygen = str(programs.require("ssh-keygen"))
    argv = [ssh_keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(argv, check=True, timeout=20, capture_output=True)
    return key
