"""What a malicious SSH server, or somebody in its place, can do before there is encryption: nothing but end it."""

from __future__ import annotations

import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hostile.mallory import (
    DEBUG,
    DISCONNECT,
    EXT_INFO,
    IGNORE,
    KEX_REPLY,
    KEXINIT,
    NEWKEYS,
    USERAUTH_SUCCESS,
    VERSION,
    kexinit,
    lists_of,
    message,
    packet,
    read_packet,
)
from hostile.victim import ESCAPES, MOST_MEMORY, attacked
from support import programs
from support.host import client_argv
from support.odd_ssh import Keys, listening, public

from m2m_ssh_client.ssh.trust.known_hosts import entry

MiB = 1 << 20
SHORT = ("--connect-timeout", "1")
LONG = ("--connect-timeout", "10")

LONGEST_LOGGED = 1000  # characters of a line

Serve = Callable[[socket.socket], None]


class Case(NamedTuple):
    name: str
    serve: Serve
    said: str
    """A part of what the host is told."""


def listen_on(sock: socket.socket) -> None:
    while sock.recv(1 << 16):
        pass


def sends(*pieces: bytes) -> Serve:
    """All that, and nothing more."""

    def serve(sock: socket.socket) -> None:
        sock.sendall(b"".join(pieces))
        listen_on(sock)

    return serve


