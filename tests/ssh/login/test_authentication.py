"""Logging in to real servers: sshd with every kind of key, in the order of `ssh`, and servers made to be odd."""

from __future__ import annotations

import getpass
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import paramiko
import pytest
from paramiko.common import AUTH_FAILED, AUTH_PARTIALLY_SUCCESSFUL, AUTH_SUCCESSFUL
from support import programs
from support.odd_ssh import OneWay, say_farewell
from support.sshd import Sshd, SshdKeys, make_privilege_separation_folder

if sys.platform == "win32":
    pytest.skip("sshd and ssh-agent as they are elsewhere", allow_module_level=True)

from support.fake_agent import FAILURE, FakeAgent, SecurityKey, holding, wire
from support.ssh_agent import SshAgent

from m2m_ssh_client.errors import AuthenticationError, KeyFileError
from m2m_ssh_client.ssh import algorithms
from m2m_ssh_client.ssh.library.ssh_transport import Transport
from m2m_ssh_client.ssh.login.authentication import authenticate
from m2m_ssh_client.ssh.login.identities import Identity
from m2m_ssh_client.ssh.login.key_files import load_client_key
from m2m_ssh_client.ssh.login.unlocked_keys import UnlockedKeys
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.settings import Address, Algorithms, Login

SECRET = "correct horse"
ENOUGH = 20.0  # seconds

pytestmark = pytest.mark.interop


def keygen(folder: Path, *arguments: str) -> None:
    ssh_keygen = str(programs.require("ssh-keygen"))
    subprocess.run(
        [ssh_keygen, "-q", *arguments], check=True, timeout=60, capture_output=True, cwd=folder
    )


# name, type, bits, what else
KEYS = [
    ("a", "ed25519", "256", ()),
    ("b", "ed25519", "256", ()),
    ("c", "ed25519", "256", ()),
    ("ecdsa", "ecdsa", "256", ()),
    ("p384", "ecdsa", "384", ("-m", "PEM")),
    ("p521", "ecdsa", "521", ("-m", "PKCS8")),
    ("rsa", "rsa", "2048", ()),
    ("rsa-pem", "rsa", "2048", ("-m", "PEM")),
    ("rsa-pkcs8", "rsa", "3072", ("-m", "PKCS8")),
    ("locked", "ed25519", "256", ("-N", SECRET, "-a", "1")),
    ("locked-rsa", "rsa", "2048", ("-N", SECRET, "-a", "1")),
    ("locked-pem", "rsa", "2048", ("-N", SECRET, "-m", "PEM")),
    ("locked-pkcs8", "ecdsa", "256", ("-N", SECRET, "-m", "PKCS8")),
    *((f"w{number}", "ed25519", "256", ()) for number in range(1, 8)),
]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The keys by name, and their certificates in `certs/`; tests copy what they need."""
    folder = tmp_path_factory.mktemp("pool")
    (folder / "certs").mkdir()
    keygen(folder, "-t", "ed25519", "-N", "", "-f", "ca")
    for name, kind, bits, options in KEYS:
        secret = () if "-N" in options else ("-N", "")
        keygen(folder, "-t", kind, "-b", bits, *secret, *options, "-C", f"{name} key", "-f", name)
        keygen(folder, "-s", "ca", "-I", name, "-n", getpass.getuser(), f"{name}.pub")
        (folder / f"{name}-cert.pub").rename(folder / "certs" / f"{name}-cert.pub")
    return folder


@pytest.fixture(scope="module")
def sshd_keys(tmp_path_factory: pytest.TempPathFactory) -> SshdKeys:
    make_privilege_separation_folder()
    programs.require("sshd")
    return SshdKeys.generate(tmp_path_factory.mktemp("sshd"))


class Here:
    """A user's key folder, the agent and the server of one test."""

    def __init__(self, folder: Path, pool: Path, server: Sshd, authorized: Path) -> None:
        self.folder = folder
        self.pool = pool
        self.server = server
        self.authorized_keys = authorized
        self.agent: SshAgent | None = None

    def put(self, *names: str) -> list[Path]:
        """Files of the pool: `a`, `a.pub`, `a-cert.pub`; `a` comes without `a.pub`."""
        for name in names:
            certificate = name.endswith("-cert.pub")
            source = self.pool / "certs" / name if certificate else self.pool / name
            (self.folder / name).write_bytes(source.read_bytes())
            (self.folder / name).chmod(0o600)
        return [self.folder / name for name in names]

    def authorize(self, *names: str) -> None:
        lines = [self.line(name) for name in names]
        self.authorized_keys.write_text("".join(f"{line}\n" for line in lines))

    def line(self, name: str) -> str:
        if name == "ca":
            return f"cert-authority {(self.pool / 'ca.pub').read_text().strip()}"
        return " ".join((self.pool / f"{name}.pub").read_text().split()[:2])

    def login(self, **options: Any) -> Login:
        return Login(**{"user": self.server.username, **options})

    def log_in(self, login: Login, **options: Any) -> Identity | None:
        with connected(self.server.port) as transport:
            taken = log_in(transport, login, self.server.port, **options)
            channel = transport.open_session(timeout=ENOUGH)  # it is a session that works
            channel.exec_command("exit 7")
            assert channel.recv_exit_status() == 7
        return taken

    def refusal(
        self, login: Login, kind: type[Exception] = AuthenticationError, **options: Any
    ) -> str:
        with connected(self.server.port) as transport, pytest.raises(kind) as caught:
            log_in(transport, login, self.server.port, **options)
        text = str(caught.value)
        assert "\n" not in text
        return text

    def ssh(self, login: Login) -> bool:
        """Whether OpenSSH gets in with the same settings."""
        options = {
            "BatchMode": "yes",
            "UserKnownHostsFile": self.server.known_hosts,
            "IdentitiesOnly": "yes" if login.identities_only else "no",
            "IdentityAgent": login.agent or "none",
            "Port": self.server.port,
        }
        argv = [str(programs.require("ssh")), "-F", "none", "-T"]
        for name, value in options.items():
            argv += ["-o", f"{name}={value}"]
        for path in login.files or login.default_files or ["none"]:
            argv += ["-o", f"IdentityFile={path}"]
        for path in login.certificates:
            argv += ["-o", f"CertificateFile={path}"]
        argv += [f"{login.user}@127.0.0.1", "--", "exit 7"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SSH_")}
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, env=environment
        )
        assert done.returncode in (7, 255), done.stderr
        return done.returncode == 7


