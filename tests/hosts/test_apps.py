"""The configuration files of each application, on each platform."""

from __future__ import annotations

from pathlib import Path

import pytest

from m2m_ssh_client.hosts.apps import APPS, Machine

DESKTOP = "claude_desktop_config.json"
ROO = "Code/User/globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def only_file(app: str, machine: Machine) -> str:
    (file,) = APPS[app].files(machine)
    return file.relative_to(machine.home).as_posix()


@pytest.mark.parametrize(
    ("app", "linux", "darwin", "win32"),
    [
        (
            "claude-desktop",
            f".config/Claude/{DESKTOP}",
            f"Library/Application Support/Claude/{DESKTOP}",
            f"AppData/Roaming/Claude/{DESKTOP}",
        ),
        ("claude-code", ".claude.json", ".claude.json", ".claude.json"),
        ("cursor", ".cursor/mcp.json", ".cursor/mcp.json", ".cursor/mcp.json"),
        (
            "vscode",
            ".config/Code/User/mcp.json",
            "Library/Application Support/Code/User/mcp.json",
            "AppData/Roaming/Code/User/mcp.json",
        ),
        (
            "vscode-insiders",
            ".config/Code - Insiders/User/mcp.json",
            "Library/Application Support/Code - Insiders/User/mcp.json",
            "AppData/Roaming/Code - Insiders/User/mcp.json",
        ),
        ("windsurf", *[".codeium/windsurf/mcp_config.json"] * 3),
        (
            "zed",
            ".config/zed/settings.json",
            ".config/zed/settings.json",
            "AppData/Roaming/Zed/settings.json",
        ),
        ("codex", *[".codex/config.toml"] * 3),
        ("gemini", *[".gemini/settings.json"] * 3),
        ("copilot", *[".copilot/mcp-config.json"] * 3),
        ("opencode", *[".config/opencode/opencode.jsonc"] * 3),
        ("kilo", *[".config/kilo/kilo.jsonc"] * 3),
        (
            "goose",
            *[".config/goose/config.yaml"] * 2,
            "AppData/Roaming/Block/goose/config/config.yaml",
        ),
        ("continue", *[".continue/config.yaml"] * 3),
        ("cline", *[".cline/data/settings/cline_mcp_settings.json"] * 3),
        (
            "roo",
            f".config/{ROO}",
            f"Library/Application Support/{ROO}",
            f"AppData/Roaming/{ROO}",
        ),
        ("lm-studio", *[".lmstudio/mcp.json"] * 3),
        ("kiro", *[".kiro/settings/mcp.json"] * 3),
        ("amazon-q", *[".aws/amazonq/mcp.json"] * 3),
    ],
)
def test_each_application_has_its_file_on_each_platform(
    home: Path, app: str, linux: str, darwin: str, win32: str
) -> None:
    for platform, expected in (("linux", linux), ("darwin", darwin), ("win32", win32)):
        assert only_file(app, Machine(platform, home, {})) == expected


def test_variables_move_the_folders_of_their_platform_only(home: Path) -> None:
    moved = {
        "XDG_CONFIG_HOME": str(home / "xdg"),
        "APPDATA": str(home / "roaming"),
        "CLAUDE_CONFIG_DIR": str(home / "claude"),
        "CLINE_DIR": str(home / "cline"),
        "CODEX_HOME": str(home / "codex"),
        "CONTINUE_GLOBAL_DIR": str(home / "continue"),
        "GEMINI_CLI_HOME": str(home / "gemini"),
        "COPILOT_HOME": str(home / "copilot"),
    }
    for app, platform, expected in (
        ("vscode", "linux", "xdg/Code/User/mcp.json"),
        ("claude-desktop", "linux", f"xdg/Claude/{DESKTOP}"),
        ("zed", "linux", "xdg/zed/settings.json"),
        ("zed", "darwin", ".config/zed/settings.json"),
        ("vscode", "darwin", "Library/Application Support/Code/User/mcp.json"),
        ("vscode", "win32", "roaming/Code/User/mcp.json"),
        ("zed", "win32", "roaming/Zed/settings.json"),
        ("claude-code", "linux", "claude/.claude.json"),
        ("codex", "win32", "codex/config.toml"),
        ("gemini", "darwin", "gemini/.gemini/settings.json"),
        ("copilot", "linux", "copilot/mcp-config.json"),
        ("opencode", "darwin", "xdg/opencode/opencode.jsonc"),
        ("kilo", "win32", "xdg/kilo/kilo.jsonc"),
        ("goose", "darwin", "xdg/goose/config.yaml"),
        ("goose", "win32", "roaming/Block/goose/config/config.yaml"),
        ("continue", "linux", "continue/config.yaml"),
        ("cline", "linux", "cline/data/settings/cline_mcp_settings.json"),
    ):
        assert only_file(app, Machine(platform, home, moved)) == expected


@pytest.mark.parametrize("value", ["", "relative/folder"])
def test_a_variable_that_names_no_absolute_folder_does_not_count(home: Path, value: str) -> None:
    machine = Machine("linux", home, {"XDG_CONFIG_HOME": value})
    assert only_file("vscode", machine) == ".config/Code/User/mcp.json"


