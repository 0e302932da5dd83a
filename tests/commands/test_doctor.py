"""`doctor` against SSH servers on loopback: the embedded one, and odd ones with one fault each."""

from __future__ import annotations

import errno
import io
import json
import re
import shlex
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import paramiko
import pytest
from support import echo_server
from support.odd_ssh import (
    Keys,
    Odd,
    hangs_up,
    listening,
    mute,
    odd_server,
    public,
    python,
    say_farewell,
    speaks_http,
)
from support.pair import pair
from support.wine import not_under_wine

from m2m_ssh_client import cli
from m2m_ssh_client.commands import doctor
from m2m_ssh_client.demo.ssh_server import SSHServer
from m2m_ssh_client.doctor import configuration, walk
from m2m_ssh_client.doctor.showing import Page
from m2m_ssh_client.doctor.steps import Status, Step
from m2m_ssh_client.doctor.walk import examine
from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.ssh.trust.known_hosts import entry
from m2m_ssh_client.text import quoted

STEPS = [
    "configuration",
    "name_resolution",
    "tcp",
    "banner",
    "key_exchange",
    "host_key",
    "authentication",
    "request",
    "noise",
    "mcp",
    "round_trip",
    "eras",
]
USER = "mcp"
ECHO = echo_server.command()
PATH = "/only/here:/and/there"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