@contextmanager
def connected(
    port: int, link: Callable[[socket.socket], Any] = lambda sock: sock
) -> Iterator[Transport]:
    sock = socket.create_connection(("127.0.0.1", port), timeout=ENOUGH)
    transport = Transport(link(sock), algorithms.offer(Algorithms()))
    deadline = threading.Timer(ENOUGH, transport.close)
    deadline.daemon = True
    deadline.start()
    try:
        transport.exchange_keys(algorithms.host_keys(None), time.monotonic() + ENOUGH)
        yield transport
    finally:
        deadline.cancel()
        transport.close()
        transport.join(5)
        assert not transport.is_alive()


def log_in(transport: Transport, login: Login, port: int, **options: Any) -> Identity | None:
    return authenticate(transport, login, Address("127.0.0.1", port), **options)


StartSshd = Callable[..., Here]


@pytest.fixture(scope="module")
def server(
    sshd_keys: SshdKeys, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Sshd, Path]]:
    folder = tmp_path_factory.mktemp("server")
    with Sshd(sshd_keys, folder / "sshd") as sshd:
        yield sshd, folder / "sshd" / "authorized_keys"


@pytest.fixture
def here(tmp_path: Path, pool: Path, server: tuple[Sshd, Path]) -> Here:
    (tmp_path / "keys").mkdir()
    here = Here(tmp_path / "keys", pool, *server)
    here.authorize()  # nothing: the server is that of all tests
    return here


@pytest.fixture
def start(tmp_path: Path, pool: Path, sshd_keys: SshdKeys) -> Iterator[StartSshd]:
    """A server with lines of configuration of its own."""
    with ExitStack() as stack:

        def start(*extra: str) -> Here:
            folder = tmp_path / "sshd"
            sshd = stack.enter_context(Sshd(sshd_keys, folder, extra))
            (tmp_path / "keys").mkdir()
            return Here(tmp_path / "keys", pool, sshd, folder / "authorized_keys")

        yield start


@pytest.fixture
def ssh_agent(pool: Path) -> Iterator[Callable[..., str]]:
    """Start an agent with keys of the pool; with `name-cert.pub` also that certificate."""
    with ExitStack() as stack:

        def start(*names: str) -> str:
            agent = stack.enter_context(SshAgent())
            folder = Path(agent.path).parent
            for name in names:
                key = name.removesuffix("-cert.pub")
                (folder / key).write_bytes((pool / key).read_bytes())
                (folder / key).chmod(0o600)
                if key != name:
                    (folder / name).write_bytes((pool / "certs" / name).read_bytes())
                keygen(folder, "-p", "-P", SECRET if "locked" in key else "", "-N", "", "-f", key)
                agent.add(folder / key)
            return agent.path

        yield start


