"""Failures before or within the relay: the host's requests are answered with an error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.host import Host, Message, modern_meta
from test_cli import Mute, refused_port, wait_until_up

from m2m_ssh_client.log_file import default_path
from m2m_ssh_client.proxy.refusal import refuse

MAIN = "import sys; from m2m_ssh_client.cli import main; sys.exit(main(sys.argv[1:]))"

BROKEN_RESOLVE = """
from m2m_ssh_client.ssh import destination
def resolve(params): raise TypeError("a broken part")
destination.resolve = resolve
"""
BROKEN_RECOVERY = """
from m2m_ssh_client.proxy.recovery import Recovery
def delay(*_): raise TypeError("a broken part")
Recovery.delay = delay
"""
BROKEN_STEP = """
from m2m_ssh_client.proxy.memory.session import Session
sound = Session.from_host
def from_host(self, lines, now):
    if any(b"poison" in line for line in lines): raise TypeError("a broken part")
    return sound(self, lines, now)
Session.from_host = from_host
"""
MISSING_PART = 'import sys; sys.modules["m2m_ssh_client.relay"] = None'
NO_HOME = """
import os, pwd
del os.environ["HOME"], os.environ["XDG_STATE_HOME"]
def getpwuid(uid): raise KeyError(uid)
pwd.getpwuid = getpwuid
"""

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="accounts as POSIX has them")


def broken(how: str, *options: str, port: int | None = None) -> Host:
    """Start the program with a broken part."""
    there = ("-F", "none", "--host", "127.0.0.1", "--port", str(port or refused_port()))
    return Host([sys.executable, "-c", f"{how}\n{MAIN}", *options, *there])


def refused(host: Host) -> Message:
    """Return the error for `initialize`, after the host has left."""
    answer = host.initialize()
    host.close_stdin()
    assert host.wait() == 1
    assert "Traceback" not in host.stderr, host.stderr
    error: Message = answer["error"]
    assert error["code"] == -32000
    assert error["message"] in host.stderr
    return error


@pytest.mark.parametrize("how", [BROKEN_RESOLVE, BROKEN_RECOVERY])
def test_a_fault_of_ours_is_told_to_the_host_and_its_traceback_to_the_log(how: str) -> None:
    with broken(how) as host:
        assert "TypeError('a broken part')" in refused(host)["message"]
    log = default_path().read_text()
    assert "Traceback" in log
    assert "a broken part" in log


def test_a_fault_while_one_request_is_taken_is_told_to_all_that_wait() -> None:
    with closing(Mute()) as mute, broken(BROKEN_STEP, port=mute.port) as host:
        mute.wait_for_connection()
        host.send({"jsonrpc": "2.0", "id": "first", "method": "initialize"})
        wait_until_up(host)
        host.send({"jsonrpc": "2.0", "id": "second", "method": "poison"})
        first = host.receive()
        assert first["id"] == "first"
        assert "a broken part" in first["error"]["message"]
        assert host.request("ping")["error"] == first["error"]
        host.close_stdin()
        assert host.wait() == 1
    assert "Traceback" not in host.stderr


def test_a_fault_before_there_is_a_proxy_is_told_to_a_host_of_both_eras_twice() -> None:
    with broken(MISSING_PART) as host:
        probe = host.request("server/discover", {"_meta": modern_meta()})
        assert "m2m_ssh_client.relay" in probe["error"]["message"]
        assert refused(host) == probe["error"]
    assert "Traceback" in default_path().read_text()


def test_after_a_fault_the_process_ends_by_itself_in_a_few_seconds() -> None:
    with broken(MISSING_PART) as host:
        assert "error" in host.initialize()
        assert host.wait(8.0) == 1


@posix_only
def test_a_user_without_home_and_account_is_told_so() -> None:
    with broken(NO_HOME) as host:
        assert "Set HOME" in refused(host)["message"]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux limits the memory of a process so")
def test_a_machine_that_has_no_memory_for_a_thread_says_so() -> None:
    limited = ["sh", "-c", 'ulimit -s 4000000; ulimit -v 2000000; exec "$@"', "sh"]
    there = ["-F", "none", "--host", "127.0.0.1", "--port", str(refused_port())]
    with Host([*limited, sys.executable, "-m", "m2m_ssh_client", *there]) as host:
        assert "thread" in refused(host)["message"]


def test_doctor_reports_a_fault_as_a_failed_step() -> None:
    argv = [sys.executable, "-c", f"{BROKEN_RESOLVE}\n{MAIN}", "doctor", "--json"]
    with Host([*argv, "-F", "none", "--host", "127.0.0.1"]) as host:
        assert host.wait() == 1
        report = json.loads(b"".join(drained(host)))
    first, *others = report
    assert (first["name"], first["status"]) == ("configuration", "failed")
    assert "TypeError('a broken part')" in json.dumps(first)
    assert {step["status"] for step in others} == {"skipped"}
    assert "Traceback" not in host.stderr


def drained(host: Host) -> Iterator[bytes]:
    """Yield the lines that the program wrote before it ended."""
    while True:
        try:
            yield host.receive_line()
        except AssertionError:
            return


def answers_to(sent: bytes) -> list[Message]:
    stdin, host_writes = os.pipe()
    host_reads, stdout = os.pipe()
    os.write(host_writes, sent)
    os.close(host_writes)
    refuse("no", stdin, stdout)
    os.close(stdout)
    with os.fdopen(host_reads, "rb") as heard:
        answers = [json.loads(line) for line in heard]
    os.close(stdin)
    return answers


def test_every_request_is_refused_and_nothing_else() -> None:
    request = b'{"jsonrpc":"2.0","id":1,"method":"x"}'
    others = b'{"jsonrpc":"2.0","method":"x"}\n\nnonsense\n{"jsonrpc":"2.0","id":1,"result":{}}\n'
    assert answers_to(others) == []
    error = {"code": -32000, "message": "no"}
    expected = {"jsonrpc": "2.0", "id": 1, "error": error}
    assert answers_to(others + request + b"\n" + request) == [expected, expected]
    assert answers_to(b"[" + request + b"," + request + b"]\n") == [expected, expected]


if sys.platform != "win32":

    def test_a_person_at_a_terminal_is_not_waited_for() -> None:
        ours, theirs = os.openpty()
        host_reads, stdout = os.pipe()
        try:
            refuse("no", theirs, stdout)
        finally:
            for descriptor in (ours, theirs, host_reads, stdout):
                os.close(descriptor)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has this file")
def test_a_log_file_on_a_full_disk_is_told_once_and_ends_nothing() -> None:
    options = ("--log-file", "/dev/full", "--log-level", "DEBUG")
    with broken("", *options) as host:
        assert "error" in host.initialize()
        host.close_stdin()
        assert host.wait() == 1
    told = [line for line in host.stderr.splitlines() if "No space left on device" in line]
    assert len(told) == 1
    assert "/dev/full" in told[0]
    assert "Logging error" not in host.stderr
