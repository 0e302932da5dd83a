"""The agent's protocol: with a real ssh-agent, and with one that answers what it should not."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import paramiko
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import programs
from support.examples import examples

if sys.platform == "win32":
    pytest.skip("UNIX sockets", allow_module_level=True)

from support.fake_agent import (
    FAILURE,
    IDENTITIES_ANSWER,
    SIGN_RESPONSE,
    Answer,
    FakeAgent,
    SecurityKey,
    holding,
    wire,
)
from support.ssh_agent import SshAgent

from m2m_ssh_client.ssh.login import agent as agent_module
from m2m_ssh_client.ssh.login.agent import Agent, AgentError
from m2m_ssh_client.ssh.public_key import PublicKey

ENOUGH = 10.0  # seconds
ED25519 = PublicKey("ssh-ed25519", wire(b"ssh-ed25519", b"\1" * 32))


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key of each kind, and a user certificate for each."""
    folder = tmp_path_factory.mktemp("keys")

    def keygen(*arguments: str) -> None:
        ssh_keygen = str(programs.require("ssh-keygen"))
        subprocess.run(
            [ssh_keygen, "-q", *arguments], check=True, timeout=60, capture_output=True, cwd=folder
        )

    keygen("-t", "ed25519", "-N", "", "-f", "ca")
    for kind, bits in (("ed25519", "256"), ("ecdsa", "384"), ("rsa", "2048")):
        keygen("-t", kind, "-b", bits, "-N", "", "-C", f"my {kind} key", "-f", kind)
        keygen("-s", "ca", "-I", "me", "-n", "me", f"{kind}.pub")
    return folder


@pytest.fixture
def ssh_agent() -> Iterator[SshAgent]:
    with SshAgent() as agent:
        yield agent


def public(path: Path) -> PublicKey:
    return PublicKey.parse(path.read_bytes())


@pytest.mark.interop
def test_keys_and_certificates_are_listed_as_the_agent_holds_them(
    ssh_agent: SshAgent, folder: Path
) -> None:
    ssh_agent.add(folder / "ed25519", folder / "rsa")
    with Agent(ssh_agent.path, never) as agent:
        keys = agent.keys()
    names = ["ed25519.pub", "ed25519-cert.pub", "rsa.pub", "rsa-cert.pub"]
    assert [key.public for key in keys] == [public(folder / name) for name in names]
    assert [key.comment for key in keys[::2]] == ["my ed25519 key", "my rsa key"]


SIGNATURES = [
    ("ed25519.pub", "ssh-ed25519"),
    ("ed25519-cert.pub", "ssh-ed25519"),
    ("ecdsa.pub", "ecdsa-sha2-nistp384"),
    ("ecdsa-cert.pub", "ecdsa-sha2-nistp384"),
    ("rsa.pub", "rsa-sha2-256"),
    ("rsa.pub", "rsa-sha2-512"),
    ("rsa-cert.pub", "rsa-sha2-256"),
    ("rsa-cert.pub", "rsa-sha2-512"),
]


@pytest.mark.interop
@pytest.mark.parametrize(("name", "algorithm"), SIGNATURES)
def test_the_agent_signs_by_the_algorithm_that_is_asked_for(
    name: str, algorithm: str, ssh_agent: SshAgent, folder: Path
) -> None:
    ssh_agent.add(folder / name.replace("-cert", "").removesuffix(".pub"))
    key = public(folder / name)
    with Agent(ssh_agent.path, never) as agent:
        signature = agent.sign(key, b"data", algorithm)
    message = paramiko.Message(signature)
    assert message.get_text() == algorithm
    verifier = paramiko.PKey.from_type_string(key.plain.key_type, key.plain.blob)
    assert verifier.verify_ssh_sig(b"data", paramiko.Message(signature))


@pytest.mark.interop
def test_a_locked_agent_shows_nothing_and_signs_nothing(ssh_agent: SshAgent, folder: Path) -> None:
    ssh_agent.add(folder / "ed25519")
    with Agent(ssh_agent.path, never) as agent:
        ssh_agent.lock("x")
        assert agent.keys() == []
        with pytest.raises(AgentError, match="refuses to sign"):
            agent.sign(public(folder / "ed25519.pub"), b"data", "ssh-ed25519")
        ssh_agent.unlock("x")
        assert len(agent.keys()) == 2


def test_where_no_agent_is_the_reason_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(AgentError, match="No such file"),
        Agent(str(tmp_path / "gone"), never) as agent,
    ):
        agent.keys()


def test_a_path_too_long_for_a_socket_is_an_agent_error(tmp_path: Path) -> None:
    with (
        pytest.raises(AgentError, match="too long"),
        Agent(str(tmp_path / ("x" * 200)), never) as a,
    ):
        a.keys()


def test_what_an_agent_calls_a_key_cannot_steer_a_terminal() -> None:
    answer = (
        IDENTITIES_ANSWER + (1).to_bytes(4, "big") + wire(ED25519.blob, b"\x1b[2J" + b"x" * 500)
    )
    with FakeAgent(lambda _: answer) as fake, Agent(fake.path, never) as agent:
        [key] = agent.keys()
    assert key.comment.startswith("\\x1b[2J")
    assert len(key.comment) <= 60


def test_one_broken_key_does_not_hide_the_others() -> None:
    listed = wire(b"\0\0\xff", b"broken", b"", b"empty", wire(b"\xff"), b"?", ED25519.blob, b"good")
    answer = IDENTITIES_ANSWER + (4).to_bytes(4, "big") + listed
    with FakeAgent(lambda _: answer) as fake, Agent(fake.path, never) as agent:
        keys = agent.keys()
    assert [key.public for key in keys] == [ED25519]


