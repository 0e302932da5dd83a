from __future__ import annotations

import socket
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.pair import Pair, pair
from support.received import read_all

from m2m_ssh_client.api import SSHServerParameters
from m2m_ssh_client.demo.sample_key_server import KeyServer
from m2m_ssh_client.demo.ssh_server import SSHServer
from m2m_ssh_client.errors import (
    ChannelRefusedError,
    HostKeyError,
    KeyFileError,
    KeyServerError,
    SSHClientError,
    UnreachableError,
)
from m2m_ssh_client.flow.remote_stdio import Carrier
from m2m_ssh_client.parameters import DEFAULT_CLIENT_KEY
from m2m_ssh_client.ssh.login.key_files import ensure_client_key, load_client_key
from m2m_ssh_client.ssh.opener import Opener
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.trust.known_hosts import entry

ENOUGH = 10.0  # seconds
CAT = [
    *(sys.executable, "-S", "-E", "-c"),
    "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)",
]
PASSPHRASE = "open sesame"


def new_key(path: Path) -> paramiko.PKey:
    ensure_client_key(path)
    return load_client_key(path, None)


def public(key: paramiko.PKey) -> PublicKey:
    return PublicKey(key.get_name(), key.asbytes())


def remote(port: int, **options: Any) -> Opener:
    place = {"host": "127.0.0.1", "port": port, "ssh_config": "none"}
    given = {**place, "connect_timeout": ENOUGH, **options}
    return Opener(SSHServerParameters(**given))


def answers(carrier: Carrier) -> bool:
    carrier.write(b"hello")
    carrier.close_write()
    return read_all(carrier) == b"hello"


def failure(port: int, kind: type[SSHClientError], **options: Any) -> str:
    with closing(remote(port, **options)) as far, pytest.raises(kind) as caught:
        far.open()
    return str(caught.value)


@contextmanager
def closed_port() -> Iterator[int]:
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[paramiko.PKey], int]]:
    """Start an SSH server that knows one client key and is in ~/.ssh/known_hosts; returns its port."""
    with ExitStack() as stack:

        def start(client: paramiko.PKey) -> int:
            server = stack.enter_context(
                SSHServer(
                    new_key(tmp_path / "host_key"),
                    lambda _, key: key.asbytes() == client.asbytes(),
                    lambda *_: CAT,
                )
            )
            known_hosts = Path.home() / ".ssh" / "known_hosts"
            known_hosts.parent.mkdir(mode=0o700, exist_ok=True)
            known_hosts.write_text(entry("127.0.0.1", server.port, public(server.host_key)))
            return server.port

        yield start


# The client key


def test_the_default_key_is_made_on_first_use_even_if_nobody_listens() -> None:
    path = DEFAULT_CLIENT_KEY.expanduser()
    with closed_port() as port:
        failure(port, UnreachableError)
        made = path.read_bytes()
        failure(port, UnreachableError)
    assert path.read_bytes() == made
    assert path.with_name(path.name + ".pub").read_text().startswith("ssh-ed25519 ")
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_default_key_and_the_default_known_hosts_are_used(
    start: Callable[[paramiko.PKey], int],
) -> None:
    port = start(new_key(DEFAULT_CLIENT_KEY.expanduser()))
    with closing(remote(port)) as far:
        assert answers(far.open())


def test_a_key_that_was_named_and_is_missing_is_an_error_and_not_made(
    start: Callable[[paramiko.PKey], int], tmp_path: Path
) -> None:
    path = tmp_path / "sub" / "id_typo"
    port = start(new_key(tmp_path / "other"))
    text = failure(port, KeyFileError, client_key=path)
    assert str(path) in text
    assert "ssh-keygen" in text
    assert not path.parent.exists()


def test_a_tilde_in_the_name_of_a_key_is_the_home_folder(
    start: Callable[[paramiko.PKey], int],
) -> None:
    port = start(new_key(Path.home() / "my_key"))
    with closing(remote(port, client_key="~/my_key")) as far:
        assert answers(far.open())


@pytest.fixture
def encrypted(tmp_path: Path) -> tuple[Path, paramiko.PKey]:
    key = Ed25519PrivateKey.generate()
    path = tmp_path / "encrypted"
    path.touch(0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.BestAvailableEncryption(PASSPHRASE.encode()),
        )
    )
    return path, load_client_key(path, PASSPHRASE)


def test_an_encrypted_key_opens_with_its_passphrase(
    encrypted: tuple[Path, paramiko.PKey], start: Callable[[paramiko.PKey], int]
) -> None:
    path, key = encrypted
    with closing(remote(start(key), client_key=path, passphrase=PASSPHRASE)) as far:
        assert answers(far.open())


