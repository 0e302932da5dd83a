"""What the tests of commands share."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from support.at_home import Run, Shown, Terminal

from m2m_ssh_client import cli

FOLDERS_OF_APPS = (
    *("CLAUDE_CONFIG_DIR", "CLINE_DIR", "CODEX_HOME", "CONTINUE_GLOBAL_DIR", "COPILOT_HOME"),
    "GEMINI_CLI_HOME",
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("APPDATA", "LOCALAPPDATA", "XDG_CONFIG_HOME", *FOLDERS_OF_APPS):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the program; `typed` is the answer of a person, None means no terminal."""
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "prefix", str(home / "here-to-stay"))

    def run(*arguments: str, typed: str | None = None) -> Shown:
        monkeypatch.setattr(sys, "stdin", io.StringIO() if typed is None else Terminal(typed))
        try:
            status = cli.main(arguments)
        except SystemExit as exc:
            status = exc.code if isinstance(exc.code, int) else 1
        return Shown(status, *capsys.readouterr())

    return run
