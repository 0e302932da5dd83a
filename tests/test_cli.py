"""The command line: options, failures, and the end of the process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest
from support.host import Host, client_argv, modern_meta

from m2m_ssh_client import __version__, cli, relay
from m2m_ssh_client._version import PROGRAM
from m2m_ssh_client.log_file import default_path
from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.ssh.login.key_files import ensure_client_key
from m2m_ssh_client.ssh.opener import Opener
from m2m_ssh_client.text import shown

pytestmark = pytest.mark.cold

GONE = 2.0  # seconds until everything is gone after the host's end or a signal
PIN = "SHA256:" + "A" * 42 + "E"
PEER = ["--host", "h", "--port", "2222", "--username", "u"]

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")


# Options


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Parameters]:
    """Return the parameters that would reach the relay, without running it."""
    parameters: list[Parameters] = []

    def relay_stdio(far: Opener, _arguments: list[str]) -> int:
        parameters.append(far.params)
        return 0

    monkeypatch.setattr(Opener, "begin", lambda _: None)
    monkeypatch.setattr(relay, "relay_stdio", relay_stdio)
    return parameters


def run(*arguments: str) -> int:
    """Return the exit status, returned or raised."""
    try:
        return cli.main(arguments)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 1


def parsed(seen: list[Parameters], *arguments: str) -> Parameters:
    assert run(*arguments) == 0
    return seen[-1]


def test_without_options_the_defaults_hold(seen: list[Parameters]) -> None:
    assert parsed(seen) == Parameters()


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--host", "example.org"], "host", "example.org"),
        (["--host=example.org"], "host", "example.org"),
        (["example.org"], "host", "example.org"),
        (["::1"], "host", "::1"),
        (["[::1]"], "host", "::1"),
        (["-p", "22"], "port", 22),
        (["-p22"], "port", 22),
        (["--host", "localhost:22"], "port", 22),
        (["localhost:22"], "port", 22),
        (["-l", "me"], "username", "me"),
        (["me@localhost"], "username", "me"),
        (["-i", "~/.ssh/id"], "client_key", Path("~/.ssh/id")),
        (["-J", "a,b@c:2"], "ssh_options", ("ProxyJump=a,b@c:2",)),
        (["-o", "Port=1", "-J", "a"], "ssh_options", ("Port=1", "ProxyJump=a")),
        (["--port", "22"], "port", 22),
        (["--port", "65535"], "port", 65535),
        (["--username", "me"], "username", "me"),
        (["--client-key", "~/.ssh/id"], "client_key", Path("~/.ssh/id")),
        (["--known-hosts", "/k"], "known_hosts", Path("/k")),
        (["--disable-host-key-checking"], "disable_host_key_checking", True),
        (["--use-key-server"], "use_key_server", True),
        (["--use-key-server", "--key-server-port", "80"], "key_server_port", 80),
        (["--key-server-url", "https://h/keys"], "key_server_url", "https://h/keys"),
        (["--subsystem", "mcp"], "subsystem", "mcp"),
        (["--host-key", PIN], "host_key", PIN),
        (["--host-key", PIN + "="], "host_key", PIN),
        (["--connect-timeout", "2.5"], "connect_timeout", 2.5),
        (["--max-message-size", "1024"], "max_message_size", 1024),
        (["--", "run"], "command", ("run",)),
    ],
    ids=str,
)
def test_an_option_sets_one_parameter_and_no_other(
    arguments: list[str], name: str, value: object, seen: list[Parameters]
) -> None:
    params = parsed(seen, *arguments)
    changed = {name} | ({"use_key_server"} if name.startswith("key_server_") else set())
    for field in fields(Parameters):
        if field.name not in changed:
            assert getattr(params, field.name) == getattr(Parameters(), field.name)
    assert getattr(params, name) == value


def test_the_passphrase_is_kept_as_a_secret(seen: list[Parameters]) -> None:
    params = parsed(seen, "--passphrase", "open sesame")
    assert params.passphrase == "open sesame"
    assert "sesame" not in repr(params)


@pytest.mark.parametrize(
    "arguments",
    [
        [*PEER, "--client-key", "k", "--known-hosts", "f", "--log-level", "DEBUG"],
        [*PEER, "--client-key", "k", "--passphrase", "p", "--disable-host-key-checking"],
        [*PEER, "--use-key-server", "--key-server-port", "8000", "--log-level", "INFO"],
        [*PEER, "--log-level", "WARNING"],
        [*PEER, "--log-level", "ERROR"],
        [*PEER, "--log-level", "CRITICAL"],
        [],
    ],
    ids=str,
)
def test_command_lines_of_the_peer_still_mean_the_same(
    arguments: list[str], seen: list[Parameters]
) -> None:
    params = parsed(seen, *arguments)
    if arguments:
        assert (params.host, params.port, params.username) == ("h", 2222, "u")
    assert params.command_line() is None
    assert params.subsystem is None


@pytest.mark.parametrize(
    ("behind", "line"),
    [
        (["uvx server > /dev/null"], "uvx server > /dev/null"),
        (["a", "b c"], "a 'b c'"),
        (["git", "log", "--", "x"], "git log -- x"),
        (["--", "x"], "-- x"),
        (["--"], "--"),
        (["run", "--host", "other"], "run --host other"),
        (["run", "--help"], "run --help"),
        (["demo"], "demo"),
        (["a", ""], "a ''"),
    ],
    ids=str,
)
def test_what_stands_behind_the_dashes_is_the_remote_command_and_nothing_else(
    behind: list[str], line: str, seen: list[Parameters]
) -> None:
    params = parsed(seen, "--host", "h", "--", *behind)
    assert params.host == "h"
    assert params.command_line() == line


def usage_error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the error line, which may follow argparse's usage."""
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    *usage, line = err.splitlines()
    assert not usage or usage[0].startswith("usage: ")
    assert line.startswith("m2m-mcp-server-ssh-client")
    return line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "0"], "--port"),
        (["--port", "70000"], "--port"),
        (["--port", "-1"], "--port"),
        (["--port", "ssh"], "--port"),
        (["--host", ""], "--host"),
        (["--host", "a\nb"], "--host"),
        (["--host"], "--host"),
        (["--username", ""], "--username"),
        (["--key-server-port", "0", "--use-key-server"], "--key-server-port"),
        (["--host-key", "MD5:aa:bb"], "--host-key"),
        (["--host-key", ""], "--host-key"),
        (["--connect-timeout", "0"], "--connect-timeout"),
        (["--connect-timeout", "nan"], "--connect-timeout"),
        (["--connect-timeout", "soon"], "--connect-timeout"),
        (["--max-message-size", "0"], "--max-message-size"),
        (["--max-message-size", "1023"], "--max-message-size"),
        (["--subsystem", ""], "--subsystem"),
        (["--subsystem", "mcp", "--", "run"], "subsystem"),
        (["--log-level", "LOUD"], "--log-level"),
        (["--nonsense"], "--nonsense"),
        (["--usern", "u"], "--usern"),
        (["--host", "h", "stray"], "stray"),
        (["lab", "uvx", "mcp-server-git"], "after `--`: -- uvx mcp-server-git"),
        (["lab", "uvx", "--from", "x", "y"], "after `--`: -- uvx --from x y"),
        (["lab", "-p", "22", "uvx", "mcp"], "after `--`: -- uvx mcp"),
        (["tols", "lab"], "the command `tools`"),
        (["--host", "lab", "docter"], "the command `doctor`"),
        (["--usernam", "u"], "Did you mean --username?"),
        (["tools", "lab", "--timeot=3"], "Did you mean --timeout?"),
        (["lab", "--passphrase", "a"], "needs --host"),
        (["a:b"], "--port"),
        (["[::1]:0"], "--port"),
        (["lab:22", "-p", "23"], "contradicts"),
        (["--"], "nothing follows"),
        (["--host", "h", "--"], "nothing follows"),
        (["--known-hosts", "f", "--use-key-server"], "not allowed with"),
        (["--known-hosts", "f", "--key-server-url", "http://h"], "not allowed with"),
        (["--known-hosts", "f", "--disable-host-key-checking"], "not allowed with"),
        (["--key-server-url", "http://h", "--disable-host-key-checking"], "excludes"),
        (["--key-server-url", "h:8000"], "--key-server-url"),
        (["--use-key-server", "--disable-host-key-checking"], "not allowed with"),
        (["--host-key", PIN, "--disable-host-key-checking"], "pinned"),
        (["demo", "--", "run"], "--serve"),
        (["demo", "--serve", "--"], "--serve"),
        (["demo", "--nonsense"], "--nonsense"),
    ],
    ids=str,
)
def test_options_that_cannot_mean_anything_are_a_usage_error_in_one_line(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    seen: list[Parameters],
) -> None:
    assert words in usage_error(capsys, *arguments)
    assert not seen


