"""A conversation and its faults: noise, silence, echoes, ends, lines that are too long."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from m2m_ssh_client.conversation import Conversation, EndedError, RefusedError, read_all
from m2m_ssh_client.errors import NotMCPError, RemoteExitError, SSHClientError
from m2m_ssh_client.flow.remote_stdio import Receiver

Answer = Callable[[dict[str, Any]], list[bytes]]


class Far:
    """A peer that answers each message at once, in pieces, and floods whatever room there is."""

    def __init__(self, answer: Answer = lambda _: [], flood: bytes = b"") -> None:
        self.written: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.receiver: Receiver | None = None
        self._answer = answer
        self._flood = flood

    def start(self, receiver: Receiver) -> None:
        self.receiver = receiver
        if self._flood:
            receiver.stdout(self._flood)

    def grant(self, size: int) -> None:  # noqa: ARG002 - the protocol's
        if self._flood and self.receiver is not None:
            self.receiver.stdout(self._flood)

    def write(self, data: bytes | memoryview) -> None:
        assert self.receiver is not None
        self.raw.append(bytes(data))
        message = json.loads(bytes(data))
        self.written.append(message)
        for piece in self._answer(message):
            self.receiver.stdout(piece)

    def write_now(self, data: bytes) -> bool:
        self.write(data)
        return True

    def write_some(self, data: bytes) -> int:
        self.write(data)
        return len(data)

    def close_write(self) -> None:
        if self.receiver is not None:
            self.receiver.ended()

    def signal(self, name: str) -> None: ...

    def ending(self) -> SSHClientError:
        return RemoteExitError("ended")

    def close(self) -> None: ...


def talk(far: Far, patience: float = 5.0, *, guarded: bool = False) -> Conversation:
    return Conversation(far, patience, guarded=guarded, longest=1000)


def line(**members: object) -> bytes:
    return json.dumps({**members, "jsonrpc": "2.0"}).encode() + b"\n"


def test_what_never_ends_is_given_up_in_time() -> None:
    conversation = talk(Far(flood=b"y\n" * 100), patience=0.3)
    with pytest.raises(NotMCPError, match=r"No answer to x within 0\.3 s"):
        conversation.ask("x")
    conversation.hear_out()
    assert conversation.noise == ["y"] * 20
    conversation.end()


def test_a_line_that_is_too_long_and_never_ends_is_told_once() -> None:
    conversation = Conversation(Far(flood=b"y" * 100), 5, guarded=False, longest=1000)
    with pytest.raises(NotMCPError, match="longer than 1000 bytes"):
        conversation.ask("x")
    conversation.hear_out()
    conversation.end()


def test_nobody_is_asked_who_has_ended() -> None:
    far = Far()
    conversation = talk(far, patience=60)
    far.close_write()
    for _ in range(2):
        with pytest.raises(EndedError):
            conversation.ask("x")
    assert len(far.written) == 1


def test_an_answer_may_come_in_pieces_behind_others() -> None:
    def answer(message: dict[str, Any]) -> list[bytes]:
        data = line(id=99, result={}) + line(method="notifications/x")
        data += line(id=message["id"], result={"ü": 1})
        return [data[at : at + 1] for at in range(len(data))]

    assert talk(Far(answer)).ask("x") == {"ü": 1}


def test_questions_of_the_server_are_answered() -> None:
    def answer(message: dict[str, Any]) -> list[bytes]:
        if "method" not in message:
            return []
        asks = [line(id="p", method="ping"), line(id="r", method="roots/list")]
        return [*asks, line(id=message["id"], result={})]

    far = Far(answer)
    talk(far).ask("x")
    assert far.written[1:] == [
        {"jsonrpc": "2.0", "id": "p", "result": {}},
        {"jsonrpc": "2.0", "id": "r", "error": {"code": -32601, "message": "Method not found"}},
    ]


def test_notifications_are_handed_on_and_not_answered() -> None:
    def answer(message: dict[str, Any]) -> list[bytes]:
        return [line(method="notifications/x", params={}), line(id=message["id"], result={})]

    heard: list[dict[str, Any]] = []
    far = Far(answer)
    conversation = Conversation(far, 5, guarded=False, longest=1000, notified=heard.append)
    conversation.ask("x")
    assert heard == [{"jsonrpc": "2.0", "method": "notifications/x", "params": {}}]
    assert len(far.written) == 1


def test_an_echo_is_no_server() -> None:
    with pytest.raises(NotMCPError, match="sends back what it gets"):
        talk(Far(lambda message: [line(**message)])).ask("initialize")


def test_a_refusal_is_told_with_its_code_and_harmlessly() -> None:
    error = {"code": -32000, "message": "no\x1b[2J"}
    with pytest.raises(RefusedError, match=r"no\\x1b\[2J \(-32000\)"):
        talk(Far(lambda message: [line(id=message["id"], error=error)])).ask("x")


@pytest.mark.parametrize(
    "odd",
    [
        b'{"jsonrpc":"2.0","method":"x","params":{"n":' + b"9" * 900 + b"}}",
        b'{"jsonrpc":"2.0","method":"x","params":' + b"[" * 400 + b"]" * 400 + b"}",
        b"[]",
        b'{"jsonrpc":"1.0"}',
        b"\xff",
    ],
)
def test_odd_lines_do_not_come_between(odd: bytes) -> None:
    far = Far(lambda message: [odd + b"\n", line(id=message["id"], result={"ok": 1})])
    assert talk(far).ask("x") == {"ok": 1}


def test_a_line_that_is_too_long_is_no_message() -> None:
    with pytest.raises(NotMCPError, match="longer than 1000 bytes"):
        talk(Far(lambda _: [b"x" * 1100])).ask("x")


def test_the_end_is_the_end() -> None:
    far = Far()
    conversation = talk(far)
    far.close_write()
    with pytest.raises(EndedError):
        conversation.ask("x")


def test_only_the_first_request_towards_a_shell_is_spelt_safely() -> None:
    far = Far(lambda message: [line(id=message["id"], result={})])
    conversation = talk(far, guarded=True)
    conversation.ask("a/b", {"x": "$(id)"})
    conversation.ask("a/b", {"x": "$(id)"})
    first, second = far.raw
    assert b"$(id)" not in first
    assert b"a/b" in second
    assert far.written[0]["params"] == far.written[1]["params"] == {"x": "$(id)"}


def test_the_output_of_a_short_command_is_read_so_far_and_no_further() -> None:
    assert read_all(Far(flood=b"x" * 10), 5.0, 7) == b"x" * 7
    assert read_all(Far(flood=b"x" * 10), 0.1, 100) == b"x" * 10


def test_what_is_said_on_stderr_counts_up_to_the_first_message() -> None:
    far = Far(lambda message: [line(id=message["id"], result={})])
    conversation = talk(far)
    assert far.receiver is not None
    far.receiver.stderr(b"one\n\ntwo\x1b[2J\nha")
    far.receiver.stderr(b"lf\n")
    conversation.ask("x")
    far.receiver.stderr(b"later\n")
    conversation.ask("x")
    assert conversation.stderr == ["one", "two\\x1b[2J", "half"]
    assert conversation.stderr_count == 3
