"""`--share`, ControlMaster and ControlPath: several entries, one SSH connection, a real sshd."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from support import counting_server, echo_server, programs
from support.counting_server import Books
from support.host import Host, client_argv, finished
from support.pair import pair
from support.sshd import Sshd
from support.waiting import wait_until

from m2m_ssh_client._version import HOLDER
from m2m_ssh_client.log_file import default_path

if sys.platform == "win32":
    pytest.skip("Windows passes no descriptors on", allow_module_level=True)

pytestmark = pytest.mark.interop

StartSshd = Callable[..., Sshd]

ENOUGH = 30.0  # seconds
ECHO = echo_server.command()


def sharing(sshd: Sshd, *options: str, command: Sequence[str] = ECHO) -> Host:
    argv = client_argv(*sshd.client_options(), "--log-level", "INFO", *options, "--", *command)
    return Host(argv)


def logins(sshd: Sshd) -> int:
    return sshd.log.count("Accepted publickey")


def folder() -> Path:
    return default_path().with_name("shared")


def sockets() -> list[Path]:
    return [path for path in folder().glob("*") if path.is_socket()]


def holders() -> list[psutil.Process]:
    """Return the processes that hold a connection and have this test's home folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if HOLDER in process.cmdline() and process.environ()["HOME"] == os.environ["HOME"]:
                found.append(process)
        except (psutil.Error, KeyError):
            continue
    return found


def holder() -> psutil.Process:
    (process,) = holders()
    return process


@pytest.fixture(autouse=True)
def no_holder_stays() -> Iterator[None]:
    yield
    for process in holders():
        with suppress(psutil.NoSuchProcess):  # it ends by itself
            process.kill()
            process.wait(ENOUGH)


def ended(host: Host) -> None:
    host.close_stdin()
    assert host.wait(ENOUGH) == 0, host.stderr


def test_two_entries_share_a_connection_which_ends_with_the_last(start_sshd: StartSshd) -> None:
    sshd = start_sshd()
    with sharing(sshd, "--share") as first, sharing(sshd, "--share") as second:
        for host in (first, second):
            assert "result" in host.initialize(), host.stderr
        assert logins(sshd) == 1
        assert folder().stat().st_mode & 0o777 == 0o700
        held = holder()
        ended(first)
        assert "result" in second.call("echo", {"text": "still here"})
        assert held.is_running()
        ended(second)
        wait_until(lambda: not holders() and not sockets(), ENOUGH)
    assert logins(sshd) == 1


def test_entries_that_start_at_once_start_one_holder(start_sshd: StartSshd) -> None:
    sshd = start_sshd()
    with ExitStack() as stack:
        hosts = [stack.enter_context(sharing(sshd, "--share")) for _ in range(6)]
        for host in hosts:
            assert "result" in host.initialize(timeout=ENOUGH), host.stderr
        assert (logins(sshd), len(holders())) == (1, 1)


def test_entries_with_another_user_or_key_or_trust_do_not_share(
    start_sshd: StartSshd, tmp_path: Path
) -> None:
    sshd = start_sshd()
    other = tmp_path / "known_hosts"
    sshd.write_known_hosts(other)
    with sharing(sshd, "--share") as first, ExitStack() as stack:
        assert "result" in first.initialize()
        options = ["-o", f"GlobalKnownHostsFile={other}"], ["-o", "Compression=yes"]
        for each in options:
            host = stack.enter_context(sharing(sshd, "--share", *each))
            assert "result" in host.initialize(), host.stderr
        assert logins(sshd) == 3


def test_after_a_lost_connection_all_share_a_new_one(start_sshd: StartSshd) -> None:
    sshd = start_sshd()
    with sharing(sshd, "--share") as first, sharing(sshd, "--share") as second:
        for host in (first, second):
            assert "result" in host.initialize(), host.stderr
        (session,) = psutil.Process(sshd.pid).children()
        session.kill()
        for host in (first, second):
            assert "result" in host.request("tools/list", timeout=ENOUGH), host.stderr
            assert "was lost" in host.stderr
        assert (logins(sshd), len(holders())) == (2, 1)


def test_after_the_end_of_the_holder_all_share_a_new_one(start_sshd: StartSshd) -> None:
    sshd = start_sshd()
    with sharing(sshd, "--share") as first, sharing(sshd, "--share") as second:
        for host in (first, second):
            assert "result" in host.initialize(), host.stderr
        holder().kill()
        for host in (first, second):
            assert "result" in host.request("tools/list", timeout=ENOUGH), host.stderr
            assert "held the shared SSH connection has ended" in host.stderr
        assert (logins(sshd), len(holders())) == (2, 1)


def test_where_the_server_has_no_room_for_a_session_an_entry_connects_by_itself(
    start_sshd: StartSshd,
) -> None:
    sshd = start_sshd("MaxSessions 1")
    with sharing(sshd, "--share") as first, sharing(sshd, "--share") as second:
        for host in (first, second):
            assert "result" in host.initialize(), host.stderr
        assert "connecting by ourselves" in second.stderr + first.stderr
        for host in (first, second):
            assert "result" in host.call("echo", {"text": "both work"}), host.stderr
        assert logins(sshd) == 2