class TestTheStoreBuild:
    @pytest.fixture
    def machine(self, home: Path) -> Machine:
        there = {"APPDATA": str(home / "roaming"), "LOCALAPPDATA": str(home / "local")}
        return Machine("win32", home, there)

    @pytest.fixture
    def store(self, home: Path) -> Path:
        folder = home / "local/Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming/Claude"
        folder.mkdir(parents=True)
        return folder

    def test_has_a_folder_of_its_own(self, machine: Machine, store: Path) -> None:
        assert APPS["claude-desktop"].files(machine) == [store / DESKTOP]

    def test_and_the_other_build_are_both_served(
        self, machine: Machine, store: Path, home: Path
    ) -> None:
        (home / "roaming/Claude").mkdir(parents=True)
        files = [store / DESKTOP, home / "roaming/Claude" / DESKTOP]
        assert APPS["claude-desktop"].files(machine) == files

    def test_counts_only_once_it_has_its_folder(self, machine: Machine, home: Path) -> None:
        (home / "local/Packages/Claude_pzs8sxrjxfjjc").mkdir(parents=True)
        assert only_file("claude-desktop", machine) == f"roaming/Claude/{DESKTOP}"


@pytest.mark.parametrize(
    ("app", "files"),
    [
        ("claude-desktop", []),
        ("claude-code", [".mcp.json"]),
        ("cursor", [".cursor/mcp.json"]),
        ("vscode", [".vscode/mcp.json"]),
        ("vscode-insiders", [".vscode/mcp.json"]),
        ("windsurf", []),
        ("zed", [".zed/settings.json"]),
        ("codex", [".codex/config.toml"]),
        ("gemini", [".gemini/settings.json"]),
        ("copilot", [".github/mcp.json"]),
        ("opencode", ["opencode.json"]),
        ("kilo", [".kilo/kilo.jsonc"]),
        ("goose", []),
        ("continue", []),
        ("cline", []),
        ("roo", [".roo/mcp.json"]),
        ("lm-studio", []),
        ("kiro", [".kiro/settings/mcp.json"]),
        ("amazon-q", [".amazonq/mcp.json"]),
    ],
)
def test_a_project_has_a_file_for_most_applications(
    tmp_path: Path, app: str, files: list[str]
) -> None:
    assert APPS[app].project_files(tmp_path) == [tmp_path / file for file in files]


def test_of_two_names_the_file_of_a_project_has_the_one_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "opencode.jsonc").touch()
    assert APPS["opencode"].project_files(tmp_path) == [tmp_path / "opencode.jsonc"]


@pytest.mark.parametrize(
    ("app", "folder"), [("vscode", "Code"), ("vscode-insiders", "Code - Insiders")]
)
def test_profiles_of_vscode_with_servers_of_their_own_are_served(
    home: Path, app: str, folder: str
) -> None:
    user = home / ".config" / folder / "User"
    for profile in ("2ab", "1cd"):
        (user / "profiles" / profile).mkdir(parents=True)
    (user / "profiles/2ab/mcp.json").touch()
    files = [user / "mcp.json", user / "profiles/2ab/mcp.json"]
    assert APPS[app].files(Machine("linux", home, {})) == files


@pytest.mark.parametrize("app", ["opencode", "kilo"])
def test_an_application_with_two_names_keeps_the_file_that_is_there(home: Path, app: str) -> None:
    machine = Machine("linux", home, {})
    file = home / f".config/{app}/{app}.json"
    file.parent.mkdir(parents=True)
    file.touch()
    assert APPS[app].files(machine) == [file]


def test_entries_have_what_their_application_asks_for() -> None:
    argv = ["/bin/client", "--host", "h"]
    plain = {"command": "/bin/client", "args": ["--host", "h"]}
    local = {"type": "local", "enabled": True, "command": argv, "timeout": 600_000}
    stdio = {"type": "stdio", **plain}
    expected = dict.fromkeys(APPS, plain) | {
        "vscode": stdio,
        "vscode-insiders": stdio,
        "claude-code": stdio,
        "codex": {**plain, "startup_timeout_sec": 60, "tool_timeout_sec": 600},
        "gemini": {**plain, "timeout": 600_000},
        "copilot": {"type": "local", "tools": ["*"], **plain, "timeout": 600_000},
        "opencode": local,
        "kilo": local,
        "goose": {
            "enabled": True,
            "type": "stdio",
            "name": "lab",
            "description": "",
            "cmd": "/bin/client",
            "args": ["--host", "h"],
            "envs": {},
            "timeout": 600,
        },
        "continue": {**stdio, "connectionTimeout": 60_000},
        "cline": {"transport": stdio, "timeout": 600},
        "roo": {**plain, "timeout": 600},
        "amazon-q": {**plain, "timeout": 600_000},
    }
    assert {name: app.entry("lab", argv) for name, app in APPS.items()} == expected
    keys = {name: app.key for name, app in APPS.items()}
    assert keys == dict.fromkeys(APPS, "mcpServers") | {
        "vscode": "servers",
        "vscode-insiders": "servers",
        "zed": "context_servers",
        "codex": "mcp_servers",
        "opencode": "mcp",
        "kilo": "mcp",
        "goose": "extensions",
    }


def test_the_page_about_hosts_has_a_row_for_each_application(home: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/hosts.md").read_text(encoding="utf-8")
    first_table = page.partition("\n## ")[0]
    rows = [line for line in first_table.splitlines() if line.startswith("| ")]
    for app in APPS.values():
        (row,) = [row for row in rows if row.startswith(f"| {app.title} |")]
        cells = [cell.strip().strip("`") for cell in row.split("|")[:-1]]
        _, _, looked_at, file, project, form, key, *_, sets = cells
        assert looked_at
        place = file.removeprefix("~/")
        assert only_file(app.name, Machine("linux", home, {})).endswith(place)
        assert project == next(iter(app.project), "")
        assert (form, key) == (app.format.name, app.key)
        assert [name for name in (*app.fixed, *app.limits) if name not in sets] == []
