"""`install`, `uninstall` and `list` with the files of every application, in a temporary home."""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import socket
import sys
from importlib import import_module
from pathlib import Path

import pytest
from support.app_configs import OF_APP, SECRET
from support.at_home import LAB, Run, Shown, arguments_of, entry_of, everything_in, file_of, put
from support.host import PACKAGE_PARENT, Host
from support.wine import not_under_wine

from m2m_ssh_client import cli
from m2m_ssh_client._version import PROGRAM
from m2m_ssh_client.demo.servers import servers
from m2m_ssh_client.hosts.apps import APPS, Machine
from m2m_ssh_client.hosts.entries import argv_of, client
from m2m_ssh_client.hosts.named import understood
from m2m_ssh_client.text import printable_lines, quoted

list_command = import_module("m2m_ssh_client.commands.list")

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="a mode, path or shell of POSIX")


# install


@pytest.mark.parametrize("app", APPS)
def test_an_entry_gets_into_the_file_of_each_application_and_out_again(run: Run, app: str) -> None:
    file = put(app, OF_APP[app])
    done = run("install", app, "lab", "--yes", *LAB)
    assert done.status == 0, done.err
    argv = [*client(), *LAB]
    named = {"name": "lab"} if app == "continue" else {}
    assert entry_of(app) == named | APPS[app].entry("lab", argv)
    assert argv_of(entry_of(app)) == argv
    assert Path(argv[0]).is_absolute()
    assert "ada@lab" in done.out
    assert done.out.splitlines()[-2:] == [
        APPS[app].next_step,
        f"To test the entry: {PROGRAM} tools lab",
    ]
    assert file.with_name(file.name + ".bak").read_bytes() == OF_APP[app].encode()

    assert run("uninstall", app, "lab", "--yes").status == 0
    if app == "zed":  # the list was not there before
        assert entry_of(app) is None
    else:
        assert file.read_bytes() == OF_APP[app].encode()


@pytest.mark.parametrize("app", APPS)
def test_where_the_application_was_never_started_its_file_is_made(run: Run, app: str) -> None:
    assert run("install", app, "lab", "--yes", *LAB).status == 0
    node = APPS[app].format.parse(file_of(app).read_text())
    assert node
    beginning = APPS[app].format.parse(APPS[app].beginning)
    assert node.value == {
        **(beginning.value if beginning else {}),
        APPS[app].key: {"lab": entry_of(app)},
    }
    assert arguments_of(app) == LAB


@pytest.mark.parametrize(
    "content", ["", "\n", "{}", "{ }\n", codecs.BOM_UTF8, codecs.BOM_UTF8 + b"{}"]
)
def test_an_empty_file_is_a_start(run: Run, content: str | bytes) -> None:
    file = put("cursor", content)
    assert run("install", "cursor", "lab", "--yes", *LAB).status == 0
    assert entry_of("cursor")["args"][-len(LAB) :] == LAB
    assert not file.read_bytes().startswith(codecs.BOM_UTF8)  # which JSON.parse refuses


def test_the_change_is_shown_and_asked_about(run: Run, home: Path) -> None:
    put("vscode", OF_APP["vscode"])
    before = everything_in(home)
    done = run("install", "vscode", "lab", *LAB, typed="what\nno\n")
    assert done.status == 1
    assert '+\t\t"lab": {' in done.out.splitlines()
    assert done.out.count("yes/no") == 2
    assert "Nothing was changed." in done.out
    assert SECRET not in done.out
    assert everything_in(home) == before
    assert run("install", "vscode", "lab", *LAB, typed="").status == 1
    assert everything_in(home) == before
    assert run("install", "vscode", "lab", *LAB, typed="Yes\n").status == 0
    assert entry_of("vscode")


@pytest.mark.parametrize(("typed", "status"), [("y\n", 0), ("Y\n", 0), ("n\n", 1), ("yep\n", 1)])
def test_one_letter_answers_the_question_about_a_file(run: Run, typed: str, status: int) -> None:
    assert run("install", "cursor", "lab", *LAB, typed=typed).status == status
    assert file_of("cursor").exists() == (status == 0)


