"""The key server's client against a real HTTP server on loopback that answers as a test tells it."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import socket
import ssl
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme

from m2m_ssh_client.errors import HostKeyError, KeyServerError, KnownHostsError
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.settings import Trust
from m2m_ssh_client.ssh.trust import key_server
from m2m_ssh_client.ssh.trust.key_server import KeyServer
from m2m_ssh_client.ssh.trust.told_host_key import (
    checked_host_key,
    remember_or_refuse,
    temporary_known_hosts,
    trust_in,
)


def _ed25519(seed: int) -> PublicKey:
    strings = (b"ssh-ed25519", bytes([seed]) * 32)
    blob = b"".join(len(string).to_bytes(4, "big") + string for string in strings)
    return PublicKey("ssh-ed25519", blob)


KEY, OTHER_KEY = _ed25519(1), _ed25519(2)
LINE, OTHER_LINE = (f"{key.key_type} {key.base64}" for key in (KEY, OTHER_KEY))


class Reply(NamedTuple):
    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    trickle: bytes = b""  # sent for ever, a byte at a time, after everything else
    raw: bytes = b""  # sent in place of status line and headers


def _json(document: object, status: int = 200, **headers: str) -> Reply:
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Reply(status, json.dumps(document).encode(), pairs)


GOOD_KEY = _json({"server_pub_key": LINE})
REGISTERED = _json({"status": "success"})
BUSY = _json({"error": "Rate limit exceeded. Try again later."}, 429)


class _Server(ThreadingHTTPServer):
    """Gives the replies in turn, the last one again and again, and keeps what it was asked."""

    daemon_threads = False
    replies: list[Reply]

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.ending = threading.Event()
        self.replies = [GOOD_KEY, REGISTERED]
        self.tls = tls

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def requests(self) -> list[str]:
        return [f"{method} {path}" for method, path, _, _ in self.seen]

    def finish_request(self, request: Any, client_address: Any) -> None:
        """TLS in the request's own thread: a client that gives up must not stop the server."""
        if self.tls is not None:
            request.settimeout(5)
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except OSError:
                return
        try:
            super().finish_request(request, client_address)
        finally:
            request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.command, self.path, dict(self.headers.items()), body))
        replies = self.server.replies
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if reply.raw:
            self.wfile.write(reply.raw)
        else:
            self.send_response(reply.status)
            for name, value in reply.headers:
                self.send_header(name, value)
            self.end_headers()
        self.wfile.write(reply.body)
        while reply.trickle and not self.server.ending.wait(0.02):
            self.wfile.write(reply.trickle)

    do_GET = do_POST = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _serving(tls: ssl.SSLContext | None = None) -> Iterator[_Server]:
    server = _Server(tls)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.ending.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


