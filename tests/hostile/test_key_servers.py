"""What a malicious key server can do: keep us from connecting, and nothing else.

That no more than one well-formed key is ever taken from its answer is in tests/test_key_server.py.
"""

from __future__ import annotations

import gzip
import json
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import paramiko
import pytest
from hostile.mallory import USERAUTH_REQUEST, Mallory, mallory
from hostile.victim import Victim, attacked
from support.odd_ssh import Keys, listening, public

if sys.platform == "win32":
    pytest.skip("what is watched is in Linux's /proc", allow_module_level=True)

MiB = 1 << 20
MOST_MEMORY = 80 * MiB  # docs/security.md: what it has in use while it holds no message
ESCAPES = "\x1b]0;owned\x07\x1b[2J\r\n\u202eall is well"

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
TOO_LONG = "the answer is longer than 65536 bytes"
INVALID = "not a JSON object with a text server_pub_key"
LATE = "No connection within 1.5 s"
CASES = [
    Case("a gigabyte", says(OK + b"Content-Length: 1000000000\r\n\r\n", again=b"x"), TOO_LONG),
    Case("no length and no end", says(OK + b"\r\n", again=b" "), TOO_LONG),
    Case("chunks without end", says(CHUNKED, again=b"1\r\n \r\n"), TOO_LONG),
    Case("a chunk of four gigabytes", says(CHUNKED + b"ffffffff\r\n", again=b"x"), TOO_LONG),
    Case("a chunk of less than nothing", says(CHUNKED + b"-5\r\nhello\r\n"), "failed"),
    Case("a chunk whose size has no end", says(CHUNKED, again=b"0"), "failed"),
    Case("a length of less than nothing", says(OK + b"Content-Length: -1\r\n\r\n{}"), INVALID),
    Case("two lengths", says(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}"), "failed"),
    Case("a gzip bomb", says(http(gzip.compress(bytes(100 * MiB)), GZIP)), TOO_LONG),
    Case(
        "gzip in gzip",
        says(http(gzip.compress(gzip.compress(bytes(100 * MiB))), f"{GZIP}, gzip")),
        TOO_LONG,
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
    Case("too many requests for ever", says(http(b"{}", "Retry-After: 0", status="429 No")), LATE),
]


@contextmanager
def client(
    serve: Serve,
    keys: Keys,
    folder: Path,
    server: Mallory | None = None,
    patience: str = "10",
) -> Iterator[Victim]:
    """On its way to the SSH server of `ed25519 host`, whose key server does this."""
    mine = folder / "mine"
    if not mine.exists():
        shutil.copy(keys.path(keys["ed25519"]), mine)
    attempt = folder / f"attempt-{len(list(folder.iterdir()))}"
    attempt.mkdir()
    server = server or Mallory(0, lambda _: None)
    with listening(serve) as port, mallory(server, keys["ed25519 host"]) as ssh_port:
        way = ("--host", "127.0.0.1", "--port", str(ssh_port), "--connect-timeout", patience)
        options = ("--use-key-server", "--key-server-port", str(port), "--client-key", str(mine))
        with attacked(attempt, *way, *options, "--", "serve") as victim:
            yield victim


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_instead_of_a_key_it_sends(case: Case, keys: Keys, tmp_path: Path) -> None:
    keys["ed25519"]
    server = Mallory(0, lambda _: None)
    patience = "1.5" if case.said == LATE else "10"
    with client(case.serve, keys, tmp_path, server, patience) as victim:
        assert case.said in victim.reason()
        assert victim.look_at_memory() < MOST_MEMORY
        victim.end(1)
    assert server.got == []
    assert not (tmp_path / "mine.known_hosts").exists()


def answers_with(key: str, registration: bytes) -> Serve:
    def serve(sock: socket.socket) -> None:
        with sock.makefile("rb") as stream:
            first = stream.readline()
        said = (
            http(json.dumps({"server_pub_key": key}).encode()) if b"GET" in first else registration
        )
        sock.sendall(said)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 16):
            pass

    return serve


REGISTERED = http(b'{"status":"success"}')


def test_a_key_that_is_not_the_ssh_servers_ends_it_before_we_log_in(
    keys: Keys, tmp_path: Path
) -> None:
    server = Mallory(0, lambda _: None)
    serve = answers_with(key_line(keys["ed25519 mallory"]), REGISTERED)
    with client(serve, keys, tmp_path, server) as victim:
        assert "Host key verification failed" in victim.reason()
        assert USERAUTH_REQUEST not in server.got
        victim.end(1)


def test_another_key_than_the_one_that_came_over_plain_http_before_is_refused(
    keys: Keys, tmp_path: Path
) -> None:
    server = Mallory(0, lambda _: None)
    with client(
        answers_with(key_line(keys["ed25519 host"]), REGISTERED), keys, tmp_path, server
    ) as victim:
        assert "result" in victim.open()
        victim.end(0)
    memory = tmp_path / "mine.known_hosts"
    _, known = memory.read_text().split(" ", 1)
    assert known.strip() == key_line(keys["ed25519 host"])
    lies = answers_with(key_line(keys["ed25519 mallory"]), REGISTERED)
    with client(lies, keys, tmp_path, Mallory(0, lambda _: None)) as victim:
        memory.write_text(f"127.0.0.1,[127.0.0.1]:* {known}")
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
    "a gzip bomb": (http(gzip.compress(bytes(100 * MiB)), GZIP), TOO_LONG),
    "half of it": (OK + b"Content-Length: 50\r\n\r\n{", "failed"),
}


@pytest.mark.parametrize("reply", REPLIES)
def test_our_key_is_registered_and_the_answer_is(reply: str, keys: Keys, tmp_path: Path) -> None:
    said, why = REPLIES[reply]
    server = Mallory(0, lambda _: None)
    with client(
        answers_with(key_line(keys["ed25519 host"]), said), keys, tmp_path, server
    ) as victim:
        reason = victim.reason()
        assert "/register failed" in reason
        assert why in reason
        assert victim.look_at_memory() < MOST_MEMORY
        victim.end(1)
    assert server.got == []