def floods(first: bytes, again: bytes) -> Serve:
    """This without end."""

    def serve(sock: socket.socket) -> None:
        sock.sendall(first)
        many = again * (1 + (1 << 16) // len(again))
        while True:
            sock.sendall(many)

    return serve


def closes_behind(*pieces: bytes) -> Serve:
    def serve(sock: socket.socket) -> None:
        sock.sendall(b"".join(pieces))
        sock.shutdown(socket.SHUT_WR)
        listen_on(sock)

    return serve


def drips_behind(first: bytes, slowly: bytes) -> Serve:
    """A byte at a time, twenty of them a second."""

    def serve(sock: socket.socket) -> None:
        sock.sendall(first)
        pause = threading.Event()
        for byte in slowly:
            sock.sendall(bytes([byte]))
            pause.wait(0.05)

    return serve


def offers(**lists: str) -> Serve:
    return sends(VERSION, packet(kexinit(**lists)))


ENDED = "ended the connection while negotiating the encryption"
LATE = "Timed out after 1 s while negotiating the encryption"
BROKEN = "The server broke the protocol"
NOTHING_IN_COMMON = "No encryption in common"
GREETED = VERSION + packet(kexinit())

CASES = [
    # Instead of a version
    Case("garbage instead of a version", sends(bytes(range(256)) * 20), ENDED),
    Case("lines without end before the version", floods(b"", b"Welcome!\r\n"), "1024 lines"),
    Case("lines of escapes before the version", floods(b"", ESCAPES.encode() + b"\n"), ENDED),
    Case("a megabyte without a line feed", closes_behind(b"x" * MiB), "more than 8192 bytes"),
    Case("lines as long as may be without end", floods(b"", b"x" * 8192 + b"\n"), "1024 lines"),
    Case("a version without end", floods(b"SSH-2.0-", b"x"), "more than 8192 bytes"),
    Case("a version with escapes", closes_behind(b"SSH-2.0-" + ESCAPES.encode()), ENDED),
    Case("a version that is not UTF-8", closes_behind(b"SSH-2.0-\xff\xfe\xed\xa0\x80\r\n"), ENDED),
    Case("a version with a NUL", closes_behind(b"SSH-2.0-a\0b\r\n"), ENDED),
    Case("no numbers in the version", closes_behind(b"SSH-\r\n"), ENDED),
    # Packets that are none
    Case("a packet of four gigabytes", sends(VERSION, b"\xff" * 64), "Invalid packet"),
    Case(
        "a packet of two gigabytes",
        sends(VERSION, b"\x7f\xff\xff\xfc" + b"\0" * 60),
        "Bad packet length",
    ),
    Case(
        "a packet of 256 KiB and a little",
        sends(VERSION, struct.pack(">I", 2**18 + 12), bytes(999)),
        "Bad packet length",
    ),
    Case("a packet of no bytes", sends(VERSION, bytes(64)), ENDED),
    Case("packets of no bytes without end", floods(VERSION, bytes(64)), ENDED),
    Case(
        "a packet shorter than its padding", sends(VERSION, b"\0\0\0\x0c\xff" + bytes(60)), BROKEN
    ),
    Case("a packet of padding alone", sends(VERSION, b"\0\0\0\x0c\x0b" + bytes(60)), BROKEN),
    Case(
        "a packet that does not fill its blocks",
        sends(VERSION, b"\0\0\0\x0d\x04" + bytes(60)),
        ENDED,
    ),
    # Messages at the wrong time
    Case("a KEXINIT that is cut", sends(VERSION, packet(kexinit()[:40])), NOTHING_IN_COMMON),
    Case("a KEXINIT of nothing", sends(VERSION, packet(bytes([KEXINIT]))), NOTHING_IN_COMMON),
    Case("a hundred thousand algorithms", offers(kex="a," * 100_000), NOTHING_IN_COMMON),
    Case("algorithms with escapes", offers(kex=ESCAPES, cipher=ESCAPES), NOTHING_IN_COMMON),
    Case(
        "algorithms that are not UTF-8",
        sends(VERSION, packet(kexinit().replace(b"curve", b"\xff\xfe\xfd\xfc\xfb"))),
        BROKEN,
    ),
    Case("KEXINIT twice", sends(GREETED, packet(kexinit())), ENDED),
    Case(
        "a login that succeeds before there are keys",
        sends(GREETED, packet(message(USERAUTH_SUCCESS))),
        ENDED,
    ),
    Case("NEWKEYS before there are keys", sends(GREETED, packet(message(NEWKEYS))), ENDED),
    Case("a message nobody knows", sends(VERSION, packet(message(191, "?"))), ENDED),
    Case(
        "extensions before there are keys",
        sends(GREETED, packet(message(EXT_INFO, 2**32 - 1))),
        ENDED,
    ),
    Case("IGNORE without end", floods(VERSION, packet(message(IGNORE, b"x" * 99))), LATE),
    Case(
        "a farewell with escapes",
        sends(VERSION, packet(message(DISCONNECT, 2, ESCAPES, ""))),
        "all is well",
    ),
    Case(
        "a farewell that is not UTF-8",
        sends(VERSION, packet(message(DISCONNECT, 2, b"\xff\xfe", ""))),
        "\\xff\\xfe",
    ),
    Case(
        "a farewell within the key exchange",
        sends(GREETED, packet(message(DISCONNECT, 2, "too many of you", ""))),
        "negotiating the encryption: too many of you",
    ),
    Case(
        "a farewell of 200 KB",
        sends(VERSION, packet(message(DISCONNECT, 2, ESCAPES * 5000, ""))),
        ENDED,
    ),
    # Nothing weaker than OpenSSH's defaults
    Case("3DES and CBC alone", offers(cipher="3des-cbc,aes128-cbc,aes256-cbc"), NOTHING_IN_COMMON),
    Case(
        "MD5 and cut MACs alone",
        offers(mac="hmac-md5,hmac-md5-96,hmac-sha1-96,none"),
        NOTHING_IN_COMMON,
    ),
    Case(
        "Diffie-Hellman's first group alone",
        offers(kex="diffie-hellman-group1-sha1"),
        NOTHING_IN_COMMON,
    ),
    Case(
        "Diffie-Hellman with SHA-1 alone",
        offers(kex="diffie-hellman-group14-sha1,diffie-hellman-group-exchange-sha1"),
        NOTHING_IN_COMMON,
    ),
    Case(
        "a DSA host key alone",
        offers(host_key="ssh-dss,ssh-dss-cert-v01@openssh.com"),
        NOTHING_IN_COMMON,
    ),
    Case(
        "RSA with SHA-1 alone",
        offers(host_key="ssh-rsa,ssh-rsa-cert-v01@openssh.com"),
        NOTHING_IN_COMMON,
    ),
    Case("compression before the login", offers(compression="zlib"), NOTHING_IN_COMMON),
    # Proofs that prove nothing
    Case(
        "a point that is zero",
        sends(GREETED, packet(message(KEX_REPLY, "", bytes(32), ""))),
        BROKEN,
    ),
    Case(
        "a point that is none", sends(GREETED, packet(message(KEX_REPLY, "", "x" * 7, ""))), BROKEN
    ),
    Case(
        "no host key and no signature",
        sends(GREETED, packet(message(KEX_REPLY, "", b"\x09" + bytes(31), ""))),
        ENDED,
    ),
    Case("a reply of nothing", sends(GREETED, packet(message(KEX_REPLY))), BROKEN),
    # Terrapin (CVE-2023-48795): both sides are strict
    Case(
        "IGNORE before a strict KEXINIT",
        sends(VERSION, packet(message(IGNORE, "")), packet(kexinit())),
        "In strict-kex mode",
    ),
    Case(
        "IGNORE within a strict key exchange",
        sends(GREETED, packet(message(IGNORE, ""))),
        "In strict-kex mode",
    ),
    Case(
        "DEBUG within a strict key exchange",
        sends(GREETED, packet(message(DEBUG, True, "", ""))),
        "In strict-kex mode",
    ),
    # The end, or nothing but single bytes
    Case("it hangs up at once", closes_behind(), ENDED),
    Case("it hangs up behind its version", closes_behind(VERSION), ENDED),
    Case("it hangs up within a KEXINIT", closes_behind(VERSION, packet(kexinit())[:100]), ENDED),
    Case("it hangs up behind its KEXINIT", closes_behind(GREETED), ENDED),
    Case("a slow KEXINIT", drips_behind(VERSION, packet(kexinit())), LATE),
    Case(
        "a slow reply",
        drips_behind(GREETED, packet(message(KEX_REPLY, "x" * 99, bytes(32), ""))),
        LATE,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_before_there_is_encryption(case: Case, keys: Keys, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    patience = SHORT if case.said == LATE else LONG
    with listening(case.serve) as port:
        known_hosts.write_text(entry("127.0.0.1", port, public(keys["ed25519 host"])))
        files = ("--client-key", str(keys.path(keys["ed25519"])), "--known-hosts", str(known_hosts))
        with attacked(
            tmp_path, "--host", "127.0.0.1", "--port", str(port), *files, *patience
        ) as victim:
            assert case.said in victim.reason()
            assert victim.look_at_memory() < MOST_MEMORY
            victim.end(1)
            assert max(map(len, victim.log.splitlines())) < LONGEST_LOGGED


SINCE_OPENSSH_9_9 = {"mlkem768x25519-sha256"}


def greeting_of(argv: list[str]) -> bytes:
    """The KEXINIT that this client sends."""
    found: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        sock.sendall(VERSION)
        with sock.makefile("rb") as stream:
            stream.readline()
            found.append(read_packet(stream))

    with listening(serve) as port:
        words = [word.format(port=port) for word in argv]
        subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    return found[0]


def test_nothing_is_offered_on_the_wire_that_openssh_does_not_offer(tmp_path: Path) -> None:
    ssh = [
        str(programs.require("ssh")),
        "-F",
        "none",
        "-p",
        "{port}",
        "-o",
        "BatchMode=yes",
        "127.0.0.1",
    ]
    files = ["--known-hosts", str(tmp_path / "none"), *SHORT]
    ours = lists_of(greeting_of(client_argv("--host", "127.0.0.1", "--port", "{port}", *files)))
    theirs = lists_of(greeting_of(ssh))
    for name, offered in ours.items():
        assert offered, name
        assert set(offered) - SINCE_OPENSSH_9_9 <= set(theirs[name]), name
    assert "kex-strict-c-v00@openssh.com" in ours["kex"]
    assert ours["compression"] == ["none"]
