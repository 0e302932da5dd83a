"""The session as scripts: a line arrives, and other lines must leave."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2m_ssh_client.proxy.memory.session import HOLD_LIMIT, Session, State


def request(id_: int | str, method: str = "tools/call", **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id_, "method": method, "params": params}).encode()


def answer(id_: int | str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id_, "result": {}}).encode()


def error_of(line: bytes) -> tuple[Any, int, str]:
    value = json.loads(line)
    return value["id"], value["error"]["code"], value["error"]["message"]


NOTE = b'{"jsonrpc":"2.0","method":"notifications/x"}'


def open_session() -> Session:
    session = Session()
    session.connected()
    return session


def test_frames_before_the_connection_are_held_and_sent_in_order() -> None:
    session = Session()
    assert session.from_host([request(1), NOTE], 0).to_remote == []
    assert session.from_host([request(2)], 0).to_remote == []
    assert session.pending == 2
    assert session.connected().to_remote == [request(1), NOTE, request(2)]


def test_lines_pass_both_ways_byte_for_byte() -> None:
    session = open_session()
    odd = b' {"method" : "x/\\u0079", "jsonrpc":"2.0","id":"\\u00fc","params":{"n":1.0e5}} \r'
    assert session.from_host([odd], 0).to_remote == [odd]
    server_request = b'{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage"}'
    back = [server_request, NOTE, answer("ü")]
    assert session.from_remote(back).to_host == back
    assert session.pending == 0


def test_a_server_request_with_the_id_of_a_host_request_does_not_answer_it() -> None:
    session = open_session()
    session.from_host([request(1)], 0)
    session.from_remote([request(1, "roots/list")])
    assert session.pending == 1


def test_a_batch_counts_each_request_and_each_answer() -> None:
    session = open_session()
    batch = b"[" + request(1) + b"," + request(2) + b"]"
    assert session.from_host([batch], 0).to_remote == [batch]
    assert session.pending == 2
    session.from_remote([b"[" + answer(2) + b"]"])
    assert session.pending == 1


BAD_HOST_LINES = [
    (b"hello", -32700),
    (b"{", -32700),
    (b'{"a":"\xff"}', -32700),
    (b"[]", -32600),
    (b"null", -32600),
    (b'{"id":1,"method":"x"}', -32600),
    (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"caf\xe9"}}', -32700),
    (b'{"jsonrpc":"2.0","id":1.5,"method":"x"}', -32600),
    (b'{"jsonrpc":"2.0","id":null,"method":"x"}', -32600),
]


@pytest.mark.parametrize(("line", "code"), BAD_HOST_LINES)
@pytest.mark.parametrize("connected", [True, False])
def test_a_bad_line_of_the_host_is_answered_and_the_rest_goes_on(
    line: bytes, code: int, connected: bool
) -> None:
    session = open_session() if connected else Session()
    output = session.from_host([line, request(2)], 0)
    named = 1 if b'"id":1,' in line else None
    assert [error_of(reply)[:2] for reply in output.to_host] == [(named, code)]
    assert output.to_remote == ([request(2)] if connected else [])


@pytest.mark.parametrize("id_", [b"1", b'"1"'])
@pytest.mark.parametrize("connected", [True, False])
def test_a_bad_line_under_the_id_of_a_request_that_waits_is_not_refused_under_it(
    id_: bytes, connected: bool
) -> None:
    session = open_session() if connected else Session()
    session.from_host([request(1)], 0)
    output = session.from_host([b'{"jsonrpc":"2.0","id":%b,"method":"x"]' % id_], 0)
    assert [error_of(reply)[:2] for reply in output.to_host] == [(None, -32700)]


def test_blank_lines_are_ignored(caplog: pytest.LogCaptureFixture) -> None:
    session = open_session()
    output = session.from_host([b"", b"  ", b"\r"], 0)
    assert (output.to_host, output.to_remote) == ([], [])
    assert session.from_remote([b"", b"\r"]).to_host == []
    assert caplog.records == []


@pytest.mark.parametrize(
    "stray", [b"Last login: today", b"null", b"[1,2]", b"\xff\xfe", b'{"level":"info"}']
)
def test_stray_output_of_the_remote_is_skipped_and_logged(
    stray: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    session = open_session()
    session.from_host([request(1)], 0)
    with caplog.at_level(logging.WARNING):
        session.from_host([request(1)], 0)
    assert session.from_remote([stray, answer(1), stray]).to_host == [answer(1)]
    assert len(caplog.records) == 2
    assert [".bashrc" in record.getMessage() for record in caplog.records] == [True, False]


def test_an_answer_to_no_open_request_is_not_delivered() -> None:
    session = open_session()
    session.from_host([request(1)], 0)
    unasked = [
        answer(2),
        b'{"jsonrpc":"2.0","id":"2","result":{}}',
        b'{"jsonrpc":"2.0","id":true,"result":{}}',
    ]
    assert session.from_remote([*unasked, answer(1), answer(1)]).to_host == [answer(1)]
    refusal = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}'
    assert session.from_remote([refusal]).to_host == [refusal]


def test_an_answer_that_is_not_valid_json_becomes_an_error_for_its_request() -> None:
    session = open_session()
    session.from_host([request(7)], 0)
    output = session.from_remote([b'{"jsonrpc":"2.0","id":7,"result":{"mean":NaN}}'])
    assert [error_of(line)[:2] for line in output.to_host] == [(7, -32000)]
    assert "NaN" in error_of(output.to_host[0])[2]
    assert session.pending == 0


def test_an_unexpected_answer_is_dropped_but_not_an_error_without_an_id() -> None:
    session = open_session()
    no_id = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"?"}}'
    session.from_host([request(1)], 0)
    output = session.from_remote([answer(2), answer(1), answer(1), no_id])
    assert output.to_host == [answer(1), no_id]


def test_only_the_expected_messages_of_a_batch_are_delivered() -> None:
    session = open_session()
    session.from_host([request(1)], 0)
    batch = b"[" + b",".join([answer(1), NOTE, answer(2), answer(1)]) + b"]"
    assert session.from_remote([batch]).to_host == [b"[" + answer(1) + b"," + NOTE + b"]"]
    assert session.from_remote([b"[" + answer(1) + b"]"]).to_host == []


def test_a_server_may_turn_a_numeric_id_into_a_string() -> None:
    session = open_session()
    session.from_host([request(1), request(2), request("2")], 0)
    assert session.from_remote([answer("1")]).to_host == [answer("1")]
    assert session.from_remote([answer("1"), answer("01x"), answer("²")]).to_host == []
    assert session.from_remote([answer("2"), answer("2")]).to_host == [answer("2"), answer("2")]
    assert session.pending == 0


def test_a_request_answered_before_it_was_sent_is_not_sent_again() -> None:
    session = Session()
    session.from_host([request(1)], 0)
    sent = session.connected().to_remote
    assert session.from_remote([answer(1)]).to_host == [answer(1)]
    assert session.lost("gone", sent, 1).to_host == []  # not a byte of it left
    assert session.connected().to_remote == []
    assert session.pending == 0


def test_a_failure_answers_every_open_and_every_later_request_once() -> None:
    session = open_session()
    session.from_host([request(1), request("1"), request(2), NOTE], 0)
    session.from_remote([answer(2)])
    replies = [error_of(line) for line in session.failed("It broke").to_host]
    assert [(id_, code) for id_, code, _ in replies] == [(1, -32000), ("1", -32000)]
    assert all("may or may not have run" in message for _, _, message in replies)
    assert session.failed("It broke").to_host == []
    late = session.from_host([request(3), NOTE, answer(9)], 0)
    assert [error_of(line) for line in late.to_host] == [(3, -32000, "It broke")]
    assert late.to_remote == []


def test_unsent_requests_are_answered_with_the_reason_alone() -> None:
    session = Session()
    session.from_host([request(1), NOTE], 0)
    assert [error_of(line) for line in session.failed("No route").to_host] == [
        (1, -32000, "No route")
    ]
    assert session.pending == 0


def test_the_session_is_full_while_too_many_bytes_are_held() -> None:
    session = Session()
    line = request(1, text="x" * (HOLD_LIMIT // 2))
    session.from_host([line], 0)
    assert not session.full
    session.from_host([line], 0)
    assert session.full
    session.connected()
    assert not session.full


INITIALIZE = request(0, "initialize", clientInfo={"name": "$(touch /x); `rm`"})


CANCEL = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}'


def test_towards_a_shell_every_line_passes_in_safe_spelling() -> None:
    session = Session(may_be_shell=True)
    call = request(1, text="$(reboot); `rm` & > <")
    session.from_host([NOTE, INITIALIZE], 0)
    sent = session.connected().to_remote
    sent += session.from_host([call, CANCEL, b"[" + call + b"]"], 0).to_remote
    assert session.state is State.GUARDED
    said = [NOTE, INITIALIZE, call, CANCEL, b"[" + call + b"]"]
    assert list(map(json.loads, sent)) == list(map(json.loads, said))
    assert not set(b"".join(sent)) & set(b"$`;()<>&/*?!'#~|")
    assert all(b" " not in b"".join(line.split(b'"')[0::2]) for line in sent)


def test_a_possible_shell_that_is_a_server_gets_everything_in_order() -> None:
    session = Session(may_be_shell=True)
    session.connected()
    session.from_host([INITIALIZE], 0)
    assert session.from_remote([b"Welcome to the jungle"]).to_remote == []
    output = session.from_remote([answer(0)])
    assert output.to_host == [answer(0)]
    assert session.state is State.OPEN
    assert session.from_host([NOTE, request(1)], 0).to_remote == [NOTE, request(1)]


def test_after_a_shell_request_a_server_silent_on_discover_still_gets_the_initialize() -> None:
    session = Session(may_be_shell=True)
    session.connected()
    assert len(session.from_host([request(0, "server/discover")], 0).to_remote) == 1
    assert len(session.from_host([request(1, "initialize")], 0).to_remote) == 1


def test_after_a_shell_request_unicode_line_breaks_are_escaped_for_the_peer_server() -> None:
    session = Session(may_be_shell=True)
    session.connected()
    session.from_host([INITIALIZE], 0)
    session.from_remote([answer(0)])
    line = '{"jsonrpc":"2.0","id":1,"method":"x","params":{"t":"a\u2028b\u0085"}}'.encode()
    sent = session.from_host([line], 0).to_remote[0]
    assert len(sent.decode().splitlines()) == 1
    assert json.loads(sent) == json.loads(line)
    assert open_session().from_host([line], 0).to_remote == [line]


Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "answer", "stray", "note", "connect", "fail", "bad"]),
        st.integers(0, 5),
    ),
    max_size=30,
)


@given(STEPS, st.booleans())
def test_whatever_happens_each_request_gets_exactly_one_answer(
    steps: list[Step], shell: bool
) -> None:
    session = Session(may_be_shell=shell)
    asked: list[int] = []
    answered: list[int] = []
    at_remote: list[int] = []
    next_id = 0

    def take(output: Any) -> None:
        answered.extend(
            value["id"]
            for value in map(json.loads, output.to_host)
            if "method" not in value and value["id"] is not None
        )
        at_remote.extend(
            value["id"] for value in map(json.loads, output.to_remote) if "id" in value
        )

    for step, number in [*steps, ("fail", 0)]:
        if step == "ask":
            method = "initialize" if number == 0 else "tools/call"
            asked.append(next_id)
            take(session.from_host([request(next_id, method)], 0))
            next_id += 1
        elif step == "answer" and at_remote and session.state is not State.FAILED:
            take(session.from_remote([answer(at_remote.pop(number % len(at_remote)))]))
        elif step == "stray" and session.state not in (State.CONNECTING, State.FAILED):
            take(session.from_remote([b"stray"]))
        elif step == "note":
            take(session.from_host([NOTE], 0))
        elif step == "connect" and session.state is State.CONNECTING:
            take(session.connected())
        elif step == "bad":
            take(session.from_host([b"}"], 0))
        elif step == "fail":
            take(session.failed("over"))
    assert sorted(answered) == sorted(asked)