# Which key gets in. In the table: configured files, files beside them, the agent's keys, CertificateFile, default
# files, identities only, what is authorized, and the key that must be taken (- for none).
# Each row but the ones marked "better" is put to `ssh` as well, which must agree on whether it gets in.
NONE: tuple[str, ...] = ()
TABLE = [
    # id, files, beside, agent, certificates, defaults, only, authorized, taken
    ("nothing", "", "", None, "", "", False, "a", "-"),
    ("a file", "a", "", None, "", "", False, "a", "a"),
    ("a file that is not authorized", "a", "", None, "", "", False, "b", "-"),
    ("the second file", "a b", "", None, "", "", False, "b", "b"),
    ("the first of two that would do", "a b", "", None, "", "", False, "a b", "a"),
    ("a missing file before", "gone a", "", None, "", "", False, "a", "a"),
    ("ecdsa", "ecdsa", "", None, "", "", False, "ecdsa", "ecdsa"),
    ("p384 in PEM", "p384", "p384.pub", None, "", "", False, "p384", "p384"),
    ("p521 in PKCS#8", "p521", "", None, "", "", False, "p521", "p521"),
    ("rsa", "rsa", "", None, "", "", False, "rsa", "rsa"),
    ("rsa in PEM", "rsa-pem", "", None, "", "", False, "rsa-pem", "rsa-pem"),
    ("rsa in PKCS#8", "rsa-pkcs8", "", None, "", "", False, "rsa-pkcs8", "rsa-pkcs8"),
    ("locked, and nobody to ask", "locked", "", None, "", "", False, "locked", "-"),
    ("locked, before the right one", "locked a", "", None, "", "", False, "a", "a"),
    ("locked PEM, before the right one", "locked-pem a", "", None, "", "", False, "a", "a"),
    # the agent
    ("the agent alone", "", "", "a", "", "", False, "a", "a"),
    ("the agent's second", "", "", "a b", "", "", False, "b", "b"),
    ("rsa of the agent", "", "", "rsa", "", "", False, "rsa", "rsa"),
    ("ecdsa of the agent", "", "", "p521", "", "", False, "p521", "p521"),
    ("an empty agent", "a", "", "", "", "", False, "a", "a"),
    ("no such agent", "a", "", "gone", "", "", False, "a", "a"),
    ("identities only", "a", "", "b", "", "", True, "b", "-"),
    ("identities only, which it has", "locked", "", "locked b", "", "", True, "locked", "locked"),
    ("identities only by .pub", "a.pub", "", "b a", "", "", True, "a", "a"),
    ("by .pub beside", "a", "a.pub", "b a", "", "", True, "a", "a"),
    ("by .pub that is not there", "a", "", "b a", "", "", True, "a", "a"),
    ("only .pub beside", "x/a", "", "b a", "", "", True, "a", "-"),
    ("a .pub without its agent", "a.pub b", "", None, "", "", True, "b", "b"),
    ("locked, and the agent has it", "locked", "", "a locked", "", "", False, "locked", "locked"),
    ("locked PEM by its .pub", "locked-pem", "locked-pem.pub", "locked-pem", "", "", True, "locked-pem", "locked-pem"),
    ("the configured first", "b", "", "w1 w2 w3 w4 w5 b", "", "", False, "b", "b"),
    ("six keys", "", "", "w1 w2 w3 w4 w5 a", "", "", False, "a", "a"),
    ("seven keys", "", "", "w1 w2 w3 w4 w5 w6 a", "", "", False, "a", "-"),
    ("six files", "w1 w2 w3 w4 w5 a", "", None, "", "", False, "a", "a"),
    ("seven files", "w1 w2 w3 w4 w5 w6 a", "", None, "", "", False, "a", "-"),
    ("the same key twice", "w1 w1 w2 w3 w4 w5 a", "", None, "", "", False, "a", "a"),
    ("file and agent are one", "w1 w2 w3", "", "w1 w2 w3 w4 w5 a", "", "", False, "a", "a"),
    ("better: a file before the agent", "b", "", "w1 w2 w3 w4 w5 w6", "", "", False, "b", "b"),
    # default files
    ("a default", "", "", None, "", "gone a", False, "a", "a"),
    ("a default after the agent", "", "", "b", "", "a", False, "a", "a"),
    ("a default that the agent has", "", "", "w1 w2 w3 w4 w5 w6 a", "", "a", False, "a", "a"),
    ("a default that is locked", "", "", "locked", "", "locked", False, "locked", "locked"),
    ("identities only, default", "", "", "b", "", "a", True, "a", "a"),
    ("identities only, default of the agent", "", "", "b locked", "", "locked", True, "locked", "locked"),
    # certificates
    ("certificate beside", "a", "a-cert.pub", None, "", "", False, "ca", "a-cert"),
    ("certificate beside .pub", "a", "a.pub a-cert.pub", None, "", "", False, "ca", "a-cert"),
    ("rsa certificate", "rsa", "rsa-cert.pub", None, "", "", False, "ca", "rsa-cert"),
    ("ecdsa certificate", "p384", "p384-cert.pub", None, "", "", False, "ca", "p384-cert"),
    ("CertificateFile", "a", "", None, "a-cert.pub", "", False, "ca", "a-cert"),
    ("CertificateFile, agent's key", "", "", "a", "a-cert.pub", "", False, "ca", "a-cert"),
    ("CertificateFile, locked, agent's", "locked", "", "locked", "locked-cert.pub", "", True, "ca", "locked-cert"),
    ("CertificateFile without key", "b", "", None, "a-cert.pub", "", False, "b", "b"),
    ("certificate that is none", "a", "", None, "b.pub", "", False, "a", "a"),
    ("certificate beside of another key", "b", "", None, "", "", False, "ca", "-"),
    ("the agent's certificate", "", "", "a-cert.pub", "", "", False, "ca", "a-cert"),
    ("the agent's rsa certificate", "", "", "rsa-cert.pub", "", "", False, "ca", "rsa-cert"),
    ("the agent's ecdsa certificate", "", "", "p384-cert.pub", "", "", False, "ca", "p384-cert"),
    ("a certificate for a default", "", "", None, "", "a", False, "ca", "-"),
    ("a key whose certificate is refused", "a", "a-cert.pub", None, "", "", False, "a", "a"),
    ("certificates count", "w1 w2 w3 a", "w1-cert.pub w2-cert.pub w3-cert.pub", None, "", "", False, "a", "-"),
]  # fmt: skip


