"""What a malicious key server can do: keep us from connecting, and nothing else.

That no more than one well-formed key is ever taken from its answer is in tests/ssh/trust/test_key_server.py.
"""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import paramiko
import pytest
import trustme
from hostile.mallory import USERAUTH_REQUEST, Mallory, mallory
from hostile.victim import ESCAPES, MOST_MEMORY, Victim, attacked
from support.odd_ssh import Keys, listening, public

if sys.platform == "win32":
    pytest.skip("what is watched is in Linux's /proc", allow_module_level=True)

MiB = 1 << 20

Serve = Callable[[socket.socket], None]


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def says(*pieces: bytes, again: bytes = b"") -> Serve:
    """These, and then the last again and again."""

    def serve(sock: socket.socket) -> None:
        sock.recv(1 << 16)
        sock.sendall(b"".join(pieces))
        many = again * (1 + (1 << 16) // max(1, len(again)))
        while again:
            sock.sendall(many)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 16):
            pass

    return serve


def a_byte_a_minute(first: bytes, slowly: bytes) -> Serve:
    """All that comes first is there at once, and a byte of the rest."""

    def serve(sock: socket.socket) -> None:
        sock.recv(1 << 16)
        sock.sendall(first)
        sock.settimeout(60)
        for byte in slowly:
            sock.sendall(bytes([byte]))
            with suppress(TimeoutError):
                while sock.recv(1 << 16):
                    pass
                return  # the client has gone

    return serve