def test_several_mistakes_are_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    line = usage_error(capsys, "--port", "0", "--host", "")
    assert "--port" in line
    assert "--host" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "0", "--passphrase", "open sesame"],
        ["--passphrase", "open", "sesame"],
        ["--host", "h", "--passphrase", "open", "sesame"],
        ["h", "--passphrase", "open", "sesame"],
        ["tools", "--passphrase", "open", "sesame", "--", "run"],
    ],
    ids=str,
)
def test_a_usage_error_does_not_repeat_the_passphrase(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "sesame" not in usage_error(capsys, *arguments)


@pytest.mark.parametrize("place", ["", "file/log", "missing/log"])
def test_a_log_file_that_cannot_be_written_is_a_usage_error(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    path = str(tmp_path / place)
    assert path in usage_error(capsys, "--log-file", path)


@pytest.mark.parametrize(
    ("arguments", "warning"),
    [
        (["--key-server-port", "8000"], "--key-server-port is ignored"),
        (["--key-server-port", "8000", "--use-key-server"], None),
        (["--key-server-url", "https://h", "--use-key-server"], None),
        (
            ["--key-server-url", "https://h", "--key-server-port", "80"],
            "--key-server-port is ignored",
        ),
        (["--known-hosts", "f", "--host-key", "SHA256:" + "a" * 43], "--known-hosts is ignored"),
        (["--disable-host-key-checking"], "host key is not checked"),
        ([], None),
    ],
    ids=str,
)
def test_a_wish_that_is_ignored_and_one_that_is_dangerous_get_a_warning(
    arguments: list[str],
    warning: str | None,
    capsys: pytest.CaptureFixture[str],
    seen: list[Parameters],
) -> None:
    parsed(seen, *arguments)
    err = capsys.readouterr().err
    assert (warning in err) if warning else (err == "")


def test_help_names_every_option_and_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    out, err = capsys.readouterr()
    assert err == ""
    repeated = {"ssh_options": "ssh_option"}
    for name in {field.name for field in fields(Parameters)} - {"command", "passphrase_prompt"}:
        assert f"--{repeated.get(name, name).replace('_', '-')}" in out
    for text in ("--log-level", "--log-file", "--version", "demo", "REMOTE COMMAND"):
        assert text in out
    for default in ("localhost", "8022", "mcp", "8000", "268435456", "known_hosts"):
        assert f"default: {default}" in out or default in out


def test_the_demo_has_help_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("demo", "--help") == 0
    assert "--serve" in capsys.readouterr().out


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.split() == ["m2m-mcp-server-ssh-client", __version__]


def test_python_m_runs_the_command() -> None:
    done = subprocess.run(
        client_argv("--version"),
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout.split()[-1]) == (0, __version__)


# Failures


def refused_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


def options(port: int, *more: str) -> list[str]:
    return client_argv("--host", "127.0.0.1", "--port", str(port), *more)


def test_a_refused_connection_answers_a_host_of_both_eras_twice_and_ends_with_one() -> None:
    port = refused_port()
    with Host(options(port)) as host:
        answers = [host.request("server/discover", {"_meta": modern_meta()}), host.initialize()]
        for answer in answers:
            assert answer["error"]["code"] == -32000
            assert answer["error"]["message"].startswith("Connection refused (tried ")
            assert f"127.0.0.1 port {port}" in answer["error"]["message"]
        assert answers[0]["error"] == answers[1]["error"]
        assert host.request("tools/list")["error"] == answers[0]["error"]
        host.close_stdin()
        assert host.wait(GONE + 1) == 1
    (line,) = host.stderr.splitlines()
    assert line.startswith(f"{PROGRAM}: error: Connection refused (tried ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "99999"], "--port must be from 1 to 65535"),
        (["--hots", "lab"], "Unknown option --hots. Did you mean --host?"),
        (["lab", "uvx", "mcp-server-git"], "goes after `--`: -- uvx mcp-server-git"),
        (["--subsystem", "mcp", "--", "run"], "exclude each other"),
        (["--log-file", "/"], str(Path("/"))),
    ],
    ids=str,
)
def test_a_usage_error_answers_the_host_in_the_same_words(arguments: list[str], words: str) -> None:
    with Host(client_argv(*arguments)) as host:
        answers = [host.request("server/discover", {"_meta": modern_meta()}), host.initialize()]
        host.close_stdin()
        assert host.wait(GONE + 1) == 2
    assert answers[0]["error"] == answers[1]["error"]
    assert words in answers[0]["error"]["message"]
    assert answers[0]["error"]["message"] in host.stderr


if sys.platform != "win32":
    from support import terminal

    def test_on_a_terminal_a_word_that_looks_like_a_command_is_no_machine(tmp_path: Path) -> None:
        argv, replies = client_argv("tols"), [("error", "")]
        status, shown = terminal.run(
            argv, env={**os.environ}, cwd=tmp_path, columns=40, replies=replies
        )
        assert status == 2
        assert shown.splitlines() == [
            "error: There is no command 'tols'",
            "→ Did you mean `tools`? A machine of",
            "  that name: --host tols",
        ]


def test_after_a_failure_the_process_ends_by_itself_in_a_few_seconds() -> None:
    with Host(options(refused_port())) as host:
        assert "error" in host.initialize()
        assert host.wait(8.0) == 1


def test_a_failure_names_the_log_file_and_that_says_more() -> None:
    with Host(options(refused_port())) as host:
        text = host.initialize()["error"]["message"]
        host.close_stdin()
        host.wait()
    assert text.endswith(f" is --port right? Log: {shown(default_path())}")
    assert text in host.stderr
    assert text in default_path().read_text()


def test_without_a_log_file_none_is_named() -> None:
    with Host(options(refused_port(), "--log-file", "none")) as host:
        assert "Log:" not in host.initialize()["error"]["message"]
        host.close_stdin()
        host.wait()
    assert not default_path().exists()


def test_a_traceback_is_shown_at_debug_only(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Host(options(refused_port(), "--log-level", "DEBUG", "--log-file", str(log))) as host:
        host.initialize()
        host.close_stdin()
        assert host.wait() == 1
    for text in (host.stderr, log.read_text()):
        assert len([line for line in text.splitlines() if "Traceback" in line]) == 1
        assert "ConnectionRefusedError" in text


@posix_only
def test_the_configuration_is_read_once_for_a_connection(tmp_path: Path) -> None:
    config, runs = tmp_path / "config", tmp_path / "runs"
    config.write_text(f'Match exec "echo run >> {runs}"\n')
    config.chmod(0o600)
    argv = client_argv("-F", str(config), "--host", "127.0.0.1", "--port", str(refused_port()))
    with Host(argv) as host:
        assert "refused" in host.initialize()["error"]["message"]
        host.close_stdin()
        host.wait()
    assert runs.read_text() == "run\n"


def test_a_name_that_does_not_resolve_is_told() -> None:
    with Host(client_argv("--host", "a..b")) as host:
        text = host.initialize()["error"]["message"]
        assert "'a..b' cannot be resolved" in text
        host.close_stdin()
        assert host.wait() == 1
    assert f"{PROGRAM}: error: {text}" in host.stderr


@pytest.mark.parametrize("known", [True, False])
def test_the_passphrase_is_in_no_log_at_any_level(known: bool, tmp_path: Path) -> None:
    key, log = tmp_path / "key", tmp_path / "log"
    if known:
        ensure_client_key(key)
    secret = ["--client-key", str(key), "--passphrase", "open 'sesame\""]
    logged = ["--log-level", "DEBUG", "--log-file", str(log)]
    with Host(options(refused_port(), *secret, *logged)) as host:
        answer = host.initialize()
        host.close_stdin()
        assert host.wait() == 1
    assert "error" in answer
    for text in (str(answer), host.stderr, log.read_text()):
        assert text
        assert "sesame" not in text


# The end, while there is nobody at the other end of the line


class Mute:
    """A TCP server that accepts connections and stays silent."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(15.0)
        self._connections: list[socket.socket] = []
        self.port = int(self._listener.getsockname()[1])

    def wait_for_connection(self) -> socket.socket:
        connection, _ = self._listener.accept()
        connection.settimeout(15.0)
        self._connections.append(connection)
        assert connection.recv(4) == b"SSH-"
        return connection

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        self._listener.close()


@pytest.fixture
def mute() -> Iterator[Mute]:
    with closing(Mute()) as server:
        yield server


def wait_until_up(host: Host) -> None:
    """Wait until the client has connected, and so handles signals."""
    host.send(b"?\n")
    assert host.receive()["error"]["code"] == -32700


@posix_only
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_while_connecting_ends_everything_orderly(name: str, mute: Mute) -> None:
    number = getattr(signal, name)
    with Host(options(mute.port, "--disable-host-key-checking")) as host:
        host.send({"jsonrpc": "2.0", "id": "x", "method": "initialize"})
        connection = mute.wait_for_connection()
        wait_until_up(host)
        host.signal(number)
        assert host.wait(GONE) == 128 + number
        answer = host.receive()
        assert (answer["id"], answer["error"]["code"]) == ("x", -32000)
        while connection.recv(1 << 16):  # our key exchange, then the end of the connection
            pass
    assert "Traceback" not in host.stderr


@posix_only
def test_a_second_signal_does_no_harm(mute: Mute) -> None:
    with Host(options(mute.port, "--disable-host-key-checking")) as host:
        mute.wait_for_connection()
        wait_until_up(host)
        for _ in range(3):
            host.signal(signal.SIGTERM)
        assert host.wait(GONE + 1) == 128 + signal.SIGTERM
    assert "Traceback" not in host.stderr


def test_end_of_file_while_connecting_ends_everything_with_zero(mute: Mute) -> None:
    with Host(options(mute.port, "--disable-host-key-checking")) as host:
        mute.wait_for_connection()
        host.close_stdin()
        assert host.wait(GONE) == 0
    assert "Traceback" not in host.stderr


def test_no_answer_in_time_is_told_with_the_option_that_gives_more(mute: Mute) -> None:
    timeout = ["--disable-host-key-checking", "--connect-timeout", "1"]
    with Host(options(mute.port, *timeout)) as host:
        text = host.initialize()["error"]["message"]
        assert "Timed out after 1 s" in text
        assert "--connect-timeout" in text
        host.close_stdin()
        assert host.wait() == 1


def test_nothing_but_json_rpc_is_on_stdout(mute: Mute) -> None:
    with Host(options(mute.port, "--disable-host-key-checking", "--log-level", "DEBUG")) as host:
        mute.wait_for_connection()
        host.send(b"not JSON\n")
        assert host.receive()["error"]["code"] == -32700
        host.close_stdin()
        assert host.wait(GONE + 1) == 0
        with pytest.raises(AssertionError, match="stdout ended"):
            host.receive(GONE)
