"""What a malicious SSH server can do with what the protocol allows it at any time, while calls are under way."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from hostile.mallory import (
    CHANNEL_DATA,
    GLOBAL_REQUEST,
    IGNORE,
    KEXINIT,
    REQUEST_FAILURE,
    Field,
    Mallory,
    kexinit,
    message,
)
from hostile.victim import ESCAPES, MOST_MEMORY, PROMPT, Victim, victim_of
from support.odd_ssh import ENOUGH, Keys

if sys.platform == "win32":
    pytest.skip("what is watched is in Linux's /proc", allow_module_level=True)

Attack = Callable[[Mallory], object]


def call(victim: Victim, id_: str) -> None:
    """It is answered, in time."""
    (answer,) = victim.answers_to([victim.ask(id_, "ping")], PROMPT)
    assert "result" in answer, answer


# What is allowed, again and again


class Storm(NamedTuple):
    name: str
    times: int
    blow: Attack
    """Once."""
    reply: int = 0
    """The kind of message that answers each."""


def asks(kind: str, *fields: Field) -> Attack:
    payload = message(GLOBAL_REQUEST, kind, *fields)
    return lambda server: server.send_payload(payload)


def new_keys(server: Mallory) -> None:
    """Agreed upon, and used in both directions, before it goes on."""
    server.everything.renegotiate_keys()
    server.everything.clear_to_send.wait(ENOUGH)


HOST_KEYS = "hostkeys-00@openssh.com"
STORMS = [
    Storm("new keys", 200, new_keys, KEXINIT),
    Storm("host keys to learn", 30_000, asks(HOST_KEYS, False, "x" * 4000)),
    Storm("host keys to be answered", 30_000, asks(HOST_KEYS, True, "x" * 4000), REQUEST_FAILURE),
    Storm("global requests", 30_000, asks(ESCAPES, False)),
    Storm("global requests that want answers", 30_000, asks(ESCAPES, True), REQUEST_FAILURE),
]


@pytest.mark.parametrize("storm", STORMS, ids=lambda storm: storm.name)
def test_calls_are_answered_in_a_storm_of(storm: Storm, keys: Keys, tmp_path: Path) -> None:
    over = threading.Event()

    def blow(server: Mallory) -> None:
        for _ in range(storm.times):
            storm.blow(server)
        over.set()

    server = Mallory(CHANNEL_DATA, lambda server: server.beside(blow))
    with victim_of(server, keys, tmp_path, "--no-reconnect") as victim:
        assert "result" in victim.open()
        calls = count()
        while not over.is_set():
            call(victim, f"call-{next(calls)}")
        call(victim, "with which the client has answered everything before it")
        call(victim, "with which the server has read that")
        assert server.got.count(storm.reply) >= (storm.times if storm.reply else 0)
        assert victim.look_at_memory() < MOST_MEMORY
        victim.end(0)


# A key exchange that goes wrong


class Case(NamedTuple):
    name: str
    attack: Attack
    said: str
    """A part of what ends the connection."""


def again_and_again(server: Mallory) -> None:
    while True:
        server.send_payload(kexinit())


def once(payload: bytes) -> Attack:
    def attack(server: Mallory) -> object:
        server.send_payload(payload)
        return server.say_nothing_more()

    return attack


EXCHANGES = [
    Case("KEXINIT again and again", again_and_again, "Expecting packet from"),
    Case("KEXINIT and nothing more", once(kexinit()), "no sign of life"),
    Case("KEXINIT of nothing", once(bytes([KEXINIT])), "it offers no key exchanges"),
    Case(
        "weak encryption alone", once(kexinit(cipher="3des-cbc")), "its only ciphers are 3des-cbc"
    ),
]


def play(case: Case, keys: Keys, folder: Path, *options: str) -> None:
    server = Mallory(CHANNEL_DATA, lambda _: None)
    signs = ("--keepalive", "0.3", "--keepalive-count", "3")
    with victim_of(server, keys, folder, *signs, *options) as victim:
        assert "result" in victim.open()
        server.attack = case.attack
        (answer,) = victim.answers_to([victim.ask("next", "ping")], PROMPT)
        assert victim.look_at_memory() < MOST_MEMORY
        if "--no-reconnect" in options:
            assert case.said in answer["error"]["message"]
            victim.end(1)
        else:
            assert "result" in answer, answer
            assert case.said in victim.log
            call(victim, "last")
            victim.end(0)


@pytest.mark.parametrize("case", EXCHANGES, ids=lambda case: case.name)
def test_a_key_exchange_of(case: Case, keys: Keys, tmp_path: Path) -> None:
    """It ends the connection, and calls wait for the next one."""
    play(case, keys, tmp_path)


@pytest.mark.parametrize("case", EXCHANGES, ids=lambda case: case.name)
def test_without_a_reconnect_calls_get_the_reason_in_a_key_exchange_of(
    case: Case, keys: Keys, tmp_path: Path
) -> None:
    play(case, keys, tmp_path, "--no-reconnect")


def test_another_host_key_in_the_middle_ends_the_connection(keys: Keys, tmp_path: Path) -> None:
    def attack(server: Mallory) -> None:
        server.everything.add_server_key(keys["ed25519 mallory"])
        server.beside(new_keys)

    case = Case("another host key", attack, "the host key changed within the connection")
    play(case, keys, tmp_path, "--no-reconnect")


@pytest.mark.parametrize("options", [(), ("--no-reconnect",)], ids=["reconnect", "none"])
def test_a_key_exchange_without_an_end_is_given_up_whatever_signs_of_life_there_are(
    options: tuple[str, ...], keys: Keys, tmp_path: Path
) -> None:
    """Calls that cannot be sent meanwhile are answered as any that wait for a connection."""
    under_way = threading.Event()

    def live(server: Mallory) -> None:
        while not server.over.wait(0.1):
            server.send(IGNORE, "")

    def begin(server: Mallory) -> object:
        sock = server.sock
        server.send_payload(kexinit())
        sock.recv(1)  # of the answer, behind which nothing else may be sent
        under_way.set()
        server.beside(live)
        return server.say_nothing_more()

    server = Mallory(CHANNEL_DATA, lambda _: None)
    with victim_of(server, keys, tmp_path, *options, patience="1.5") as victim:
        assert "result" in victim.open()
        server.attack = begin
        sent = victim.ask("sent", "ping")
        assert under_way.wait(ENOUGH)
        for answer in victim.answers_to([sent, victim.ask("waiting", "ping")], PROMPT):
            if options:
                assert "does not finish the key exchange" in answer["error"]["message"]
            else:
                assert "result" in answer, answer
        victim.end(1 if options else 0)
