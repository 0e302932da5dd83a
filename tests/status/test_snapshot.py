from __future__ import annotations

import os
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from m2m_ssh_client.entry_tag import tag
from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.proxy.server import Proxy, Settings
from m2m_ssh_client.ssh.destination import resolve
from m2m_ssh_client.ssh.opener import Opener
from m2m_ssh_client.status.report import Report, encoded
from m2m_ssh_client.status.snapshot import reports_of

ARGUMENTS = ["--host", "lab"]


@asynccontextmanager
async def nowhere(_intake: object) -> Any:
    raise AssertionError
    yield


def snapshot(remote: Opener, proxy: Proxy | None = None) -> Report:
    return reports_of(remote, proxy or Proxy(nowhere, Settings()), ARGUMENTS)()


def opener(**options: Any) -> Opener:
    return Opener(Parameters(**{"host": "lab", "ssh_config": "none", **options}))


pytestmark = pytest.mark.anyio


async def test_before_anything_is_known_it_says_what_was_asked_for() -> None:
    report = snapshot(opener())
    assert (report.pid, report.tag) == (os.getpid(), tag(ARGUMENTS))
    assert (report.state, report.destination, report.alias) == ("connecting", "lab", "lab")
    assert (report.host, report.server, report.requests) == ("", "", 0)
    assert (report.round_trips, report.last_error) == ((), None)


@pytest.mark.parametrize(("host", "shown"), [("10.0.0.5", "10.0.0.5"), ("fd00::5", "[fd00::5]")])
async def test_the_destination_is_what_the_configuration_makes_of_it(
    host: str, shown: str, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text(f"Host lab\n  HostName {host}\n  User ada\n  Port 22\n")
    remote = opener(ssh_config=str(config))
    remote.destination = resolve(remote.params)
    report = snapshot(remote)
    assert (report.destination, report.alias) == (f"ada@{shown}:22", "lab")


async def test_round_trips_are_in_milliseconds() -> None:
    remote = opener()
    remote.round_trips.append((time.time(), 0.01824))
    (found,) = snapshot(remote).round_trips
    assert found.ms == 18.2


async def test_there_is_no_secret_in_it() -> None:
    secrets = ["S3CRET1", "S3CRET2", "S3CRET3", "S3CRET4", "S3CRET5"]
    remote = opener(
        command=("./serve", "--token", secrets[0], secrets[1]),
        env=(f"TOKEN={secrets[2]}",),
        passphrase=secrets[3],
    )
    proxy = Proxy(nowhere, Settings())
    proxy.history.failed(f"The command failed; its stderr: API_TOKEN={secrets[4]} is wrong\x1b[2J")
    report = snapshot(remote, proxy)
    assert not [secret for secret in secrets if secret.encode() in encoded(report)]
    assert report.last_error is not None
    assert report.last_error.text.startswith("The command failed; its stderr: API_TOKEN=… is")
    assert "\x1b" not in report.last_error.text


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ((), ""),
        (("uvx",), "uvx"),
        (("/opt/bin/uvx", "mcp-server-git"), "uvx …"),
        (("exec ~/serve --fast",), "serve …"),
        (("TOKEN=x/s3cret ./serve",), "…"),
        (("TOKEN='a; b' ./serve",), "…"),
        (("'/my programs/serve' s3cret",), "…"),
        (("x" * 100,), "x" * 39 + "…"),
    ],
)
async def test_of_a_command_only_the_program_is_named(command: tuple[str, ...], shown: str) -> None:
    assert snapshot(opener(command=command)).command == shown


async def test_a_subsystem_is_named() -> None:
    assert snapshot(opener(subsystem="mcp")).command == "subsystem mcp"