def test_where_nobody_can_be_asked_nothing_changes_and_it_says_so(run: Run, home: Path) -> None:
    done = run("install", "cursor", "lab", *LAB)
    assert done.status == 2
    assert '+    "lab": {' in done.out
    assert "Nothing was changed: there is no terminal to ask on. Add --yes." in done.err
    assert everything_in(home) == {}
    assert list(home.iterdir()) == []


def test_an_entry_of_that_name_is_replaced_after_both_are_shown(run: Run) -> None:
    put("claude-desktop", OF_APP["claude-desktop"])
    done = run("install", "claude-desktop", "github", *LAB, typed="no\n")
    assert done.status == 1
    assert '-      "command": "docker",' in done.out
    assert SECRET not in done.out
    assert entry_of("claude-desktop", "github")["command"] == "docker"
    assert run("install", "claude-desktop", "github", *LAB, typed="yes\n").status == 0
    assert entry_of("claude-desktop", "github")["args"][-len(LAB) :] == LAB
    assert list(json.loads(file_of("claude-desktop").read_text())["mcpServers"]) == [
        "filesystem",
        "github",
    ]


def test_what_is_there_already_is_not_written_again(run: Run, home: Path) -> None:
    run("install", "cursor", "lab", "--yes", *LAB)
    before = everything_in(home)
    done = run("install", "cursor", "lab", *LAB)
    assert done.status == 0
    assert "is already up to date" in done.out
    assert everything_in(home) == before


@pytest.mark.parametrize("app", ["claude-desktop", "vscode"])
def test_with_print_the_entry_is_printed_and_nothing_else_happens(
    run: Run, home: Path, app: str
) -> None:
    done = run("install", app, "lab", "--print", *LAB)
    assert (done.status, done.err) == (0, "")
    entry = json.loads(done.out)[APPS[app].key]["lab"]
    assert list(home.iterdir()) == []
    run("install", app, "lab", "--yes", *LAB)
    assert entry_of(app) == entry


