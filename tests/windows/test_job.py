"""Programs that we start end when we say so, or when we are gone, with all that they have started."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

if sys.platform != "win32":
    pytest.skip("job objects", allow_module_level=True)

from support.far import environment

from m2m_ssh_client.ssh.way import process_group, proxy_command
from m2m_ssh_client.windows.calls import Process

ENOUGH = 20.0  # seconds
AT_ONCE = 2.0

_SLEEP = "import time; time.sleep(60)"
_START = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {_SLEEP!r}], stdin=subprocess.DEVNULL)
print(child.pid, flush=True)
"""
# What our process is to these: it holds a program and is killed.
_CLIENT = f"""
import os, sys, time
from m2m_ssh_client.ssh.way import process_group
program = process_group.start([sys.executable, "-c", {_START + _SLEEP!r}], os.environ)
print(int(program.stdout.readline()), flush=True)
time.sleep(60)
"""


@pytest.fixture
def started() -> Iterator[list[Process]]:
    held: list[Process] = []
    yield held
    for process in held:
        process.close()


def child_of(process: subprocess.Popen[bytes]) -> Process:
    assert process.stdout is not None
    return Process(int(process.stdout.readline()))


def closed(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate(timeout=ENOUGH)


def test_what_a_program_has_started_ends_with_it(started: list[Process]) -> None:
    program = process_group.start([sys.executable, "-c", _START + _SLEEP], environment())
    child = child_of(program)
    started.append(child)
    process_group.hang_up(program)
    assert child.ended(AT_ONCE)
    assert program.wait(AT_ONCE) == 1
    closed(program)


def test_it_ends_even_if_the_program_has_ended_before(started: list[Process]) -> None:
    program = process_group.start([sys.executable, "-c", _START], environment())
    child = child_of(program)
    started.append(child)
    assert program.wait(ENOUGH) == 0
    assert not child.ended(0)
    process_group.hang_up(program)
    assert child.ended(AT_ONCE)
    closed(program)


def test_a_proxy_command_ends_with_what_its_shell_has_started() -> None:
    program = proxy_command.spawn(f'"{sys.executable}" -c "input()"')
    assert program.stdin is not None
    assert program.poll() is None
    process_group.hang_up(program)
    assert program.wait(AT_ONCE) == 1
    closed(program)


def test_programs_end_with_us_even_if_we_are_killed(started: list[Process]) -> None:
    client = subprocess.Popen(
        [sys.executable, "-c", _CLIENT], stdout=subprocess.PIPE, env=environment()
    )
    grandchild = child_of(client)
    started.append(grandchild)
    assert not grandchild.ended(0)
    client.kill()
    assert grandchild.ended(AT_ONCE)
    closed(client)