class Told(NamedTuple):
    """The command's output, once for a person and once for a program."""

    text: str
    steps: dict[str, dict[str, Any]]
    status: int

    @property
    def statuses(self) -> list[str]:
        return [step["status"] for step in self.steps.values()]

    def found(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.steps[name]["found"]
        return found

    def only_failed_at(self, name: str) -> dict[str, Any]:
        """Return the step; assert that it failed and that no later one was reached."""
        names = list(self.steps)
        at = names.index(name)
        assert self.status == 1
        assert self.statuses[at] == "failed", self.text
        assert "failed" not in self.statuses[:at]
        assert set(self.statuses[at + 1 :]) <= {"skipped"}
        assert self.text.count("not reached") == len(names) - at - 1
        assert self.text.count("✗") == 1
        step = self.steps[name]
        assert step["advice"] in self.text
        return step


class Doctor:
    """Runs the command for a program, and shows a person the steps that it found."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._walked: list[Step] = []
        monkeypatch.setattr(walk, "examine", self._examine)

    def __call__(self, *options: str, command: Sequence[str] = ()) -> Told:
        tail = ["--", *command] if command else []
        given = ["-F", "none", *options] if "-F" not in options else list(options)
        self._walked.clear()
        status = doctor.main("doctor", [*given, "--json", *tail])
        steps = json.loads(self._capsys.readouterr().out)
        assert all(set(step) == {"name", "status", "found", "advice"} for step in steps)
        page = Page()
        for step in self._walked:
            page.show(step)
        text = self._capsys.readouterr().out
        return Told(text, {step["name"]: step for step in steps}, status)

    def _examine(self, params: Parameters) -> Iterator[Step]:
        for step in examine(params):
            self._walked.append(step)
            yield step


@pytest.fixture
def examined(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Doctor:
    return Doctor(capsys, monkeypatch)


class Far:
    """The embedded server, and the options to connect to it."""

    def __init__(self, server: SSHServer, folder: Path, client: Path) -> None:
        self.server = server
        self.host_key = public(server.host_key)
        self.known_hosts = folder / "known_hosts"
        self.known_hosts.write_text(entry("127.0.0.1", server.port, self.host_key))
        self.client = client

    def options(self, *more: str, known_hosts: bool = True) -> list[str]:
        trust = ["--known-hosts", str(self.known_hosts)] if known_hosts else []
        return [*place(self.server.port), "--client-key", str(self.client), *trust, *more]


def place(port: int) -> list[str]:
    return [
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--username",
        "mcp",
        "--connect-timeout",
        "10",
    ]


StartFar = Callable[..., Far]


@pytest.fixture
def start(keys: Keys, tmp_path: Path) -> Iterator[StartFar]:
    """Start the embedded server; `run` answers every request except that for the PATH."""
    with ExitStack() as stack:

        def start(run: Sequence[str] | None = ECHO) -> Far:
            wanted = keys["ed25519"].asbytes()

            def authorized(user: str, key: paramiko.PKey) -> bool:
                return user == USER and key.asbytes() == wanted

            def command_for(_: str, text: str | None) -> Sequence[str] | None:
                asks = text is not None and text.startswith("printf")
                return python(f"print({PATH!r}, end='')") if asks else run

            server = SSHServer(keys["ed25519 host"], authorized, command_for)
            far = Far(server, tmp_path, keys.path(keys["ed25519"]))
            stack.enter_context(server)
            return far

        yield start


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def _nothing_is_written(_private_home: None) -> Iterator[None]:
    """Assert that no host key was added and no key created."""
    before = files_below(Path.home())
    yield
    assert files_below(Path.home()) == before


# All is well


def test_each_step_of_a_good_connection_is_a_line(start: StartFar, examined: Doctor) -> None:
    far = start()
    told = examined(*far.options(), command=["serve"])
    assert told.status == 0
    assert list(told.steps) == STEPS
    assert "failed" not in told.statuses
    lines = [line for line in told.text.splitlines() if not line.startswith("  ")]
    assert [line[2:].partition("  ")[0] for line in lines] == [
        *("configuration", "name resolution", "TCP", "banner", "key exchange", "host key"),
        *("authentication", "request", "noise", "MCP", "round trip", "protocol eras"),
    ]
    steady = re.sub(r"\d+(\.\d+)?(?= ms| to |\))", "N", "\n".join(lines))
    port, key = far.server.port, far.client
    assert f"✓ configuration    127.0.0.1: 127.0.0.1 port {port} as mcp" in steady
    assert "✓ name resolution  127.0.0.1\n" in steady
    assert f"✓ TCP              port {port} answers at 127.0.0.1 after N ms\n" in steady
    assert f"✓ banner           paramiko_{paramiko.__version__}\n" in steady
    shown = f"ED25519 {far.host_key.fingerprint}"
    assert f"✓ host key         {shown}, on file at {far.known_hosts}:1\n" in steady
    assert "✓ authentication   as mcp with ssh-ed25519 SHA256:" in steady
    assert f"from {key}\n" in steady
    assert "✓ request          granted: command serve\n" in steady
    assert "✓ noise            none before the first message\n" in steady
    assert "✓ MCP              legacy era, 2025-11-25, echo 9.8.7\n" in steady
    assert "✓ round trip       N ms (N to N), median of 20 times ping\n" in steady
    assert lines[-1] == "✓ protocol eras    up to 2025-11-25 and 2026-07-28"


def test_the_command_shows_a_person_each_step(
    start: StartFar, examined: Doctor, capsys: pytest.CaptureFixture[str]
) -> None:
    far = start()
    told = examined(*far.options(), command=["serve"])
    assert doctor.main("doctor", ["-F", "none", *far.options(), "--", "serve"]) == 0
    figures = re.compile(r"\d+(\.\d+)*")
    assert figures.sub("N", capsys.readouterr().out) == figures.sub("N", told.text)


def test_the_facts_are_there_for_programs(start: StartFar, examined: Doctor) -> None:
    far = start()
    told = examined(*far.options(), command=["serve"])
    assert told.found("configuration")["given"]["--port"] == far.server.port
    (address,) = told.found("tcp")["addresses"]
    assert address["address"] == "127.0.0.1"
    assert address["reachable"] is True
    exchange = told.found("key_exchange")
    assert exchange["cipher"] == "aes128-gcm@openssh.com"
    assert exchange["mac"] == "part of the cipher"
    assert exchange["host_key_algorithm"] == "ssh-ed25519"
    assert told.found("host_key")["fingerprint"] == far.host_key.fingerprint
    assert told.found("host_key")["place"] == f"{far.known_hosts}:1"
    (accepted,) = told.found("authentication")["accepted"]
    assert accepted["from"] == str(far.client)
    assert told.found("authentication")["methods"] == ["publickey"]
    mcp = told.found("mcp")
    assert (mcp["era"], mcp["server"], mcp["server_version"]) == ("legacy", "echo", "9.8.7")
    assert mcp["capabilities"] == ["experimental", "logging", "tools"]
    assert (mcp["tools"], mcp["prompts"], mcp["resources"]) == (10, 0, 0)
    trip = told.found("round_trip")
    assert trip["samples"] == 20
    assert 0 < trip["min_ms"] <= trip["median_ms"] <= trip["max_ms"]


def test_a_server_of_the_modern_era_is_recognized(start: StartFar, examined: Doctor) -> None:
    far = start(echo_server.command("--modern-only"))
    told = examined(*far.options(), command=["serve"])
    assert told.status == 0
    mcp = told.found("mcp")
    assert (mcp["era"], mcp["protocol_version"], mcp["tools"]) == ("modern", "2026-07-28", 10)
    assert mcp["server"] == "echo"
    assert told.found("round_trip")["method"] == "server/discover"
    assert "✓ MCP              modern era, 2026-07-28, echo 9.8.7" in told.text


@pytest.mark.parametrize(
    ("server", "options", "words"),
    [
        ([], [], "✓ protocol eras    up to 2025-11-25 and 2026-07-28"),
        (
            ["--discover", "unknown"],
            [],
            "For a host that speaks 2026-07-28 alone: --bridge modern.",
        ),
        (["--discover", "exit"], ["--bridge", "off"], "alone: leave out --bridge off."),
        (
            ["--modern-only"],
            [],
            "✓ protocol eras    2026-07-28 only: hosts of up to 2025-11-25 are",
        ),
        (["--modern-only"], ["--bridge", "off"], "! protocol eras    2026-07-28 only"),
    ],
)
def test_the_eras_of_a_server_are_told(
    server: list[str], options: list[str], words: str, start: StartFar, examined: Doctor
) -> None:
    told = examined(*start(echo_server.command(*server)).options(), *options, command=["serve"])
    assert words in told.text, told.text


def test_an_mcp_server_behind_a_shell_request_is_served(start: StartFar, examined: Doctor) -> None:
    told = examined(*start().options())
    assert told.status == 0
    assert told.found("request")["request"] == "a shell"


def test_options_of_a_hosts_configuration_can_be_pasted(start: StartFar, examined: Doctor) -> None:
    far = start()
    told = examined(*far.options("--keepalive", "5", "--no-reconnect"), command=["serve"])
    assert told.status == 0


# Before there is SSH


def test_what_was_given_is_listed_without_what_is_no_option() -> None:
    params = Parameters(port=22, command=("run",), passphrase_prompt=lambda _: None)
    assert dict(configuration._given(params)) == {"--port": 22}


def test_a_configuration_that_makes_no_sense_is_the_first_step(
    examined: Doctor, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("Host *\n  Prot 22\n")
    step = examined("-F", str(config), "--host", "lab").only_failed_at("configuration")
    assert f"{config}:2" in step["found"]["error"]


def test_it_is_told_which_line_an_option_came_from(
    start: StartFar, examined: Doctor, tmp_path: Path
) -> None:
    far = start()
    config = tmp_path / "config"
    config.write_text(
        f"Host lab\n  HostName 127.0.0.1\n  Port {far.server.port}\n  ForwardAgent yes\n"
        f"  IdentityFile {far.client}\n  UserKnownHostsFile {far.known_hosts}\n"
    )
    told = examined("-F", str(config), "-l", "mcp", "--host", "lab", command=["serve"])
    assert told.status == 0
    assert {"keyword": "port", "place": f"{config}:3"} in told.found("configuration")[
        "configuration"
    ]
    assert f"port ({config}:3)" in told.text
    assert "✓ configuration" not in told.text  # unsupported lines are a warning
    assert f"{config}:4: ForwardAgent is not supported" in told.text


def test_a_name_that_nobody_knows(examined: Doctor) -> None:
    step = examined("--host", "lab.invalid").only_failed_at("name_resolution")
    assert "'lab.invalid' cannot be resolved" in step["found"]["error"]
    assert "VPN" in step["advice"]


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def test_each_address_is_told_with_why_it_cannot_be_reached(examined: Doctor) -> None:
    step = examined(*place(closed_port())).only_failed_at("tcp")
    (address,) = step["found"]["addresses"]
    assert address["reachable"] is False
    assert address["reason"]
    assert "--port" in step["advice"]


def test_one_address_that_answers_is_enough(
    start: StartFar, examined: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    far, closed = start(), closed_port()

    def two_addresses(_host: str, port: int, *_: object) -> list[Any]:
        kind = (socket.SOCK_STREAM, 6, "")
        return [
            (socket.AF_INET, *kind, ("127.0.0.1", closed)),
            (socket.AF_INET, *kind, ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", two_addresses)
    told = examined(*far.options(), command=["serve"])
    assert told.status == 0
    assert [each["reachable"] for each in told.found("tcp")["addresses"]] == [False, True]
    assert "127.0.0.1: reachable, " in told.text


@pytest.mark.parametrize(
    ("platform", "address", "kept_away"),
    [
        ("darwin", "192.168.7.7", True),
        ("darwin", "fe80::1", True),
        ("darwin", "8.8.8.8", False),
        ("linux", "192.168.7.7", False),
    ],
)
def test_macos_keeps_apps_from_the_local_network(
    platform: str,
    address: str,
    kept_away: bool,
    examined: Doctor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No machine answers like this everywhere, so the system call is faked.
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: errno.EHOSTUNREACH)
    monkeypatch.setattr(sys, "platform", platform)
    step = examined("--host", address, "--port", "22").only_failed_at("tcp")
    assert ("Privacy & Security → Local Network" in step["advice"]) is kept_away


# The banner


def says_and_hangs_up(line: bytes) -> Callable[[socket.socket], None]:
    def serve(sock: socket.socket) -> None:
        sock.sendall(line)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 16):
            pass

    return serve


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (hangs_up, "MaxStartups"),
        (says_and_hangs_up(b""), "MaxStartups"),
        (says_and_hangs_up(b"Exceeded MaxStartups\r\n"), "MaxStartups"),
        (says_and_hangs_up(b"Not allowed at this time\r\n"), "PerSourcePenalties"),
        (speaks_http, "A web server answers on this port"),
        (says_and_hangs_up(b"SSH-2"), "MaxStartups"),
    ],
    ids=["hangs up", "hangs up late", "says why", "penalty", "http", "within the banner"],
)
def test_who_hangs_up_before_the_banner_is_told_apart(
    server: Callable[[socket.socket], None], words: str, examined: Doctor
) -> None:
    with listening(server) as port:
        step = examined(*place(port)).only_failed_at("banner")
    assert words in step["advice"]


def test_a_server_that_says_nothing_is_given_up_in_time(examined: Doctor) -> None:
    with listening(mute) as port:
        step = examined(*place(port), "--connect-timeout", "0.6").only_failed_at("banner")
    assert "Timed out after 0.6 s" in step["found"]["error"]
    assert "--connect-timeout" in step["advice"]


def test_a_proxy_command_that_fails_is_told_in_its_words(examined: Doctor) -> None:
    code = "import sys; sys.exit('no way through')"
    command = f'ProxyCommand="{sys.executable}" -S -c "{code}"'
    step = examined("--host", "lab", "-o", command).only_failed_at("banner")
    assert "no way through" in step["found"]["error"]
    assert "ProxyCommand" in step["advice"]


class Old(Odd):
    def configure(self, transport: paramiko.Transport) -> None:
        transport.local_version = "SSH-2.0-OpenSSH_7.4"
        options = transport.get_security_options()
        options.kex = ("curve25519-sha256@libssh.org",)
        options.ciphers = ("aes256-ctr",)
        options.digests = ("hmac-sha2-512",)

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:  # noqa: ARG002
        return False


def test_old_software_and_no_post_quantum_exchange_are_warnings(
    keys: Keys, examined: Doctor
) -> None:
    pin = public(keys["ed25519 host"]).fingerprint
    with odd_server(Old(), keys["ed25519 host"]) as port:
        told = examined(
            *place(port), "--client-key", str(keys.path(keys["ed25519"])), "--host-key", pin
        )
    assert told.steps["banner"]["status"] == "warning"
    assert "2019" in told.steps["banner"]["advice"]
    step = told.steps["key_exchange"]
    assert step["status"] == "warning"
    assert step["found"]["kex"] in ("curve25519-sha256", "curve25519-sha256@libssh.org")
    assert step["found"]["mac"] == "hmac-sha2-512"
    assert step["found"]["post_quantum"] is False
    assert told.steps["authentication"]["status"] == "ok"
    assert "! key exchange" in told.text


def test_a_list_of_algorithms_that_leaves_nothing_fails_before_the_banner(
    start: StartFar, examined: Doctor
) -> None:
    step = examined(*start().options("-o", "MACs=umac-64@openssh.com")).only_failed_at("banner")
    assert "MACs 'umac-64@openssh.com' leaves nothing" in step["found"]["error"]


class NothingInCommon(Odd):
    def configure(self, transport: paramiko.Transport) -> None:
        transport.get_security_options().ciphers = ("3des-cbc",)


def test_no_encryption_in_common_fails_the_key_exchange(keys: Keys, examined: Doctor) -> None:
    with odd_server(NothingInCommon(), keys["ed25519 host"]) as port:
        step = examined(*place(port)).only_failed_at("key_exchange")
    assert "No encryption in common" in step["found"]["error"]


# The host key


def test_an_unknown_machine_is_refused_with_the_command_that_trusts_it(
    start: StartFar, examined: Doctor
) -> None:
    far = start()
    far.known_hosts.write_text("")
    step = examined(*far.options()).only_failed_at("host_key")
    trust = step["found"]["trust_command"]
    assert shlex.split(trust)[:3] == ["m2m-mcp-server-ssh-client", "trust", "--host"]
    assert str(far.known_hosts) in trust
    assert trust in step["advice"]
    assert step["found"]["standing"] == "unknown"
    assert far.known_hosts.read_text() == ""


@pytest.mark.parametrize("strict", ["accept-new", "no"])
def test_what_would_be_added_is_told_and_not_added(
    strict: str, start: StartFar, examined: Doctor, tmp_path: Path
) -> None:
    far = start()
    new = tmp_path / "new" / "known_hosts"
    options = far.options("--known-hosts", str(new), known_hosts=False)
    told = examined(*options, "-o", f"StrictHostKeyChecking={strict}", command=["serve"])
    assert told.status == 0
    assert told.steps["host_key"]["status"] == "warning"
    assert told.found("host_key")["would_be_added_to"] == str(new)
    assert f"would add it to {new}" in told.text
    assert not new.parent.exists()


def test_a_changed_key_is_refused_with_the_line_that_has_another(
    start: StartFar, keys: Keys, examined: Doctor
) -> None:
    far = start()
    other = public(keys["ed25519 other"])
    far.known_hosts.write_text(entry("127.0.0.1", far.server.port, other))
    step = examined(*far.options()).only_failed_at("host_key")
    assert step["found"]["standing"] == "changed"
    assert step["found"]["place"] == f"{far.known_hosts}:1"
    assert "ssh-keygen -R" in step["advice"]


def test_a_changed_key_that_is_accepted_all_the_same_is_called_insecure(
    start: StartFar, keys: Keys, examined: Doctor
) -> None:
    far = start()
    line = entry("127.0.0.1", far.server.port, public(keys["ed25519 other"]))
    far.known_hosts.write_text(line)
    told = examined(*far.options("-o", "StrictHostKeyChecking=no"), command=["serve"])
    assert told.status == 0
    assert told.steps["host_key"]["status"] == "warning"
    assert "! host key         INSECURE, but accepted" in told.text
    assert far.known_hosts.read_text() == line


def test_files_that_cannot_be_read_do_not_matter_where_nothing_is_checked(
    start: StartFar, examined: Doctor, tmp_path: Path
) -> None:
    far = start()
    unreadable = ["-o", f"UserKnownHostsFile={tmp_path}", "--disable-host-key-checking"]
    told = examined(*far.options(*unreadable, known_hosts=False), command=["serve"])
    assert told.status == 0
    assert told.steps["host_key"]["status"] == "warning"


def test_files_that_cannot_be_read_are_the_configurations_fault(
    start: StartFar, examined: Doctor, tmp_path: Path
) -> None:
    far = start()
    options = far.options("--known-hosts", str(tmp_path), known_hosts=False)
    assert str(tmp_path) in examined(*options).only_failed_at("configuration")["found"]["error"]


def test_another_key_than_the_pinned_one_is_refused(
    start: StartFar, keys: Keys, examined: Doctor
) -> None:
    far = start()
    pin = public(keys["ed25519 other"]).fingerprint
    step = examined(*far.options("--host-key", pin)).only_failed_at("host_key")
    assert pin in step["found"]["error"]
    assert "trust_command" not in step["found"]


def test_a_key_that_is_not_checked_is_a_warning(start: StartFar, examined: Doctor) -> None:
    options = start().options("--disable-host-key-checking", known_hosts=False)
    told = examined(*options, command=["serve"])
    assert told.status == 0
    assert told.steps["host_key"]["status"] == "warning"
    assert "--disable-host-key-checking" in told.steps["host_key"]["advice"]


# Authentication


def test_a_refused_key_is_named_with_the_line_to_add(
    start: StartFar, keys: Keys, examined: Doctor
) -> None:
    far = start()
    stranger = keys["ed25519 stranger"]
    options = far.options("--client-key", str(keys.path(stranger)))
    step = examined(*options).only_failed_at("authentication")
    (refused,) = step["found"]["refused"]
    assert refused["from"] == quoted(keys.path(stranger))
    assert step["found"]["methods"] == ["publickey"]
    assert stranger.get_base64() in step["advice"]


def test_without_any_key_none_is_made_and_the_one_that_would_be_is_named(
    start: StartFar, examined: Doctor
) -> None:
    far = start()
    options = [*place(far.server.port), "--known-hosts", str(far.known_hosts)]
    step = examined(*options).only_failed_at("authentication")
    would_be = Path("~/.ssh/m2m_mcp_server_ssh_client").expanduser()
    assert step["found"]["would_be_made"] == str(would_be)
    assert not would_be.exists()


class Impatient(Odd):
    """Hangs up at the second key, as sshd does beyond MaxAuthTries."""

    tried = 0

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:  # noqa: ARG002
        self.tried += 1
        if self.tried > 1:
            say_farewell(self.transport, "Too many authentication failures")
        return paramiko.common.AUTH_FAILED


def test_too_many_refused_keys_are_called_so(keys: Keys, examined: Doctor, tmp_path: Path) -> None:
    config = tmp_path / "config"
    files = [keys.path(keys[f"ed25519 {number}"]) for number in range(3)]
    config.write_text("".join(f'IdentityFile "{file}"\n' for file in files))
    pin = public(keys["ed25519 host"]).fingerprint
    with listening(lambda sock: Impatient().serve(sock, keys["ed25519 host"])) as port:
        told = examined("-F", str(config), *place(port), "--host-key", pin)
    step = told.only_failed_at("authentication")
    assert "Too many authentication failures" in step["found"]["error"]
    assert "--key-fingerprint" in step["advice"]


# The request and what it runs


def test_a_refused_request_is_a_step_of_its_own(start: StartFar, examined: Doctor) -> None:
    far = start(run=None)
    step = examined(*far.options("--subsystem", "mcp")).only_failed_at("request")
    assert "no subsystem 'mcp'" in step["found"]["error"]
    assert "sshd_config" in step["advice"]


def test_a_command_that_is_not_found_is_told_with_the_path_there(
    start: StartFar, examined: Doctor
) -> None:
    code = (
        "import os, sys; print('sh: serve: not found', file=sys.stderr, flush=True); os._exit(127)"
    )
    told = examined(*start(python(code)).options(), command=["serve"])
    step = told.only_failed_at("mcp")
    assert step["found"]["exit_status"] == 127
    assert step["found"]["path"] == PATH
    assert "absolute path" in step["advice"]
    assert f"PATH there: {PATH}" in told.text
    assert told.found("noise")["stderr"] == ["sh: serve: not found"]


def test_another_exit_status_is_told_with_the_last_words(start: StartFar, examined: Doctor) -> None:
    code = "import os, sys; sys.stderr.write('no licence'); sys.stderr.flush(); os._exit(3)"
    told = examined(*start(python(code)).options(), command=["serve"])
    assert told.only_failed_at("mcp")["found"]["exit_status"] == 3
    assert told.found("noise")["stderr"] == ["no licence"]


@pytest.mark.parametrize("command", [[], ["bash"]])
def test_a_login_shell_is_called_so(command: list[str], start: StartFar, examined: Doctor) -> None:
    # A shell's answer to a request that it takes for a command.
    code = (
        "import sys; line = sys.stdin.readline().strip()\n"
        "print('sh: 1:', line, ': not found', file=sys.stderr, flush=True); sys.stdin.read()"
    )
    step = examined(*start(python(code)).options(), command=command).only_failed_at("mcp")
    assert "looks like a login shell" in step["found"]["error"]
    assert "after `--`" in step["advice"]


@not_under_wine("much output takes long")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_server_that_never_stops_talking_is_given_up_in_time(
    stream: str, start: StartFar, examined: Doctor
) -> None:
    far = start(python(f"import sys\nwhile True: sys.{stream}.write('y\\n' * 10000)"))
    told = examined(*far.options("--connect-timeout", "1"), command=["yes"])
    assert "No answer to initialize" in told.only_failed_at("mcp")["found"]["error"]
    assert told.found("noise")[stream] == ["y"] * 20


@pytest.mark.parametrize("command", [[], ["serve"]])
def test_a_server_that_does_not_answer_is_given_up_in_time(
    command: list[str], start: StartFar, examined: Doctor
) -> None:
    far = start(python("import sys; sys.stdin.read()"))
    told = examined(*far.options("--connect-timeout", "1.5"), command=command)
    words = "No answer to initialize within 1.5 s" if command else "login shell"
    assert words in told.only_failed_at("mcp")["found"]["error"]


def test_noise_is_shown_and_is_only_a_warning(start: StartFar, examined: Doctor) -> None:
    noisy = echo_server.command("--noise", "Welcome\x1b[2J", "--bad-bytes")
    told = examined(*start(noisy).options(), command=["serve"])
    assert told.status == 0
    assert told.steps["noise"]["status"] == "warning"
    assert told.found("noise")["stdout"] == ["Welcome\\x1b[2J", "\\xff\\xfe not UTF-8 \\x80"]
    assert "~/.bashrc" in told.steps["noise"]["advice"]
    assert "stdout: Welcome\\x1b[2J" in told.text


def test_a_server_that_refuses_both_eras_is_none(start: StartFar, examined: Doctor) -> None:
    far = start(echo_server.command("--modern-only", "--discover", "unknown"))
    step = examined(*far.options(), command=["serve"]).only_failed_at("mcp")
    assert "refuses both initialize and server/discover" in step["found"]["error"]
    assert "-32601" in step["found"]["error"]


def test_a_list_that_is_refused_is_a_warning_and_pages_are_counted(
    start: StartFar, examined: Doctor
) -> None:
    code = (
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    message = json.loads(line)\n"
        "    method, params = message['method'], message.get('params', {})\n"
        "    if 'id' not in message: continue\n"
        "    more = {'nextCursor': '2'} if 'cursor' not in params else {}\n"
        "    answer = {'result': {'capabilities': {'tools': {}, 'prompts': {}}, 'tools': [1, 2], **more}}\n"
        "    if method == 'prompts/list': answer = {'error': {'code': -32603, 'message': 'broken'}}\n"
        "    print(json.dumps({'jsonrpc': '2.0', 'id': message['id'], **answer}), flush=True)\n"
    )
    told = examined(*start(python(code)).options(), command=["serve"])
    assert told.status == 0
    assert told.steps["mcp"]["status"] == "warning"
    assert told.found("mcp")["tools"] == 4
    assert told.found("mcp")["problems"] == ["prompts/list: broken (-32603)"]


def test_a_server_that_ends_during_the_samples_fails_the_last_step(
    start: StartFar, examined: Doctor
) -> None:
    code = (
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    message = json.loads(line)\n"
        "    if message['method'] == 'ping': sys.exit(4)\n"
        "    if 'id' in message:\n"
        "        answer = {'jsonrpc': '2.0', 'id': message['id'], 'result': {'capabilities': {}}}\n"
        "        print(json.dumps(answer), flush=True)\n"
    )
    step = examined(*start(python(code)).options(), command=["serve"]).only_failed_at("round_trip")
    assert "exit status 4" in step["found"]["error"]


# The key server


def test_a_key_server_at_a_url_is_asked_there(examined: Doctor) -> None:
    with pair(ECHO) as far:
        url = f"http://localhost:{far.key_server.port}/"
        told = examined(*place(far.ssh.port), "--key-server-url", url)
    assert told.found("key_server")["url"] == url
    assert told.found("key_server")["fingerprint"] == public(far.ssh.host_key).fingerprint


@pytest.mark.parametrize("registered", [False, True])
def test_nothing_is_registered_at_the_key_server(
    registered: bool, examined: Doctor, keys: Keys, tmp_path: Path
) -> None:
    client = tmp_path / "key"
    if registered:
        client.write_bytes(keys.path(keys["ed25519"]).read_bytes())
        client.chmod(0o600)
    with pair(ECHO) as far:
        if registered:
            far.key_server.registered.add(public(keys["ed25519"]))
        before = set(far.key_server.registered)
        options = ["--use-key-server", "--key-server-port", str(far.key_server.port)]
        told = examined(*place(far.ssh.port), *options, "--client-key", str(client))
        assert set(far.key_server.registered) == before
    assert list(told.steps)[:2] == ["configuration", "key_server"]
    assert told.found("key_server")["fingerprint"] == public(far.ssh.host_key).fingerprint
    assert not list(tmp_path.glob("*.known_hosts"))
    assert client.exists() is registered
    if registered:
        assert told.status == 0
    else:
        assert "registers this key" in told.only_failed_at("authentication")["advice"]


# Secrets


@pytest.mark.parametrize("refused", [False, True])
def test_no_secret_is_ever_shown(
    refused: bool, start: StartFar, examined: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("M2M_SSH_PASSPHRASE", "hidden phrase")
    monkeypatch.setenv("LC_SECRET", "hidden value")
    far = start(run=None if refused else ECHO)
    options = far.options("-o", "SetEnv=FOO=hidden", "-o", "SendEnv=LC_SECRET")
    told = examined(*options, command=["env", "TOKEN=hidden", "serve"])
    assert "hidden" not in told.text + json.dumps(told.steps)
    assert told.found("configuration")["environment"] == {"LC_SECRET": "…", "FOO": "…"}
    assert told.found("configuration")["given"]["--passphrase"] == "…"
    private = far.client.read_text().splitlines()[1]
    assert private not in told.text


def test_no_secret_is_in_the_command_to_paste(start: StartFar, examined: Doctor) -> None:
    far = start()
    far.known_hosts.write_text("")
    options = far.options("-o", "SetEnv FOO=hidden", "-o", "HashKnownHosts=yes")
    told = examined(*options)
    assert "hidden" not in told.text + json.dumps(told.steps)
    assert "-o HashKnownHosts=yes" in told.only_failed_at("host_key")["found"]["trust_command"]


# How it is shown


def steps_of_each_status() -> list[Step]:
    return [
        Step("tcp", Status.OK, {}, "grün"),
        Step("noise", Status.WARNING, {}, "some", "Do this → now.", ("stdout: x",)),
        Step("mcp", Status.FAILED, {}, "none"),
        Step("round_trip", Status.SKIPPED, {}, "not reached"),
    ]


def shown_on(encoding: str) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    page = Page(stream)
    for step in steps_of_each_status():
        page.show(step)
    stream.flush()
    return raw.getvalue().decode(encoding)


def test_marks_are_in_a_column_and_what_belongs_to_a_step_below_it() -> None:
    assert shown_on("utf-8").splitlines() == [
        "✓ TCP              grün",
        "! noise            some",
        "                   stdout: x",
        "                   → Do this → now.",
        "✗ MCP              none",
        "– round trip       not reached",  # noqa: RUF001 - the dash is meant
    ]


def test_what_the_encoding_cannot_show_is_ascii() -> None:
    assert shown_on("ascii").splitlines() == [
        "+ TCP              gr\\xfcn",
        "! noise            some",
        "                   stdout: x",
        "                   -> Do this \\u2192 now.",
        "x MCP              none",
        "- round trip       not reached",
    ]


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("wanted", [True, False])
def test_there_is_colour_on_a_terminal_unless_nobody_wants_it(
    wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    if not wanted:
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    for step in steps_of_each_status():
        Page(terminal).show(step)
    assert ("\x1b[32m" in terminal.getvalue()) is wanted
    assert ("\x1b" in terminal.getvalue()) is wanted


# The command


@pytest.mark.parametrize("arguments", [["--port", "0"], ["--subsystem", "x", "--", "y"], ["--"]])
def test_a_usage_error_has_the_exit_status_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["doctor", *arguments]) == 2
    assert capsys.readouterr().out == ""


def test_whoever_stops_looking_ends_the_connection(start: StartFar) -> None:
    far = start()
    params = Parameters(
        host="127.0.0.1",
        port=far.server.port,
        client_key=far.client,
        known_hosts=far.known_hosts,
        ssh_config="none",
        command=("serve",),
    )
    before = set(threading.enumerate())
    steps = examine(params)
    for step in steps:
        if step.name == "request":
            break
    steps.close()
    left = [t for t in threading.enumerate() if isinstance(t, paramiko.Transport)]
    for thread in left:
        if thread not in before:
            thread.join(5)
    assert not [t for t in left if t not in before and t.is_alive()]
