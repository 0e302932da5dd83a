"""`status` and `logs` beside a real relay: host → client → network that breaks → sshd → echo server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support import echo_server, terminal
from support.far import ENOUGH, environment
from support.fault_proxy import FaultProxy
from support.host import LEGACY_VERSION, PROGRAM, Host, modern_meta
from support.sshd import Sshd

from m2m_ssh_client.status import report_file

if sys.platform == "win32":
    pytest.skip("sshd with POSIX shells behind it", allow_module_level=True)

pytestmark = pytest.mark.interop

SECRET = "S3CRET"
NAME = "lab-echo"


class Stage:
    """An installed entry, and the host that has started it."""

    def __init__(self, sshd: Sshd, folder: Path, stack: ExitStack) -> None:
        self.network = stack.enter_context(FaultProxy(sshd.port))
        known_hosts = folder / "known_hosts"
        lines = sshd.known_hosts.read_text()
        known_hosts.write_text(lines.replace(f":{sshd.port} ", f":{self.network.port} "))
        options = {
            "--host": "127.0.0.1",
            "--port": str(self.network.port),
            "--username": sshd.username,
            "--client-key": str(sshd.keys.client_key),
            "--known-hosts": str(known_hosts),
            "--keepalive": "0.3",
            "--env": f"TOKEN={SECRET}",
        }
        server = echo_server.command("--noise", f"TOKEN={SECRET}")
        arguments = [word for pair in options.items() for word in pair]
        arguments = ["-F", "none", *arguments, "--", *server]
        configuration = Path.home() / ".cursor" / "mcp.json"
        configuration.parent.mkdir()
        entry = {"command": PROGRAM[0], "args": [*PROGRAM[1:], *arguments]}
        configuration.write_text(json.dumps({"mcpServers": {NAME: entry}}))
        self.user = sshd.username
        self.host = stack.enter_context(Host([*PROGRAM, *arguments], cwd=folder))

    def status(self) -> list[dict[str, Any]]:
        relays: list[dict[str, Any]] = json.loads(command("status", "--json"))
        return relays

    def wait_for(self, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the status of the one relay once it is like this."""
        deadline = time.monotonic() + ENOUGH
        while True:
            relays = self.status()
            assert len(relays) <= 1
            if relays and reached(relays[0]):
                return relays[0]
            assert time.monotonic() < deadline, relays
            time.sleep(0.1)


def command(*words: str) -> str:
    done = subprocess.run(
        [*PROGRAM, *words],
        capture_output=True,
        encoding="utf-8",
        timeout=ENOUGH,
        env=environment(),
        cwd=Path.home(),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def stage(sshd: Sshd, tmp_path: Path) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(sshd, tmp_path, stack)


def initialize(host: Host) -> None:
    info = {"name": "Interop \x1b[2J Host", "version": "1.2"}
    params = {"protocolVersion": LEGACY_VERSION, "capabilities": {}, "clientInfo": info}
    assert "result" in host.request("initialize", params)
    host.send({"jsonrpc": "2.0", "method": "notifications/initialized"})


def test_a_relay_is_open_then_reconnecting_then_open_then_gone(stage: Stage) -> None:
    initialize(stage.host)
    hang = {"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": {"name": "hang"}}
    stage.host.send(hang)
    relay = stage.wait_for(lambda relay: relay["requests"] == 1 and relay["round_trips"])
    assert relay["entries"] == [NAME]
    assert relay["state"] == "open"
    assert relay["destination"] == f"{stage.user}@127.0.0.1:{stage.network.port}"
    assert relay["host"] == "Interop \\x1b[2J Host 1.2"
    assert relay["server"] == "echo 9.8.7"
    assert relay["command"] == f"{Path(sys.executable).name} …"
    assert (relay["connections"], relay["losses"], relay["last_error"]) == (1, 0, None)
    assert all(0 < each["ms"] < 5000 for each in relay["round_trips"])
    if sys.platform == "linux":
        assert relay["parent"] == Path("/proc/self/comm").read_text().strip()

    stage.network.refuse()
    stage.network.cut()
    relay = stage.wait_for(lambda relay: relay["state"] == "reconnecting")
    assert (relay["connections"], relay["losses"], relay["requests"]) == (1, 1, 0)
    assert "refused" in relay["last_error"]["text"] or "lost" in relay["last_error"]["text"]

    stage.network.accept()
    relay = stage.wait_for(lambda relay: relay["state"] == "open")
    assert (relay["connections"], relay["losses"]) == (2, 1)
    written = b"".join(path.read_bytes() for path in report_file.folder().iterdir())
    assert b'"state":"open"' in written
    assert SECRET.encode() not in written
    assert command("status").startswith(f"{NAME}  open for ")
    lines = command("logs", NAME, "--json").splitlines()
    assert {json.loads(line)["pid"] for line in lines} == {relay["pid"]}

    stage.host.close_stdin()
    stage.host.wait()
    assert stage.status() == []
    assert not list(report_file.folder().iterdir())
    assert command("status") == "No relay is running.\n"


def test_a_relay_of_the_modern_era_has_its_host_too(stage: Stage) -> None:
    assert "result" in stage.host.request("tools/list", {"_meta": modern_meta()})
    assert stage.wait_for(lambda relay: relay["state"] == "open")["host"] == "host 1"


def test_a_relay_that_was_killed_is_not_shown_and_leaves_no_file(stage: Stage) -> None:
    initialize(stage.host)
    relay = stage.wait_for(lambda relay: relay["state"] == "open")
    os.kill(relay["pid"], signal.SIGKILL)
    stage.host.wait()
    (left,) = report_file.folder().iterdir()
    assert stage.status() == []
    assert not left.exists()


def test_watching_shows_each_change_until_ctrl_c(stage: Stage, tmp_path: Path) -> None:
    initialize(stage.host)
    stage.wait_for(lambda relay: relay["state"] == "open")
    status, shown = terminal.run(
        [*PROGRAM, "status", "--watch"],
        env=environment(),
        cwd=tmp_path,
        columns=60,
        replies=[(NAME, ""), ("open", signal.SIGINT)],
    )
    assert status == 0
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown)
    assert f"{NAME}  open for " in plain
    assert "Traceback" not in plain
