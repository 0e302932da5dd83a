"""The supported MCP hosts: their configuration files, and the form of an entry in each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from m2m_ssh_client.hosts.formats import JSON, JSONC, TOML, YAML, YAML_LIST, Format


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


_STDIO = {"type": "stdio"}


def _command_and_args(_name: str, argv: Sequence[str]) -> dict[str, Any]:
    return {"command": argv[0], "args": list(argv[1:])}


def _command_list(_name: str, argv: Sequence[str]) -> dict[str, Any]:
    return {"command": list(argv)}


def _cmd_and_args(name: str, argv: Sequence[str]) -> dict[str, Any]:
    program = {"cmd": argv[0], "args": list(argv[1:]), "envs": {}}
    return {"name": name, "description": "", **program}


def _transport(name: str, argv: Sequence[str]) -> dict[str, Any]:
    return {"transport": {**_STDIO, **_command_and_args(name, argv)}}


class App(NamedTuple):
    """One application.

    `files` are the configuration files to edit; they may be missing. `project` are the names that
    such a file may have in the folder of a project. The servers are under `key`. Every entry
    contains `fixed`, and `limits`: how long a server may take to start and to answer. `next_step`
    tells the user how to load a change. A new file begins with `beginning`.
    """

    name: str
    title: str
    files: Callable[[Machine], Sequence[Path]]
    key: str
    next_step: str
    project: Sequence[str] = ()
    format: Format = JSONC
    fixed: Mapping[str, Any] = {}
    limits: Mapping[str, int] = {}
    command: Callable[[str, Sequence[str]], dict[str, Any]] = _command_and_args
    beginning: str = ""

    def entry(self, name: str, argv: Sequence[str]) -> dict[str, Any]:
        return {**self.fixed, **self.command(name, argv), **self.limits}

    def is_here(self, machine: Machine) -> bool:
        """Return True if the application has left a file or a folder of its own in the home."""
        return any(
            file.is_file() or (file.parent != machine.home and file.parent.is_dir())
            for file in self.files(machine)
        )

    def project_files(self, folder: Path) -> Sequence[Path]:
        """Return the file in the folder of a project; none if the application reads none there."""
        files = [folder / name for name in self.project]
        return [file for file in files if file.exists()][:1] or files[:1]


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
    return _vscode_profiles(machine.app_data / "Code/User")


def _vscode_insiders(machine: Machine) -> Sequence[Path]:
    return _vscode_profiles(machine.app_data / "Code - Insiders/User")


def _vscode_profiles(folder: Path) -> Sequence[Path]:
    """Return the file of the default profile, and those of other profiles with servers."""
    return [folder / "mcp.json", *sorted(folder.glob("profiles/*/mcp.json"))]


def _windsurf(machine: Machine) -> Sequence[Path]:
    return [machine.home / ".codeium/windsurf/mcp_config.json"]


def _zed(machine: Machine) -> Sequence[Path]:
    if machine.platform == "win32":
        return [machine.app_data / "Zed/settings.json"]
    if machine.platform == "darwin":
        return [machine.home / ".config/zed/settings.json"]
    return [machine.app_data / "zed/settings.json"]


def _codex(machine: Machine) -> Sequence[Path]:
    return [machine.folder("CODEX_HOME", ".codex") / "config.toml"]


def _gemini(machine: Machine) -> Sequence[Path]:
    return [machine.folder("GEMINI_CLI_HOME", ".") / ".gemini/settings.json"]


def _copilot(machine: Machine) -> Sequence[Path]:
    return [machine.folder("COPILOT_HOME", ".copilot") / "mcp-config.json"]


def _opencode(machine: Machine) -> Sequence[Path]:
    return _plain_or_commented(machine, "opencode")


def _kilo(machine: Machine) -> Sequence[Path]:
    return _plain_or_commented(machine, "kilo")


def _plain_or_commented(machine: Machine, name: str) -> Sequence[Path]:
    """Return the file that is there; opencode makes the second one if none is."""
    folder = machine.folder("XDG_CONFIG_HOME", ".config") / name
    plain, commented = folder / f"{name}.json", folder / f"{name}.jsonc"
    return [plain if plain.exists() else commented]


def _goose(machine: Machine) -> Sequence[Path]:
    if machine.platform == "win32":
        return [machine.app_data / "Block/goose/config/config.yaml"]
    return [machine.folder("XDG_CONFIG_HOME", ".config") / "goose/config.yaml"]


def _continue(machine: Machine) -> Sequence[Path]:
    return [machine.folder("CONTINUE_GLOBAL_DIR", ".continue") / "config.yaml"]


def _cline(machine: Machine) -> Sequence[Path]:
    return [machine.folder("CLINE_DIR", ".cline") / "data/settings/cline_mcp_settings.json"]


def _roo(machine: Machine) -> Sequence[Path]:
    storage = machine.app_data / "Code/User/globalStorage/rooveterinaryinc.roo-cline"
    return [storage / "settings/mcp_settings.json"]


def _lm_studio(machine: Machine) -> Sequence[Path]:
    return [machine.home / ".lmstudio/mcp.json"]


def _kiro(machine: Machine) -> Sequence[Path]:
    return [machine.home / ".kiro/settings/mcp.json"]


def _amazon_q(machine: Machine) -> Sequence[Path]:
    return [machine.home / ".aws/amazonq/mcp.json"]


# A first login may wait for a key to be touched, or a remote program for its packages; a call takes
# as long as it takes. See docs/hosts.md for what the applications allow without these.
_START = 60  # seconds
_CALL = 600

APPS = {
    app.name: app
    for app in (
        App(
            *("claude-desktop", "Claude Desktop", _claude_desktop, "mcpServers"),
            "Quit Claude Desktop, also in the tray, and restart it.",
            format=JSON,
        ),
        App(
            *("claude-code", "Claude Code", _claude_code, "mcpServers"),
            "Restart Claude Code to load it.",
            (".mcp.json",),
            JSON,
            _STDIO,
        ),
        App(
            *("cursor", "Cursor", _cursor, "mcpServers"),
            "If needed, enable the server in Cursor's settings, under MCP.",
            (".cursor/mcp.json",),
        ),
        App(
            *("vscode", "VS Code", _vscode, "servers"),
            "In VS Code, `MCP: List Servers` starts it.",
            (".vscode/mcp.json",),
            fixed=_STDIO,
        ),
        App(
            *("vscode-insiders", "VS Code Insiders", _vscode_insiders, "servers"),
            "In VS Code Insiders, `MCP: List Servers` starts it.",
            (".vscode/mcp.json",),
            fixed=_STDIO,
        ),
        App(
            *("windsurf", "Windsurf", _windsurf, "mcpServers"),
            "Refresh the servers in Windsurf's Cascade panel.",
        ),
        App(
            *("zed", "Zed", _zed, "context_servers"),
            "Zed starts it as soon as the file is saved.",
            (".zed/settings.json",),
        ),
        App(
            *("codex", "Codex", _codex, "mcp_servers"),
            "Restart Codex to load it; `/mcp` shows it.",
            (".codex/config.toml",),
            TOML,
            limits={"startup_timeout_sec": _START, "tool_timeout_sec": _CALL},
        ),
        App(
            *("gemini", "Gemini CLI", _gemini, "mcpServers"),
            "Restart Gemini CLI to load it; `/mcp` shows it.",
            (".gemini/settings.json",),
            limits={"timeout": _CALL * 1000},
        ),
        App(
            *("copilot", "GitHub Copilot CLI", _copilot, "mcpServers"),
            "Restart Copilot CLI to load it; `/mcp show` shows it.",
            (".github/mcp.json",),
            fixed={"type": "local", "tools": ["*"]},
            limits={"timeout": _CALL * 1000},
        ),
        App(
            *("opencode", "opencode", _opencode, "mcp"),
            "Restart opencode to load it; `opencode mcp list` shows it.",
            ("opencode.json", "opencode.jsonc"),
            fixed={"type": "local", "enabled": True},
            limits={"timeout": _CALL * 1000},
            command=_command_list,
        ),
        App(
            *("kilo", "Kilo Code", _kilo, "mcp"),
            "Restart Kilo Code to load it; `kilo mcp list` shows it.",
            (".kilo/kilo.jsonc", ".kilo/kilo.json", "kilo.jsonc", "kilo.json"),
            fixed={"type": "local", "enabled": True},
            limits={"timeout": _CALL * 1000},
            command=_command_list,
        ),
        App(
            *("goose", "Goose", _goose, "extensions"),
            "Start a new session of Goose to load it.",
            format=YAML,
            fixed={"enabled": True, "type": "stdio"},
            limits={"timeout": _CALL},
            command=_cmd_and_args,
        ),
        App(
            *("continue", "Continue", _continue, "mcpServers"),
            "Continue loads it in agent mode.",
            format=YAML_LIST,
            fixed=_STDIO,
            limits={"connectionTimeout": _START * 1000},
            beginning="name: Local Config\nversion: 1.0.0\nschema: v1\n",
        ),
        App(
            *("cline", "Cline", _cline, "mcpServers"),
            "Cline starts it as soon as the file is saved.",
            limits={"timeout": _CALL},
            command=_transport,
        ),
        App(
            *("roo", "Roo Code", _roo, "mcpServers"),
            "Roo Code starts it as soon as the file is saved.",
            (".roo/mcp.json",),
            limits={"timeout": _CALL},
        ),
        App(
            *("lm-studio", "LM Studio", _lm_studio, "mcpServers"),
            "LM Studio starts it as soon as the file is saved.",
        ),
        App(
            *("kiro", "Kiro", _kiro, "mcpServers"),
            "Kiro starts it as soon as the file is saved.",
            (".kiro/settings/mcp.json",),
            JSON,
        ),
        App(
            *("amazon-q", "Amazon Q", _amazon_q, "mcpServers"),
            "Restart Amazon Q to load it.",
            (".amazonq/mcp.json",),
            JSON,
            limits={"timeout": _CALL * 1000},
        ),
    )
}