class Patient(threading.Event):
    """A stop event on which waiting takes no time; it notes how long it would have been."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return self.is_set()


@pytest.fixture(autouse=True)
def _no_certificates_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def http() -> Iterator[_Server]:
    with _serving() as server:
        yield server


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken, so that nobody else gets it, and refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def stop() -> Patient:
    return Patient()


@pytest.fixture
def client(http: _Server, closed_port: int, stop: Patient) -> KeyServer:
    return KeyServer("127.0.0.1", http.port, stop, https_port=closed_port)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def https(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], _Server]]:
    """Starts a server with a certificate for a name, from an authority that requests trusts."""
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with ExitStack() as running:

        def start(name: str, ca: trustme.CA = authority) -> _Server:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            ca.issue_cert(name).configure_cert(context)
            return running.enter_context(_serving(context))

        yield start


@pytest.fixture
def remote_name(monkeypatch: pytest.MonkeyPatch) -> str:
    """A host name that is not of loopback, though it leads there."""
    resolve = socket.getaddrinfo

    def resolve_it(host: Any, *args: Any, **options: Any) -> Any:
        return resolve("127.0.0.1" if host == "mcp.example" else host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_it)
    return "mcp.example"


# What goes well


def test_the_host_key_is_fetched_and_the_client_key_registered(
    client: KeyServer, http: _Server
) -> None:
    assert client.server_public_key() == KEY
    client.register(OTHER_LINE)
    assert http.requests == ["GET /server_pub_key", "POST /register"]
    _, _, headers, body = http.seen[1]
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"client_pub_key": OTHER_LINE}


def test_plain_http_is_not_verified_and_says_what_that_means(
    client: KeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    client.server_public_key()
    assert not client.verified
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "plain HTTP" in record.getMessage()
    assert "anyone on the path could have replaced it" in record.getMessage()
    assert KEY.fingerprint in record.getMessage()


def test_a_key_with_a_comment_is_accepted(client: KeyServer, http: _Server) -> None:
    http.replies = [_json({"server_pub_key": f"{LINE} root@machine"})]
    assert client.server_public_key() == KEY


def test_the_environments_proxy_is_not_asked_for_loopback(
    client: KeyServer, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port}")
    assert client.server_public_key() == KEY


def test_the_environments_proxy_is_asked_for_other_machines(
    http: _Server, stop: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{http.port}")
    assert KeyServer("mcp.invalid", 8000, stop).server_public_key() == KEY
    assert http.requests == ["GET http://mcp.invalid:8000/server_pub_key"]


def test_a_password_in_netrc_is_not_sent(client: KeyServer, http: _Server) -> None:
    netrc = Path.home() / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    client.server_public_key()
    assert "Authorization" not in http.seen[0][2]


def test_ipv6_addresses_are_put_in_brackets(closed_port: int, stop: Patient) -> None:
    client = KeyServer("::1", closed_port, stop, https_port=closed_port)
    with pytest.raises(KeyServerError, match=rf"GET http://\[::1\]:{closed_port}/server_pub_key"):
        client.server_public_key()


@pytest.mark.parametrize("host", ["a/b", "user@host", "host?x", "host#x", "a\\b"])
def test_a_host_that_would_change_the_url_is_refused(host: str) -> None:
    with pytest.raises(KeyServerError, match="is not a host name"):
        KeyServer(host, 8000)


# HTTPS


def test_https_is_tried_first_verified_and_used_for_registering(
    https: Callable[[str], _Server], http: _Server, caplog: pytest.LogCaptureFixture
) -> None:
    secure = https("127.0.0.1")
    client = KeyServer("127.0.0.1", http.port, https_port=secure.port)
    assert client.server_public_key() == KEY
    assert client.verified
    client.register(OTHER_LINE)
    assert secure.requests == ["GET /server_pub_key", "POST /register"]
    assert http.requests == []
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("wrong", ["name", "authority"])
def test_a_certificate_that_does_not_verify_is_fatal(
    wrong: str, https: Callable[..., _Server], http: _Server, remote_name: str, stop: Patient
) -> None:
    secure = https("other.example") if wrong == "name" else https(remote_name, trustme.CA())
    client = KeyServer(remote_name, http.port, stop, https_port=secure.port)
    with pytest.raises(KeyServerError, match="the certificate is not trusted") as caught:
        client.server_public_key()
    assert caught.value.permanent
    assert http.requests == secure.requests == []


def test_a_certificate_that_verifies_is_enough_for_a_remote_name(
    https: Callable[[str], _Server], http: _Server, remote_name: str
) -> None:
    client = KeyServer(remote_name, http.port, https_port=https(remote_name).port)
    assert client.server_public_key() == KEY
    assert client.verified


def test_on_loopback_a_wrong_certificate_is_a_warning_and_plain_http_goes_on(
    https: Callable[[str], _Server], http: _Server, caplog: pytest.LogCaptureFixture
) -> None:
    client = KeyServer("127.0.0.1", http.port, https_port=https("other.example").port)
    assert client.server_public_key() == KEY
    assert not client.verified
    assert "the certificate is not trusted" in caplog.text


@pytest.mark.parametrize(
    "reply", [_json({}, 404), Reply(200, b"<html>Welcome</html>"), Reply(302, b"")]
)
def test_https_without_a_key_server_leads_to_plain_http(
    reply: Reply, https: Callable[[str], _Server], http: _Server
) -> None:
    secure = https("127.0.0.1")
    secure.replies = [reply]
    client = KeyServer("127.0.0.1", http.port, https_port=secure.port)
    assert client.server_public_key() == KEY
    client.register(OTHER_LINE)
    assert not client.verified
    assert http.requests == ["GET /server_pub_key", "POST /register"]


def test_a_port_443_that_does_not_speak_tls_leads_to_plain_http(http: _Server) -> None:
    client = KeyServer("127.0.0.1", http.port, https_port=http.port)
    assert client.server_public_key() == KEY
    assert not client.verified


def test_a_port_443_that_sends_for_ever_leads_to_plain_http_in_its_time(
    https: Callable[[str], _Server], http: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_server, "_HTTPS_TIME", 0.3)
    secure = https("127.0.0.1")
    secure.replies = [Reply(200, trickle=b" ")]
    client = KeyServer("127.0.0.1", http.port, https_port=secure.port)
    assert client.server_public_key() == KEY
    assert not client.verified


# Too many requests


def test_429_is_waited_out_with_a_warning_that_says_how_long(
    client: KeyServer, http: _Server, stop: Patient, caplog: pytest.LogCaptureFixture
) -> None:
    http.replies = [BUSY, BUSY, GOOD_KEY]
    assert client.server_public_key() == KEY
    assert stop.waits == [5, 10]
    assert "too many requests (429), trying again in 5 s" in caplog.text


def test_registering_waits_too(client: KeyServer, http: _Server, stop: Patient) -> None:
    http.replies = [GOOD_KEY, BUSY, REGISTERED]
    client.server_public_key()
    client.register(OTHER_LINE)
    assert stop.waits == [5]


def test_a_sane_retry_after_is_honoured(client: KeyServer, http: _Server, stop: Patient) -> None:
    http.replies = [_json({}, 429, Retry_After="7"), GOOD_KEY]
    client.server_public_key()
    assert stop.waits == [7]


@pytest.mark.parametrize("value", ["-1", "soon", "Wed, 21 Oct 2065 07:28:00 GMT", "\xb2", ""])
def test_any_other_retry_after_is_ignored(
    value: str, client: KeyServer, http: _Server, stop: Patient
) -> None:
    http.replies = [_json({}, 429, Retry_After=value), GOOD_KEY]
    client.server_public_key()
    assert stop.waits == [5]


def test_429_is_given_up_when_the_peers_minute_is_well_over(
    client: KeyServer, http: _Server, stop: Patient
) -> None:
    http.replies = [BUSY]
    with pytest.raises(KeyServerError, match="status 429: Rate limit exceeded"):
        client.server_public_key()
    assert 60 < sum(wait or 0 for wait in stop.waits) <= 75


def test_an_hour_of_retry_after_is_given_up_at_once(
    client: KeyServer, http: _Server, stop: Patient
) -> None:
    http.replies = [_json({}, 429, Retry_After="3600")]
    with pytest.raises(KeyServerError, match="status 429"):
        client.server_public_key()
    assert stop.waits == []


def test_a_wait_that_would_outlast_the_deadline_is_not_begun(
    http: _Server, closed_port: int, stop: Patient
) -> None:
    http.replies = [BUSY]
    soon = time.monotonic() + 4.9
    client = KeyServer("127.0.0.1", http.port, stop, https_port=closed_port, deadline=soon)
    with pytest.raises(KeyServerError, match="status 429") as caught:
        client.server_public_key()
    assert "try again in a minute" in caught.value.hint
    assert stop.waits == []


def test_waiting_ends_when_stop_is_set(http: _Server, closed_port: int) -> None:
    http.replies = [BUSY]
    stop = threading.Event()
    client = KeyServer("127.0.0.1", http.port, stop, https_port=closed_port)
    threading.Timer(0.2, stop.set).start()
    started = time.monotonic()
    with pytest.raises(KeyServerError, match="was interrupted"):
        client.server_public_key()
    assert time.monotonic() - started < 3


def test_a_request_under_way_ends_at_the_deadline_of_them_all(
    http: _Server, closed_port: int
) -> None:
    http.replies = [GOOD_KEY, Reply(200, trickle=b" ")]
    soon = time.monotonic() + 0.4
    client = KeyServer("127.0.0.1", http.port, https_port=closed_port, deadline=soon)
    assert client.server_public_key() == KEY
    with pytest.raises(KeyServerError, match="/register failed: no complete answer in time"):
        client.register(OTHER_LINE)
    assert time.monotonic() - soon < 3


def test_a_request_under_way_ends_when_stop_is_set(http: _Server, closed_port: int) -> None:
    http.replies = [Reply(200, trickle=b" ")]
    stop = threading.Event()
    client = KeyServer("127.0.0.1", http.port, stop, https_port=closed_port)
    threading.Timer(0.2, stop.set).start()
    started = time.monotonic()
    with pytest.raises(KeyServerError, match="interrupted"):
        client.server_public_key()
    assert time.monotonic() - started < 3


def key_server_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "m2m-key-server"]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "reply",
    [
        Reply(raw=b"HTTP/1.1 200 OK\r\nX-Slow: ", trickle=b"x"),
        Reply(raw=b"HTTP/1.1 200 OK\r\n\r\n", trickle=b" "),
    ],
    ids=["in its headers", "in its body"],
)
def test_nothing_stays_of_a_server_that_is_given_up(
    reply: Reply, scheme: str, http: _Server, https: Callable[[str], _Server]
) -> None:
    server = http if scheme == "http" else https("127.0.0.1")
    server.replies = [reply]
    url = f"{scheme}://127.0.0.1:{server.port}"
    client = KeyServer("", 1, url=url, deadline=time.monotonic() + 1)
    with pytest.raises(KeyServerError, match="no complete answer in time"):
        client.server_public_key()
    for thread in key_server_threads():
        thread.join(3)  # well before the server ends
    assert not key_server_threads()


# Failures and hostile answers


def test_nobody_listening_says_which_request_why_and_what_to_check(
    closed_port: int, stop: Patient
) -> None:
    client = KeyServer("127.0.0.1", closed_port, stop, https_port=closed_port)
    with pytest.raises(KeyServerError) as caught:
        client.server_public_key()
    said = str(caught.value)
    assert f"GET http://127.0.0.1:{closed_port}/server_pub_key failed" in said
    assert "refused" in said
    assert "--run-key-server" in said
    assert f"--key-server-port {closed_port}" in said


def test_a_name_that_does_not_resolve_says_so(stop: Patient) -> None:
    with pytest.raises(KeyServerError, match="Name or service not known"):
        KeyServer("nowhere.invalid", 8000, stop).server_public_key()


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (_json({"error": "Invalid JSON data"}, 400), "status 400: Invalid JSON data"),
        (_json({"error": "Content-Type must be"}, 415), "status 415: Content-Type must be"),
        (_json({"error": "Internal server error"}, 500), "status 500: Internal server error"),
        (Reply(500, b"<html>oops</html>"), "status 500"),
        (_json({"server_pub_key": LINE}, 201), "status 201"),
        (_json({"error": ["a", "list"]}, 400), "status 400"),
        (Reply(301, b"", (("Location", "/elsewhere"),)), "a redirect, which is not followed"),
        (Reply(200, b"<html>Welcome</html>"), "not a JSON object"),
        (Reply(200, b""), "not a JSON object"),
        (Reply(200, b"\xff\xfe\x00"), "not a JSON object"),
        (Reply(200, b"[" * 60_000), "not a JSON object"),
        (_json(LINE), "not a JSON object"),
        (_json([LINE]), "not a JSON object"),
        (_json({}), "a text server_pub_key"),
        (_json({"server_pub_key": None}), "a text server_pub_key"),
        (_json({"server_pub_key": [LINE]}), "a text server_pub_key"),
        (Reply(200, b"{" + b" " * 70_000 + b"}"), "longer than 65536 bytes"),
        (Reply(raw=b"nonsense\r\n\r\n"), "failed"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"), "failed"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n{}"), "failed"),
        (Reply(200, b"no gzip", (("Content-Encoding", "gzip"),)), "failed"),
    ],
)
def test_an_answer_that_is_none_is_refused_in_words(
    reply: Reply, why: str, client: KeyServer, http: _Server
) -> None:
    http.replies = [reply]
    with pytest.raises(KeyServerError) as caught:
        client.server_public_key()
    assert why in caught.value.message
    assert caught.value.message.startswith(f"GET http://127.0.0.1:{http.port}/server_pub_key")
    assert http.requests == ["GET /server_pub_key"]


_MALLORY = base64.b64encode(OTHER_KEY.blob).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        f"{LINE}\n{OTHER_LINE}",
        f"{LINE}\n* ssh-ed25519 {_MALLORY}",
        f"{LINE}\r* ssh-ed25519 {_MALLORY}",
        f"{LINE}\u2028* ssh-ed25519 {_MALLORY}",
        f"* {LINE}",
        f"@cert-authority * {LINE}",
        f"@revoked {LINE}",
        f"ssh-rsa {KEY.base64}",
        f"ssh-dss {KEY.base64}",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 not/base64!",
        f"ssh-ed25519 {base64.b64encode(KEY.blob + b'x').decode()}",
        f"{LINE}\x00",
        "\ud800",
        "x" * 20_000,
    ],
)
def test_anything_but_one_well_formed_key_is_refused(
    text: str, client: KeyServer, http: _Server
) -> None:
    http.replies = [_json({"server_pub_key": text})]
    with pytest.raises(KeyServerError, match="invalid answer") as caught:
        client.server_public_key()
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


def test_the_text_of_an_error_is_cut_and_cannot_steer_a_terminal(
    client: KeyServer, http: _Server
) -> None:
    http.replies = [_json({"error": "\x1b[2J\r\nError: all is well\u202e" + "x" * 10_000}, 400)]
    with pytest.raises(KeyServerError) as caught:
        client.server_public_key()
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, trickle=b" "),
        Reply(raw=b"HTTP/1.1 200 OK\r\nX-Long: ", trickle=b"x"),
    ],
    ids=["body", "headers"],
)
def test_an_answer_that_never_ends_is_given_up(
    reply: Reply, client: KeyServer, http: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_server, "_TIME", 0.5)
    http.replies = [reply]
    started = time.monotonic()
    with pytest.raises(KeyServerError, match="no complete answer in time"):
        client.server_public_key()
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply(302, b"", (("Location", "/"),), trickle=b"x" * 50_000), "longer than 65536 bytes"),
        (
            Reply(raw=b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 9\r\n\r\n"),
            "Connection broken",
        ),
    ],
    ids=["endless", "broken"],
)
def test_a_redirect_is_read_no_further_than_any_other_answer(
    reply: Reply, why: str, client: KeyServer, http: _Server
) -> None:
    http.replies = [reply]
    with pytest.raises(KeyServerError, match=why):
        client.server_public_key()


@pytest.mark.parametrize("times", [1, 4])
def test_a_compressed_answer_is_not_unpacked(times: int, client: KeyServer, http: _Server) -> None:
    """Four times over, a bomb of some hundred bytes."""
    body = GOOD_KEY.body + b" " * 10_000_000
    for _ in range(times):
        body = gzip.compress(body)
    http.replies = [Reply(200, body, (("Content-Encoding", ", ".join(["gzip"] * times)),))]
    with pytest.raises(KeyServerError, match="compressed"):
        client.server_public_key()


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (_json({"error": "Failed to register key"}, 400), "status 400: Failed to register key"),
        (_json({"status": "pending"}), "does not confirm"),
        (Reply(200, b"<html>"), "does not confirm"),
        (Reply(302, b"", (("Location", "/elsewhere"),)), "a redirect"),
    ],
)
def test_a_refused_registration_says_why(
    reply: Reply, why: str, client: KeyServer, http: _Server
) -> None:
    http.replies = [GOOD_KEY, reply]
    client.server_public_key()
    with pytest.raises(KeyServerError, match=why) as caught:
        client.register(OTHER_LINE)
    assert f"POST http://127.0.0.1:{http.port}/register failed" in caught.value.message


# The temporary known_hosts


def test_the_temporary_known_hosts_is_private_has_one_line_and_goes() -> None:
    with temporary_known_hosts("machine", 8022, KEY) as path:
        assert path.read_text() == f"[machine]:8022 {LINE}\n"
        if sys.platform != "win32":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.parent.exists()


def test_the_temporary_known_hosts_goes_when_exceptions_fly() -> None:
    context = temporary_known_hosts("machine", 22, KEY)
    path = context.__enter__()
    assert path.exists()
    assert not context.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert not path.parent.exists()


def test_a_host_name_cannot_smuggle_an_entry_and_no_folder_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(KnownHostsError), temporary_known_hosts("a,*", 22, KEY):
        pass
    assert list(tmp_path.iterdir()) == []


# The memory of keys that came over plain HTTP


def test_an_unknown_key_is_remembered_in_a_private_file(tmp_path: Path) -> None:
    memory = tmp_path / "new" / "key.known_hosts"
    remember_or_refuse("machine", 8022, KEY, memory)
    assert memory.read_text() == f"[machine]:8022 {LINE}\n"
    if sys.platform != "win32":
        assert stat.S_IMODE(memory.stat().st_mode) == 0o600
        assert stat.S_IMODE(memory.parent.stat().st_mode) == 0o700


def test_the_same_key_is_not_written_again(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    for _ in range(2):
        remember_or_refuse("machine", 8022, KEY, memory)
    assert memory.read_text() == f"[machine]:8022 {LINE}\n"


def test_another_key_is_refused_with_how_to_forget_the_first(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    remember_or_refuse("machine", 8022, KEY, memory)
    with pytest.raises(HostKeyError) as caught:
        remember_or_refuse("machine", 8022, OTHER_KEY, memory)
    assert "has changed" in caught.value.message
    assert "ssh-keygen -R" in caught.value.hint
    assert "[machine]:8022" in caught.value.hint
    assert str(memory) in caught.value.hint
    assert memory.read_text() == f"[machine]:8022 {LINE}\n"


def test_whoever_blocks_https_does_not_get_a_first_use_of_his_own(
    https: Callable[[str], _Server], http: _Server, closed_port: int, tmp_path: Path
) -> None:
    secure, trust = https("127.0.0.1"), Trust("127.0.0.1", 22, (tmp_path / "none",))
    client = KeyServer("127.0.0.1", http.port, https_port=secure.port)
    assert checked_host_key(client, "127.0.0.1", 22, trust, tmp_path / "key") == KEY
    http.replies = [_json({"server_pub_key": OTHER_LINE})]
    client = KeyServer("127.0.0.1", http.port, https_port=closed_port)
    with pytest.raises(HostKeyError, match="has changed"):
        checked_host_key(client, "127.0.0.1", 22, trust, tmp_path / "key")


def test_over_https_a_new_key_is_taken_although_another_is_remembered(
    https: Callable[[str], _Server], http: _Server, tmp_path: Path
) -> None:
    remember_or_refuse("127.0.0.1", 22, OTHER_KEY, tmp_path / "key.known_hosts")
    client = KeyServer("127.0.0.1", http.port, https_port=https("127.0.0.1").port)
    trust = Trust("127.0.0.1", 22, (tmp_path / "none",))
    assert checked_host_key(client, "127.0.0.1", 22, trust, tmp_path / "key") == KEY


def test_what_https_said_last_is_what_plain_http_must_show(
    https: Callable[[str], _Server], http: _Server, closed_port: int, tmp_path: Path
) -> None:
    memory = tmp_path / "key.known_hosts"
    remember_or_refuse("127.0.0.1", 22, OTHER_KEY, memory)
    remember_or_refuse("machine", 22, OTHER_KEY, memory)
    trust, secure = Trust("127.0.0.1", 22, (tmp_path / "none",)), https("127.0.0.1")

    def checked(https_port: int) -> PublicKey:
        client = KeyServer("127.0.0.1", http.port, https_port=https_port)
        return checked_host_key(client, "127.0.0.1", 22, trust, tmp_path / "key")

    assert checked(secure.port) == KEY
    assert memory.read_text() == f"machine {OTHER_LINE}\n127.0.0.1 {LINE}\n"
    assert checked(closed_port) == KEY
    http.replies = [_json({"server_pub_key": OTHER_LINE})]
    with pytest.raises(HostKeyError, match="has changed"):
        checked(closed_port)


def test_what_is_revoked_in_the_memory_is_refused_over_https_too(
    https: Callable[[str], _Server], http: _Server, tmp_path: Path
) -> None:
    (tmp_path / "key.known_hosts").write_text(f"@revoked * {LINE}\n")
    client = KeyServer("127.0.0.1", http.port, https_port=https("127.0.0.1").port)
    trust = Trust("127.0.0.1", 22, (tmp_path / "none",))
    with pytest.raises(HostKeyError, match="revoked"):
        checked_host_key(client, "127.0.0.1", 22, trust, tmp_path / "key")


def test_the_policy_travels_with_the_trust_in_what_it_told(tmp_path: Path) -> None:
    """What decides which keys are acceptable, but not the files that the key server replaces."""
    policy: dict[str, Any] = {
        "rsa_bits": 4096,
        "revoked_files": (tmp_path,),
        "pin": KEY.fingerprint,
    }
    file = tmp_path / "known_hosts"
    given = Trust("alias", None, (tmp_path,), (tmp_path,), "no", unchecked=True, **policy)
    assert trust_in(file, "machine", 22, given) == Trust("machine", 22, (file,), **policy)


@pytest.mark.parametrize("first", [22, 8022])
def test_each_port_is_a_server_of_its_own(first: int, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    second = 8022 if first == 22 else 22
    remember_or_refuse("machine", first, KEY, memory)
    remember_or_refuse("machine", second, OTHER_KEY, memory)
    assert len(memory.read_text().splitlines()) == 2
    with pytest.raises(HostKeyError):
        remember_or_refuse("machine", second, KEY, memory)


@pytest.mark.parametrize("before", ["", "x", "# a comment", "# a comment\n"])
def test_a_line_without_its_end_is_not_run_into(before: str, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    memory.write_text(before)
    remember_or_refuse("machine", 22, KEY, memory)
    lines = memory.read_text().splitlines()
    assert lines == [*before.splitlines(), f"machine {LINE}"]


def test_a_memory_that_cannot_be_read_or_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KnownHostsError):
        remember_or_refuse("machine", 22, KEY, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(KnownHostsError):
        remember_or_refuse("machine", 22, KEY, tmp_path / "file" / "memory")


def test_many_at_once_append_whole_lines(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    threads = [
        threading.Thread(target=remember_or_refuse, args=(f"machine{n}", 22, KEY, memory))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(memory.read_text().splitlines()) == sorted(
        f"machine{n} {LINE}" for n in range(20)
    )
