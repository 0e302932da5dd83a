"""MCP Inspector's command line mode, with a command line and with a configuration file."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import echo_server, installed
from support.host import PACKAGE_PARENT, client_argv
from support.probe import Probe, documented
from support.sshd import Sshd

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]  # the first run installs the package

ENVIRONMENT = ["-e", f"PYTHONPATH={PACKAGE_PARENT}"]

_RUN_TIMEOUT = 50.0  # seconds


def inspect(*arguments: str, version: tuple[str, str, str] = installed.INSPECTOR) -> Any:
    """What the Inspector's command line prints for one request."""
    inspector = installed.node_argv(version)
    path = [str(Path(inspector[0]).parent), os.environ["PATH"]]
    done = subprocess.run(
        [*inspector, "--cli", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_RUN_TIMEOUT,
        cwd=os.environ["HOME"],
        env={**Probe.environment(), "PATH": os.pathsep.join(path)},
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    return json.loads(done.stdout)


def configured(folder: Path, server: list[str]) -> list[str]:
    """The options that name a server in a configuration file."""
    command, *arguments = server
    environment = {"PYTHONPATH": PACKAGE_PARENT}
    entry = {"command": command, "args": arguments, "env": environment}
    config = folder / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"remote": entry}}))
    return ["--config", str(config), "--server", "remote"]


def test_the_inspector_lists_the_tools_of_the_remote_server(sshd: Sshd, tmp_path: Path) -> None:
    through_proxy = client_argv(*sshd.client_options(), "--subsystem", "mcp")
    listed = inspect(*configured(tmp_path, through_proxy), "--method", "tools/list")
    assert "echo" in [tool["name"] for tool in listed["tools"]]
    direct = configured(tmp_path, echo_server.command())
    assert listed == inspect(*direct, "--method", "tools/list")


def test_the_inspector_calls_a_tool_of_the_remote_server(sshd: Sshd, tmp_path: Path) -> None:
    through_proxy = client_argv(*sshd.client_options(), "--subsystem", "mcp")
    call = [
        "--method",
        "tools/call",
        "--tool-name",
        "echo",
        "--tool-arg",
        "text=Grüße, \u2028 hello",
    ]
    answer = inspect(*configured(tmp_path, through_proxy), *call)
    assert json.loads(answer["content"][0]["text"]) == {"text": "Grüße, \u2028 hello"}


def test_the_line_in_the_reference_needs_no_configuration(sshd: Sshd, tmp_path: Path) -> None:
    probe = Probe(tmp_path / "probe")
    command = shlex.join(echo_server.command("--record", str(probe.record)))
    through_proxy = [str(probe.program), "-F", "none", *sshd.client_options(), "--", command]
    listed = inspect("--method", "tools/list", "--", *through_proxy)
    assert "echo" in [tool["name"] for tool in listed["tools"]]
    assert [installed.INSPECTOR[1], *probe.seen()] == documented("MCP Inspector")


def test_versions_before_2_take_a_remote_command_behind_three_separators(sshd: Sshd) -> None:
    """Their two stages take one `--` each; only the third is left for us."""
    through_proxy = client_argv(*sshd.client_options())
    behind = ["--", "--", "--", shlex.join(echo_server.command())]
    options = [*ENVIRONMENT, "--method", "tools/list", *through_proxy, *behind]
    listed = inspect(*options, version=installed.OLD_INSPECTOR)
    assert "echo" in [tool["name"] for tool in listed["tools"]]
