"""`--key-server-url`: a key server at a place of its own, over HTTPS and nothing else, or over plain HTTP."""

from __future__ import annotations

import logging
import socket
import ssl
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from support.host import Host, client_argv
from support.pair import Pair, pair
from support.wine import not_under_wine

from m2m_ssh_client.demo.sample_key_server import KeyServer as RealKeyServer
from m2m_ssh_client.errors import KeyServerError
from m2m_ssh_client.parameters import Parameters, ParametersError
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.trust import key_server
from m2m_ssh_client.ssh.trust.key_server import KeyServer

_STRINGS = (b"ssh-ed25519", bytes(range(32)))
KEY = PublicKey("ssh-ed25519", b"".join(len(s).to_bytes(4, "big") + s for s in _STRINGS))
SAMPLE = [sys.executable, "-m", "m2m_ssh_client.demo.sample_server"]
WARNING = "anyone on the path could have replaced it"


@pytest.fixture(autouse=True)
def _nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


class Log(list[str]):
    """What a key server was asked; its other events are left out."""

    def append(self, event: str) -> None:
        if event.startswith(("GET", "POST")):
            super().append(event.partition(":")[0])


class _Prefixed(RealKeyServer):
    """Behind a web server that has it in a folder, as a reverse proxy does."""

    prefix = ""

    def answer(self, method: str, path: str, content_type: str, body: bytes) -> tuple[int, object]:
        inner = path.removeprefix(self.prefix) if path.startswith(self.prefix) else "/elsewhere"
        return super().answer(method, inner, content_type, body)


def secure(server: RealKeyServer, authority: trustme.CA, *names: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*(names or ("localhost", "127.0.0.1"))).configure_cert(context)
    listening = server._http
    listening.socket = context.wrap_socket(
        listening.socket, server_side=True, do_handshake_on_connect=False
    )


@contextmanager
def serving(
    log: Log, tls: trustme.CA | None = None, *names: str, prefix: str = ""
) -> Iterator[int]:
    server = _Prefixed(KEY, events=log.append)
    server.prefix = prefix
    if tls is not None:
        secure(server, tls, *names)
    with server:
        yield server.port


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def at(url: str) -> KeyServer:
    """Of a machine whose own key server, if it were asked, would be an error."""
    return KeyServer("unasked.invalid", 1, url=url)