@pytest.mark.parametrize("case", TABLE, ids=[case[0] for case in TABLE])
def test_the_key_that_ssh_would_get_in_with_gets_in(
    case: tuple[Any, ...], here: Here, ssh_agent: Callable[..., str]
) -> None:
    name, files, beside, agent, certificates, defaults, only, authorized, taken = case
    here.put(*(f for f in (*files.split(), *defaults.split()) if f not in ("gone", "x/a")))
    here.put(*beside.split(), *certificates.split())
    here.authorize(*authorized.split())
    path = None if agent is None else str(here.folder / "gone")
    if agent is not None and agent != "gone":
        path = ssh_agent(*agent.split())
    login = here.login(
        files=tuple(here.folder / f for f in files.split()),
        default_files=tuple(here.folder / f for f in defaults.split()),
        certificates=tuple(here.folder / f for f in certificates.split()),
        identities_only=only,
        agent=path,
    )
    if taken == "-":
        here.refusal(login)
    else:
        identity = here.log_in(login)
        assert identity is not None
        certificate = taken.removesuffix("-cert") != taken
        line = here.pool / ("certs" if certificate else ".") / f"{taken}.pub"
        assert identity.public == PublicKey.parse(line.read_bytes())
    if not name.startswith("better"):
        assert here.ssh(login) == (taken != "-")


# What is asked for, and when


def askpass(folder: Path, script: str) -> Path:
    """A program for SSH_ASKPASS, which notes its prompts in `asked`."""
    program = folder / "askpass"
    program.write_text(f'#!/bin/sh\necho "$1" >> {folder}/asked\n{script}\n')
    program.chmod(0o700)
    return program


def prompts(folder: Path) -> list[str]:
    noted = folder / "asked"
    return noted.read_text().splitlines() if noted.exists() else []


LOCKED = ["locked", "locked-rsa", "locked-pem", "locked-pkcs8"]


@pytest.mark.parametrize("public", [True, False], ids=["with .pub", "without .pub"])
@pytest.mark.parametrize("name", LOCKED)
def test_a_passphrase_opens_a_key_of_every_format(name: str, public: bool, here: Here) -> None:
    here.authorize(name)
    [path, *_] = here.put(name, *([f"{name}.pub"] if public else []))
    assert here.log_in(here.login(files=(path,), passphrase=SECRET))


def test_a_passphrase_is_taken_from_a_file(here: Here, tmp_path: Path) -> None:
    here.authorize("locked")
    file = tmp_path / "passphrase"
    file.write_text(f"{SECRET}\n")
    file.chmod(0o600)
    assert here.log_in(here.login(files=tuple(here.put("locked")), passphrase_file=file))


