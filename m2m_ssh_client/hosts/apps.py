"""Which applications are MCP hosts, where each keeps its list of servers, and what an entry looks like there."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Machine(NamedTuple):
    """What decides where configuration files are; `platform` as sys.platform has it."""

    platform: str
    home: Path
    environ: Mapping[str, str]

    @classmethod
    def this(cls) -> Machine:
        return cls(sys.platform, Path.home(), os.environ)

    @property
    def app_data(self) -> Path:
        """Where programs keep their data for this user, as Electron has it."""
        if self.platform == "win32":
            return self.folder("APPDATA", "AppData/Roaming")
        if self.platform == "darwin":
            return self.home / "Library/Application Support"
        return self.folder("XDG_CONFIG_HOME", ".config")

    def folder(self, variable: str, default: str) -> Path:
        """What the variable names, or else this folder at home; a relative path counts for nothing there."""
        given = Path(self.environ.get(variable, ""))
        return given if given.is_absolute() else self.home / default


class App(NamedTuple):
    """One application.

    `files` are the configuration files to edit; they may be missing. The servers are under `key`, each with what
    is `fixed` in every entry. `comments` tells whether the application reads JSON with comments. `next_step` is what
    has to be done for it to see a change.
    """

    name: str
    title: str
    files: Callable[[Machine], Sequence[Path]]
    key: str
    next_step: str
    fixed: Mapping[str, Any] = {}
    comments: bool = True

    def entry(self, argv: Sequence[str]) -> dict[str, Any]:
        return {**self.fixed, "command": argv[0], "args": list(argv[1:])}


def _claude_desktop(machine: Machine) -> Sequence[Path]:
    """On Windows the build from the Store has a folder of its own; whoever has changed over has both."""
    folders = [machine.app_data / "Claude"]
    if machine.platform == "win32":
        packages = machine.folder("LOCALAPPDATA", "AppData/Local") / "Packages"
        store = sorted(packages.glob("Claude_*/LocalCache/Roaming/Claude"))
        folders = store + [each for each in folders if each.exists() or not store]
    return [folder / "claude_desktop_config.json" for folder in folders]


def _claude_code(machine: Machine) -> Sequence[Path]:
    return [machine.folder("CLAUDE_CONFIG_DIR", ".") / ".claude.json"]


def _cursor(machine: Machine) -> Sequence[Path]:
    return [machine.home / ".cursor/mcp.json"]


def _vscode(machine: Machine) -> Sequence[Path]:
    return [machine.app_data / "Code/User/mcp.json"]


def _windsurf(machine: Machine) -> Sequence[Path]:
    return [machine.home / ".codeium/windsurf/mcp_config.json"]


def _zed(machine: Machine) -> Sequence[Path]:
    if machine.platform == "win32":
        return [machine.app_data / "Zed/settings.json"]
    if machine.platform == "darwin":
        return [machine.home / ".config/zed/settings.json"]
    return [machine.app_data / "zed/settings.json"]


_STDIO = {"type": "stdio"}

APPS = {
    app.name: app
    for app in (
        App(
            *("claude-desktop", "Claude Desktop", _claude_desktop, "mcpServers"),
            "Quit Claude Desktop, also in the tray, and start it again.",
            comments=False,
        ),
        App(
            *("claude-code", "Claude Code", _claude_code, "mcpServers"),
            "Claude Code reads it when it starts.",
            _STDIO,
            comments=False,
        ),
        App(
            *("cursor", "Cursor", _cursor, "mcpServers"),
            "Switch the server on in Cursor's settings, under MCP, if it is not.",
        ),
        App(
            *("vscode", "VS Code", _vscode, "servers"),
            "In VS Code, `MCP: List Servers` starts it.",
            _STDIO,
        ),
        App(
            *("windsurf", "Windsurf", _windsurf, "mcpServers"),
            "Refresh the servers in Windsurf's Cascade panel.",
        ),
        App(
            *("zed", "Zed", _zed, "context_servers"),
            "Zed starts it as soon as the file is saved.",
        ),
    )
}
