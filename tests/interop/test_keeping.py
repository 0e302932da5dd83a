"""`--keep`, `kept` and `doctor --keep` towards an ordinary OpenSSH server; tests/faults/test_kept.py breaks the way."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support import echo_server
from support.host import Host, client_argv, finished
from support.sshd import Guest, Sshd
from support.waiting import wait_until

if sys.platform == "win32":
    pytest.skip("sshd with POSIX shells behind it", allow_module_level=True)

# One worker: they count what is kept for an account.
pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("keeping")]

StartSshd = Callable[..., Sshd]

ENOUGH = 30.0  # seconds
NOBODY = 65534


def kept(sshd: Sshd, *options: str, command: Sequence[str] = ()) -> Host:
    words = command or echo_server.command()
    return Host(client_argv(*sshd.client_options(), "--keep", "20", *options, "--", *words))


# An ordinary account may have no way to the Python that runs the tests.
ANSWERS = ['while read line; do echo \'{"jsonrpc":"2.0","id":1,"result":{}}\'; done']


def listed(sshd: Sshd, *options: str) -> list[dict[str, object]]:
    done = finished("kept", *sshd.client_options(), "-F", "none", "--json", *options)
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def sockets(uid: int) -> list[Path]:
    return list(Path(f"/tmp/.m2m-kept-{uid}").glob("*"))  # noqa: S108 - whose it is, is the test


def test_an_ordinary_account_can_keep_and_the_list_shows_it(ordinary_sshd: Sshd) -> None:
    before = {each["pid"] for each in listed(ordinary_sshd)}
    with kept(ordinary_sshd, command=ANSWERS) as host:
        assert "result" in host.initialize()
        (server,) = [each for each in listed(ordinary_sshd) if each["pid"] not in before]
        assert (server["state"], server["program"]) == ("attached", "while")
    ended = listed(ordinary_sshd, "--end", str(server["pid"]))
    assert [each["pid"] for each in ended] == [server["pid"]]
    wait_until(lambda: server["pid"] not in {e["pid"] for e in listed(ordinary_sshd)}, ENOUGH)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has other accounts")
def test_another_user_of_the_remote_machine_cannot_reach_it(ordinary_sshd: Sshd) -> None:
    before = set(sockets(Guest().uid))
    with kept(ordinary_sshd, command=ANSWERS) as host:
        assert "result" in host.initialize()
        (path,) = set(sockets(Guest().uid)) - before
        assert path.parent.stat().st_mode & 0o777 == 0o700
        for argv in (["ls", str(path.parent)], ["stat", str(path)]):  # connecting needs the latter
            done = subprocess.run(
                argv, user=NOBODY, cwd="/", capture_output=True, text=True, timeout=ENOUGH
            )
            assert "Permission denied" in done.stderr, argv
        host.close_stdin()
        assert host.wait(ENOUGH) == 0
    wait_until(lambda: not path.exists(), ENOUGH)


def test_the_name_of_a_kept_server_is_in_no_log_and_on_no_command_line(
    sshd: Sshd, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    before = set(sockets(os.getuid()))
    with kept(sshd, "--log-level", "DEBUG", "--log-payloads", "--log-file", str(log)) as host:
        assert "result" in host.initialize()
        names = {path.name for path in set(sockets(os.getuid())) - before}
        lines = [_read(each) for each in Path("/proc").glob("[0-9]*/cmdline")]
        host.close_stdin()
        assert host.wait(ENOUGH) == 0
        assert names
        for name in names:
            assert re.fullmatch("[0-9a-f]{64}", name)
            assert name not in log.read_text() + host.stderr
            assert not [line for line in lines if name.encode() in line]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""


def test_a_shell_cannot_be_kept_and_the_error_says_why(sshd: Sshd) -> None:
    with Host(client_argv(*sshd.client_options(), "--keep")) as host:
        answer = host.initialize()
        assert "Name the command after `--`" in answer["error"]["message"]
        assert host.wait(ENOUGH) == 2


def test_a_subsystem_cannot_be_kept_and_the_error_says_why(sshd: Sshd) -> None:
    done = finished(*sshd.client_options(), "--keep", "--subsystem", "mcp")
    assert done.returncode == 2
    assert "a keeper runs a command" in done.stderr


def test_a_program_that_only_the_login_shell_finds_is_kept_too(sshd: Sshd) -> None:
    folder = sshd.home / "programs"
    folder.mkdir()
    server = folder / "only-there"
    server.write_text(f"#!/bin/sh\nexec {' '.join(echo_server.command())}\n")
    server.chmod(0o755)
    (sshd.home / ".profile").write_text(f"PATH={folder}:$PATH\n")
    (sshd.home / ".bash_profile").write_text(f"echo hello; PATH={folder}:$PATH\n")
    with kept(sshd, command=["only-there"]) as host:
        assert "result" in host.initialize()
        host.call("echo", {"text": "hello"})


def test_doctor_tries_whether_it_can_be_kept(sshd: Sshd) -> None:
    words = ("doctor", "--json", *sshd.client_options(), "-F", "none", "--keep", "60", "--")
    done = finished(*words, *echo_server.command())
    steps = {step["name"]: step for step in json.loads(done.stdout)}
    assert steps["keeping"]["status"] == "ok"
    assert steps["keeping"]["found"]["kept"] is True


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a namespace for processes")
def test_a_machine_that_ends_what_a_login_leaves_keeps_nothing_and_doctor_says_so(
    start_sshd: StartSshd,
) -> None:
    """The end of a PID namespace's first process ends all others, as logind may do at a logout."""
    namespace = 'unshare --pid --fork --kill-child sh -c "$SSH_ORIGINAL_COMMAND; exit"'
    sshd = start_sshd(f"ForceCommand {namespace}")
    words = ("doctor", "--json", *sshd.client_options(), "-F", "none", "--keep", "60", "--")
    done = finished(*words, *echo_server.command())
    steps = {step["name"]: step for step in json.loads(done.stdout)}
    assert steps["keeping"]["status"] == "warning"
    assert "enable-linger" in steps["keeping"]["advice"]
    assert done.returncode == 0


def test_nothing_is_kept_on_a_machine_without_python(start_sshd: StartSshd) -> None:
    sshd = start_sshd("ForceCommand exit 127")
    done = finished("kept", *sshd.client_options(), "-F", "none")
    assert done.returncode == 1
    assert "no `python3`" in done.stderr