@pytest.mark.parametrize(
    ("passphrase", "words"), [(None, "--passphrase"), ("open barley", "does not open")]
)
def test_an_encrypted_key_that_stays_shut_is_an_error_without_the_passphrase_in_it(
    passphrase: str | None,
    words: str,
    encrypted: tuple[Path, paramiko.PKey],
    start: Callable[[paramiko.PKey], int],
) -> None:
    path, key = encrypted
    text = failure(start(key), KeyFileError, client_key=path, passphrase=passphrase)
    assert words in text
    assert str(path) in text
    assert "barley" not in text


# The key server


class Observed:
    """The demo's SSH and key server, and what they told."""

    def __init__(self, pair: Pair, log: list[str]) -> None:
        self.ssh = pair.ssh
        self.key_server = pair.key_server
        self.log = log
        self.host_key = public(pair.ssh.host_key)

    def options(self, client_key: Path | None = None, **others: Any) -> dict[str, Any]:
        port = self.key_server.port
        given = {"use_key_server": True, "key_server_port": port, **others}
        return given if client_key is None else {"client_key": client_key, **given}

    def trusted_and_refused_us(self) -> bool:
        """Nobody registered and nobody tried to log in."""
        return not self.key_server.registered and not any("offers key" in line for line in self.log)


@pytest.fixture
def observed() -> Iterator[Observed]:
    log: list[str] = []
    with pair(CAT, log.append) as started:
        yield Observed(started, log)


def write(path: Path, line: str) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(line)
    return path


def test_a_fresh_machine_gets_in_through_the_key_server(observed: Observed, tmp_path: Path) -> None:
    path = tmp_path / "new" / "key"  # made, since the server will be told of it
    with closing(remote(observed.ssh.port, **observed.options(path))) as far:
        assert answers(far.open())
    assert public(load_client_key(path, None)) in observed.key_server.registered


def test_the_key_server_is_asked_before_ssh_and_only_once(observed: Observed) -> None:
    far = remote(observed.ssh.port, **observed.options())
    with closing(far):
        assert answers(far.open())
        assert answers(far.open())
    requests = [line for line in observed.log if line.startswith(("GET", "POST"))]
    assert requests == ["GET /server_pub_key: status 200", "POST /register: status 200"]
    first_login = next(n for n, line in enumerate(observed.log) if "offers key" in line)
    assert observed.log.index(requests[1]) < first_login


def test_an_encrypted_key_is_registered_too(
    observed: Observed, encrypted: tuple[Path, paramiko.PKey]
) -> None:
    path, key = encrypted
    options = observed.options(path, passphrase=PASSPHRASE)
    with closing(remote(observed.ssh.port, **options)) as far:
        assert answers(far.open())
    assert public(key) in observed.key_server.registered


