"""Hosts and servers on the SDKs, each of its protocol eras, and what works between two of them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from support import installed, programs

_PEERS = Path(__file__).with_name("peers")
_NPM = (
    "@modelcontextprotocol/client@2.4.0",
    "@modelcontextprotocol/server@2.4.0",
    "@modelcontextprotocol/sdk@1.32.2",
    "zod@4.4.3",
)
_SESSION_TIMEOUT = 60.0  # seconds
FEATURES = ("list", "call", "ask", "log", "subscribe", "cancel")


class Peer(NamedTuple):
    """A program that plays one side."""

    name: str
    era: str
    program: str
    arguments: tuple[str, ...]


HOSTS = (
    Peer("TypeScript sdk 1.32", "legacy", "node", ("ts_host.mjs", "1")),
    Peer("TypeScript client 2.4", "legacy", "node", ("ts_host.mjs", "legacy")),
    Peer("TypeScript client 2.4, auto", "both", "node", ("ts_host.mjs", "auto")),
    Peer("TypeScript client 2.4, pinned", "modern", "node", ("ts_host.mjs", "pin")),
    Peer("Python mcp 1.30", "legacy", "mcp1", ("py_host.py", "legacy")),
    Peer("Python mcp 2.3, legacy", "legacy", "mcp2", ("py_host.py", "legacy")),
    Peer("Python mcp 2.3, auto", "both", "mcp2", ("py_host.py", "auto")),
    Peer("Python mcp 2.3, pinned", "modern", "mcp2", ("py_host.py", "2026-07-28")),
)
SERVERS = (
    Peer("TypeScript sdk 1.32", "legacy", "node", ("ts1_server.mjs",)),
    Peer("TypeScript server 2.4", "both", "node", ("ts2_server.mjs", "serve")),
    Peer("TypeScript server 2.4, reject", "modern", "node", ("ts2_server.mjs", "reject")),
    Peer("Python mcp 1.30", "legacy", "mcp1", ("py_server.py", "mcp")),
    Peer("Python mcp 2.3", "both", "mcp2", ("py_server.py", "mcp")),
    Peer("FastMCP 4.2", "both", "mcp2", ("py_server.py", "fastmcp")),
)


class Peers:
    """The peers, installed: their scripts in one folder beside the packages that they import."""

    def __init__(self, folder: Path) -> None:
        packages = installed.npm_folder(*_NPM)
        self._folder = folder
        for script in _PEERS.iterdir():
            shutil.copy(script, folder)
        (folder / "node_modules").symlink_to(packages / "node_modules")
        self._programs = {
            "node": programs.require("node"),
            "mcp1": installed.python_with("mcp==1.30.0"),
            "mcp2": installed.python_with("fastmcp==4.2.3", "mcp==2.3.0"),
        }

    def argv(self, peer: Peer) -> list[str]:
        script, *options = peer.arguments
        return [str(self._programs[peer.program]), str(self._folder / script), *options]

    def reports(
        self, host: Peer, servers: Sequence[Peer], client: list[str]
    ) -> dict[str, dict[str, object]]:
        """What a host says of its sessions with servers, by their names, one after the other.

        It reaches each of them through this client.
        """
        commands = [[*client, "--", f"exec {shlex.join(self.argv(each))}"] for each in servers]
        with tempfile.TemporaryFile() as stderr:
            done = subprocess.run(
                [*self.argv(host), json.dumps(commands)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                timeout=_SESSION_TIMEOUT * len(servers),
                env=dict(os.environ),
            )
            stderr.seek(0)
            said = stderr.read().decode(errors="replace")
        found = [json.loads(line) for line in done.stdout.decode().splitlines()]
        assert len(found) == len(servers), said[-2000:]
        return {server.name: report for server, report in zip(servers, found, strict=True)}


def works(report: dict[str, object]) -> list[str]:
    """The features that work, by a host's report."""
    good: dict[str, object] = {
        "list": True,
        "call": "grüße",
        "log": True,
        "subscribe": True,
        "cancel": "gave up, then on",
    }
    return [
        name
        for name in FEATURES
        if report.get(name) == good.get(name, object())
        or (name == "ask" and str(report.get(name)).startswith("hello Ada"))
    ]
