"""From a machine that was never logged in to, to an entry in a host, as a person does it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import programs
from support.far import environment
from support.host import PROGRAM
from support.showcase_server import command
from support.sshd import Sshd

if sys.platform == "win32":
    pytest.skip("tmux", allow_module_level=True)

from support.tmux import Pane

pytestmark = pytest.mark.interop

StartSshd = Callable[..., Sshd]


def setup(sshd: Sshd, home: Path, **more: str) -> Pane:
    """The command in an empty home folder."""
    (home / ".cursor").mkdir(parents=True)
    words = ["-F", "none", "--known-hosts", str(home / "known"), "-p", str(sshd.port)]
    argv = [*PROGRAM, "setup", f"{sshd.username}@127.0.0.1", *words, "--", *command()]
    env = environment(HOME=str(home), LC_ALL="C.UTF-8", **more)
    return Pane(argv, env=env, cwd=home, columns=100, lines=50)


def answer(pane: Pane, question: str, text: str) -> str:
    screen = pane.wait_for(lambda screen: screen.rstrip().endswith(question))
    pane.type(f"{text}\n")
    return screen


def authorized_keys(sshd: Sshd) -> Path:
    return sshd.home.parent / "authorized_keys"


def test_each_step_is_shown_before_it_is_done_and_the_entry_works(
    start_sshd: StartSshd, tmp_path: Path
) -> None:
    sshd, home = start_sshd(), tmp_path / "person"
    key = home / ".ssh/m2m_mcp_server_ssh_client"
    with setup(sshd, home) as pane:
        pane.wait_for(lambda screen: "Create it" in screen)
        assert not key.exists()
        answer(pane, "Create it (yes/no)?", "yes")
        pane.wait_for(lambda screen: "paste the fingerprint" in screen)
        assert not (home / "known").exists()
        answer(pane, "paste the fingerprint)?", "yes")
        pane.wait_for(lambda screen: "Is that done" in screen)
        line = key.with_suffix(".pub").read_text()
        assert line.split()[1] in re.sub(r"\s", "", pane.everything())
        with authorized_keys(sshd).open("a") as file:
            file.write(line)
        answer(pane, "Is that done (yes/no)?", "yes")
        assert "steps" in answer(pane, "Number (empty for none):", "1")
        answer(pane, "]:", "lab")
        pane.wait_for(lambda screen: "Write this" in screen)
        assert not (home / ".cursor/mcp.json").exists()
        answer(pane, "Write this (yes/no)?", "yes")
        assert pane.status() == 0
    entry = json.loads((home / ".cursor/mcp.json").read_text())["mcpServers"]["lab"]
    assert entry["args"][-len(command()) :] == list(command())


def test_where_a_password_is_wanted_the_key_is_brought_by_ssh_copy_id(
    start_sshd: StartSshd, tmp_path: Path
) -> None:
    """A stand-in for the person who types a password; the words are checked by the program itself."""
    sshd, home = start_sshd("Match all", "PasswordAuthentication yes"), tmp_path / "person"
    real, folder = programs.require("ssh-copy-id"), tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh-copy-id").write_text(
        f'#!/bin/sh\n{real} -n "$@" && cat "$2" >> {authorized_keys(sshd)}\n'
    )
    (folder / "ssh-copy-id").chmod(0o700)
    path = f"{folder}:{environment()['PATH']}"
    with setup(sshd, home, PATH=path) as pane:
        answer(pane, "Create it (yes/no)?", "yes")
        answer(pane, "paste the fingerprint)?", "yes")
        answer(pane, "Run it (yes/no)?", "yes")
        assert "Logged in." in answer(pane, "Number (empty for none):", "")
        assert pane.status() == 1  # as no entry was written
    assert not (home / ".cursor/mcp.json").exists()


def test_a_declined_step_changes_nothing_and_the_next_run_goes_on_from_there(
    start_sshd: StartSshd, tmp_path: Path
) -> None:
    sshd, home = start_sshd(), tmp_path / "person"
    with setup(sshd, home) as pane:
        answer(pane, "Create it (yes/no)?", "yes")
        answer(pane, "paste the fingerprint)?", "no")
        assert pane.status() == 1
        assert "Run the same command again" in pane.everything()
    assert not (home / "known").exists()
    (home / ".cursor").rmdir()
    with setup(sshd, home) as pane:  # the key is there now
        answer(pane, "paste the fingerprint)?", "yes")
        answer(pane, "Is that done (yes/no)?", "no")
        assert pane.status() == 1
    assert (home / "known").exists()
