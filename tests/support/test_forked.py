"""Forked starts: processes that look as those do which Python has started, and end as those do."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.far import Embedded, environment, machine
from support.host import PACKAGE_PARENT, PROGRAM, Host
from support.waiting import wait_until

if sys.platform != "linux":
    pytest.skip("only Linux lets a process give a child away", allow_module_level=True)

from support.forked import FORKS, _Nursery, children

ENOUGH = 60.0  # seconds
STATES = "PPid|NSpgid|NSsid|Umask|SigBlk|SigIgn|SigCgt|Threads"
SAMPLE = [sys.executable, "-m", "m2m_ssh_client.demo.sample_server"]


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with machine(tmp_path_factory.mktemp("far")) as made:
        yield made


def looks(pid: int) -> dict[str, object]:
    """What of a process does not differ from one start to the next."""
    process = Path(f"/proc/{pid}")
    states = dict(re.findall(rf"^({STATES}):\t(.*)$", (process / "status").read_text(), re.M))
    ends = sorted(unnumbered(str(each.readlink())) for each in (process / "fd").iterdir())
    states |= {name: states[name] == str(pid) for name in ("NSpgid", "NSsid")}
    return {**states, "folder": str((process / "cwd").readlink()), "ends": ends}


def unnumbered(text: str) -> str:
    return re.sub(r"\d+", "", text)


def is_forked(pid: int) -> bool:
    return b"nursery.py" in Path(f"/proc/{pid}/cmdline").read_bytes()


def both_ways(monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    for active in (False, True):
        monkeypatch.setattr(FORKS, "active", active)
        yield active


def test_a_relay_looks_as_one_that_python_has_started(
    far: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for active in both_ways(monkeypatch):
        with Host([*PROGRAM, *far.connection, "--", "echo"], cwd=far.here) as host:
            assert "result" in host.initialize()
            assert is_forked(host.pid) == active
            seen.append(looks(host.pid))
            assert seen[-1]["PPid"] == str(os.getpid())
            host.close_stdin()
            assert host.wait() == 0
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    "words",
    [
        ["--host"],
        ["--host", "a..b"],
        ["tools", "--nothing"],
        ["doctor", "-F", "/no/such/file", "x"],
        ["trust"],
        ["--host", "127.0.0.1", "--key-server-url", "https://127.0.0.1:1"],
    ],
    ids=" ".join,
)
def test_a_command_says_and_ends_as_one_that_python_has_started(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    for _ in both_ways(monkeypatch):
        ended = subprocess.run(
            [*PROGRAM, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ENOUGH,
            cwd=tmp_path,
            env=environment(GRÜSSE="ü", COLUMNS="70"),
        )
        done.append((ended.returncode, ended.stdout, ended.stderr))
    assert done[0] == done[1]
    assert any(done[0][1:])


def test_the_sample_server_answers_as_one_that_python_has_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = []
    for active in both_ways(monkeypatch):
        with Host(SAMPLE) as host:
            assert is_forked(host.pid) == active
            answers.append((host.initialize(), host.request("tools/list")))
            where = host.call("where_am_i", {})
            assert f'"pid": {host.pid}' in where["result"]["content"][0]["text"]
            host.close_stdin()
            assert host.wait() == 0
    assert answers[0] == answers[1]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_as_one_that_python_has_started(
    number: signal.Signals, far: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = []
    for _ in both_ways(monkeypatch):
        with Host([*PROGRAM, *far.connection, "--", "echo"]) as host:
            assert "result" in host.initialize()
            host.signal(number)
            statuses.append(host.wait())
    assert statuses[0] == statuses[1] != 0


def test_a_session_of_its_own_is_one() -> None:
    with subprocess.Popen(SAMPLE, stdin=subprocess.PIPE, start_new_session=True) as process:
        assert is_forked(process.pid)
        wait_until(lambda: os.getsid(process.pid) == os.getpgid(process.pid) == process.pid)


@pytest.mark.cold
def test_a_cold_one_is_started_by_python() -> None:
    with Host(SAMPLE) as host:
        assert not is_forked(host.pid)


def test_an_orphan_that_is_adopted_by_the_way_is_no_child_of_a_test_and_is_reaped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It loses its parent while a fork is given away."""
    given, gives = os.pipe()
    script = "import os; os.write(1, b'%d' % os.getpid()) if os.fork() == 0 else 0; os.read(0, 1)"
    argv = [sys.executable, "-c", script]
    parent = subprocess.Popen(argv, stdin=given, stdout=subprocess.PIPE)
    os.close(given)
    with parent:
        assert parent.stdout is not None
        orphan = int(os.read(parent.stdout.fileno(), 100))
        fork = _Nursery.fork

        def forks(nursery: _Nursery, *args: Any) -> int:
            nursery.adopt(True)
            parent.kill()
            parent.wait()
            return fork(nursery, *args)

        monkeypatch.setattr(_Nursery, "fork", forks)
        with Host(SAMPLE):
            assert orphan in children()
            assert orphan in FORKS.in_use()[0]
    os.close(gives)
    wait_until(lambda: orphan not in FORKS.in_use()[0])
    assert orphan not in children()


def test_whoever_forks_ends_with_the_process_that_wants_it(tmp_path: Path) -> None:
    """Also where that is killed. The forked process lives on, as others do."""
    script = """
        import os, signal, subprocess, sys
        from support.forked import Forks

        with Forks() as forks:
            forks.active = True
            argv = [sys.executable, "-m", "m2m_ssh_client", "--host", "127.0.0.1", "-p", "9"]
            child = subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
            print(*forks.in_use()[0], flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    path = os.pathsep.join([PACKAGE_PARENT, str(Path(__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        timeout=ENOUGH,
        cwd=tmp_path,
    )
    assert done.returncode == -signal.SIGKILL
    nursery = Path("/proc", done.stdout.decode().strip())
    wait_until(lambda: not nursery.exists() or " Z " in (nursery / "stat").read_text())
