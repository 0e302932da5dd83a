"""What a malicious SSH server can do once there is encryption: while we log in, and while we talk."""

from __future__ import annotations

import json
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import paramiko
import pytest
from faults.play import EXIT_WITHIN, SLACK
from hostile.mallory import (
    CHANNEL_CLOSE,
    CHANNEL_DATA,
    CHANNEL_EOF,
    CHANNEL_EXTENDED_DATA,
    CHANNEL_FAILURE,
    CHANNEL_OPEN,
    CHANNEL_OPEN_CONFIRMATION,
    CHANNEL_OPEN_FAILURE,
    CHANNEL_REQUEST,
    CHANNEL_SUCCESS,
    CHANNEL_WINDOW_ADJUST,
    DISCONNECT,
    EXT_INFO,
    GLOBAL_REQUEST,
    IGNORE,
    SERVICE_REQUEST,
    SWALLOW,
    USERAUTH_60,
    USERAUTH_BANNER,
    USERAUTH_FAILURE,
    USERAUTH_REQUEST,
    USERAUTH_SUCCESS,
    Field,
    Mallory,
    kexinit,
    message,
)
from hostile.victim import ESCAPES, MOST_MEMORY, victim_of
from support.odd_ssh import Keys

if sys.platform == "win32":
    pytest.skip("what is watched is in Linux's /proc", allow_module_level=True)

MiB = 1 << 20

Attack = Callable[[Mallory], object]


class Case(NamedTuple):
    name: str
    at: int
    """The kind of message of ours that sets it off."""
    attack: Attack
    said: str = ""
    """A part of what the host is told; empty where the session is none the worse for it."""
    may_answer: bool = False
    """Whether the server may get its answer through before that."""


def sends(kind: int, *fields: Field, times: float = 1, swallow: bool = False) -> Attack:
    def attack(server: Mallory) -> object:
        server.flood(kind, *fields, limit=times)
        return SWALLOW if swallow else None

    return attack


def floods(kind: int, *fields: Field) -> Attack:
    return sends(kind, *fields, times=float("inf"))


def hangs_up(server: Mallory) -> object:
    server.hang_up()
    raise EOFError


def drips(server: Mallory) -> None:
    server.drip()


def believes_anything(server: Mallory) -> object:
    """No proof is asked for, as with an account without a password."""
    server.send(USERAUTH_SUCCESS)
    server.everything.auth_handler.authenticated = True
    return SWALLOW


def begins_again_without_end(server: Mallory) -> object:
    while True:
        server.send_payload(kexinit())


def begins_again_and_is_silent(server: Mallory) -> object:
    server.send_payload(kexinit())
    return server.say_nothing_more()


def opens_too_early(server: Mallory) -> object:
    server.send(CHANNEL_OPEN, "session", 7, 1 << 20, 1 << 15)
    return server.say_nothing_more()


def talks_behind_the_end(server: Mallory) -> None:
    server.send(CHANNEL_EOF, 0)
    server.send(CHANNEL_DATA, 0, "x\n")


FAILED = "Authentication failed"
AUTHENTICATING = "while authenticating"
LATE = "Timed out after 1.5 s while authenticating"

