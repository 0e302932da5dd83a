"""Jump hosts and a ProxyCommand between the client and its server: what breaks on the way is mended as a whole."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.conftest import StartPlay
from faults.play import PATIENT, BreakableSshd, Play, is_running, kill, text_of
from support import programs
from support.waiting import wait_until

pytestmark = pytest.mark.interop

USER = getpass.getuser()
INTERVAL = 0.4  # seconds between signs of life
ONE_JUMP = ("-o", f"ProxyJump={USER}@127.0.0.1:{{breakable}}")
TWO_JUMPS = ("-o", f"ProxyJump={USER}@127.0.0.1:{{breakable}},{USER}@localhost:{{port}}")


def command(sort: str) -> tuple[str, ...]:
    """A ProxyCommand: OpenSSH itself, or a program that does nothing but carry."""
    if sort == "a program":
        return ("-o", f"ProxyCommand={programs.require('python3')} -S -E {CARRIER} {{breakable}}")
    known = "-o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o BatchMode=yes"
    ssh = f"{programs.require('ssh')} -F none -i {{key}} {known} -p {{breakable}}"
    return ("-o", f"ProxyCommand={ssh} -W %h:%p {USER}@127.0.0.1")


CARRIER = Path(__file__).with_name("carrier.py")
WAYS = [ONE_JUMP, TWO_JUMPS, "a program", "ssh -W"]
NAMES = ["one jump", "two jumps", "a program", "ssh -W"]


@pytest.fixture(params=WAYS, ids=NAMES)
def stage(request: pytest.FixtureRequest, play: StartPlay, breakable_sshd: BreakableSshd) -> Play:
    options = ("--keepalive", "0.5", "--keepalive-count", "2", "--connect-timeout", "10")
    return play(*options, way=way_there(request.param, breakable_sshd))


def way_there(way: str | tuple[str, ...], sshd: BreakableSshd) -> tuple[str, ...]:
    if isinstance(way, tuple):
        return way
    key = str(sshd.keys.client_key)
    return tuple(word.replace("{key}", key) for word in command(way))


def cut(stage: Play) -> None:
    stage.network.cut()


def freeze(stage: Play) -> None:
    stage.network.freeze()


def restart(stage: Play) -> None:
    stage.sshd.restart()


def lose_the_last_machine(stage: Play) -> None:
    stage.sshd.kill_sessions()


@pytest.mark.parametrize("fault", [cut, freeze, restart, lose_the_last_machine])
def test_a_way_that_broke_is_made_again_and_every_request_answered(
    fault: Callable[[Play], None], stage: Play
) -> None:
    stage.begin()
    stage.assert_usable()
    fault(stage)
    ids = [stage.host.ask(f"list-{n}", "tools/list") for n in range(3)]
    assert all("result" in answer for answer in stage.host.answers_to(ids, PATIENT))
    stage.books.wait_until_told(2, "notifications/initialized", PATIENT)
    stage.assert_usable()
    stage.end()


@pytest.fixture(params=WAYS, ids=NAMES)
def strict_stage(
    request: pytest.FixtureRequest, play: StartPlay, breakable_sshd: BreakableSshd
) -> Play:
    """A connection that one unanswered probe ends."""
    options = ("--keepalive", str(INTERVAL), "--keepalive-count", "1")
    return play(*options, way=way_there(request.param, breakable_sshd))


def test_a_quiet_way_is_not_lost_where_one_probe_may_go_unanswered(strict_stage: Play) -> None:
    stage = strict_stage
    stage.begin()
    time.sleep(6 * INTERVAL)  # the quiet is the point
    stage.assert_usable()
    assert len(stage.books.pids) == 1
    stage.end()


def test_a_server_that_leaves_a_child_is_started_again_on_the_same_way(stage: Play) -> None:
    stage.begin()
    connections = stage.network.connections
    stage.host.ask_tool("crash", "crash", child=30, bytes=100_000)
    (answer,) = stage.host.answers_to(["crash"])
    assert len(text_of(answer)) == 100_000
    stage.books.wait_until_told(2, "notifications/initialized", PATIENT)
    stage.assert_usable()
    assert stage.network.connections == connections
    stage.end()


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    return [
        int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()
    ]


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGKILL"])
def test_a_proxy_command_that_is_killed_is_reaped_and_started_again(
    signal: str, play: StartPlay
) -> None:
    stage = play(way=command("a program"))
    stage.begin()
    (first,) = children(stage.host.pid)
    kill(first, signal)
    stage.books.wait_until_told(2, "notifications/initialized", PATIENT)
    stage.assert_usable()
    wait_until(lambda: len(children(stage.host.pid)) == 1)
    (second,) = children(stage.host.pid)
    assert second != first
    stage.end()
    assert not is_running(second)