def within(context: ssl.SSLContext, serve: Serve) -> Serve:
    """The same over TLS."""

    def serve_within(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as inner:
            serve(inner)

    return serve_within


def key_line(key: paramiko.PKey) -> str:
    host_key = public(key)
    return f"{host_key.key_type} {host_key.base64}"


def is_silent(sock: socket.socket) -> None:
    while sock.recv(1 << 16):
        pass


class Case(NamedTuple):
    name: str
    serve: Serve
    said: str


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
GZIP = "Content-Encoding: gzip"
BOMB = gzip.compress(bytes(MiB)) * 100  # one after the other they are one, too, and made at once
COMPRESSED = "the answer is compressed, which was not asked for"
TOO_LONG = "the answer is longer than 65536 bytes"
INVALID = "not a JSON object with a text server_pub_key"
LATE = "no complete answer in time"
BUSY = "It allows about ten requests a minute"
SLOW_BODY = OK + b"Content-Length: 50\r\n\r\n"
CASES = [
    Case("a gigabyte", says(OK + b"Content-Length: 1000000000\r\n\r\n", again=b"x"), TOO_LONG),
    Case("no length and no end", says(OK + b"\r\n", again=b" "), TOO_LONG),
    Case("chunks without end", says(CHUNKED, again=b"1\r\n \r\n"), TOO_LONG),
    Case("a chunk of four gigabytes", says(CHUNKED + b"ffffffff\r\n", again=b"x"), TOO_LONG),
    Case("a chunk of less than nothing", says(CHUNKED + b"-5\r\nhello\r\n"), "failed"),
    Case("a chunk whose size has no end", says(CHUNKED, again=b"0"), "failed"),
    Case("a length of less than nothing", says(OK + b"Content-Length: -1\r\n\r\n{}"), INVALID),
    Case("two lengths", says(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}"), "failed"),
    Case("a gzip bomb", says(http(BOMB, GZIP)), COMPRESSED),
    Case(
        "gzip in gzip",
        says(http(gzip.compress(BOMB), f"{GZIP}, gzip")),
        COMPRESSED,
    ),
    Case(
        "an encoding nobody knows",
        says(http(b"{}", "Content-Encoding: zstd, br, nonsense")),
        "failed",
    ),
    Case("headers without end", says(OK, again=b"X: y\r\n"), "failed"),
    Case("a header without end", says(OK + b"X: ", again=b"x"), "failed"),
    Case("a status without end", says(b"HTTP/1.1 200 ", again=b"x"), "failed"),
    Case("100 Continue without end", says(again=b"HTTP/1.1 100 Continue\r\n\r\n"), LATE),
    Case("no HTTP", says(bytes(range(256)) * 99), "failed"),
    Case("nothing", is_silent, LATE),
    Case("the end at once", says(), "failed"),
    Case(
        "an error of escapes",
        says(http(json.dumps({"error": ESCAPES}).encode(), status=f"500 {ESCAPES[:9]}")),
        "all is well",
    ),
    Case(
        "a redirect to a file",
        says(http(b"", "Location: file:///etc/passwd", status="302 Found")),
        "a redirect, which is not followed",
    ),
    Case(
        "a redirect to plain HTTP",
        says(http(b"", "Location: http://127.0.0.1:1/server_pub_key", status="301 Moved")),
        "a redirect, which is not followed",
    ),
    Case(
        "a number of five thousand digits",
        says(http(b'{"server_pub_key":' + b"9" * 5000 + b"}")),
        INVALID,
    ),
    Case("a hundred thousand brackets", says(http(b'{"server_pub_key":' + b"[" * 60_000)), INVALID),
    Case(
        "a request for a password",
        says(http(b"", 'WWW-Authenticate: Basic realm="x"', status="401 No")),
        "status 401",
    ),
    Case("cookies", says(http(b"{}", *["Set-Cookie: a=b; Domain=localhost"] * 90)), INVALID),
    Case("too many requests for ever", says(http(b"{}", "Retry-After: 0", status="429 No")), BUSY),
    Case("a status, one byte a minute", a_byte_a_minute(b"", OK), LATE),
    Case("headers, one byte a minute", a_byte_a_minute(OK, b"X-Slow: 1\r\n\r\n"), LATE),
    Case("a key, one byte a minute", a_byte_a_minute(SLOW_BODY, b'{"server_pub_key":'), LATE),
    Case("chunks, one byte a minute", a_byte_a_minute(CHUNKED, b"5\r\n{    \r\n0\r\n"), LATE),
]
OVER_TLS = {
    "a gigabyte",
    "chunks without end",
    "a gzip bomb",
    "headers without end",
    "no HTTP",
    "nothing",
    "the end at once",
    "an error of escapes",
    "a redirect to plain HTTP",
    "a hundred thousand brackets",
    "headers, one byte a minute",
    "a key, one byte a minute",
}
PORT, URL, HTTPS = "a port", "a URL", "HTTPS"
ATTACKS = [
    *((PORT, case) for case in CASES),
    *((URL, case) for case in CASES if case.name == "a key, one byte a minute"),
    *((HTTPS, case) for case in CASES if case.name in OVER_TLS),
]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def start(keys: Keys, authority: trustme.CA, tmp_path: Path) -> Start:
    return Start(keys, authority, tmp_path)


class Start:
    """Starts the client on its way to the SSH server of `ed25519 host`, whose key server is hostile."""

    def __init__(self, keys: Keys, authority: trustme.CA, folder: Path) -> None:
        self.keys = keys
        self.folder = folder
        self._mine = folder / "mine"
        self._bundle = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self._bundle))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(self.context)
        shutil.copy(keys.path(keys["ed25519"]), self._mine)

    @contextmanager
    def __call__(
        self, serve: Serve, server: Mallory, patience: str = "10", way: str = PORT
    ) -> Iterator[Victim]:
        attempt = self.folder / f"attempt-{len(list(self.folder.iterdir()))}"
        attempt.mkdir()
        with listening(serve) as port, mallory(server, self.keys["ed25519 host"]) as ssh_port:
            there = {
                PORT: ("--use-key-server", "--key-server-port", str(port)),
                URL: ("--key-server-url", f"http://localhost:{port}"),
                HTTPS: ("--key-server-url", f"https://localhost:{port}"),
            }[way]
            ssh = ("--host", "127.0.0.1", "--port", str(ssh_port), "--client-key", str(self._mine))
            options = (*ssh, *there, "--connect-timeout", patience)
            env = {"REQUESTS_CA_BUNDLE": str(self._bundle)}
            with attacked(attempt, *options, "--", "serve", env=env) as victim:
                yield victim

    def over(self, way: str, serve: Serve) -> Serve:
        return within(self.context, serve) if way == HTTPS else serve

    @property
    def memory(self) -> Path:
        """Of the keys that came over plain HTTP."""
        return self._mine.with_name("mine.known_hosts")