@pytest.mark.parametrize(
    ("app", "content", "problem"),
    [
        ("cursor", '{"mcpServers": {', "line 1, column 17: a key in quotes is missing"),
        ("cursor", '{"mcpServers": []}', "mcpServers is not an object"),
        ("vscode", "[]", "the document is not an object"),
        ("zed", '{"context_servers": null}', "context_servers is not an object"),
        ("claude-code", '{"mcpServers": {}, "mcpServers": {}}', "more than once"),
        ("claude-desktop", "{ // mine\n}", "comments are not allowed in this file"),
        ("claude-desktop", '{"mcpServers": {},}', "one comma too many"),
        ("windsurf", '{"x": "né"}'.encode("latin-1"), "is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_edited_is_left_and_the_entry_printed(
    run: Run, home: Path, app: str, content: str | bytes, problem: str
) -> None:
    put(app, content)
    before = everything_in(home)
    done = run("install", app, "lab", "--yes", *LAB)
    assert done.status == 1
    assert problem in done.err
    assert "edit it by hand" in done.err
    assert everything_in(home) == before
    printed = json.loads(done.out[done.out.index("{") :])
    assert printed[APPS[app].key]["lab"]["args"][-len(LAB) :] == LAB


def test_a_read_only_file_is_left_and_the_entry_printed(run: Run, home: Path) -> None:
    file = put("cursor", "{}")
    file.chmod(0o444)
    done = run("install", "cursor", "lab", "--yes", *LAB)
    file.chmod(0o644)
    assert done.status == 1
    assert "is read-only" in done.err
    assert '"lab"' in done.out
    assert everything_in(home) == {file: b"{}"}


@posix_only
def test_a_file_that_is_a_link_into_somebodys_dotfiles_stays_one(run: Run, home: Path) -> None:
    dotfile = home / "dotfiles" / "zed.json"
    dotfile.parent.mkdir()
    dotfile.write_text(OF_APP["zed"])
    dotfile.chmod(0o640)
    link = file_of("zed")
    link.parent.mkdir(parents=True)
    link.symlink_to(dotfile)
    assert run("install", "zed", "lab", "--yes", *LAB).status == 0
    assert link.is_symlink()
    assert dotfile.stat().st_mode & 0o777 == 0o640
    assert entry_of("zed")["command"] == client()[0]
    assert "// follow the desktop" in dotfile.read_text()


def test_both_builds_of_claude_desktop_get_the_entry(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = Machine("win32", home, {})
    monkeypatch.setattr(Machine, "this", lambda: windows)
    (home / "AppData/Roaming/Claude").mkdir(parents=True)
    (home / "AppData/Local/Packages/Claude_x/LocalCache/Roaming/Claude").mkdir(parents=True)
    assert run("install", "claude-desktop", "lab", "--yes", *LAB).status == 0
    files = APPS["claude-desktop"].files(windows)
    assert len(files) == 2
    assert all("ada@lab" in file.read_text() for file in files)
    assert run("list").out.count("claude-desktop  lab") == 2
    assert run("uninstall", "claude-desktop", "lab", "--yes").status == 0
    assert not any("ada@lab" in file.read_text() for file in files)


# All applications, and the files of projects


def put_projects(home: Path) -> Path:
    """Applications that are found here: Codex, Cursor, and Windsurf, which reads no project."""
    for app in ("cursor", "codex", "windsurf"):
        put(app, OF_APP[app])
    return home


def test_with_all_every_application_that_is_here_gets_the_entry(run: Run, home: Path) -> None:
    put("cursor", OF_APP["cursor"])
    put("codex", OF_APP["codex"])
    put("windsurf", "{")
    before = everything_in(home)
    assert run("install", "--all", "lab", *LAB, typed="no\nno\n").status == 1
    assert everything_in(home) == before

    done = run("install", "--all", "lab", "--yes", *LAB)
    assert done.status == 1
    assert f"windsurf{os.sep}mcp_config.json: line 1" in done.err
    assert [app for app in APPS if file_of(app).exists() and app != "windsurf"] == [
        "cursor",
        "codex",
    ]
    assert arguments_of("cursor") == arguments_of("codex") == LAB

    put("windsurf", "{}")
    done = run("install", "all", "lab", "--yes", *LAB)
    assert done.status == 0
    assert done.out.splitlines()[-1] == f"To test the entry: {PROGRAM} tools lab"
    assert run("uninstall", "--all", "lab", "--yes").status == 0
    assert file_of("codex").read_text() == OF_APP["codex"]
    done = run("uninstall", "--all", "lab", "--yes")
    assert (done.status, "There is no server 'lab'" in done.err) == (1, True)


def test_where_no_application_is_found_all_says_so(run: Run, home: Path) -> None:
    done = run("install", "--all", "lab", "--yes", *LAB)
    assert done.status == 2
    assert "No application was found here. Name it: claude-desktop, " in done.err
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("scope", [["--scope", "project"], ["--scope=project"]])
def test_an_entry_of_a_project_is_in_its_folder_only(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, scope: list[str]
) -> None:
    put("codex", OF_APP["codex"])
    project = home / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    done = run("install", "codex", "lab", "--yes", *scope, *LAB)
    assert done.status == 0, done.err
    assert file_of("codex").read_text() == OF_APP["codex"]
    assert "[mcp_servers.lab]" in (project / ".codex/config.toml").read_text()
    assert done.out.splitlines()[-1].endswith(f"{PROGRAM} list --check --scope project")

    assert run("list").out == "No host has an entry for this program.\n"
    (listed,) = json.loads(run("list", "--json", *scope).out)
    assert (listed["app"], listed["command"]) == ("codex", [*client(), *LAB])
    assert run("uninstall", "codex", "lab", "--yes").status == 1
    assert run("uninstall", "codex", "lab", "--yes", *scope).status == 0
    assert (project / ".codex/config.toml").read_text() == ""


def test_no_command_takes_the_name_of_an_entry_from_a_project(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that was downloaded could start programs then (`-o ProxyCommand=…`)."""
    (home / "project").mkdir()
    monkeypatch.chdir(home / "project")
    assert run("install", "cursor", "lab", "--yes", "--scope", "project", *LAB).status == 0
    assert not file_of("cursor").exists()
    assert "no entry for this program is called 'lab'" in run("logs", "lab").err
    args, _ = understood(cli.command("doctor").parser("doctor"), ["lab"])
    assert args.host == "lab"


def test_of_all_applications_those_that_read_a_project_get_its_entry(run: Run, home: Path) -> None:
    put_projects(home / "x")
    assert run("install", "--all", "lab", "--yes", "--scope", "project", *LAB).status == 0
    assert not entry_of("windsurf")


@pytest.mark.parametrize("app", ["claude-desktop", "windsurf"])
def test_an_application_that_reads_no_project_is_refused_for_one(run: Run, app: str) -> None:
    done = run("install", app, "lab", "--yes", "--scope", "project", *LAB)
    assert done.status == 2
    assert f"{APPS[app].title}: no servers of a project. Leave --scope out." in done.err


def test_vscode_and_its_insiders_share_the_entry_of_a_project(run: Run) -> None:
    for app in ("vscode", "vscode-insiders"):
        assert run("install", app, "lab", "--yes", "--scope", "project", *LAB).status == 0
    assert run("list", "--scope", "project").out.count("  lab\n") == 1


# What can be given


def test_files_are_written_with_absolute_paths(run: Run, home: Path) -> None:
    run("install", "cursor", "lab", "h", "--client-key", "keys/id", "--yes", "--known-hosts=known")
    args = entry_of("cursor")["args"]
    assert args[-3:] == ["--client-key", str(home / "keys/id"), f"--known-hosts={home / 'known'}"]


def test_flags_of_the_command_itself_may_stand_anywhere_before_the_dashes(run: Run) -> None:
    for before, after in ((["--yes"], []), ([], ["--yes"])):
        run("install", *before, "cursor", "lab", "--host", "h", *after, "--", "run", "--yes")
        assert entry_of("cursor")["args"][-5:] == ["--host", "h", "--", "run", "--yes"]
        file_of("cursor").unlink()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["notepad", "lab"], "invalid choice: 'notepad'"),
        (["cursor"], "NAME"),
        (["cursor", "a b"], "Invalid server name 'a b'"),
        (["cursor", ""], "Invalid server name ''"),
        (["cursor", "x" * 65], "Invalid server name"),
        (["cursor", "lab", "--port", "99999"], "--port must be from 1 to 65535"),
        (["cursor", "lab", "--nonsense"], "--nonsense"),
        (["cursor", "lab", "--host", "-oProxyCommand=x"], "--host"),
        (["cursor", "lab", "--host=-oProxyCommand=x"], "not a host name"),
        (["cursor", "lab", "--"], "nothing follows `--`"),
        (["cursor", "lab", "--subsystem", "s", "--", "c"], "exclude each other"),
        (["cursor", "lab", "--passphrase", SECRET], "--passphrase-file"),
        (["cursor", "lab", f"--passphrase={SECRET}"], "--passphrase-file"),
        (["--host", "h", "cursor", "lab"], "APP and NAME must come first"),
        (["cursor", "--host", "h", "lab"], "APP and NAME must come first"),
        (["cursor", "lab", "-o", "IdentityFile=id"], "another folder"),
        (["cursor", "lab", "--", "caf\udce9"], "not UTF-8"),
        (["cursor", "lab"], "it names no machine. Put the machine after the name: "),
        (["cursor", "lab", "--login-shell", "-i", "k"], "it names no machine"),
    ],
    ids=str,
)  # fmt: skip
def test_what_could_not_work_is_not_written(
    run: Run, home: Path, arguments: list[str], problem: str
) -> None:
    done = run("install", "--yes", *arguments)
    assert done.status == 2
    assert problem in done.err
    assert SECRET not in done.err + done.out
    assert list(home.iterdir()) == []


def test_an_entry_for_a_program_in_a_cache_comes_with_a_warning(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Warning" not in run("install", "cursor", "lab", "--yes", *LAB).out
    (home / "uv").mkdir()
    (home / "uv" / "CACHEDIR.TAG").touch()
    monkeypatch.setattr(sys, "prefix", str(home / "uv" / "archive"))
    done = run("install", "cursor", "lab2", "--yes", *LAB)
    assert done.status == 0
    assert "is in a cache, which may be emptied. Install it permanently: `pipx install " in done.out


# uninstall


def test_an_entry_is_removed_only_after_yes(run: Run, home: Path) -> None:
    put("claude-code", OF_APP["claude-code"])
    run("install", "claude-code", "lab", "--yes", *LAB)
    before = everything_in(home)
    for typed, status in ((None, 2), ("no\n", 1)):
        done = run("uninstall", "claude-code", "lab", typed=typed)
        assert done.status == status
        assert '-    "lab": {' in done.out
        assert SECRET not in done.out
        assert everything_in(home) == before
    assert run("uninstall", "claude-code", "lab", typed="yes\n").status == 0
    assert file_of("claude-code").read_text() == OF_APP["claude-code"]


def test_entries_of_other_programs_are_not_removed(run: Run, home: Path) -> None:
    put("claude-desktop", OF_APP["claude-desktop"])
    before = everything_in(home)
    done = run("uninstall", "claude-desktop", "github", "--yes")
    assert done.status == 1
    assert "is not an entry for this program" in done.err
    assert everything_in(home) == before


@pytest.mark.parametrize("content", [None, "", "{}", OF_APP["cursor"]])
def test_what_is_not_there_cannot_be_removed(run: Run, home: Path, content: str | None) -> None:
    if content is not None:
        put("cursor", content)
    before = everything_in(home)
    done = run("uninstall", "cursor", "lab", "--yes")
    assert done.status == 1
    assert "There is no server 'lab' in " in done.err
    assert str(file_of("cursor")) in done.err
    assert everything_in(home) == before


def test_from_a_broken_file_nothing_is_removed(run: Run, home: Path) -> None:
    put("cursor", '{"mcpServers": {"lab": ')
    before = everything_in(home)
    done = run("uninstall", "cursor", "lab", "--yes")
    assert done.status == 1
    assert "not a JSON value" in done.err
    assert everything_in(home) == before


# list


@pytest.fixture
def installed(run: Run) -> None:
    """All applications with other servers; two have this program as well."""
    for app, text in OF_APP.items():
        put(app, text)
    run("install", "cursor", "lab", "--yes", *LAB)
    run("install", "zed", "lab-git", "--yes", "--host", "h", "--", "env", f"TOKEN={SECRET}", "x")


@pytest.mark.usefixtures("installed")
def test_the_entries_of_this_program_are_listed(run: Run) -> None:
    done = run("list")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["cursor  lab", "zed  lab-git"]
    assert lines[1].endswith(
        f"--host ada@lab --port 22 -- uvx serve --repo {quoted('/srv/my repo')}"
    )
    assert lines[2].strip() == str(file_of("cursor"))
    assert SECRET not in done.out


@pytest.mark.usefixtures("installed")
def test_with_all_every_server_is_listed_and_no_secret(run: Run) -> None:
    done = run("list", "--all")
    assert done.status == 0
    names = [line.split("  ") for line in done.out.splitlines() if not line.startswith(" ")]
    assert names == [
        *(["claude-desktop", "filesystem"], ["claude-desktop", "github"]),
        *(["claude-code", "sentry"], ["cursor", "linear"], ["cursor", "db"], ["cursor", "lab"]),
        *(["vscode", "Perplexity"], ["vscode-insiders", "Perplexity"], ["zed", "lab-git"]),
        *(["codex", "docs"], ["codex", "figma"]),
        *(["gemini", "db"], ["copilot", "context7"], ["opencode", "search"]),
        ["kilo", "search"],
        *(["goose", "developer"], ["goose", "github"], ["continue", "sqlite"], ["cline", "files"]),
        *(["lm-studio", "linear"], ["lm-studio", "db"]),
        *(["kiro", "filesystem"], ["kiro", "github"]),
        *(["amazon-q", "filesystem"], ["amazon-q", "github"]),
    ]
    assert "https://mcp.sentry.dev/mcp" in done.out
    assert SECRET not in done.out


@pytest.mark.usefixtures("installed")
def test_programs_get_the_list_as_json(run: Run) -> None:
    (cursor, zed) = json.loads(run("list", "--json").out)
    assert cursor == {
        "app": "cursor",
        "name": "lab",
        "command": [*client(), *LAB],
        "file": str(file_of("cursor")),
        "problem": None,
    }
    assert zed["command"][-3:] == ["env", "TOKEN=…", "x"]
    assert len(json.loads(run("list", "--json", "--all").out)) == 25


def test_many_entries_are_read_at_once_without_confusion(run: Run) -> None:
    """With a parser in several threads, this failed now and then."""
    entry = {"command": client()[0], "args": [*client()[1:], *LAB]}
    put("cursor", json.dumps({"mcpServers": {f"lab-{n}": entry for n in range(200)}}))
    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        done = run("list", "--json")
    finally:
        sys.setswitchinterval(switching)
    assert (done.status, done.err) == (0, "")
    assert len(json.loads(done.out)) == 200


def test_where_there_is_no_entry_it_says_so(run: Run) -> None:
    put("cursor", OF_APP["cursor"])
    done = run("list")
    assert (done.status, done.out) == (0, "No host has an entry for this program.\n")
    assert json.loads(run("list", "--json").out) == []


@pytest.mark.usefixtures("installed")
def test_a_file_that_cannot_be_read_is_told_and_the_others_listed(run: Run) -> None:
    put("vscode", "{")
    put("windsurf", '{"mcpServers": 1}')
    done = run("list")
    assert done.status == 1
    assert "cursor  lab" in done.out
    assert "vscode: " in done.err
    assert "line 1, column 2: a key in quotes is missing" in done.err


@posix_only
def test_a_broken_entry_is_marked_with_the_reason(run: Run, home: Path) -> None:
    key = home / "id"
    key.touch()
    run("install", "cursor", "good", "--yes", "-i", str(key), *LAB)
    run("install", "cursor", "lost-key", "--yes", "-i", str(home / "gone"), *LAB)
    run("install", "cursor", "new-key", "--yes", "-i", str(home / "gone"), "h", "--use-key-server")
    run("install", "zed", "lost-config", "--yes", "-F", str(home / "gone"), *LAB)
    program = str(home / "venv/bin/m2m-ssh-client")
    put("vscode", json.dumps({"servers": {"moved": {"command": program, "args": ["lab"]}}}))
    entry = {"command": client()[0], "args": ["--prot", "22", "lab"]}
    put("windsurf", json.dumps({"mcpServers": {"typo": entry}}))

    done = run("list", "--json")
    assert (done.status, done.err) == (1, "")
    assert {each["name"]: each["problem"] for each in json.loads(done.out)} == {
        "good": None,
        "lost-key": f"a file is missing: {home / 'gone'}",
        "new-key": None,
        "lost-config": f"a file is missing: {home / 'gone'}",
        "moved": f"the program is missing: {program}",
        "typo": "The entry 'typo': Unknown option --prot",
    }
    done = run("list")
    assert done.status == 1
    assert done.out.count("  ✗ ") == 4
    assert f"  ✗ the program is missing: {program}" in done.out
    assert done.out.endswith(f"\nTo find out more: {PROGRAM} doctor lost-key\n")


def test_an_entry_of_a_strange_shape_is_listed_too(run: Run) -> None:
    put("cursor", '{"mcpServers": {"odd\\u001b[2J": 1}}')
    done = run("list", "--all")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[0] == "cursor  odd\\x1b[2J"


# Names that could steer a terminal

STEERS = "\x1b[2J\x9bA\u202e"


@pytest.fixture
def odd_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    odd = home / STEERS
    odd.mkdir()
    monkeypatch.setenv("HOME", str(odd))
    monkeypatch.setattr(sys, "argv", [str(odd / "bin" / "client")])
    (odd / "bin").mkdir()
    (odd / "bin" / PROGRAM).touch()
    return odd


def assert_harmless(done: Shown, *texts: str) -> None:
    """Assert that each text was shown, but no harmful name unescaped."""
    both = done.out + done.err
    assert printable_lines(both) == both, ascii(both)
    for text in texts:
        assert text in both


@posix_only
def test_no_name_of_a_file_steers_the_terminal(
    run: Run, odd_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(odd_home / "uv"))
    (odd_home / "CACHEDIR.TAG").touch()
    target = odd_home / f"{STEERS}.json"
    target.write_text(OF_APP["cursor"])
    file_of("cursor").parent.mkdir(parents=True)
    file_of("cursor").symlink_to(target)

    done = run("install", "cursor", "lab", "--yes", *LAB)
    assert done.status == 0, done.err
    assert_harmless(done, "Warning: ", "--- ", "Wrote ", " (backup: ", ".json.bak).")
    assert_harmless(run("list"), "cursor  lab", f"/bin/{PROGRAM}", "/.cursor/mcp.json")
    assert_harmless(run("install", "cursor", "lab", "--print", *LAB), '"command": ')
    target.write_text("{")
    assert_harmless(run("list"), "/.cursor/mcp.json: line 1")
    assert_harmless(run("uninstall", "cursor", "lab", "--yes"), "line 1")
    target.write_bytes(b"\xff")
    assert_harmless(run("install", "cursor", "lab", "h", "--yes"), "is not UTF-8")
    target.unlink()
    target.mkdir()
    assert_harmless(run("install", "cursor", "lab", "h", "--yes"), "cannot be read")


@pytest.mark.parametrize("words", [["list", "--all"], ["list", "--all", "--json"]])
def test_nothing_in_an_entry_steers_the_terminal(run: Run, words: list[str]) -> None:
    entry = {"command": STEERS, "args": ["a" + STEERS], "env": {STEERS: STEERS}}
    put("cursor", json.dumps({"mcpServers": {"odd" + STEERS: entry}}))
    assert_harmless(run(*words), "odd", "[2J")


# Colours, help, and whether it works


class Screen(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_whose_users_want_them(
    run: Run, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], coloured: bool
) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"WT_SESSION": "1"} | variables).items():
        monkeypatch.setenv(name, value)
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    run("install", "cursor", "lab", *LAB)
    assert ("\x1b[32m+{\x1b[0m\n" in screen.getvalue()) == coloured
    assert ("\x1b" in screen.getvalue()) == coloured


@pytest.mark.parametrize("command", ["install", "uninstall", "list"])
def test_the_help_has_three_examples(run: Run, command: str) -> None:
    done = run(command, "--help")
    assert done.status == 0
    _, _, examples = done.out.partition("examples:\n")
    assert examples.count(f"  m2m-mcp-server-ssh-client {command}") == 3


@pytest.mark.parametrize("app", ["codex", "all", "--all"])
def test_all_in_the_remote_command_is_its_own(app: str, run: Run) -> None:
    put("codex", OF_APP["codex"])
    printed = run("install", app, "lab", "--print", "lab.example", "--", "serve", "--all").out
    assert '"lab.example", "--", "serve", "--all"]' in printed


@not_under_wine("programs start slowly")
def test_the_written_entry_starts_a_server_that_answers(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = (sys.executable, "-m", "m2m_ssh_client.demo.sample_server")
    log: list[str] = []
    monkeypatch.setenv("PYTHONPATH", PACKAGE_PARENT)
    with servers(sample, 0, 0, log.append, home / "keys") as running:
        options = running.client_arguments
        assert run("install", "claude-desktop", "lab", "--yes", "-F", "none", *options).status == 0
        entry = entry_of("claude-desktop")
        with Host([entry["command"], *entry["args"]], cwd=home) as host:
            answer = host.initialize()
            assert answer["result"]["serverInfo"]["name"] == "m2m-demo"
            host.close_stdin()
            assert host.wait() == 0

        checked = run("list", "--check")
        assert (checked.status, checked.err) == (0, "")
        assert re.search(r"\n  [✓+] m2m-demo( \S+)? answers\n", checked.out)
        run("install", "cursor", "dead", "--yes", "-F", "none", "127.0.0.1", "-p", unused_port())
        checked = run("list", "--check", "--json")
        assert checked.status == 1
        (lab, dead) = json.loads(checked.out)
        assert lab["problem"] is None
        assert lab["server"].startswith("m2m-demo")
        assert dead["server"] is None
        assert "Connection refused" in dead["problem"]


def unused_port() -> str:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return str(listening.getsockname()[1])
