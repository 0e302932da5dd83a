"""The demo's key server, asked with http.client: it answers like the peer's."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator

import pytest

from m2m_ssh_client.demo.sample_key_server import KeyServer
from m2m_ssh_client.ssh.public_key import PublicKey

JSON = {"Content-Type": "application/json"}


def _ed25519(seed: int) -> PublicKey:
    strings = (b"ssh-ed25519", bytes([seed]) * 32)
    blob = b"".join(len(string).to_bytes(4, "big") + string for string in strings)
    return PublicKey("ssh-ed25519", blob)


HOST_KEY, CLIENT_KEY = _ed25519(1), _ed25519(2)
CLIENT_LINE = f"ssh-ed25519 {CLIENT_KEY.base64}"


@pytest.fixture
def events() -> list[str]:
    return []


@pytest.fixture
def server(events: list[str]) -> Iterator[KeyServer]:
    with KeyServer(HOST_KEY, events=events.append) as running:
        yield running


def _ask(
    server: KeyServer, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, object]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, body, headers or JSON)
        response = connection.getresponse()
        payload = response.read()
        is_json = "json" in response.headers.get("Content-Type", "")
        return response.status, json.loads(payload) if is_json else None
    finally:
        connection.close()


def test_the_host_key_is_given_to_anyone(server: KeyServer, events: list[str]) -> None:
    line = f"ssh-ed25519 {HOST_KEY.base64}"
    assert _ask(server, "GET", "/server_pub_key") == (200, {"server_pub_key": line})
    assert events == ["GET /server_pub_key: status 200"]


def test_a_client_key_is_registered_as_often_as_one_likes(
    server: KeyServer, events: list[str]
) -> None:
    body = json.dumps({"client_pub_key": f"{CLIENT_LINE} me@here\n"}).encode()
    for _ in range(2):
        assert _ask(server, "POST", "/register", body) == (200, {"status": "success"})
    assert server.registered == {CLIENT_KEY}
    assert events[0] == f"registered the client key {CLIENT_KEY.fingerprint}"


def test_a_server_for_one_client_takes_its_key_only() -> None:
    other = json.dumps({"client_pub_key": f"ssh-ed25519 {_ed25519(3).base64}"}).encode()
    own = json.dumps({"client_pub_key": CLIENT_LINE}).encode()
    with KeyServer(HOST_KEY, CLIENT_KEY) as server:
        assert _ask(server, "POST", "/register", other)[0] == 403
        assert server.registered == set()
        assert _ask(server, "POST", "/register", own)[0] == 200
        assert server.registered == {CLIENT_KEY}


def test_it_says_that_it_is_well(server: KeyServer) -> None:
    assert _ask(server, "GET", "/health") == (200, {"status": "healthy"})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"not JSON", 400),
        (b"[" * 50_000, 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"client_pub_key": 1}', 400),
        (b'{"client_pub_key": "nonsense"}', 400),
        (b'{"client_pub_key": "' + b"x" * 70_000 + b'"}', 413),
    ],
)
def test_a_registration_without_a_key_is_refused(
    body: bytes, status: int, server: KeyServer
) -> None:
    assert _ask(server, "POST", "/register", body)[0] == status
    assert server.registered == set()


def test_a_registration_that_is_not_declared_as_json_is_refused(server: KeyServer) -> None:
    body = json.dumps({"client_pub_key": CLIENT_LINE}).encode()
    headers = {"Content-Type": "text/plain"}
    assert _ask(server, "POST", "/register", body, **headers)[0] == 415
    assert server.registered == set()


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/register"), ("POST", "/x")])
def test_there_is_nothing_else(method: str, path: str, server: KeyServer) -> None:
    assert _ask(server, method, path)[0] == 404


def test_the_rate_limit_is_an_option() -> None:
    with KeyServer(HOST_KEY, rate_limit=3) as server:
        statuses = [_ask(server, "GET", "/health")[0] for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]


def test_leaving_ends_its_threads_and_frees_the_port() -> None:
    before = set(threading.enumerate())
    with KeyServer(HOST_KEY) as server:
        _ask(server, "GET", "/health")
    assert set(threading.enumerate()) <= before
    with KeyServer(HOST_KEY, port=server.port) as again:
        assert _ask(again, "GET", "/health")[0] == 200


def test_a_port_that_is_taken_is_an_error(server: KeyServer) -> None:
    with pytest.raises(OSError, match=r"."):
        KeyServer(HOST_KEY, port=server.port)