@pytest.mark.parametrize(
    ("way", "case"), ATTACKS, ids=[f"{case.name}, {way}" for way, case in ATTACKS]
)
def test_instead_of_a_key_it_sends(way: str, case: Case, start: Start) -> None:
    server = Mallory(0, lambda _: None)
    patience = {LATE: "1.5", BUSY: "3"}.get(case.said, "10")  # the busy one has to answer first
    with start(start.over(way, case.serve), server, patience, way) as victim:
        reason = victim.reason()
        assert case.said in reason
        assert "/server_pub_key failed" in reason
        assert victim.look_at_memory() < MOST_MEMORY
        victim.end(1)
    assert server.got == []
    assert not start.memory.exists()


def test_tls_may_come_a_byte_a_minute(start: Start) -> None:
    server = Mallory(0, lambda _: None)
    hello = b"\x16\x03\x03\x00\x7a\x02"
    with start(a_byte_a_minute(b"", hello), server, "1.5", HTTPS) as victim:
        assert LATE in victim.reason()
        victim.end(1)
    assert server.got == []


def answers_with(key: str, registration: bytes | Serve) -> Serve:
    """To the first request, and to the second."""
    registers = says(registration) if isinstance(registration, bytes) else registration
    turns = iter([says(http(json.dumps({"server_pub_key": key}).encode())), registers])
    return lambda sock: next(turns)(sock)


REGISTERED = http(b'{"status":"success"}')


@pytest.mark.parametrize("way", [PORT, HTTPS])
def test_a_key_that_is_not_the_ssh_servers_ends_it_before_we_log_in(way: str, start: Start) -> None:
    server = Mallory(0, lambda _: None)
    serve = answers_with(key_line(start.keys["ed25519 mallory"]), REGISTERED)
    with start(start.over(way, serve), server, way=way) as victim:
        assert "Host key verification failed" in victim.reason()
        assert USERAUTH_REQUEST not in server.got
        victim.end(1)


def test_another_key_than_the_one_that_came_over_plain_http_before_is_refused(start: Start) -> None:
    mine, other = (key_line(start.keys[f"ed25519 {name}"]) for name in ("host", "mallory"))
    with start(answers_with(mine, REGISTERED), Mallory(0, lambda _: None)) as victim:
        assert "result" in victim.open()
        victim.end(0)
    _, known = start.memory.read_text().split(" ", 1)
    assert known.strip() == mine
    with start(answers_with(other, REGISTERED), Mallory(0, lambda _: None)) as victim:
        start.memory.write_text(f"127.0.0.1,[127.0.0.1]:* {known}")
        assert "has changed" in victim.reason()
        victim.end(1)


REPLIES = {
    "an error of escapes": (
        http(json.dumps({"error": ESCAPES}).encode(), status="400 No"),
        "all is well",
    ),
    "a redirect": (http(b"", "Location: http://127.0.0.1:1/", status="307 No"), "a redirect"),
    "a success that is none": (
        http(b'{"status":["success"]}'),
        "does not confirm the registration",
    ),
    "a hundred thousand brackets": (http(b"[" * 60_000), "does not confirm the registration"),
    "a gigabyte": (OK + b"Content-Length: 1000000000\r\n\r\n" + b"x" * 200_000, TOO_LONG),
    "a gzip bomb": (http(BOMB, GZIP), COMPRESSED),
    "half of it": (OK + b"Content-Length: 50\r\n\r\n{", "failed"),
}


@pytest.mark.parametrize("way", [PORT, HTTPS])
@pytest.mark.parametrize("reply", REPLIES)
def test_our_key_is_registered_and_the_answer_is(reply: str, way: str, start: Start) -> None:
    said, why = REPLIES[reply]
    server = Mallory(0, lambda _: None)
    serve = answers_with(key_line(start.keys["ed25519 host"]), said)
    with start(start.over(way, serve), server, way=way) as victim:
        reason = victim.reason()
        assert "/register failed" in reason
        assert why in reason
        assert victim.look_at_memory() < MOST_MEMORY
        victim.end(1)
    assert server.got == []


@pytest.mark.parametrize("way", [PORT, URL, HTTPS])
def test_our_key_is_registered_and_the_answer_comes_a_byte_a_minute(way: str, start: Start) -> None:
    server = Mallory(0, lambda _: None)
    slow = a_byte_a_minute(SLOW_BODY, b'{"status":')
    serve = answers_with(key_line(start.keys["ed25519 host"]), slow)
    with start(start.over(way, serve), server, "1.5", way) as victim:
        reason = victim.reason()
        assert "/register failed" in reason
        assert LATE in reason
        victim.end(1)
    assert server.got == []