def test_the_temporary_known_hosts_are_gone_afterwards(
    observed: Observed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    far = remote(observed.ssh.port, **observed.options())
    with closing(far):
        far.open()
        (file,) = place.rglob("known_hosts")
        if sys.platform != "win32":
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not list(place.iterdir())
    assert not (Path.home() / ".ssh" / "known_hosts").exists()


def test_the_key_server_must_agree_with_the_known_hosts_of_the_user(
    observed: Observed, tmp_path: Path
) -> None:
    other = public(new_key(tmp_path / "other"))
    write(Path.home() / ".ssh" / "known_hosts", entry("127.0.0.1", observed.ssh.port, other))
    text = failure(observed.ssh.port, HostKeyError, **observed.options())
    assert "Host key verification failed" in text
    assert observed.host_key.fingerprint in text
    assert observed.trusted_and_refused_us()


def test_agreement_with_the_known_hosts_of_the_user_is_fine(observed: Observed) -> None:
    write(
        Path.home() / ".ssh" / "known_hosts",
        entry("127.0.0.1", observed.ssh.port, observed.host_key),
    )
    with closing(remote(observed.ssh.port, **observed.options())) as far:
        assert answers(far.open())


def test_a_key_that_came_over_plain_http_is_remembered_and_another_one_refused(
    observed: Observed, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    with closing(remote(observed.ssh.port, **observed.options(path))) as far:
        far.open()
    (memory,) = [file for file in tmp_path.iterdir() if "known_hosts" in file.name]
    assert observed.host_key.base64 in memory.read_text()
    if sys.platform != "win32":
        assert stat.S_IMODE(memory.stat().st_mode) == 0o600

    observed.key_server.registered.clear()
    observed.log.clear()
    memory.write_text(entry("127.0.0.1", observed.ssh.port, public(new_key(tmp_path / "other"))))
    text = failure(observed.ssh.port, HostKeyError, **observed.options(path))
    assert observed.host_key.fingerprint in text
    assert observed.trusted_and_refused_us()


def test_the_key_server_must_agree_with_a_pinned_key(observed: Observed, tmp_path: Path) -> None:
    pin = public(new_key(tmp_path / "other")).fingerprint
    text = failure(observed.ssh.port, HostKeyError, **observed.options(host_key=pin))
    assert pin in text
    assert observed.host_key.fingerprint in text
    assert observed.trusted_and_refused_us()
    options = observed.options(host_key=observed.host_key.fingerprint)
    with closing(remote(observed.ssh.port, **options)) as far:
        assert answers(far.open())


def test_the_least_size_of_rsa_keys_holds_with_a_key_server(tmp_path: Path) -> None:
    host_key = paramiko.RSAKey.generate(2048)
    config = write(tmp_path / "config", "RequiredRSASize 4096\n")
    config.chmod(0o600)
    log: list[str] = []
    with (
        KeyServer(public(host_key)) as key_server,
        SSHServer(host_key, lambda *_: True, lambda *_: CAT, events=log.append) as ssh,
    ):
        options = {"use_key_server": True, "key_server_port": key_server.port}
        text = failure(ssh.port, HostKeyError, **options, ssh_config=str(config))
    assert "RSA key of 2048 bits" in text
    assert not any("offers key" in line for line in log)


def test_an_ssh_server_with_another_key_than_the_key_server_told_is_refused(
    tmp_path: Path,
) -> None:
    told = public(new_key(tmp_path / "told"))
    log: list[str] = []
    with (
        KeyServer(told) as key_server,
        SSHServer(
            new_key(tmp_path / "real"), lambda *_: True, lambda *_: CAT, events=log.append
        ) as ssh,
    ):
        text = failure(ssh.port, HostKeyError, use_key_server=True, key_server_port=key_server.port)
    assert "Host key verification failed" in text
    assert not any("offers key" in line for line in log)


def test_a_key_server_that_is_down_is_named_with_the_request_that_failed() -> None:
    with closed_port() as port:
        text = failure(22, KeyServerError, use_key_server=True, key_server_port=port)
    assert f"GET http://127.0.0.1:{port}/server_pub_key failed" in text
    assert "--run-key-server" in text


# Ending


def ended_by_close(far: Opener, reached: Callable[[], bool]) -> float:
    """How long `open()` in another thread goes on after `close()`, once `reached` holds."""
    failures: list[SSHClientError] = []

    def open_() -> None:
        try:
            far.open()
        except SSHClientError as exc:
            failures.append(exc)

    opener = threading.Thread(target=open_)
    opener.start()
    deadline = time.monotonic() + ENOUGH
    while not reached():
        assert opener.is_alive(), failures
        assert time.monotonic() < deadline
        opener.join(0.01)
    started = time.monotonic()
    far.close()
    opener.join(ENOUGH)
    assert failures
    return time.monotonic() - started


def test_closing_ends_an_opening_that_waits_for_the_key_server(tmp_path: Path) -> None:
    log: list[str] = []
    host_key = public(new_key(tmp_path / "host"))
    with KeyServer(host_key, rate_limit=0, events=log.append) as key_server:
        far = remote(22, use_key_server=True, key_server_port=key_server.port)
        assert ended_by_close(far, lambda: any("429" in line for line in log)) < 1.0


def test_closing_ends_an_opening_that_waits_for_the_ssh_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted: list[socket.socket] = []

        def accept() -> None:
            accepted.append(listener.accept()[0])

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        far = remote(listener.getsockname()[1], disable_host_key_checking=True)
        assert ended_by_close(far, lambda: bool(accepted)) < 1.0
        acceptor.join(ENOUGH)
        accepted[0].close()


def test_a_remote_that_was_closed_does_not_open(start: Callable[[paramiko.PKey], int]) -> None:
    port = start(new_key(DEFAULT_CLIENT_KEY.expanduser()))
    far = remote(port)
    far.close()
    with pytest.raises(SSHClientError):
        far.open()


def test_a_lost_connection_can_be_opened_again(start: Callable[[paramiko.PKey], int]) -> None:
    port = start(new_key(DEFAULT_CLIENT_KEY.expanduser()))
    with closing(remote(port)) as far:
        first = far.open()
        first.close()
        assert read_all(first) == b""
        assert answers(far.open())


@pytest.mark.parametrize("wish", [{}, {"subsystem": "mcp"}], ids=["shell", "subsystem"])
def test_the_wish_of_the_parameters_reaches_the_server(
    wish: dict[str, Any], observed: Observed
) -> None:
    with closing(remote(observed.ssh.port, **observed.options(**wish))) as far:
        assert answers(far.open())


def test_a_wish_that_the_server_refuses_is_told(observed: Observed) -> None:
    text = failure(observed.ssh.port, ChannelRefusedError, **observed.options(command=["x"]))
    assert "refused to run the command" in text


def test_giving_up_waits_for_what_was_begun() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never says a word
        silent.settimeout(ENOUGH)
        far = remote(silent.getsockname()[1])
        far.begin()
        connection, _ = silent.accept()
        with connection:
            far.give_up()
            assert not [t for t in threading.enumerate() if t.name == "m2m-ssh-connect"]
