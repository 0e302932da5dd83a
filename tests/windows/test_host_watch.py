"""The end of a host whose pipes stay open, because another process has inherited them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

if sys.platform != "win32":
    pytest.skip("processes as Windows has them", allow_module_level=True)

from support.far import environment

from m2m_ssh_client.windows.host_watch import host_and_launchers, watching

ENOUGH = 10.0  # seconds
AT_ONCE = 2.0

_CLIENT = """
import os, sys, threading
from m2m_ssh_client.windows.host_watch import watching
gone = threading.Event()
with watching(1, gone.set):
    print("watching", flush=True)
    gone.wait(30)
sys.stderr.write("gone")
"""
_HOST = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1]])  # with our pipes, which it inherits
sys.stdin.read()
"""


def test_a_host_that_dies_is_noticed_while_another_process_holds_its_pipes() -> None:
    """The test itself is the process that holds them."""
    host = subprocess.Popen(
        [sys.executable, "-c", _HOST, _CLIENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    stdout, stderr = host.stdout, host.stderr
    assert stdout is not None
    assert stderr is not None
    assert stdout.readline().strip() == b"watching"
    said: list[bytes] = []
    reader = threading.Thread(target=lambda: said.append(stderr.read(4)))
    reader.start()
    host.kill()
    reader.join(AT_ONCE)
    assert said == [b"gone"]
    host.communicate(timeout=ENOUGH)


def test_a_host_that_closes_our_output_is_noticed_before_anything_is_written() -> None:
    reads, writes = os.pipe()
    gone = threading.Event()
    with watching(writes, gone.set):
        assert not gone.wait(0.6)
        os.close(reads)
        assert gone.wait(AT_ONCE)
    os.close(writes)


def test_the_host_of_a_python_is_the_process_that_started_it() -> None:
    code = """
from m2m_ssh_client.windows.host_watch import host_and_launchers
print(*(each.program for each in host_and_launchers()), sep="\\n")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=ENOUGH,
        env=environment(),
    )
    assert Path(done.stdout.splitlines()[-1]).samefile(sys.executable), done.stderr


def test_a_launcher_is_looked_behind() -> None:
    code = "from m2m_ssh_client.windows import host_watch as w; print(len(w.host_and_launchers()))"
    done = subprocess.run(
        ["cmd", "/c", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=ENOUGH,
        env=environment(),
    )
    assert done.stdout.strip() == "2", done.stderr


def test_a_process_without_a_parent_has_no_host_to_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("m2m_ssh_client.windows.calls.Process.parent", 0x7FFF_FFFC)
    assert host_and_launchers() == []


def test_a_process_with_the_number_of_a_parent_that_has_ended_is_no_parent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        monkeypatch.setattr("m2m_ssh_client.windows.calls.Process.parent", child.pid)
        assert host_and_launchers() == []
    finally:
        child.kill()
        child.communicate(timeout=ENOUGH)
