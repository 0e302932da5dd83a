"""The gateways in docs/sharing.md, as that page starts them, with two servers behind sshd."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from interop import client_scripts as scripts
from support import echo_server, installed
from support.probe import Probe
from support.sshd import Sshd, free_port
from support.waiting import wait_until

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(600),  # the first run installs the gateways
    pytest.mark.xdist_group("client-libraries"),  # which have one of them
    pytest.mark.skipif(sys.platform != "linux", reason="the probe reads /proc"),
]

_PAGE = Path(__file__).parents[2] / "docs/sharing.md"
_TIMEOUT = 40.0  # seconds
_SUPERGATEWAY = ("supergateway", "4.0.0", "dist/index.js")
_MCP_PROXY = ("mcp-proxy==0.13.0", "mcp==1.30.0")
_OUR_LINE = re.compile(r"m2m-mcp-server-ssh-client --host (\w+) -- [^\"]+")
_OUR_LIST = re.compile(r'\["--host", "\w+".*?\]')


@pytest.fixture
def probe(tmp_path: Path) -> Probe:
    return Probe(tmp_path / "probe")


@pytest.fixture
def options(sshd: Sshd) -> list[str]:
    alone = ["-F", "none", "-o", "IdentityAgent=none"]
    return [*sshd.client_options(), *alone, "--", *echo_server.command()]


def example(title: str) -> str:
    """The first block of code in a section of the page."""
    section = _PAGE.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2]
    return section.partition("```")[2].partition("\n")[2].partition("\n```")[0]


def line(title: str, port: int, probe: Probe, options: list[str]) -> list[str]:
    """A line of the page with our machine, server and port, without the gateway's own name."""
    ours = shlex.join([str(probe.program), *options])
    told = _OUR_LINE.sub(ours, re.sub(r"--port \d+", f"--port {port}", example(title)))
    words = shlex.split(told)
    return words[next(at for at, word in enumerate(words) if word.startswith("--")) :]


@contextmanager
def running(argv: Sequence[str], port: int) -> Iterator[None]:
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=os.environ["HOME"],
        env={**Probe.environment(), "PYTHONDONTWRITEBYTECODE": ""},
    ) as process:
        try:
            wait_until(lambda: process.poll() is not None or answers(port))
            assert process.poll() is None, process.communicate()[1]
            yield
        finally:
            process.terminate()
            try:
                process.communicate(timeout=_TIMEOUT)
            finally:
                process.kill()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), _TIMEOUT).close()
    except OSError:
        return False
    return True


class HttpClient:
    """A session over streamable HTTP."""

    def __init__(self, port: int, path: str = "/mcp") -> None:
        self._port = port
        self._path = path
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}}
        self.request("initialize", {**hello, "clientInfo": {"name": "test", "version": "1"}})
        self._post({"method": "notifications/initialized"})

    def request(self, method: str, params: dict[str, Any]) -> Any:
        body = self._post({"id": 1, "method": method, "params": params})
        lines = [each.removeprefix("data:").strip() for each in body.splitlines()]
        messages = [json.loads(each) for each in lines if each.startswith("{")]
        (answer,) = [each for each in messages if each.get("id") == 1]
        return answer["result"]

    def tools(self) -> list[str]:
        return [tool["name"] for tool in self.request("tools/list", {})["tools"]]

    def echo(self, name: str = "echo") -> str:
        answer = self.request("tools/call", {"name": name, "arguments": {"text": "hello"}})
        return str(answer["content"][0]["text"])

    def _post(self, message: dict[str, Any]) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT)
        with closing(connection):
            body = json.dumps({"jsonrpc": "2.0", **message})
            connection.request("POST", self._path, body, self._headers)
            response = connection.getresponse()
            assert response.status in (200, 202), response.read()
            if session := response.headers.get("Mcp-Session-Id"):
                self._headers["Mcp-Session-Id"] = session
            return response.read().decode()


def test_mcp_proxy_serves_two_machines_at_two_paths(probe: Probe, options: list[str]) -> None:
    port = free_port()
    python = str(installed.python_with(*_MCP_PROXY))
    with running([python, "-m", "mcp_proxy", *line("mcp-proxy", port, probe, options)], port):
        for name in ("lab", "field", "lab"):
            client = HttpClient(port, f"/servers/{name}/mcp")
            assert client.echo() == '{"text": "hello"}'
    assert probe.starts() == 2


def test_supergateway_starts_a_server_for_each_session(probe: Probe, options: list[str]) -> None:
    port = free_port()
    argv = [*installed.node_argv(_SUPERGATEWAY), *line("supergateway", port, probe, options)]
    with running(argv, port):
        for _ in range(2):
            client = HttpClient(port)
            assert [client.echo(), client.echo()] == ['{"text": "hello"}'] * 2
    assert probe.starts() == 2


def test_fastmcp_merges_two_machines_and_keeps_their_sessions(
    probe: Probe, options: list[str]
) -> None:
    port = free_port()
    script = _OUR_LIST.sub(lambda _: json.dumps(options), example("FastMCP"))
    script = script.replace("m2m-mcp-server-ssh-client", str(probe.program))
    script = script.replace("port=8097", f"port={port}")
    with running([str(installed.python_with(*scripts.WITH_MCP_2)), "-c", script], port):
        client = HttpClient(port)
        assert {"lab_echo", "field_echo"} <= set(client.tools())
        for name in ("lab_echo", "field_echo", "lab_echo"):
            assert client.echo(name) == '{"text": "hello"}'
    assert probe.starts() == 2
