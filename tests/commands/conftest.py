"""What the tests of commands share."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.at_home import Run, Shown, Terminal
from support.far import environment
from support.host import PROGRAM

from m2m_ssh_client import cli

FOLDERS_OF_APPS = (
    *("CLAUDE_CONFIG_DIR", "CLINE_DIR", "CODEX_HOME", "CONTINUE_GLOBAL_DIR", "COPILOT_HOME"),
    "GEMINI_CLI_HOME",
)


@pytest.fixture(scope="session")
def program() -> Iterator[list[str]]:
    """The argv of a program that starts fast, where the system can fork."""
    if sys.platform == "win32":
        yield [*PROGRAM]
    else:
        from support import forked

        with forked.program(environment()) as argv:
            yield argv


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
