"""Invalid lines of the remote, and the messages that are salvaged from them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from m2m_ssh_client.proxy.memory.session import Session


def answer(id_: Any, text: str = "x") -> bytes:
    result = {"content": [{"type": "text", "text": text}]}
    return json.dumps({"jsonrpc": "2.0", "id": id_, "result": result}).encode()


def asking(*ids: int | str) -> Session:
    """Return a session in which these requests are open."""
    session = Session()
    session.connected()
    session.from_host(
        [json.dumps({"jsonrpc": "2.0", "id": id_, "method": "tools/call"}).encode() for id_ in ids],
        0,
    )
    return session


ONE, TWO = answer(1), answer(2)
ASK = b'{"jsonrpc":"2.0","id":9,"method":"roots/list"}'
CERTAIN = [
    (b"\rDownloading 100%\r" + ONE, [ONE]),
    (b"\x1b]0;building\x07" + ONE + b"\x1b[0m", [ONE]),
    (b"Password: " + ONE, [ONE]),
    (ONE + b" (4 ms)", [ONE]),
    (ONE + TWO, [ONE, TWO]),
    (ONE + b"\r\r" + TWO + b"{}", [ONE, TWO]),
    (b"{ready}" + ONE, [ONE]),
    (b"> " + ASK, [ASK]),
    (b"\xef\xbb\xbf" + ONE, [ONE]),
    (b"noise " + answer(1, "x" * 2_000_000) + b" noise", [answer(1, "x" * 2_000_000)]),
    (ONE.replace(b'"x"', b'"caf\xe9"'), [ONE.replace(b'"x"', '"caf�"'.encode())]),
]


@pytest.mark.parametrize(("line", "messages"), CERTAIN, ids=lambda value: str(value)[:40])
def test_a_message_is_found_among_other_text(line: bytes, messages: list[bytes]) -> None:
    assert asking(1, 2).from_remote([line]).to_host == messages


BROKEN = [
    (answer(1).replace(b'"x"', b"NaN"), [1]),
    (answer(1).replace(b'"x"', b'"a\tb"'), [1]),
    (b"warn: " + answer(1).replace(b'"x"', b'"a\x00b"'), [1]),
    (answer(1)[:40], [1]),
    (answer(1)[:40] + TWO, [1, 2]),
    (ONE[:-1] + b',"x":NaN}' + b"\r" + TWO[:30], [1, 2]),
    (b'{"result":{"n":-Infinity},"jsonrpc":"2.0","id":1}', [1]),
    (b'{"id":1,"result":{}}', [1]),
    (answer("1").replace(b'"x"', b"NaN"), [1]),
    (answer(1, "x" * 2_000_000)[:-3], [1]),
]


@pytest.mark.parametrize(("line", "ids"), BROKEN, ids=lambda value: str(value)[:60])
def test_an_answer_that_cannot_be_read_is_an_error_at_once(line: bytes, ids: list[int]) -> None:
    session = asking(1, 2)
    replies = [json.loads(reply) for reply in session.from_remote([line]).to_host]
    assert [reply["id"] for reply in replies] == ids
    assert all("not valid JSON-RPC" in reply["error"]["message"] for reply in replies)
    assert session.pending == 2 - len(ids)


CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"x":"y"}}'
NOISE = [
    b"DEBUG received " + CALL,
    b"DEBUG received " + CALL[:60] + b"...",
    b'DEBUG received {"jsonrpc":"2.0","method":"notifications/cancelled"}',
    b'{"level":"error","id":1,"error":"no such file"}',
    b'{"level":"info","id":1,"msg":{"jsonrpc":"2.0","id":1,"result":{}}}',
    b"sent " + answer(3),
    b"[1] {1: 2}",
    b'{"jsonrpc":"2.0","id":12',
    b'{"id":' * 100_000,
]


@pytest.mark.parametrize("line", NOISE, ids=lambda value: str(value)[:60])
def test_a_message_that_a_server_logs_to_stdout_is_not_an_answer(line: bytes) -> None:
    session = asking(1, 12)
    assert session.from_remote([line]).to_host == []
    assert session.pending == 2


def test_the_text_around_a_message_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    session = asking(1)
    session.from_remote([b"Downloading {" + ONE])
    assert "skipped a line" in caplog.text


def test_a_salvaged_answer_closes_its_request() -> None:
    session = asking(1)
    session.from_remote([b"\r" + ONE])
    assert session.pending == 0
    assert session.from_remote([ONE]).to_host == []
