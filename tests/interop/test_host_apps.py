"""Real host applications read the entry that `install` writes, and connect through it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from support import installed, programs
from support.sshd import Sshd

from m2m_ssh_client import cli
from m2m_ssh_client.hosts.apps import APPS, Machine
from m2m_ssh_client.hosts.entries import client

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]  # the first run installs the programs

_RUN_TIMEOUT = 90.0  # seconds
_PROGRAMS = {
    "claude-code": ("@anthropic-ai/claude-code", "2.1.197", "@anthropic-ai/claude-code-*/claude"),
    "codex": ("@openai/codex", "0.171.0", ".bin/codex"),
    "copilot": ("@github/copilot", "1.0.102", ".bin/copilot"),
    "opencode": ("opencode-ai", "1.18.33", "opencode-*/bin/opencode"),
}


def told_by(app: str, *arguments: str) -> str:
    """What the program prints, with an empty home but for what `install` wrote."""
    argv = installed.host_app_argv(*_PROGRAMS[app])
    path = [str(programs.require("node").parent), os.environ["PATH"]]
    done = subprocess.run(
        [*argv, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_RUN_TIMEOUT,
        cwd=os.environ["HOME"],
        env={**os.environ, "PATH": os.pathsep.join(path), "TERM": "dumb"},
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    return done.stdout.decode(errors="replace")


@pytest.fixture
def entry(sshd: Sshd) -> list[str]:
    return [*sshd.client_options(), "-F", "none", "--subsystem", "mcp"]


@pytest.mark.parametrize(
    ("app", "words"), [("claude-code", "Connected"), ("opencode", "✓ lab connected")]
)
def test_a_program_connects_through_the_entry(app: str, words: str, entry: list[str]) -> None:
    assert cli.main(["install", app, "lab", "--yes", *entry]) == 0
    listed = told_by(app, "mcp", "list").replace("\x1b[0m", "").replace("\x1b[90m", "")
    assert words in listed, listed


def test_codex_reads_the_command_and_the_limits(entry: list[str]) -> None:
    assert cli.main(["install", "codex", "lab", "--yes", *entry]) == 0
    read = json.loads(told_by("codex", "mcp", "get", "lab", "--json"))
    assert [read["transport"]["command"], *read["transport"]["args"]] == [*client(), *entry]
    assert (read["startup_timeout_sec"], read["tool_timeout_sec"]) == (60.0, 600.0)


def test_copilot_reads_the_command_and_the_limit(entry: list[str]) -> None:
    assert cli.main(["install", "copilot", "lab", "--yes", *entry]) == 0
    read = told_by("copilot", "mcp", "get", "lab")
    assert " ".join([*client(), *entry]) in read
    assert "Timeout: 600000ms" in read


def test_what_codex_adds_itself_is_kept_and_listed(
    entry: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    told_by("codex", "mcp", "add", "own", "--env", "A=1", "--", "npx", "server")
    (file,) = APPS["codex"].files(Machine.this())
    before = Path(file).read_text()
    assert cli.main(["install", "codex", "lab", "--yes", *entry]) == 0
    assert cli.main(["list", "--all"]) == 0
    assert "codex  own\n  npx server\n" in capsys.readouterr().out
    assert cli.main(["uninstall", "codex", "lab", "--yes"]) == 0
    assert Path(file).read_text() == before
