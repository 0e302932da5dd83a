"""Paths, agents and output on Windows, as OpenSSH for Windows and its programs have them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

if sys.platform != "win32":
    pytest.skip("Windows' paths, pipes and code pages", allow_module_level=True)

import _winapi

from support.far import environment
from support.host import PROGRAM

from m2m_ssh_client.ssh.config.tokens import expand_home
from m2m_ssh_client.ssh.login import agent

ENOUGH = 10.0  # seconds


@pytest.mark.parametrize("spelling", ["__PROGRAMDATA__", "__programdata__"])
def test_the_folder_for_all_users_is_expanded(
    spelling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGRAMDATA", r"D:\all")
    assert expand_home(rf"{spelling}\ssh\known_hosts") == r"D:\all\ssh\known_hosts"


def test_an_agent_that_is_busy_is_waited_for(tmp_path: Path) -> None:
    name = rf"\\.\pipe\m2m-{os.getpid()}-{tmp_path.name}"
    pipe = _winapi.CreateNamedPipe(
        *(name, _winapi.PIPE_ACCESS_DUPLEX, _winapi.PIPE_WAIT, 2, 100, 100, 0, _winapi.NULL)
    )
    other = os.open(name, os.O_RDWR)
    more: list[int] = []

    def serve_another() -> None:
        more.append(
            _winapi.CreateNamedPipe(
                *(name, _winapi.PIPE_ACCESS_DUPLEX, _winapi.PIPE_WAIT, 2, 100, 100, 0),
                _winapi.NULL,
            )
        )

    timer = threading.Timer(0.3, serve_another)
    timer.start()
    os.close(agent._open(name))
    timer.join(ENOUGH)
    os.close(other)
    for each in (pipe, *more):
        _winapi.CloseHandle(each)


def test_an_agent_that_stays_busy_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "_PROMPT", 0.3)
    name = rf"\\.\pipe\m2m-{os.getpid()}-{tmp_path.name}"
    pipe = _winapi.CreateNamedPipe(
        *(name, _winapi.PIPE_ACCESS_DUPLEX, _winapi.PIPE_WAIT, 1, 100, 100, 0, _winapi.NULL)
    )
    other = os.open(name, os.O_RDWR)
    with pytest.raises(TimeoutError, match="busy"):
        agent._open(name)
    os.close(other)
    _winapi.CloseHandle(pipe)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_that_is_no_console_is_utf_8(stream: str) -> None:
    env = {name: v for name, v in environment().items() if name != "PYTHONUTF8"}
    words = (
        ["install", "vscode", "lab", "--print", "--host", "lab", "--", "ü"]
        if stream == "stdout"
        else ["--ü"]
    )
    done = subprocess.run([*PROGRAM, *words], capture_output=True, timeout=60, env=env)
    assert "ü".encode() in getattr(done, stream), done
