"""Client libraries list and call the tools of a remote server, as docs/hosts.md says of each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from interop import client_scripts as scripts
from support import echo_server, installed
from support.probe import Probe, documented
from support.sshd import Sshd

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(600),  # the first run installs the libraries
    pytest.mark.xdist_group("client-libraries"),  # which one worker installs once
    pytest.mark.skipif(sys.platform != "linux", reason="the probe reads /proc"),
]

_RUN_TIMEOUT = 90.0  # seconds
# No reports to the maker of mcp-use, and no import compiled twice.
_SETTINGS = {"MCP_USE_ANONYMIZED_TELEMETRY": "false", "PYTHONDONTWRITEBYTECODE": ""}

_TYPESCRIPT_1 = "@modelcontextprotocol/sdk@1.32.2"
_TYPESCRIPT_2 = "@modelcontextprotocol/client@2.4.0"

# As in the table: the program, its version, the packages and the script.
_PYTHON = [
    ("Python SDK 1", "1.30.0", scripts.WITH_MCP_1, scripts.PYTHON_SDK_1),
    ("Python SDK 2", "2.3.0", scripts.WITH_MCP_2, scripts.PYTHON_SDK_2),
    ("FastMCP 2", "2.14.7", scripts.WITH_MCP_1, scripts.FASTMCP),
    ("FastMCP 3", "3.4.11", scripts.WITH_MCP_1_AND_FASTMCP_3, scripts.FASTMCP),
    ("FastMCP 4", "4.2.3", scripts.WITH_MCP_2, scripts.FASTMCP),
    ("langchain-mcp-adapters", "0.3.2", scripts.WITH_MCP_1, scripts.LANGCHAIN),
    ("mcp-use", "1.7.1", scripts.WITH_MCP_1, scripts.MCP_USE),
    ("openai-agents", "0.24.0", scripts.WITH_MCP_1, scripts.OPENAI_AGENTS),
    ("pydantic-ai", "2.68.0", scripts.WITH_MCP_2, scripts.PYDANTIC_AI),
]
_NODE = [
    ("TypeScript SDK 1", "1.32.2", _TYPESCRIPT_1, scripts.TYPESCRIPT_1),
    ("TypeScript client 2", "2.4.0", _TYPESCRIPT_2, scripts.typescript_2("legacy")),
    ("TypeScript client 2, `auto`", "2.4.0", _TYPESCRIPT_2, scripts.typescript_2("auto")),
]


@pytest.fixture
def probe(tmp_path: Path) -> Probe:
    return Probe(tmp_path / "probe")


def server(probe: Probe, sshd: Sshd) -> list[str]:
    """The command line of a remote server that records what it is told."""
    command = echo_server.command("--record", str(probe.record))
    options = [*sshd.client_options(), "-F", "none", "-o", "IdentityAgent=none"]
    return [str(probe.program), *options, "--", *command]


def run(argv: list[str], probe: Probe) -> None:
    """Run a script, which lists and calls."""
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_RUN_TIMEOUT,
        env={**probe.environment(), **_SETTINGS},
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    tools, text = json.loads(done.stdout.splitlines()[-1])
    assert "echo" in tools
    assert "Grüße" in text or "Gr\\u00fc\\u00dfe" in text


@pytest.mark.parametrize(
    ("name", "version", "packages", "script"), _PYTHON, ids=[each[0] for each in _PYTHON]
)
def test_a_python_library_lists_and_calls(
    name: str, version: str, packages: tuple[str, ...], script: str, probe: Probe, sshd: Sshd
) -> None:
    python = installed.python_with(*packages)
    run([str(python), "-c", script, *server(probe, sshd)], probe)
    assert [version, *probe.seen()] == documented(name)


@pytest.mark.parametrize(
    ("name", "version", "package", "script"), _NODE, ids=[each[0] for each in _NODE]
)
def test_a_typescript_library_lists_and_calls(
    name: str, version: str, package: str, script: str, probe: Probe, sshd: Sshd
) -> None:
    run([*installed.node_script_argv(package, script), *server(probe, sshd)], probe)
    assert [version, *probe.seen()] == documented(name)