def test_a_failure_says_what_it_says_without_sharing(start_sshd: StartSshd) -> None:
    sshd = start_sshd()
    stranger = ["--client-key", str(sshd.keys.stranger_key)]
    told = []
    for options in ([], ["--share"]):
        with sharing(sshd, *stranger, *options) as host:
            told.append(host.initialize()["error"]["message"])
            host.close_stdin()
            assert host.wait(ENOUGH) == 1
    assert told[0] == told[1]
    wait_until(lambda: not holders() and not sockets(), ENOUGH)


@pytest.mark.parametrize("command", ["echo no >&2; exit 9", "kill -9 $$", "no-such-program"])
def test_the_end_of_a_server_says_what_it_says_without_sharing(
    start_sshd: StartSshd, command: str
) -> None:
    sshd = start_sshd()
    told = []
    for options in ([], ["--share"]):
        with sharing(sshd, "--no-login-shell", *options, command=[command]) as host:
            told.append(host.initialize(timeout=ENOUGH)["error"]["message"])
    assert told[0] == told[1]


def test_one_whose_host_does_not_read_holds_up_nobody_else(start_sshd: StartSshd) -> None:
    sshd = start_sshd()
    slow = Host(client_argv(*sshd.client_options(), "--share", "--", *ECHO), reading=False)
    with slow, sharing(sshd, "--share") as other:
        assert "result" in other.initialize(), other.stderr
        slow.send(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        big = '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"big","arguments":'
        slow.send(big.encode() + b'{"bytes":30000000}}}\n')
        for _ in range(20):
            assert "result" in other.call("echo", {"text": "x" * 100_000}), other.stderr
        slow.start_reading()
        wanted = slow.receive_until(lambda message: message.get("id") == 2, ENOUGH)
        assert len(str(wanted)) > 30_000_000


def test_a_server_that_outlives_its_input_gets_the_signals_that_end_it(
    ordinary_sshd: Sshd,
) -> None:
    answer = '{"jsonrpc":"2.0","id":1,"result":{}}'
    command = f"echo $$ >$HOME/pid; while read line; do echo '{answer}'; done; exec sleep 600"
    with sharing(ordinary_sshd, "--share", command=[command]) as host:
        assert "result" in host.initialize(), host.stderr
        server = psutil.Process(int((ordinary_sshd.home / "pid").read_text()))
        ended(host)
    wait_until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, ENOUGH)


def test_a_connection_outlives_its_users_as_long_as_controlpersist_says(
    start_sshd: StartSshd, tmp_path: Path
) -> None:
    sshd = start_sshd()
    master = ["-o", "ControlMaster=auto", "-o", f"ControlPath={tmp_path}/%C"]
    for _ in range(2):
        with sharing(sshd, *master, "-o", "ControlPersist=20") as host:
            assert "result" in host.initialize(), host.stderr
            ended(host)
    assert (logins(sshd), len(holders())) == (1, 1)
    with sharing(sshd, *master, "-o", "ControlPersist=20", "--no-share") as host:
        assert "result" in host.initialize(), host.stderr
    assert logins(sshd) == 2


def test_a_configuration_alone_shares_nothing_without_a_controlpath(start_sshd: StartSshd) -> None:
    sshd = start_sshd()
    with sharing(sshd, "-o", "ControlMaster=auto") as host:
        assert "result" in host.initialize(), host.stderr
        assert not holders()


