"""The supported MCP hosts: their configuration files, and the form of an entry in each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Machine(NamedTuple):
    """The facts that locate configuration files; `platform` is sys.platform."""

    platform: str
    home: Path
    environ: Mapping[str, str]

    @classmethod
    def this(cls) -> Machine:
        return cls(sys.platform, Path.home(), os.environ)

    @property
    def app_data(self) -> Path:
        """The folder for application data of this user, as Electron defines it."""
        if self.platform == "win32":
            return self.folder("APPDATA", "AppData/Roaming")
        if self.platform == "darwin":
            return self.home / "Library/Application Support"
        return self.folder("XDG_CONFIG_HOME", ".config")

    def folder(self, variable: str, default: str) -> Path:
        """Return the folder in the variable if it is absolute, else the default, in the home."""
        given = Path(self.environ.get(variable, ""))
        return given if given.is_absolute() else self.home / default


class App(NamedTuple):
    """One application.

    `files` are the configuration files to edit; they may be missing. The servers are under `key`;
    every entry contains `fixed`. `comments` is True if the application reads JSON with comments.
    `next_step` tells the user how to load a change.
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
    """Return the file, or both on Windows if the build from the Store replaced another one."""
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
            "Quit Claude Desktop, also in the tray, and restart it.",
            comments=False,
        ),
        App(
            *("claude-code", "Claude Code", _claude_code, "mcpServers"),
            "Restart Claude Code to load it.",
            _STDIO,
            comments=False,
        ),
        App(
            *("cursor", "Cursor", _cursor, "mcpServers"),
            "If needed, enable the server in Cursor's settings, under MCP.",
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