LOGINS = [
    Case("banners without end", USERAUTH_REQUEST, floods(USERAUTH_BANNER, ESCAPES * 200, ""), LATE),
    Case("a banner of escapes", USERAUTH_REQUEST, sends(USERAUTH_BANNER, ESCAPES, "")),
    Case(
        "a banner that is not UTF-8",
        USERAUTH_REQUEST,
        sends(USERAUTH_BANNER, b"\xff\xfe\xed\xa0\x80", ""),
    ),
    Case(
        "refusals without end",
        USERAUTH_REQUEST,
        floods(USERAUTH_FAILURE, "publickey", False),
        FAILED,
    ),
    Case(
        "success of one step without end",
        USERAUTH_REQUEST,
        floods(USERAUTH_FAILURE, "publickey", True),
        FAILED,
    ),
    Case(
        "a hundred thousand methods",
        USERAUTH_REQUEST,
        sends(USERAUTH_FAILURE, "a," * 100_000, False, swallow=True),
        "accepts only",
    ),
    Case(
        "methods of escapes",
        USERAUTH_REQUEST,
        sends(USERAUTH_FAILURE, ESCAPES, False, swallow=True),
        "accepts only",
    ),
    Case(
        "methods that are not UTF-8",
        USERAUTH_REQUEST,
        sends(USERAUTH_FAILURE, b"\xff\xfe,x", False, swallow=True),
        "broke the protocol",
    ),
    Case(
        "a thousand questions",
        USERAUTH_REQUEST,
        sends(USERAUTH_60, "", "", "", 1000, *("Password: ", False) * 1000, swallow=True),
        FAILED,
    ),
    Case(
        "questions without end",
        USERAUTH_REQUEST,
        floods(USERAUTH_60, "", "", "", 1, "Password: ", False),
        FAILED,
    ),
    Case(
        "four billion extensions",
        SERVICE_REQUEST,
        sends(EXT_INFO, 2**32 - 1),
        "too many extensions",
    ),
    Case(
        "extensions without end",
        SERVICE_REQUEST,
        floods(EXT_INFO, 1, "server-sig-algs", "x" * 200_000),
        LATE,
    ),
    Case("a login that succeeds by itself", USERAUTH_REQUEST, believes_anything),
    Case("IGNORE without end", USERAUTH_REQUEST, floods(IGNORE, b"x" * 1000), LATE),
    Case("a message nobody knows", USERAUTH_REQUEST, sends(191, "?"), AUTHENTICATING),
    Case("a channel before the login", USERAUTH_REQUEST, opens_too_early, LATE),
    Case(
        "a farewell with escapes",
        USERAUTH_REQUEST,
        sends(DISCONNECT, 2, ESCAPES, "", swallow=True),
        "all is well",
    ),
    Case("it hangs up at the service", SERVICE_REQUEST, hangs_up, AUTHENTICATING),
    Case("it hangs up", USERAUTH_REQUEST, hangs_up, AUTHENTICATING),
    Case("single bytes", USERAUTH_REQUEST, drips, LATE),
    Case("KEXINIT without end", USERAUTH_REQUEST, begins_again_without_end, AUTHENTICATING),
    Case("KEXINIT and nothing more", USERAUTH_REQUEST, begins_again_and_is_silent, LATE),
    Case(
        "global requests without end",
        USERAUTH_REQUEST,
        floods(GLOBAL_REQUEST, "hostkeys-00@openssh.com", False, "x" * 1000),
        LATE,
    ),
    Case(
        "global requests without end that want answers",
        USERAUTH_REQUEST,
        floods(GLOBAL_REQUEST, ESCAPES, True),
        LATE,
    ),
    Case(
        "thirty thousand global requests",
        SERVICE_REQUEST,
        sends(GLOBAL_REQUEST, ESCAPES, False, times=30_000),
    ),
]


def many_keys(server: Mallory, keys: int = 100) -> None:
    """OpenSSH's PROTOCOL, 2.5: what UpdateHostKeys would learn from."""
    strangers = [paramiko.ECDSAKey.generate() for _ in range(3)]
    blobs = [strangers[number % 3].asbytes() for number in range(keys)]
    server.send(GLOBAL_REQUEST, "hostkeys-00@openssh.com", False, *blobs)


def begins_again(server: Mallory) -> None:
    server.everything.packetizer._trigger_rekey()


def opens(kind: str, *fields: Field) -> Attack:
    def attack(server: Mallory) -> None:
        for number in range(100):
            server.send(CHANNEL_OPEN, kind, number, 1 << 20, 1 << 15, *fields)

    return attack


OPENING = "opening the session"
REFUSED = "refused"