def test_a_security_key_is_listed_and_signs() -> None:
    key = SecurityKey()
    with FakeAgent(holding(key)) as fake, Agent(fake.path, never) as agent:
        [held] = agent.keys()
        assert held.public == PublicKey(key.key_type, key.blob)
        assert agent.sign(held.public, b"data", key.key_type) == key.sign(b"data")


BAD_LISTS = [
    ("refused", FAILURE, "does not tell its keys"),
    ("another answer", b"\x06", "does not tell its keys"),
    ("no count", IDENTITIES_ANSWER, "does not tell its keys"),
    ("cut count", IDENTITIES_ANSWER + b"\0\0", "does not tell its keys"),
    ("too many", IDENTITIES_ANSWER + b"\xff" * 4, "does not tell its keys"),
    ("2049", IDENTITIES_ANSWER + (2049).to_bytes(4, "big") + wire(b"") * 4098, "tell its keys"),
    ("fewer than said", IDENTITIES_ANSWER + b"\0\0\0\2" + wire(ED25519.blob, b""), "malformed"),
    ("cut", IDENTITIES_ANSWER + b"\0\0\0\1" + wire(ED25519.blob)[:-1], "malformed"),
    ("nothing", b"raw", "impossible length: 1918990080"),
    ("hung up", None, "hung up"),
]


@pytest.mark.parametrize(
    ("answer", "words"), [case[1:] for case in BAD_LISTS], ids=[case[0] for case in BAD_LISTS]
)
def test_a_bad_list_of_keys_is_an_agent_error(answer: bytes | None, words: str) -> None:
    said = b"raw\0" if answer == b"raw" else answer
    with FakeAgent(lambda _: said) as fake, Agent(fake.path, never) as agent:
        words = words.replace("1918990080", str(int.from_bytes(b"raw\0", "big")))
        with pytest.raises(AgentError, match=words):
            agent.keys()


SIGNED = wire(wire(b"ssh-ed25519", b"s" * 64))
BAD_SIGNATURES = [
    ("refused", FAILURE, "refuses to sign"),
    ("another answer", b"\x06" + SIGNED, "signs with"),
    ("SHA-1", SIGN_RESPONSE + wire(wire(b"ssh-rsa", b"s")), "signs with ssh-rsa, not ssh-ed25519"),
    ("empty", SIGN_RESPONSE, "malformed"),
    ("no type", SIGN_RESPONSE + wire(b""), "malformed"),
    ("cut", SIGN_RESPONSE + SIGNED[:-1], "malformed"),
    ("hung up", None, "hung up"),
]


@pytest.mark.parametrize(
    ("answer", "words"),
    [case[1:] for case in BAD_SIGNATURES],
    ids=[case[0] for case in BAD_SIGNATURES],
)
def test_a_bad_signature_is_an_agent_error(answer: bytes | None, words: str) -> None:
    with (
        FakeAgent(lambda _: answer) as fake,
        Agent(fake.path, never) as agent,
        pytest.raises(AgentError, match=words),
    ):
        agent.sign(ED25519, b"data", "ssh-ed25519")


@examples(50)
@given(st.binary(min_size=1, max_size=200))
def test_no_answer_raises_anything_but_an_agent_error(answer: bytes) -> None:
    with FakeAgent(lambda _: answer) as fake:
        with Agent(fake.path, never) as agent, suppress(AgentError):
            agent.keys()
        with Agent(fake.path, never) as agent, suppress(AgentError):
            agent.sign(ED25519, b"data", "ssh-ed25519")


def test_an_answer_may_come_byte_by_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(stream: agent_module._Stream, size: int) -> bytes:
        return b"".join(receive(stream, 1) for _ in range(size))

    receive = agent_module._receive
    monkeypatch.setattr(agent_module, "_receive", slowly)
    with FakeAgent(holding(SecurityKey())) as fake, Agent(fake.path, never) as agent:
        assert len(agent.keys()) == 1


def hanging(until: threading.Event) -> Answer:
    def answer(_: bytes) -> None:
        until.wait(20)

    return answer


def test_an_agent_that_hangs_is_given_up_once_and_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_module, "_PROMPT", 0.2)
    end = threading.Event()
    with FakeAgent(hanging(end)) as fake, Agent(fake.path, never) as agent:
        with pytest.raises(AgentError, match="does not answer"):
            agent.keys()
        for thread in threading.enumerate():  # nobody is left waiting for it
            if thread.name == "m2m-agent":
                thread.join(5)
                assert not thread.is_alive()
        monkeypatch.setattr(agent_module, "_PROMPT", ENOUGH)
        began = time.monotonic()
        with pytest.raises(AgentError, match="does not answer"):
            agent.keys()
        assert time.monotonic() - began < ENOUGH / 2
        end.set()


def test_a_signature_that_somebody_has_to_confirm_is_awaited_until_the_connection_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agent_module, "_PROMPT", 0.0)  # which is for other requests
    end, asked = threading.Event(), threading.Event()

    def answer(_: bytes) -> None:
        asked.set()
        end.wait(20)

    with FakeAgent(answer) as fake, Agent(fake.path, asked.is_set) as agent:
        began = time.monotonic()
        with pytest.raises(AgentError, match="does not answer"):
            agent.sign(ED25519, b"data", "ssh-ed25519")
        assert time.monotonic() - began < 5
        end.set()


def test_an_agent_that_hangs_up_on_what_it_does_not_know_is_asked_again() -> None:
    def answer(request: bytes) -> bytes | None:
        return None if request[0] == 27 else holding(SecurityKey())(request)

    with FakeAgent(answer) as fake, Agent(fake.path, never) as agent:
        with pytest.raises(AgentError):
            agent.bind(b"key", b"session", b"signature")
        assert len(agent.keys()) == 1
