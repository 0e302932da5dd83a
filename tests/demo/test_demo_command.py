"""`demo` and `demo --serve` end to end: real processes, real servers, nothing left behind."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.host import PACKAGE_PARENT, Host, client_argv

from m2m_ssh_client.commands import demo
from m2m_ssh_client.demo.story import Output
from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.log_file import default_path

ECHO_SERVER = Path(__file__).parent.parent / "support" / "echo_server.py"
_SERVE = "import sys; from m2m_ssh_client.commands.demo import run; sys.exit(run(True, {!r}, {}))"


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


@pytest.fixture
def environment(temporary: Path) -> dict[str, str]:
    """An environment with a mark that identifies every process inheriting it."""
    names = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    mark = {"M2M_TEST_MARK": uuid.uuid4().hex, "PYTHONPATH": PACKAGE_PARENT}
    return {**os.environ, **names, **mark}


def _processes(environment: dict[str, str]) -> list[str]:
    """Return the command lines of the processes with the mark; empty except on Linux."""
    mark = f"M2M_TEST_MARK={environment['M2M_TEST_MARK']}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # ended meanwhile, or not ours
    return found


def _run(
    environment: dict[str, str], cwd: Path, *options: str
) -> subprocess.CompletedProcess[bytes]:
    argv = client_argv("demo", *options)
    return subprocess.run(
        argv, env=environment, cwd=cwd, capture_output=True, timeout=50, check=False
    )


# The plain demo


@pytest.mark.sdk
def test_the_demo_shows_every_step_and_leaves_nothing(
    environment: dict[str, str], temporary: Path, tmp_path: Path
) -> None:
    done = _run(environment, tmp_path)
    shown = done.stdout.decode()
    assert done.returncode == 0, shown + done.stderr.decode()
    steps = [
        r"GET /server_pub_key: status 200",
        r"known_hosts.*: \[127\.0\.0\.1\]:\d+ ssh-ed25519 ",
        r"registered the client key SHA256:",
        r"POST /register: status 200",
        r"connection from 127\.0\.0\.1",
        r"'mcp' offers key SHA256:\S+: authorized",
        r"is authenticated",
        r"granted: shell",
        r"<- m2m-demo, protocol",
        r"<- add, count_slowly, echo, where_am_i",
        r"<- Hello over SSH",
        r"<- 42",
        r"notifications/progress .*step 3 of 3",
        r"<- counted to 3",
        r"<- Welcome to ",
        r"<- Please greet Ada",
        r"exit status 0, the temporary known_hosts is gone",
        r"What just happened",
        r"demo --serve",
    ]
    at = 0
    for step in steps:
        match = re.compile(step).search(shown, at)
        assert match, f"{step!r} is missing, or too early, in:\n{shown}"
        at = match.end()
    numbers = [int(number) for number in re.findall(r"^ ?(\d+)\. ", shown, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert done.stderr == b""
    assert list(temporary.iterdir()) == []
    assert _processes(environment) == []
    assert not (Path(environment["HOME"]) / ".ssh").exists()


@pytest.mark.sdk
def test_a_console_that_knows_ascii_only_is_enough(
    environment: dict[str, str], tmp_path: Path
) -> None:
    done = _run(environment | {"PYTHONIOENCODING": "ascii"}, tmp_path)
    assert done.returncode == 0, done.stderr.decode()


def test_a_demo_that_goes_wrong_says_where_and_shows_the_clients_stderr(
    environment: dict[str, str], temporary: Path
) -> None:
    broken = "import sys; sys.stdin.readline(); sys.exit('the sample is broken')"
    code = (
        "import sys; from m2m_ssh_client.commands import demo; "
        f"demo._SAMPLE = (sys.executable, '-c', {broken!r}); "
        "sys.exit(demo.run(serve=False, command=()))"
    )
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, env=environment, capture_output=True, timeout=50, check=False)
    shown = done.stdout.decode()
    assert done.returncode == 1
    _, failed, rest = shown.partition("FAILED: initialize")
    assert failed, shown
    assert "the sample is broken" in rest.partition("The client's stderr:")[2]
    assert "What just happened" not in shown
    assert list(temporary.iterdir()) == []
    assert _processes(environment) == []


def test_a_command_without_serve_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--serve"):
        demo.run(serve=False, command=["uvx", "something"])


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM to be sent")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_stopped_leaves_nothing(
    number: signal.Signals, environment: dict[str, str], temporary: Path
) -> None:
    with subprocess.Popen(client_argv("demo"), env=environment, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if b"granted: shell" in line:
                break
        running.send_signal(number)
        running.stdout.read()
        assert running.wait(20) == 128 + signal.SIGINT
    assert list(temporary.iterdir()) == []
    assert _processes(environment) == []


def test_what_the_console_cannot_show_is_escaped() -> None:
    raw = io.BytesIO()
    console = io.TextIOWrapper(raw, encoding="cp1252")
    Output(console).line("é → 🚀")
    assert raw.getvalue().decode("cp1252").strip() == "é \\u2192 \\U0001f680"


# demo --serve


class _Serving:
    """`demo --serve` on free ports, from its first line to the configuration it prints."""

    def __init__(
        self, environment: dict[str, str], command: Sequence[str], ssh: int = 0, keys: int = 0
    ) -> None:
        code = _SERVE.format(list(command), f"ssh_port={ssh}, key_server_port={keys}")
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", code],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.shown = ""
        for line in self.process.stdout:
            self.shown += line
            if line.startswith("Ctrl-C"):
                break

    @property
    def argv(self) -> list[str]:
        """The argv of the client in the printed configuration."""
        start = self.shown.index("{\n")
        configuration: Any = json.JSONDecoder().raw_decode(self.shown, start)[0]
        (server,) = configuration["mcpServers"].values()
        return [server["command"], *server["args"]]

    def end(self) -> tuple[int, str]:
        """End the demo; return its exit status and its output."""
        self.process.terminate()
        out, err = self.process.communicate(timeout=20)
        assert err == ""
        return self.process.returncode, out


@pytest.fixture
def serving(environment: dict[str, str]) -> Iterator[_Serving]:
    serving = _Serving(environment, [sys.executable, str(ECHO_SERVER)])
    yield serving
    serving.process.kill()
    serving.process.communicate(timeout=20)


def test_serve_prints_a_configuration_that_works_and_ends_cleanly(
    serving: _Serving, environment: dict[str, str], temporary: Path
) -> None:
    assert Path(serving.argv[0]).is_absolute()
    with Host(serving.argv, env=environment) as host:
        assert "result" in host.initialize()
        host.close_stdin()
        assert host.wait() == 0
    status, told = serving.end()
    if sys.platform != "win32":
        assert status == 0
        assert list(temporary.iterdir()) == []
    assert "granted: shell" in told
    assert _processes(environment) == []
    assert not (Path(environment["HOME"]) / ".ssh").exists()


def test_serve_takes_no_key_but_its_own(serving: _Serving, environment: dict[str, str]) -> None:
    other = serving.argv[: serving.argv.index("--client-key")]
    with Host(other, env=environment) as host:
        assert "takes the key of its own client only" in host.initialize()["error"]["message"]
    _, told = serving.end()
    assert "POST /register: status 403" in told
    assert "connection from" not in told


def test_the_configuration_that_serve_prints_still_works_with_the_next_one(
    serving: _Serving, environment: dict[str, str]
) -> None:
    with Host(serving.argv, env=environment) as host:
        assert "result" in host.initialize()
    port, asked = (serving.argv[serving.argv.index(o) + 1] for o in ("--port", "--key-server-port"))
    serving.end()
    again = _Serving(environment, [sys.executable, str(ECHO_SERVER)], int(port), int(asked))
    try:
        with Host(serving.argv, env=environment) as host:
            assert "result" in host.initialize()
    finally:
        again.end()


def test_the_keys_of_serve_are_the_users_alone_and_in_the_state_folder(serving: _Serving) -> None:
    key = Path(serving.argv[serving.argv.index("--client-key") + 1])
    assert key.parent == default_path().with_name("demo")
    assert f"Only this key is let in: {key}" in serving.shown
    if sys.platform != "win32":
        assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in key.parent.iterdir()}
        assert modes["client_key"] == modes["host_key"] == 0o600


def test_serve_grants_the_subsystem_mcp_and_no_command(
    serving: _Serving, environment: dict[str, str]
) -> None:
    with Host([*serving.argv, "--subsystem", "mcp"], env=environment) as host:
        assert "result" in host.initialize()
    for wish in (["--subsystem", "sftp"], ["--", "id"]):
        with Host([*serving.argv, *wish], env=environment) as host:
            assert "error" in host.initialize()
    _, told = serving.end()
    assert "refused: exec 'id'" in told
    assert "refused: subsystem 'sftp'" in told


@pytest.mark.parametrize("taken", ["ssh_port", "key_server_port"])
def test_a_port_that_is_taken_is_one_clear_line(
    taken: str, environment: dict[str, str], temporary: Path
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ports = {"ssh_port": 0, "key_server_port": 0} | {taken: port}
        code = _SERVE.format([], ", ".join(f"{name}={value}" for name, value in ports.items()))
        argv = [sys.executable, "-c", code]
        done = subprocess.run(argv, env=environment, capture_output=True, timeout=30, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert f"cannot listen on 127.0.0.1 port {port}" in line
    assert list(temporary.iterdir()) == []