@contextmanager
def master(sshd: Sshd, path: Path) -> Iterator[psutil.Process]:
    """OpenSSH's own process that holds a connection."""
    argv = sshd.openssh_argv()
    argv[1:1] = ["-M", "-N", "-S", str(path)]
    with subprocess.Popen(argv[: argv.index("--")], stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(path.is_socket, ENOUGH)
            yield psutil.Process(process.pid)
        finally:
            process.kill()


def configured(sshd: Sshd, path: Path, folder: Path) -> list[str]:
    """Return options by a configuration alone: none of ours is about login or trust."""
    config = folder / "config"
    config.write_text(
        f"Host box\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {sshd.username}\n"
        f"  IdentityFile {sshd.keys.client_key}\n  UserKnownHostsFile {sshd.known_hosts}\n"
        f"  ControlPath {path}\n  ServerAliveInterval 15\n"
    )
    return ["-F", str(config), "--host", "box", "--log-level", "INFO"]


def test_the_connection_that_ssh_holds_is_used(start_sshd: StartSshd, tmp_path: Path) -> None:
    sshd, path = start_sshd(), tmp_path / "master"
    options = configured(sshd, path, tmp_path)
    argv = client_argv(*options, "--env", "TOLD=by us", "--", *ECHO)
    with master(sshd, path):
        with Host(argv) as host:
            assert "result" in host.initialize(), host.stderr
            assert f"ControlPath {path}" in host.stderr
            sent = "x" * 3_000_000
            assert sent in str(host.call("echo", {"text": sent}, timeout=ENOUGH))
            ended(host)
        assert logins(sshd) == 1
        for failing, said in (("exit 7", "exit status 7"), ("no-such-program", "was not found")):
            with Host(client_argv(*options, "--no-login-shell", "--", failing)) as host:
                assert said in host.initialize()["error"]["message"]
        assert logins(sshd) == 1
        pinned = ["--host-key", "SHA256:" + "A" * 43]
        with Host(client_argv(*options, *pinned, "--", *ECHO)) as host:
            assert "verification failed" in host.initialize()["error"]["message"]


def test_when_the_ssh_that_holds_it_ends_we_connect_by_ourselves(
    start_sshd: StartSshd, tmp_path: Path
) -> None:
    sshd, path = start_sshd(), tmp_path / "master"
    with ExitStack() as held:
        held.enter_context(master(sshd, path))
        with Host(client_argv(*configured(sshd, path, tmp_path), "--", *ECHO)) as host:
            assert "result" in host.initialize(), host.stderr
            held.close()
            assert "result" in host.request("tools/list", timeout=ENOUGH), host.stderr
    assert logins(sshd) == 2


def test_an_ssh_that_would_not_notice_a_dead_link_carries_nobody(
    start_sshd: StartSshd, tmp_path: Path
) -> None:
    sshd, path = start_sshd(), tmp_path / "master"
    options = [*configured(sshd, path, tmp_path), "-o", "ServerAliveInterval=0"]
    with master(sshd, path), Host(client_argv(*options, "--", *ECHO)) as host:
        assert "result" in host.initialize(), host.stderr
    assert logins(sshd) == 2


def test_an_ssh_that_does_not_answer_is_not_waited_for(
    start_sshd: StartSshd, tmp_path: Path
) -> None:
    """As after a sleep: its connection is dead, and it does not know yet."""
    sshd, path = start_sshd(), tmp_path / "master"
    with master(sshd, path) as held:
        held.suspend()
        with Host(client_argv(*configured(sshd, path, tmp_path), "--", *ECHO)) as host:
            assert "result" in host.initialize(timeout=ENOUGH), host.stderr
            assert "ssh holds no connection for us" in host.stderr
    assert logins(sshd) == 2


def test_ssh_can_use_the_connection_that_we_hold(start_sshd: StartSshd) -> None:
    """The protocol is OpenSSH's, so its client is the judge of our side."""
    sshd = start_sshd()
    with sharing(sshd, "--share") as host:
        assert "result" in host.initialize(), host.stderr
        (path,) = sockets()
        argv = [str(programs.require("ssh")), "-F", "none", "-S", path.name, "-T", "box"]
        command = "wc -c; echo said >&2; exit 3"
        done = subprocess.run(
            [*argv, command],
            cwd=path.parent,  # its path may be too long for ssh
            input=b"x" * 5_000_000,
            capture_output=True,
            timeout=ENOUGH,
        )
        assert (done.stdout.split(), done.returncode) == ([b"5000000"], 3), done.stderr
        assert b"said" in done.stderr
        assert "result" in host.call("echo", {"text": "still here"})
    assert logins(sshd) == 1


def test_a_terminal_command_uses_the_connection_that_is_held(start_sshd: StartSshd) -> None:
    sshd = start_sshd()
    with sharing(sshd, "--share") as host:
        assert "result" in host.initialize(), host.stderr
        done = finished("tools", *sshd.client_options(), "-F", "none", "--share", "--", *ECHO)
        assert "echo" in done.stdout, done.stderr
    assert logins(sshd) == 1


def test_a_holder_is_out_of_reach_of_what_ends_the_first_entry(start_sshd: StartSshd) -> None:
    sshd = start_sshd()
    with sharing(sshd, "--share") as first:
        assert "result" in first.initialize(), first.stderr
        with sharing(sshd, "--share") as second:
            assert "result" in second.initialize(), second.stderr
            first.signal(signal.SIGKILL)
            first.wait(ENOUGH)
            assert "result" in second.call("echo", {"text": "still here"}), second.stderr
            ended(second)
        wait_until(lambda: not holders(), ENOUGH)
    assert logins(sshd) == 1


def test_a_kept_server_lives_through_the_end_of_the_holder(
    start_sshd: StartSshd, tmp_path: Path
) -> None:
    sshd, books = start_sshd(), Books(tmp_path)
    server = counting_server.command(tmp_path)
    with sharing(sshd, "--share", "--keep", "60", command=server) as host:
        assert "result" in host.initialize(), host.stderr
        holder().kill()
        assert "result" in host.call("count", {"key": "once"}, timeout=ENOUGH), host.stderr
        assert (len(books.pids), logins(sshd), len(holders())) == (1, 2, 1)
        ended(host)


def test_a_connection_with_a_key_server_is_shared() -> None:
    with pair(ECHO) as far:
        options = ["--host", "127.0.0.1", "--port", str(far.ssh.port), "--use-key-server"]
        options += ["--key-server-port", str(far.key_server.port), "--share"]
        with Host(client_argv(*options)) as first, Host(client_argv(*options)) as second:
            for host in (first, second):
                assert "result" in host.initialize(timeout=ENOUGH), host.stderr
            assert len(holders()) == 1