CHANNELS = [
    Case(
        "a refusal with escapes",
        CHANNEL_OPEN,
        sends(CHANNEL_OPEN_FAILURE, 0, 1, ESCAPES, "", swallow=True),
        "refused to open a session",
    ),
    Case(
        "a refusal for no reason known",
        CHANNEL_OPEN,
        sends(CHANNEL_OPEN_FAILURE, 0, 2**32 - 1, "", "", swallow=True),
        "refused to open a session",
    ),
    Case(
        "another channel than the one asked for",
        CHANNEL_OPEN,
        sends(CHANNEL_OPEN_CONFIRMATION, 99, 0, 1 << 20, 1 << 15, swallow=True),
        "Timed out after 1.5 s while opening",
    ),
    Case("data on a channel nobody opened", CHANNEL_OPEN, sends(CHANNEL_DATA, 77, "x"), OPENING),
    Case("an answer to nothing", CHANNEL_OPEN, sends(CHANNEL_SUCCESS, 0)),
    Case("data before the command", CHANNEL_REQUEST, sends(CHANNEL_DATA, 0, ESCAPES + "\n")),
    Case(
        "the command is refused", CHANNEL_REQUEST, sends(CHANNEL_FAILURE, 0, swallow=True), REFUSED
    ),
    Case("the command is granted twice", CHANNEL_REQUEST, sends(CHANNEL_SUCCESS, 0, times=2)),
    Case(
        "the channel closes twice",
        CHANNEL_REQUEST,
        sends(CHANNEL_CLOSE, 0, times=2, swallow=True),
        REFUSED,
    ),
    Case(
        "data behind the end",
        CHANNEL_REQUEST,
        talks_behind_the_end,
        "closed its output without an exit status",
    ),
    Case(
        "exit statuses without end",
        CHANNEL_REQUEST,
        floods(CHANNEL_REQUEST, 0, "exit-status", False, 0),
        "Timed out",
    ),
    Case(
        "ten thousand exit statuses",
        CHANNEL_DATA,
        sends(CHANNEL_REQUEST, 0, "exit-status", False, 0, times=10_000),
        "ended with exit status 0",
        may_answer=True,  # in the moment that its last words have
    ),
    Case(
        "requests on the channel without end",
        CHANNEL_REQUEST,
        floods(CHANNEL_REQUEST, 0, ESCAPES, True),
        "Timed out",
    ),
    Case(
        "windows of four gigabytes",
        CHANNEL_DATA,
        sends(CHANNEL_WINDOW_ADJUST, 0, 2**32 - 1, times=1000),
    ),
    Case(
        "data of a kind nobody knows",
        CHANNEL_DATA,
        sends(CHANNEL_EXTENDED_DATA, 0, 7, "x" * 30_000, times=1000),
    ),
    Case("a display is asked for", CHANNEL_DATA, opens("x11", "127.0.0.1", 6000)),
    Case(
        "a forwarded port",
        CHANNEL_DATA,
        opens("forwarded-tcpip", "127.0.0.1", 22, "127.0.0.1", 4711),
    ),
    Case("our agent is asked for", CHANNEL_DATA, opens("auth-agent@openssh.com")),
    Case("a session here is asked for", CHANNEL_DATA, opens("session")),
    Case(
        "a connection from here is asked for",
        CHANNEL_DATA,
        opens("direct-tcpip", "127.0.0.1", 22, "127.0.0.1", 4711),
    ),
    Case("a hundred host keys to learn", CHANNEL_DATA, many_keys),
    Case(
        "ten thousand global requests",
        CHANNEL_DATA,
        sends(GLOBAL_REQUEST, ESCAPES, True, times=10_000),
    ),
    Case("new keys at once", CHANNEL_DATA, begins_again),
    Case("it hangs up at the channel", CHANNEL_OPEN, hangs_up, OPENING),
    Case("it hangs up at the command", CHANNEL_REQUEST, hangs_up, OPENING),
    Case(
        "single bytes at the command", CHANNEL_REQUEST, drips, "Timed out after 1.5 s while opening"
    ),
]


def play(case: Case, keys: Keys, folder: Path, *options: str) -> None:
    server = Mallory(case.at, case.attack)
    patience = "1.5" if case.said.startswith("Timed out") else "10"
    with victim_of(server, keys, folder, *options, patience=patience) as victim:
        answer = victim.open()
        said = answer["error"]["message"] if "error" in answer else ""
        if case.said and not (case.may_answer and not said):
            assert case.said in said
        else:
            assert "result" in answer, answer
        assert victim.look_at_memory() < MOST_MEMORY
        victim.end(1 if said else 0)


@pytest.mark.parametrize("case", LOGINS, ids=lambda case: case.name)
def test_while_we_log_in(case: Case, keys: Keys, tmp_path: Path) -> None:
    play(case, keys, tmp_path)


@pytest.mark.parametrize("case", CHANNELS, ids=lambda case: case.name)
def test_while_we_talk(case: Case, keys: Keys, tmp_path: Path) -> None:
    play(case, keys, tmp_path)