def test_a_person_is_asked_only_for_the_key_that_the_server_wants(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.authorize("locked-pkcs8")
    files = here.put("locked", "locked-rsa", "locked-pkcs8")
    here.put("locked-pkcs8.pub")
    monkeypatch.setenv("SSH_ASKPASS", str(askpass(tmp_path, f"echo '{SECRET}'")))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    taken = here.log_in(here.login(files=tuple(files)))
    assert taken is not None
    assert taken.path == files[2]
    assert prompts(tmp_path) == [f"Enter passphrase for key '{files[2]}': "]


def test_a_key_that_was_opened_asks_nobody_on_a_reconnect(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.authorize("locked")
    login = here.login(files=tuple(here.put("locked")))
    monkeypatch.setenv("SSH_ASKPASS", str(askpass(tmp_path, f"echo '{SECRET}'")))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    unlocked = UnlockedKeys()
    for _ in range(3):
        assert here.log_in(login, unlocked=unlocked)
    assert len(prompts(tmp_path)) == 1


def test_the_agent_is_not_asked_to_sign_for_a_server_that_does_not_want_its_key(here: Here) -> None:
    here.authorize("a")
    with FakeAgent(holding(SecurityKey(), SecurityKey())) as agent:
        here.refusal(here.login(agent=agent.path))
        assert {request[0] for request in agent.requests} == {27, 11}  # no signature


def test_a_security_key_in_the_agent_logs_in(here: Here) -> None:
    key = SecurityKey()
    public = PublicKey(key.key_type, key.blob)
    here.authorized_keys.write_text(f"{public.line}\n")
    with FakeAgent(holding(SecurityKey(), key)) as agent:
        taken = here.log_in(here.login(agent=agent.path))
        assert taken is not None
        assert taken.public == public
        assert [request[0] for request in agent.requests].count(13) == 1


def test_an_agent_that_signs_with_sha1_is_passed_over_and_named(here: Here) -> None:
    rsa = PublicKey.parse((here.pool / "rsa.pub").read_bytes())

    def answer(request: bytes) -> bytes:
        if request[0] == 11:
            return b"\x0c\0\0\0\1" + wire(rsa.blob, b"old")
        return b"\x0e" + wire(wire(b"ssh-rsa", b"s")) if request[0] == 13 else FAILURE

    here.authorize("rsa", "a")
    with FakeAgent(answer) as agent:
        login = here.login(agent=agent.path)
        assert "from the agent (old): it signs with ssh-rsa, not rsa-sha2-512" in here.refusal(
            login
        )
        assert here.log_in(login._replace(default_files=tuple(here.put("a"))))


def test_an_agent_that_refuses_to_sign_is_passed_over(here: Here) -> None:
    key = SecurityKey()
    here.authorize("a")
    with here.authorized_keys.open("a") as file:
        file.write(f"{PublicKey(key.key_type, key.blob).line}\n")

    def answer(request: bytes) -> bytes:
        return FAILURE if request[0] == 13 else holding(key)(request) or FAILURE

    with FakeAgent(answer) as agent:
        taken = here.log_in(here.login(agent=agent.path, default_files=tuple(here.put("a"))))
        assert taken is not None
        assert taken.public != PublicKey(key.key_type, key.blob)


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", True), ("192.0.2.1", False)])
def test_a_key_that_the_agent_keeps_for_one_server_is_used_there_alone(
    host: str, expected: bool, here: Here, tmp_path: Path
) -> None:
    here.authorize("a")
    [path] = here.put("a")
    known = tmp_path / "known"
    keys = [here.server.keys.public_host_key(kind) for kind in ("ed25519", "ecdsa", "rsa")]
    known.write_text("".join(f"127.0.0.1 {key}\n" for key in keys))
    known_elsewhere = tmp_path / "elsewhere"
    known_elsewhere.write_text(f"192.0.2.1 {here.line('b')}\n")
    with SshAgent() as agent:
        agent.add("-H", known, "-H", known_elsewhere, "-h", host, path)
        login = here.login(agent=agent.path)
        if expected:
            assert here.log_in(login)
        else:
            here.refusal(login)


# Which signature


@pytest.mark.parametrize("algorithm", ["rsa-sha2-256", "rsa-sha2-512"])
def test_accepted_algorithms_choose_the_signature(algorithm: str, start: StartSshd) -> None:
    here = start(f"PubkeyAcceptedAlgorithms {algorithm}")
    here.authorize("rsa")
    login = here.login(files=tuple(here.put("rsa")))
    other = {"rsa-sha2-256": "rsa-sha2-512", "rsa-sha2-512": "rsa-sha2-256"}[algorithm]
    assert here.log_in(login, accepted=[algorithm, other])
    assert "does not accept this key" in here.refusal(login, accepted=[other, algorithm])


@pytest.mark.parametrize("algorithm", ["rsa-sha2-256", "rsa-sha2-512"])
def test_of_two_signatures_the_one_is_made_that_the_server_lists(
    algorithm: str, pool: Path
) -> None:
    def lists_one(transport: paramiko.Transport) -> None:
        others = {"rsa-sha2-256", "rsa-sha2-512", "ssh-rsa"} - {algorithm}
        transport.disabled_algorithms = {"pubkeys": list(others)}

    server = OddServer([AUTH_SUCCESSFUL])
    with odd(server, pool / "ecdsa", lists_one) as port, connected(port) as transport:
        assert log_in(transport, odd_login(pool, "rsa"), port)


def test_an_rsa_key_is_not_offered_where_the_server_lists_sha1_alone(pool: Path) -> None:
    def lists_none(transport: paramiko.Transport) -> None:
        transport.disabled_algorithms = {"pubkeys": ["rsa-sha2-256", "rsa-sha2-512"]}

    server = OddServer([AUTH_SUCCESSFUL])
    with (
        odd(server, pool / "ecdsa", lists_none) as port,
        connected(port) as transport,
        pytest.raises(AuthenticationError, match="the server takes no SHA-2 signatures"),
    ):
        log_in(transport, odd_login(pool, "rsa"), port)
    assert server.requests == ["none"]


def test_a_signature_that_only_our_configuration_lacks_is_named(pool: Path) -> None:
    def lists_256(transport: paramiko.Transport) -> None:
        transport.disabled_algorithms = {"pubkeys": ["rsa-sha2-512"]}

    server = OddServer([AUTH_SUCCESSFUL])
    words = (
        "with RSA keys the server takes only rsa-sha2-256, and PubkeyAcceptedAlgorithms has only "
        "rsa-sha2-512"
    )
    with (
        odd(server, pool / "ecdsa", lists_256) as port,
        connected(port) as transport,
        pytest.raises(AuthenticationError, match=words),
    ):
        log_in(transport, odd_login(pool, "rsa"), port, accepted=["rsa-sha2-512"])
    assert server.requests == ["none"]


def test_a_list_without_the_type_of_a_key_says_nothing_about_it(pool: Path) -> None:
    def lists_nothing(transport: paramiko.Transport) -> None:
        transport.server_sig_algs = False

    server = OddServer([AUTH_SUCCESSFUL])
    with odd(server, pool / "ecdsa", lists_nothing) as port, connected(port) as transport:
        vars(transport)["server_extensions"] = {"server-sig-algs": b"rsa-sha2-256,rsa-sha2-512"}
        assert log_in(transport, odd_login(pool, "a"), port)


def test_a_key_is_used_where_its_certificates_algorithm_is_left_out(here: Here) -> None:
    here.authorize("a")
    [path, _] = here.put("a", "a-cert.pub")
    login = here.login(files=(path,), required=path)
    assert here.log_in(login, accepted=["ssh-ed25519"])


def test_a_passphrase_that_was_asked_for_in_vain_is_not_asked_for_again_for_the_certificate(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.authorize("ca", "locked")
    [path, _] = here.put("locked", "locked-cert.pub")
    monkeypatch.setenv("SSH_ASKPASS", str(askpass(tmp_path, "echo wrong")))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    assert "does not open" in here.refusal(here.login(files=(path,)))
    assert len(prompts(tmp_path)) == 3


def test_openssh_7_4_takes_sha2_although_it_does_not_list_it(pool: Path) -> None:
    def lists_none(transport: paramiko.Transport) -> None:
        transport.local_version = "SSH-2.0-OpenSSH_7.4"
        transport.server_sig_algs = False

    server = OddServer([AUTH_SUCCESSFUL])
    with odd(server, pool / "ecdsa", lists_none) as port, connected(port) as transport:
        vars(transport)["server_extensions"] = {"server-sig-algs": b"ssh-ed25519,ssh-rsa"}
        assert log_in(transport, odd_login(pool, "rsa"), port)


def test_a_key_that_the_accepted_algorithms_leave_out_is_not_offered(here: Here) -> None:
    here.authorize("a", "ecdsa")
    login = here.login(files=tuple(here.put("a", "ecdsa")))
    taken = here.log_in(login, accepted=["ecdsa-sha2-nistp256"])
    assert taken is not None
    assert taken.path == login.files[1]
    text = here.refusal(login, accepted=["rsa-sha2-512"])
    assert "PubkeyAcceptedAlgorithms has nothing for ssh-ed25519 keys" in text


@pytest.mark.parametrize("algorithm", ["rsa-sha2-256", "rsa-sha2-512"])
def test_an_rsa_certificate_signs_by_either_algorithm(algorithm: str, here: Here) -> None:
    here.authorize("ca")
    [path, _] = here.put("rsa", "rsa-cert.pub")
    full = f"{algorithm}-cert-v01@openssh.com"
    assert here.log_in(here.login(files=(path,)), accepted=[full])


# What the server wants besides


def test_two_keys_are_given_where_the_server_wants_two(start: StartSshd) -> None:
    here = start("AuthenticationMethods publickey,publickey")
    here.authorize("a", "ecdsa")
    files = here.put("b", "a", "ecdsa")
    taken = here.log_in(here.login(files=tuple(files)))
    assert taken is not None
    assert taken.path == files[2]


def test_a_second_key_that_is_missing_is_asked_for_by_name(start: StartSshd) -> None:
    here = start("AuthenticationMethods publickey,publickey")
    here.authorize("a")
    text = here.refusal(here.login(files=tuple(here.put("a"))))
    assert f"the server took ssh-ed25519 {fingerprint(here, 'a')}" in text
    assert "wants publickey as well" in text


def test_another_method_besides_the_key_is_named(start: StartSshd) -> None:
    here = start(
        "Match User *", "PasswordAuthentication yes", "AuthenticationMethods publickey,password"
    )
    here.authorize("a")
    text = here.refusal(here.login(files=tuple(here.put("a"))))
    assert "wants password as well" in text
    assert "AuthenticationMethods" in text


def test_too_many_keys_are_called_that_and_named(start: StartSshd) -> None:
    here = start("MaxAuthTries 3")
    here.authorize("a")
    text = here.refusal(here.login(files=tuple(here.put("w1", "w2", "w3", "a"))))
    assert "ended the connection after 3 refused keys (Too many authentication failures" in text
    assert all(fingerprint(here, name) in text for name in ("w1", "w2", "w3"))
    assert fingerprint(here, "a") not in text
    for advice in ("--client-key", "IdentitiesOnly yes", "--key-fingerprint"):
        assert advice in text
    assert here.log_in(here.login(files=tuple(here.put("w1", "w2", "a"))))


# What a refusal says


def fingerprint(here: Here, name: str) -> str:
    return PublicKey.parse((here.pool / f"{name}.pub").read_bytes()).fingerprint


def test_a_refusal_names_every_key_and_the_line_to_add(
    here: Here, ssh_agent: Callable[..., str]
) -> None:
    here.authorize("b")
    files = here.put("a", "locked", "ecdsa")
    files[2].chmod(0o644)
    login = here.login(
        files=(*files, here.folder / "gone"),
        agent=ssh_agent("c"),
        default_files=tuple(here.put("w1")),
    )
    text = here.refusal(login)
    port = here.server.port
    assert text.startswith(f"Authentication failed for {login.user}@127.0.0.1 port {port}: ")
    assert "does not accept any of these keys for this user, only publickey" in text
    assert f"tried ssh-ed25519 {fingerprint(here, 'a')} from {files[0]}, " in text
    assert f"ssh-ed25519 {fingerprint(here, 'c')} from the agent (c key), " in text
    assert f"The client key {files[1]} is encrypted and there is no passphrase" in text
    assert f"The client key {files[2]} can be read by others (mode 0644)" in text
    assert f"There is no client key {here.folder / 'gone'}" in text
    assert text.endswith(f"~/.ssh/authorized_keys of that user on that machine: {here.line('a')}")


def test_a_refused_certificate_tells_its_key_as_the_line_to_add(here: Here) -> None:
    here.authorize("b")
    [path, _] = here.put("a", "a-cert.pub")
    text = here.refusal(here.login(files=(path,)))
    assert f"ssh-ed25519-cert-v01@openssh.com {fingerprint(here, 'a')}" in text
    assert text.endswith(here.line("a"))


def test_without_any_key_the_way_to_one_is_shown(here: Here) -> None:
    text = here.refusal(here.login())
    assert "there is no key to offer; the server accepts publickey" in text
    assert "ssh-keygen -t ed25519" in text


def test_without_a_usable_key_the_way_to_mend_one_is_shown(here: Here) -> None:
    [path] = here.put("a")
    path.chmod(0o640)
    assert here.refusal(here.login(files=(path,))).endswith(f"chmod 600 {path}")


@pytest.mark.parametrize(
    ("agent", "words"), [("gone", "is not used: No such file"), ("", "holds no keys, or is locked")]
)
def test_an_agent_that_did_not_help_is_mentioned(
    agent: str, words: str, here: Here, ssh_agent: Callable[..., str]
) -> None:
    path = str(here.folder / "gone") if agent else ssh_agent()
    assert words in here.refusal(here.login(agent=path, files=tuple(here.put("a"))))


def test_a_long_list_of_keys_is_cut(start: StartSshd) -> None:
    here = start("MaxAuthTries 50")
    names = [name for name, *_ in KEYS if "locked" not in name]
    text = here.refusal(here.login(files=tuple(here.put(*names))))
    assert f", {len(names) - 10} more. " in text


def test_a_server_that_takes_no_keys_is_not_offered_any(start: StartSshd) -> None:
    here = start("PubkeyAuthentication no", "Match all", "PasswordAuthentication yes")
    text = here.refusal(here.login(files=tuple(here.put("a"))))
    assert "the server accepts only password" in text
    assert "tried" not in text
    assert "PubkeyAuthentication" in text
    assert "authorized_keys" not in text


@pytest.mark.parametrize(
    ("name", "mode", "words"),
    [
        ("gone", 0o600, "There is no client key"),
        ("a", 0o644, "can be read by others"),
        ("locked", 0o600, "is encrypted and there is no passphrase"),
        ("a.pub", 0o600, "is a public key, not the private one"),
    ],
)
def test_the_key_that_was_demanded_must_be_of_use(
    name: str, mode: int, words: str, here: Here, ssh_agent: Callable[..., str]
) -> None:
    here.authorize("a", "b", "locked")
    path = here.folder / name
    if name != "gone":
        here.put(name)
        path.chmod(mode)
    login = here.login(files=(path,), required=path, default_files=tuple(here.put("b")))
    assert words in here.refusal(login, KeyFileError)
    if name in ("locked", "a.pub"):  # unless the agent has it
        taken = here.log_in(login._replace(agent=ssh_agent(name.removesuffix(".pub"))))
        assert taken is not None
        assert taken.path == path


def test_a_wrong_passphrase_for_the_key_that_was_demanded_is_a_key_error(here: Here) -> None:
    here.authorize("locked", "b")
    [path, other] = here.put("locked", "b")
    login = here.login(files=(path, other), passphrase="wrong")
    assert "does not open" in here.refusal(login._replace(required=path), KeyFileError)
    taken = here.log_in(login)
    assert taken is not None
    assert taken.path == other


# One key by its fingerprint


def test_a_fingerprint_leaves_one_key(start: StartSshd, ssh_agent: Callable[..., str]) -> None:
    here = start("MaxAuthTries 1")
    here.authorize("a", "b", "c", "locked-pem")
    files = tuple(here.put("w1", "a", "locked-pem"))
    login = here.login(
        files=files,
        default_files=tuple(here.put("b")),
        agent=ssh_agent("w2", "c"),
        identities_only=True,
        passphrase=SECRET,
    )
    for name in ("a", "b", "c", "locked-pem"):
        taken = here.log_in(login._replace(fingerprint=fingerprint(here, name)))
        assert taken is not None
    text = here.refusal(login._replace(files=files[:2], fingerprint="SHA256:x"), KeyFileError)
    assert "No key has the fingerprint SHA256:x; there is ssh-ed25519 SHA256:" in text


def test_a_fingerprint_takes_the_certificate_of_its_key(here: Here) -> None:
    here.authorize("ca")
    [path, _, other] = here.put("a", "a-cert.pub", "b")
    assert here.log_in(here.login(files=(other, path), fingerprint=fingerprint(here, "a")))


def test_an_encrypted_key_that_turns_out_to_be_another_is_not_used(here: Here) -> None:
    here.authorize("locked-pem")
    [path] = here.put("locked-pem")
    login = here.login(files=(path,), passphrase=SECRET, fingerprint="SHA256:other")
    assert "not SHA256:other" in here.refusal(login)


def test_a_public_key_that_belongs_to_another_key_is_found_out(here: Here) -> None:
    here.authorize("rsa", "a")
    [path, other] = here.put("rsa-pem", "a")
    (here.folder / "rsa-pem.pub").write_text(here.line("rsa"))
    login = here.login(files=(path,))
    assert "is not the private half of the public key beside it" in here.refusal(login)
    assert here.log_in(here.login(files=(path, other)))


# Servers that are odd


class OddServer(paramiko.ServerInterface):
    """`results` are the answers to publickey, one for each that comes."""

    def __init__(
        self, results: Sequence[int] = (), none: int = AUTH_FAILED, methods: str = "publickey"
    ):
        self.results = list(results)
        self._none = none
        self._methods = methods
        self.requests: list[str] = []

    def get_allowed_auths(self, _username: str) -> str:
        return self._methods

    def check_auth_none(self, _username: str) -> int:
        self.requests.append("none")
        return self._none

    def check_auth_publickey(self, _username: str, key: paramiko.PKey) -> int:
        self.requests.append(key.get_name())
        return self.results.pop(0)

    def get_banner(self) -> tuple[str, str]:
        return ("Authorized use only.\r\n\x1b[2J", "en")


@contextmanager
def odd(
    server: OddServer, host_key: Path, hook: Callable[[paramiko.Transport], None] | None = None
) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    transports: list[paramiko.Transport] = []

    def serve() -> None:
        sock, _ = listener.accept()
        transport = paramiko.Transport(sock)
        transports.append(transport)
        transport.add_server_key(load_client_key(host_key, None))
        if hook:
            hook(transport)
        transport.start_server(server=server, event=threading.Event())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
        for transport in transports:
            transport.close()
            transport.join(5)
        thread.join(5)


def odd_login(pool: Path, *names: str) -> Login:
    return Login(user="root", files=tuple(pool / name for name in names))


def test_a_server_that_wants_no_authentication_is_shown_no_key(pool: Path) -> None:
    server = OddServer(none=AUTH_SUCCESSFUL, methods="")
    with odd(server, pool / "ecdsa") as port, connected(port) as transport:
        assert log_in(transport, odd_login(pool, "a"), port) is None
        assert transport.is_authenticated()
    assert server.requests == ["none"]


def test_an_open_file_is_signed_without_asking_first(pool: Path) -> None:
    server = OddServer([AUTH_FAILED, AUTH_SUCCESSFUL])
    with odd(server, pool / "ecdsa") as port, connected(port) as transport:
        taken = log_in(transport, odd_login(pool, "a", "b"), port)
    assert taken is not None
    assert taken.path == pool / "b"
    assert server.requests == ["none", "ssh-ed25519", "ssh-ed25519"]


def test_a_key_that_may_ask_somebody_is_offered_before_it_signs(
    pool: Path, ssh_agent: Callable[..., str]
) -> None:
    server = OddServer([AUTH_FAILED, AUTH_SUCCESSFUL, AUTH_SUCCESSFUL])
    login = Login(user="root", agent=ssh_agent("a", "b"))
    with odd(server, pool / "ecdsa") as port, connected(port) as transport:
        assert log_in(transport, login, port)
    assert server.requests == ["none", "ssh-ed25519", "ssh-ed25519", "ssh-ed25519"]


def test_partial_success_and_then_no_more_publickey_says_what_is_wanted(pool: Path) -> None:
    class Partial(OddServer):
        def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
            self._methods = "keyboard-interactive"
            return super().check_auth_publickey(username, key)

    with (
        odd(Partial([AUTH_PARTIALLY_SUCCESSFUL]), pool / "ecdsa") as port,
        connected(port) as transport,
        pytest.raises(AuthenticationError, match="wants keyboard-interactive as well"),
    ):
        log_in(transport, odd_login(pool, "a", "b"), port)


def test_what_the_server_says_is_shown_at_once_and_cannot_steer_a_terminal(
    pool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = OddServer(none=AUTH_SUCCESSFUL)
    with (
        caplog.at_level("WARNING", "m2m_ssh_client"),
        odd(server, pool / "ecdsa") as port,
        connected(port) as transport,
    ):
        log_in(transport, odd_login(pool), port)
    assert "the server says: Authorized use only." in caplog.messages
    assert "the server says: \\x1b[2J" in caplog.messages


def test_closing_the_transport_ends_a_login_at_once(pool: Path) -> None:
    """From another thread, while the server has not answered."""
    asked = threading.Event()

    class Silent(OddServer):
        def check_auth_none(self, username: str) -> int:
            asked.set()
            end.wait(ENOUGH)
            return super().check_auth_none(username)

    end = threading.Event()
    outcome: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
    with odd(Silent(), pool / "ecdsa") as port, connected(port) as transport:

        def run() -> None:
            try:
                log_in(transport, odd_login(pool, "a"), port)
            except (paramiko.SSHException, OSError, EOFError) as exc:
                outcome.put(exc)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        assert asked.wait(ENOUGH)
        began = time.monotonic()
        transport.close()
        thread.join(ENOUGH)
        assert time.monotonic() - began < ENOUGH / 2
        assert not thread.is_alive()
        outcome.get(timeout=1)
        end.set()


def test_closing_the_transport_ends_the_wait_for_a_passphrase(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.authorize("locked")
    pid = tmp_path / "pid"
    program = askpass(tmp_path, f"echo $$ > {pid}.part; mv {pid}.part {pid}; exec sleep 100")
    monkeypatch.setenv("SSH_ASKPASS", str(program))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    login = here.login(files=tuple(here.put("locked")))
    with connected(here.server.port) as transport:

        def close() -> None:
            deadline = time.monotonic() + ENOUGH
            while not pid.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            transport.close()

        threading.Thread(target=close, daemon=True).start()
        with pytest.raises((paramiko.SSHException, AuthenticationError)):
            log_in(transport, login, here.server.port)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_server_that_hangs_up_is_no_refusal_of_the_keys(pool: Path) -> None:
    class HangsUp(OddServer):
        def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
            if self.results:
                return super().check_auth_publickey(username, key)
            transports[0].close()
            return AUTH_FAILED

    transports: list[paramiko.Transport] = []
    server = HangsUp([AUTH_FAILED])
    with (
        odd(server, pool / "ecdsa", transports.append) as port,
        connected(port) as transport,
        pytest.raises((paramiko.SSHException, EOFError, OSError)),
    ):
        log_in(transport, odd_login(pool, "a", "b"), port)


def test_the_last_words_of_a_server_count_though_it_takes_nothing_any_more(pool: Path) -> None:
    links: list[OneWay] = []
    transports: list[paramiko.Transport] = []

    def link(sock: socket.socket) -> OneWay:
        links.append(OneWay(sock))
        return links[0]

    class Farewell(OddServer):
        def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
            links[0].close_before(lambda: say_farewell(transports[0], "too many keys"))
            return super().check_auth_publickey(username, key)

    with (
        odd(Farewell([AUTH_FAILED]), pool / "ecdsa", transports.append) as port,
        connected(port, link) as transport,
        pytest.raises(AuthenticationError, match=r"refused keys \(too many keys\)"),
    ):
        log_in(transport, odd_login(pool, "a", "b"), port)
