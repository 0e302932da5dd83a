"""Real host applications read the entry that `install` writes, and connect through it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import echo_server, installed, programs
from support.host import Host
from support.model import Model
from support.probe import Probe, documented
from support.sshd import Sshd

from m2m_ssh_client import cli
from m2m_ssh_client.hosts.apps import APPS, Machine
from m2m_ssh_client.hosts.entries import client

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(600),  # the first run installs the programs
    pytest.mark.skipif(sys.platform != "linux", reason="the probe reads /proc"),
]

_RUN_TIMEOUT = 90.0  # seconds
_PROGRAMS = {
    "claude-code": ("@anthropic-ai/claude-code", "2.1.197", "@anthropic-ai/claude-code-*/claude"),
    "codex": ("@openai/codex", "0.171.0", ".bin/codex"),
    "copilot": ("@github/copilot", "1.0.102", ".bin/copilot"),
    "gemini": ("@google/gemini-cli", "0.61.0", ".bin/gemini"),
    "opencode": ("opencode-ai", "1.18.33", "opencode-*/bin/opencode"),
}


def environment(**settings: str) -> dict[str, str]:
    """An empty home but for what `install` wrote."""
    path = os.pathsep.join([str(programs.require("node").parent), os.environ["PATH"]])
    return {**Probe.environment(), "PATH": path, **settings}


def told_by(app: str, *arguments: str, **settings: str) -> str:
    """What the program prints; Gemini CLI prints on stderr."""
    done = subprocess.run(
        [*installed.host_app_argv(*_PROGRAMS[app]), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_RUN_TIMEOUT,
        cwd=os.environ["HOME"],
        env=environment(**settings),
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    told = done.stdout or done.stderr
    return told.decode(errors="replace").replace("\x1b[0m", "").replace("\x1b[90m", "")


def trust_home() -> None:
    """What Gemini CLI's question about the folder writes: in others it starts no server."""
    folder = Path(os.environ["HOME"])
    trusted = folder / ".gemini/trustedFolders.json"
    trusted.write_text(json.dumps({str(folder): "TRUST_FOLDER"}))


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Probe:
    """Is what `install` writes into an entry, as if it were the program that runs."""
    probe = Probe(tmp_path / "probe")
    monkeypatch.setattr(sys, "argv", [str(probe.program)])
    return probe


@pytest.fixture
def entry(sshd: Sshd, probe: Probe) -> list[str]:
    options = [*sshd.client_options(), "-F", "none", "-o", "IdentityAgent=none"]
    return [*options, "--", *echo_server.command("--record", str(probe.record))]


@pytest.mark.parametrize(
    ("app", "title", "words"),
    [
        ("claude-code", "Claude Code", "Connected"),
        ("gemini", "Gemini CLI", "(stdio) - Connected"),
        ("opencode", "opencode", "✓ lab connected"),
    ],
)
def test_a_program_connects_through_the_entry(
    app: str, title: str, words: str, entry: list[str], probe: Probe
) -> None:
    assert cli.main(["install", app, "lab", "--yes", *entry]) == 0
    if app == "gemini":
        trust_home()
    listed = told_by(app, "mcp", "list")
    assert words in listed, listed
    assert [_PROGRAMS[app][1], *probe.seen()] == documented(title)
    # The program may have written other things into its file meanwhile.
    (file,) = APPS[app].files(Machine.this())
    assert str(probe.program) in Path(file).read_text()
    assert cli.main(["uninstall", app, "lab", "--yes"]) == 0
    assert str(probe.program) not in Path(file).read_text()


def codex_status() -> dict[str, Any]:
    """What Codex's server for editors says of the entry."""
    argv = [*installed.host_app_argv(*_PROGRAMS["codex"]), "app-server"]
    with Host(argv, env=environment()) as codex:
        codex.request("initialize", {"clientInfo": {"name": "test", "version": "1"}})
        codex.notify("initialized")
        answer = codex.request("mcpServerStatus/list", {}, timeout=_RUN_TIMEOUT)
        codex.close_stdin()
        codex.wait()
    (status,) = answer["result"]["data"]
    return dict(status)


def test_codex_shows_the_tools_behind_the_entry(entry: list[str], probe: Probe) -> None:
    assert cli.main(["install", "codex", "lab", "--yes", *entry]) == 0
    status = codex_status()
    assert "echo" in status["tools"], status
    assert [_PROGRAMS["codex"][1], *probe.seen()] == documented("Codex")


def test_copilot_calls_a_tool_behind_the_entry(entry: list[str], probe: Probe) -> None:
    assert cli.main(["install", "copilot", "lab", "--yes", *entry]) == 0
    with Model("echo", {"text": "from afar"}) as model:
        settings = {
            "COPILOT_OFFLINE": "true",
            "COPILOT_PROVIDER_BASE_URL": model.url,
            "COPILOT_MODEL": "stub",
        }
        told = told_by("copilot", "-p", "Call echo", "--allow-all-tools", **settings)
    assert 'It says {"text": "from afar"}' in told
    assert [_PROGRAMS["copilot"][1], *probe.seen()] == documented("GitHub Copilot CLI")


def test_a_host_key_that_is_unknown_is_the_reason_where_programs_show_reasons(
    entry: list[str], tmp_path: Path
) -> None:
    nobody = tmp_path / "known_hosts"
    nobody.touch()
    entry[entry.index("--known-hosts") + 1] = str(nobody)
    for app in ("codex", "opencode"):
        assert cli.main(["install", app, "lab", "--yes", *entry]) == 0
    assert "no key is on file" in told_by("opencode", "mcp", "list")
    assert "no key is on file" in str(codex_status()["toolsError"])


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