# HTTPS


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_over_https_with_a_private_authority(
    variable: str,
    authority: trustme.CA,
    bundle: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv(variable, bundle)
    with serving(log := Log(), authority) as port:
        client = at(f"https://localhost:{port}")
        assert client.server_public_key() == KEY
        client.register(f"{KEY.key_type} {KEY.base64}")
    assert client.verified
    assert log == ["GET /server_pub_key", "POST /register"]
    assert WARNING not in caplog.text


@pytest.mark.parametrize("trouble", ["not TLS", "nobody", "unknown authority", "other name", "404"])
def test_https_never_becomes_http(
    trouble: str,
    authority: trustme.CA,
    bundle: str,
    closed_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Loopback is no exception here: somebody said that this one is the key server."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    monkeypatch.setattr(key_server, "_TIME", 3.0)
    tls = {"not TLS": None, "unknown authority": trustme.CA()}.get(trouble, authority)
    name = "other.example" if trouble == "other name" else "127.0.0.1"
    with serving(log := Log(), tls, name) as port:
        port = closed_port if trouble == "nobody" else port
        folder = "/wrong" if trouble == "404" else ""
        client = at(f"https://127.0.0.1:{port}{folder}")
        with pytest.raises(KeyServerError) as caught:
            client.server_public_key()
    assert not client.verified
    assert log == (["GET /wrong/server_pub_key"] if trouble == "404" else [])
    assert caught.value.message.startswith(
        f"GET https://127.0.0.1:{port}{folder}/server_pub_key failed"
    )
    of_certificates = trouble in ("unknown authority", "other name")
    assert caught.value.permanent == of_certificates
    wanted = "REQUESTS_CA_BUNDLE" if of_certificates else "--key-server-url https://127.0.0.1"
    assert wanted in caught.value.hint


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_bundle_of_the_environment_that_is_none_is_no_reason_for_plain_http(
    content: str | None, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / "wrong"
    if content is not None:
        wrong.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(wrong))
    monkeypatch.setattr(key_server, "_is_loopback", lambda _: False)
    with (
        serving(log := Log()) as plain,
        serving(log, authority) as tls,
        pytest.raises(KeyServerError, match="certificate") as caught,
    ):
        KeyServer("127.0.0.1", plain, https_port=tls).server_public_key()
    assert caught.value.permanent
    assert "REQUESTS_CA_BUNDLE" in caught.value.hint
    assert log == []


# Plain HTTP, and the forms of a URL


def test_over_plain_http_https_is_not_tried_and_a_warning_says_what_that_means(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(log := Log()) as port:
        client = at(f"http://localhost:{port}")
        assert client.server_public_key() == KEY
    assert not client.verified
    assert log == ["GET /server_pub_key"]
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert WARNING in warnings[0]
    assert "No key server over HTTPS" not in caplog.text


@pytest.mark.parametrize(
    "url", ["http://localhost:{}", "http://localhost:{}/", "HTTP://localhost:{}//"]
)
def test_a_slash_at_the_end_and_the_case_of_the_scheme_do_not_matter(url: str) -> None:
    with serving(log := Log()) as port:
        client = at(url.format(port))
        assert client.server_public_key() == KEY
    assert log == ["GET /server_pub_key"]


@pytest.mark.parametrize("folder", ["/keys", "/a/b/", "/a%20b"])
def test_it_may_be_in_a_folder(folder: str) -> None:
    with serving(Log(), prefix=folder.rstrip("/")) as port:
        client = at(f"http://127.0.0.1:{port}{folder}")
        assert client.server_public_key() == KEY
        client.register(f"{KEY.key_type} {KEY.base64}")


def test_an_ipv6_address_stands_in_brackets(closed_port: int) -> None:
    with pytest.raises(KeyServerError) as caught:
        at(f"http://[::1]:{closed_port}/keys").server_public_key()
    assert caught.value.message.startswith(f"GET http://[::1]:{closed_port}/keys/server_pub_key")


@pytest.mark.parametrize(
    "good",
    [
        "http://h",
        "https://h",
        "HTTPS://H.example:8443/a/b/",
        "https://[2001:db8::1]:443",
        "https://[fe80::1%25eth0]/",
        "https://192.0.2.1/",
        "https://bücher.example/",
        "https://h/@x",
    ],
)
def test_urls_that_are_accepted_and_what_they_imply(good: str) -> None:
    params = Parameters(key_server_url=good)
    assert params.use_key_server
    assert params.key_server_url == good


SECRET = "canary-7f"


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "h",
        "h:443",
        "//h",
        "https:",
        "https://",
        "https:///path",
        "https://:443",
        "ftp://h",
        "file:///etc/passwd",
        "https://h:port",
        "https://h:0",
        "https://h:65536",
        "https://[::1",
        "https://h/?token=" + SECRET,
        "https://h/#" + SECRET,
        "https://h/?",
        "https://h/a b",
        "https://h/\n",
        "ht\ttps://h/",
        " https://h",
        "https://h\\@evil",
        "https://a%2fb",
        "https://$(id)/",
        "https://-x/",
        f"https://user:{SECRET}@h",
        f"https://{SECRET}@h",
        f"user:{SECRET}@h",
        f"https://user:{SECRET}@h:port",
    ],
)
def test_urls_that_are_refused_and_not_repeated(bad: str) -> None:
    with pytest.raises(ParametersError) as caught:
        Parameters(key_server_url=bad)
    assert list(caught.value.problems) == ["key_server_url"]
    assert SECRET not in str(caught.value)


def test_host_keys_are_either_checked_or_not() -> None:
    with pytest.raises(ParametersError, match="excludes the key server"):
        Parameters(key_server_url="https://h", disable_host_key_checking=True)


# Proxies of the environment


def test_a_proxy_of_the_environment_gets_a_tunnel_and_never_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(5)
        monkeypatch.setenv("https_proxy", f"http://me:{SECRET}@127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setattr(key_server, "_TIME", 2.0)
        answers: list[bytes] = []

        def refuse() -> None:
            connection, _ = proxy.accept()
            with connection:
                answers.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 407 No\r\n\r\n")

        refusing = threading.Thread(target=refuse)
        refusing.start()
        with pytest.raises(KeyServerError, match="the environment's proxy: ") as caught:
            at("https://keys.invalid/").server_public_key()
        refusing.join(5)
    assert answers[0].startswith(b"CONNECT keys.invalid:443 ")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("port", ["99999", "x"])
def test_a_proxy_that_cannot_be_one_is_not_shown_with_its_password(
    port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://me:{SECRET}@127.0.0.1:{port}")
    for url in ("https://keys.invalid/", "http://keys.invalid/"):
        with pytest.raises(KeyServerError, match="proxy") as caught:
            at(url).server_public_key()
        shown: BaseException | None = caught.value
        while shown is not None:  # what a traceback would show
            assert SECRET not in str(shown)
            shown = shown.__cause__ or (None if shown.__suppress_context__ else shown.__context__)


# The command


@pytest.fixture
def registering() -> Iterator[Pair]:
    with pair(SAMPLE) as started:
        yield started


def run(pair: Pair, url: str, key: Path, **env: str) -> tuple[dict[str, Any], str]:
    argv = client_argv(
        *("--host", "127.0.0.1", "--port", str(pair.ssh.port)),
        *("--key-server-url", url, "--client-key", str(key), "--log-level", "INFO"),
    )
    with Host(argv, env=env) as host:
        answer = host.initialize()
        host.close_stdin()
        host.wait()
        return answer, host.stderr


@not_under_wine("programs start slowly")
def test_the_command_gets_in_over_https_with_a_private_authority(
    registering: Pair, authority: trustme.CA, bundle: str, tmp_path: Path
) -> None:
    secure(registering.key_server, authority)
    key = tmp_path / "keys" / "client"
    url = f"https://localhost:{registering.key_server.port}"
    answer, said = run(registering, url, key, REQUESTS_CA_BUNDLE=bundle)
    assert answer["result"]["serverInfo"]
    assert WARNING not in said
    made = sorted(path.name for path in key.parent.iterdir())
    assert made == ["client", "client.known_hosts", "client.pub"]


@not_under_wine("programs start slowly")
def test_the_command_refuses_a_certificate_that_does_not_verify(
    registering: Pair, authority: trustme.CA, tmp_path: Path
) -> None:
    secure(registering.key_server, authority)
    answer, _ = run(
        registering, f"https://localhost:{registering.key_server.port}", tmp_path / "client"
    )
    assert "the certificate is not trusted" in answer["error"]["message"]
    assert "REQUESTS_CA_BUNDLE" in answer["error"]["message"]
    assert not registering.key_server.registered


@not_under_wine("programs start slowly")
def test_the_command_gets_in_over_plain_http_and_remembers(
    registering: Pair, tmp_path: Path
) -> None:
    key = tmp_path / "client"
    answer, said = run(registering, f"http://localhost:{registering.key_server.port}/", key)
    assert answer["result"]["serverInfo"]
    assert WARNING in said
    memory = tmp_path / "client.known_hosts"
    assert f"[127.0.0.1]:{registering.ssh.port} " in memory.read_text()
    if sys.platform != "win32":
        assert stat.S_IMODE(memory.stat().st_mode) == 0o600