@contextmanager
def frozen_agent() -> Iterator[str]:
    """An agent that takes connections, and says nothing."""
    # Not below pytest's folder: the address of a socket is short.
    with (
        tempfile.TemporaryDirectory(prefix="agent-") as folder,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        listener.bind(f"{folder}/socket")
        listener.listen()
        yield f"{folder}/socket"


def test_answers_that_nobody_asked_for_end_the_login(keys: Keys, tmp_path: Path) -> None:
    """The client waits for an agent, which is hostile as well, and must not collect them meanwhile."""
    server = Mallory(USERAUTH_REQUEST, floods(USERAUTH_FAILURE, "publickey," * 1000, False))
    with (
        frozen_agent() as agent,
        victim_of(server, keys, tmp_path, env={"SSH_AUTH_SOCK": agent}) as victim,
    ):
        assert FAILED in victim.reason()  # by what it said first; it has not timed out
        assert victim.look_at_memory() < MOST_MEMORY
        victim.end(1)


class Liar(paramiko.PKey):
    """Shows the public key of another machine, and signs with whatever is at hand."""

    def __init__(self, shown: paramiko.PKey, proof: Callable[[bytes], bytes]) -> None:
        self._shown = shown
        self._proof = proof

    def asbytes(self) -> bytes:
        return self._shown.asbytes()

    def get_name(self) -> str:
        return self._shown.get_name()

    def can_sign(self) -> bool:
        return True

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> paramiko.Message:  # noqa: ARG002
        return paramiko.Message(self._proof(data))


PROOFS: Mapping[str, Callable[[Keys, bytes], bytes]] = {
    "by another key": lambda keys, data: keys["ed25519 mallory"].sign_ssh_data(data).asbytes(),
    "by a key of another type": lambda keys, data: (
        keys["ecdsa mallory"].sign_ssh_data(data).asbytes()
    ),
    "of other data": lambda keys, _: keys["ed25519 host"].sign_ssh_data(b"other").asbytes(),
    "with one bit changed": lambda keys, data: flipped(
        keys["ed25519 host"].sign_ssh_data(data).asbytes()
    ),
    "of zeros": lambda _keys, _: message(0, "ssh-ed25519", bytes(64))[1:],
    "of no bytes": lambda _keys, _: message(0, "ssh-ed25519", "")[1:],
    "of no algorithm": lambda _keys, _: b"",
    "with SHA-1": lambda _keys, _: message(0, "ssh-rsa", bytes(256))[1:],
}


def flipped(signature: bytes) -> bytes:
    return signature[:-1] + bytes([signature[-1] ^ 1])


@pytest.mark.parametrize("proof", PROOFS)
def test_the_right_host_key_with_a_proof(proof: str, keys: Keys, tmp_path: Path) -> None:
    """Who has only the public half of the machine's key is not the machine."""
    liar = Liar(keys["ed25519 host"], lambda data: PROOFS[proof](keys, data))
    server = Mallory(0, lambda _: None)
    with victim_of(server, keys, tmp_path, host_key=liar) as victim:
        reason = victim.reason()
        assert "while negotiating the encryption" in reason
        assert USERAUTH_REQUEST not in server.got
        victim.end(1)


def inflated(server: Mallory) -> None:
    """64 MiB in one packet, a quarter of what 256 KiB can hold."""
    server.flood(CHANNEL_DATA, 0, bytes(64 * MiB), limit=1)


def test_a_compression_bomb_ends_the_connection(keys: Keys, tmp_path: Path) -> None:
    server = Mallory(CHANNEL_DATA, inflated, {"compression": ("zlib@openssh.com",)})
    options = ("-o", "Compression=yes", "--no-reconnect")
    with victim_of(server, keys, tmp_path, *options) as victim:
        assert "A compressed packet is too long" in victim.reason()
        assert victim.look_at_memory() < MOST_MEMORY
        victim.end(1)


def test_data_that_nobody_granted_ends_the_connection(keys: Keys, tmp_path: Path) -> None:
    """The host does not read, and the server does not care."""
    line = b'{"jsonrpc":"2.0","method":"notifications/x","params":{"x":"' + b"x" * 30_000 + b'"}}\n'
    server = Mallory(CHANNEL_DATA, floods(CHANNEL_DATA, 0, line))
    with victim_of(server, keys, tmp_path, "--no-reconnect", reading=False) as victim:
        victim.ask("first", "initialize")
        assert server.over.wait(15)
        victim.start_reading()
        (answer,) = victim.answers_to(["first"])
        assert "more than its window has room for" in answer["error"]["message"]
        assert victim.look_at_memory() < MOST_MEMORY
        victim.end(1)


def test_a_window_that_never_opens_holds_nobody_up(keys: Keys, tmp_path: Path) -> None:
    """What the host sends stays with the host but for a few megabytes, and the end is in time."""

    def no_window(server: Mallory) -> None:
        server.everything.default_window_size = 0

    line = (
        json.dumps({"jsonrpc": "2.0", "method": "x", "params": {"x": "y" * MiB}}).encode() + b"\n"
    )
    server = Mallory(CHANNEL_OPEN, no_window)
    with victim_of(server, keys, tmp_path) as victim:
        victim.ask("first", "initialize")

        def talk() -> None:
            with suppress(AssertionError):  # it has ended
                for _ in range(100):
                    victim.send(line)

        talker = threading.Thread(target=talk)
        talker.start()
        talker.join(1.5)
        assert talker.is_alive()
        assert victim.look_at_memory() < MOST_MEMORY
        victim.signal(signal.SIGTERM)
        victim.wait(EXIT_WITHIN + SLACK)
        talker.join(15)
        victim.end(128 + signal.SIGTERM)
