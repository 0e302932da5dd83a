"""Difficult orders of events: cancelled requests, restored state, servers that end repeatedly."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from proxy.memory.test_session_survival import (
    HELLO,
    answer,
    decoded,
    legacy_session,
    line,
    methods,
    reconnect,
    request,
)

from m2m_ssh_client.proxy.memory.session import Output, Session, State


def cancel(id_: Any) -> bytes:
    return line(method="notifications/cancelled", params={"requestId": id_})


def batch(*lines: bytes) -> bytes:
    return b"[" + b",".join(lines) + b"]"


def error(id_: Any) -> bytes:
    return line(id=id_, error={"code": -32602, "message": "no"})


def ids(lines: list[bytes]) -> list[Any]:
    return [value["id"] for value in decoded(lines) if "method" not in value]


# Cancelled requests (modelcontextprotocol.io, "Cancellation")


@pytest.mark.parametrize("method", ["tools/call", "resources/read"])
def test_a_cancelled_request_is_neither_answered_nor_repeated(method: str) -> None:
    session = legacy_session()
    session.from_host([request(1, method)], 0)
    assert session.from_host([cancel(1)], 0).to_remote == [cancel(1)]
    assert session.pending == 0
    assert session.lost("gone", [], 1).to_host == []
    assert methods(reconnect(session).to_remote) == ["notifications/initialized"]
    assert session.failed("over").to_host == []


def test_a_cancelled_harmless_call_is_not_run_again() -> None:
    session = legacy_session(retry_tool_calls=True)
    tools = {"tools": [{"name": "t", "annotations": {"readOnlyHint": True}}]}
    session.from_host([request(1, "tools/list")], 0)
    session.from_remote([answer(1, tools)])
    session.from_host([request(2, name="t"), cancel(2)], 0)
    session.lost("gone", [], 1)
    assert methods(reconnect(session).to_remote) == ["notifications/initialized"]


def test_a_late_answer_to_a_cancelled_request_is_dropped() -> None:
    session = legacy_session()
    session.from_host([request(1), cancel(1)], 0)
    assert session.from_remote([answer(1)]).to_host == []


@pytest.mark.parametrize("sent", [True, False])
def test_a_request_cancelled_while_held_leaves_nothing_behind(sent: bool) -> None:
    session = legacy_session()
    if sent:
        session.from_host([request(1, "resources/read")], 0)
    session.lost("gone", [], 1)
    if not sent:
        session.from_host([request(1, "resources/read")], 2)
    output = session.from_host([cancel(1)], 3)
    assert output == Output()
    assert session.next_expiry == float("inf")
    assert methods(reconnect(session).to_remote) == ["notifications/initialized"]


def test_an_unsent_cancellation_is_not_sent_to_the_next_server() -> None:
    session = legacy_session()
    sent = session.from_host([request(1, "resources/read"), cancel(1)], 0).to_remote
    assert session.lost("gone", sent, 1).to_host == []
    assert methods(reconnect(session).to_remote) == ["notifications/initialized"]


def test_a_cancellation_of_a_request_that_ended_with_the_last_server_is_not_sent_to_the_next() -> (
    None
):
    session = legacy_session()
    session.from_host([request(1)], 0)
    session.lost("gone", [], 1)
    assert session.from_host([cancel(1)], 2) == Output()
    assert methods(reconnect(session).to_remote) == ["notifications/initialized"]


def test_an_initialize_cannot_be_cancelled() -> None:
    session = Session()
    session.connected()
    session.from_host([request(1, "initialize"), cancel(1)], 0)
    assert session.from_remote([answer(1, HELLO)]).to_host == [answer(1, HELLO)]


def test_one_request_of_a_batch_can_be_cancelled() -> None:
    session = legacy_session()
    session.lost("gone", [], 1)
    session.from_host([batch(request(1), request(2)), cancel(1)], 2)
    assert reconnect(session).to_remote[-1] == request(2)


def test_a_request_that_its_own_batch_calls_back_is_neither_sent_nor_answered() -> None:
    session = legacy_session()
    session.lost("gone", [], 1)
    session.from_host([batch(request(1), request(2), cancel(1))], 2)
    assert reconnect(session).to_remote[-1] == request(2)
    assert ids(session.failed("over").to_host) == [2]


def test_a_subscription_cancelled_during_the_outage_announces_nothing() -> None:
    session = Session()
    session.connected()
    listen = request(5, "subscriptions/listen", notifications={"toolsListChanged": True})
    session.from_host([listen], 0)
    acknowledged = line(
        method="notifications/subscriptions/acknowledged",
        params={"_meta": {"io.modelcontextprotocol/subscriptionId": 5}},
    )
    session.from_remote([acknowledged])
    session.lost("gone", [], 1)
    assert session.from_host([cancel(5)], 2) == Output()
    assert session.connected() == Output()


# Restored state


def set_level(id_: int, level: str, **meta: Any) -> bytes:
    return request(id_, "logging/setLevel", level=level, **({"_meta": meta} if meta else {}))


def subscribe(id_: int, uri: str = "a") -> bytes:
    return request(id_, "resources/subscribe", uri=uri)


def unsubscribe(id_: int, uri: str = "a") -> bytes:
    return request(id_, "resources/unsubscribe", uri=uri)


def restored(output: Output) -> list[tuple[str, Any]]:
    """Return the methods that a fresh server gets after the handshake, each with its value."""
    restoring = [value for value in decoded(output.to_remote) if "id" in value]
    return [(value["method"], next(iter(value["params"].values()))) for value in restoring]


LAST_WORDS = [
    ([set_level(1, "warning"), set_level(2, "debug")], [2], [("logging/setLevel", "debug")]),
    ([set_level(1, "warning"), set_level(2, "debug")], [], [("logging/setLevel", "debug")]),
    ([subscribe(1), unsubscribe(2)], [2], []),
    ([subscribe(1), unsubscribe(2)], [], []),
    ([subscribe(1), unsubscribe(2), subscribe(3)], [1], [("resources/subscribe", "a")]),
    ([subscribe(1)], [], [("resources/subscribe", "a")]),
    ([subscribe(1, "a"), subscribe(2, "b")], [1], [("resources/subscribe", u) for u in "ab"]),
]


@pytest.mark.parametrize("left", [True, False], ids=["sent", "unsent"])
@pytest.mark.parametrize(("said", "answered", "restoring"), LAST_WORDS)
def test_the_hosts_last_request_is_restored_once_and_answers_the_requests_that_waited(
    said: list[bytes], answered: list[int], restoring: list[tuple[str, Any]], left: bool
) -> None:
    session = legacy_session()
    sent = session.from_host(said, 0).to_remote
    session.from_remote([answer(id_) for id_ in answered])
    assert session.lost("gone", [] if left else sent, 1).to_host == []
    output = reconnect(session)
    assert restored(output) == restoring
    own = [value["id"] for value in decoded(output.to_remote) if "id" in value]
    replies = ids(output.to_host) + ids(session.from_remote([answer(id_) for id_ in own]).to_host)
    asked = [json.loads(each)["id"] for each in said]
    assert sorted(replies) == [id_ for id_ in asked if id_ not in answered]
    assert session.pending == 0


@pytest.mark.parametrize(("said", "_answered", "told"), LAST_WORDS)
def test_the_hosts_last_request_is_restored_once_from_an_unsent_batch(
    said: list[bytes], _answered: list[int], told: list[tuple[str, Any]]
) -> None:
    session = legacy_session()
    sent = session.from_host([batch(*said)], 0).to_remote
    session.lost("gone", sent, 1)
    output = reconnect(session)
    assert restored(output) == told
    own = [value["id"] for value in decoded(output.to_remote) if "id" in value]
    replies = ids(output.to_host) + ids(session.from_remote([answer(id_) for id_ in own]).to_host)
    assert sorted(replies) == [json.loads(each)["id"] for each in said]


@pytest.mark.parametrize(("said", "_answered", "told"), LAST_WORDS)
def test_the_hosts_last_request_is_restored_once_from_a_batch_that_was_sent(
    said: list[bytes], _answered: list[int], told: list[tuple[str, Any]]
) -> None:
    session = legacy_session()
    session.from_host([batch(*said)], 0)
    assert session.lost("gone", [], 1).to_host == []
    output = reconnect(session)
    assert restored(output) == told
    own = [value["id"] for value in decoded(output.to_remote) if "id" in value]
    replies = ids(output.to_host) + ids(session.from_remote([answer(id_) for id_ in own]).to_host)
    assert sorted(replies) == [json.loads(each)["id"] for each in said]


def test_only_the_reads_of_a_batch_that_was_sent_are_repeated() -> None:
    session = legacy_session()
    read, again = request(1, "resources/read", uri="a"), request(3, "tools/list")
    session.from_host([batch(read, request(2), again)], 0)
    (refused,) = decoded(session.lost("gone", [], 1).to_host)
    assert refused["id"] == 2
    assert "may or may not have run" in refused["error"]["message"]
    assert reconnect(session).to_remote[-2:] == [read, again]


def test_an_older_request_in_an_unsent_batch_does_not_follow_the_last_one() -> None:
    session = legacy_session()
    read = request(1, "resources/read", uri="a")
    said = [batch(read, set_level(2, "warning")), set_level(3, "debug")]
    session.lost("gone", session.from_host(said, 0).to_remote, 1)
    output = reconnect(session)
    assert restored(output) == [("logging/setLevel", "debug"), ("resources/read", "a")]
    assert output.to_remote[-1] == read


def test_a_fresh_servers_refusal_answers_the_request_that_waited() -> None:
    session = legacy_session()
    session.from_host([set_level(1, "info")], 0)
    session.from_remote([answer(1)])
    session.from_host([set_level(2, "loud")], 0)
    session.lost("gone", [], 1)
    (own,) = [value["id"] for value in decoded(reconnect(session).to_remote) if "id" in value]
    assert session.from_remote([error(own)]).to_host == [
        b'{"jsonrpc":"2.0","id":2,"error":{"code": -32602, "message": "no"}}'
    ]
    session.lost("gone again", [], 2)
    assert restored(reconnect(session)) == [("logging/setLevel", "info")]


def test_a_broken_answer_to_the_replay_is_an_error_for_the_request_that_waited() -> None:
    session = legacy_session()
    session.from_host([set_level(1, "info")], 0)
    session.lost("gone", [], 1)
    (own,) = [value["id"] for value in decoded(reconnect(session).to_remote) if "id" in value]
    (reply,) = decoded(session.from_remote([answer(own, {"x": "y"})[:-3]]).to_host)
    assert reply["id"] == 1
    assert "not valid JSON-RPC" in reply["error"]["message"]
    assert session.pending == 0


def modern_session() -> Session:
    """Return a session in which the host has spoken 2026-07-28."""
    session = Session()
    session.connected()
    session.from_host([request(0, "server/discover")], 0)
    session.from_remote([answer(0, {"supportedVersions": ["2026-07-28"]})])
    return session


@pytest.mark.parametrize("make", [legacy_session, modern_session])
def test_a_broken_answer_to_the_first_request_of_the_replay_lets_the_session_go_on(
    make: Callable[[], Session],
) -> None:
    session = make()
    session.from_host([request(1, "resources/read")], 0)
    session.lost("gone", [], 1)
    (opener,) = decoded(session.connected().to_remote)
    output = session.from_remote([answer(opener["id"], HELLO)[:-3]])
    assert output.to_remote[-1] == request(1, "resources/read")
    assert ids(output.to_host) == []
    assert session.state is State.OPEN
    assert session.process_answered


def test_refused_state_is_not_restored() -> None:
    session = legacy_session()
    session.from_host([set_level(1, "info"), set_level(2, "bad"), set_level(3, "worse")], 0)
    session.from_host([subscribe(4)], 0)
    session.from_remote([answer(1), error(2), error(3), error(4)])
    session.lost("gone", [], 1)
    assert restored(reconnect(session)) == [("logging/setLevel", "info")]


def test_requests_during_the_outage_follow_the_restored_state() -> None:
    session = legacy_session()
    session.from_host([set_level(1, "warning")], 0)
    session.lost("gone", [], 1)
    session.from_host([set_level(2, "debug"), subscribe(3)], 2)
    output = reconnect(session)
    assert restored(output)[0] == ("logging/setLevel", "warning")
    assert output.to_remote[-2:] == [set_level(2, "debug"), subscribe(3)]
    own = decoded(output.to_remote)[1]["id"]
    assert ids(session.from_remote([answer(own), answer(2)]).to_host) == [1, 2]
    session.lost("gone", [], 3)
    assert restored(reconnect(session)) == [
        ("logging/setLevel", "debug"),
        ("resources/subscribe", "a"),
    ]


def test_progress_tokens_are_not_repeated() -> None:
    session = Session()
    session.connected()
    session.from_host([request(0, "initialize", name="host", _meta={"progressToken": 1})], 0)
    session.from_remote([answer(0, HELLO)])
    session.from_host([set_level(1, "info", progressToken=2, other=3)], 0)
    session.lost("gone", [], 1)
    (initialize,) = decoded(session.connected().to_remote)
    assert initialize["params"] == {"name": "host", "_meta": {}}
    output = session.from_remote([answer(initialize["id"], HELLO)])
    assert decoded(output.to_remote)[0]["params"] == {"level": "info", "_meta": {"other": 3}}


@pytest.mark.parametrize("when", ["lost", "replaying", "restoring"])
def test_a_cancelled_request_that_waits_for_the_replay_is_restored_all_the_same(
    when: str,
) -> None:
    session = legacy_session()
    session.from_host([subscribe(1)], 0)
    session.lost("gone", [], 1)
    if when == "lost":
        session.from_host([cancel(1)], 2)
    (initialize,) = decoded(session.connected().to_remote)
    if when == "replaying":
        session.from_host([cancel(1)], 2)
    output = session.from_remote([answer(initialize["id"], HELLO)])
    assert restored(output) == [("resources/subscribe", "a")]
    own = decoded(output.to_remote)[-1]["id"]
    if when == "restoring":
        session.from_host([cancel(1)], 2)
    assert session.from_remote([answer(own)]).to_host == []
    assert session.pending == 0


def test_a_request_that_waits_for_the_replay_is_held_again_after_another_loss() -> None:
    session = legacy_session(hold_time=20)
    session.from_host([subscribe(1)], 0)
    session.lost("gone", [], 1)
    reconnect(session)
    session.lost("gone again", [], 2)
    assert session.next_expiry == 22
    output = session.expire(22, "waiting")
    assert ids(output.to_host) == [1]
    assert restored(reconnect(session)) == [("resources/subscribe", "a")]


# Servers that end repeatedly


def discovered_session() -> Session:
    session = Session()
    session.connected()
    session.from_host([request(0, "server/discover")], 0)
    session.from_remote([answer(0, {"supportedVersions": ["2026-07-28"]})])
    return session


def come_back(session: Session) -> Output:
    """Let a fresh server answer the opener of either era."""
    (opener,) = decoded(session.connected().to_remote)
    return session.from_remote([answer(opener["id"], HELLO)])


@pytest.mark.parametrize("make", [legacy_session, discovered_session])
def test_a_request_that_ended_two_servers_is_not_sent_to_a_third(make: Any) -> None:
    session: Session = make()
    session.from_host([request(1, "resources/read")], 0)
    assert session.lost("It ended", [], 1, ended=True).to_host == []
    assert request(1, "resources/read") in come_back(session).to_remote
    (reply,) = decoded(session.lost("It ended", [], 2, ended=True).to_host)
    assert reply["id"] == 1
    assert "for the second time" in reply["error"]["message"]
    assert request(1, "resources/read") not in come_back(session).to_remote


def test_a_request_whose_connection_breaks_repeatedly_is_repeated() -> None:
    session = legacy_session()
    session.from_host([request(1, "resources/read")], 0)
    for now in range(5):
        assert session.lost("It broke", [], now).to_host == []
        assert request(1, "resources/read") in come_back(session).to_remote


def test_a_subscription_that_stays_open_is_not_blamed_for_the_end_of_servers() -> None:
    session = discovered_session()
    listen = request(5, "subscriptions/listen", notifications={})
    session.from_host([listen], 0)
    for now in range(5):
        assert session.lost("It ended", [], now, ended=True).to_host == []
        assert listen in come_back(session).to_remote


def test_a_host_of_2026_without_a_discover_is_described_by_its_first_request() -> None:
    """The fresh server must answer a `server/discover` before it gets the held requests."""
    session = Session()
    session.connected()
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "progressToken": 1}
    session.from_host([request(1, "tools/list", _meta=meta)], 0)
    session.from_remote([answer(1)])
    session.lost("gone", [], 1)
    session.from_host([request(2)], 2)
    (opener,) = decoded(session.connected().to_remote)
    assert opener["method"] == "server/discover"
    assert opener["params"]["_meta"] == {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
    assert session.state is State.REPLAYING
    assert session.from_remote([error(opener["id"])]).to_remote == [request(2)]


# Last words


def test_a_message_without_a_line_feed_at_the_end_is_a_message() -> None:
    session = legacy_session()
    session.from_host([request(1)], 0)
    assert session.last_words(answer(1)).to_host == [answer(1)]


def test_half_a_message_at_the_end_leaves_its_request_open() -> None:
    session = legacy_session()
    session.from_host([request(1, "resources/read")], 0)
    assert session.last_words(answer(1)[:30]).to_host == []
    assert session.pending == 1


def test_half_a_line_at_the_end_is_kept_as_stray_output() -> None:
    session = legacy_session()
    session.last_words(b"Cannot open the database")
    assert session.stray_output.last[-1] == "Cannot open the database"


@pytest.mark.parametrize("spelt", ["1.0", "1e0", "10e-1"])
def test_an_integer_with_a_point_is_an_id_and_keeps_its_spelling(spelt: str) -> None:
    session = legacy_session()
    asked = b'{"jsonrpc":"2.0","id":%s,"method":"tools/call"}' % spelt.encode()
    assert session.from_host([asked], 0).to_remote == [asked]
    replied = b'{"jsonrpc":"2.0","id":%s,"result":{}}' % spelt.encode()
    assert session.from_remote([replied]).to_host == [replied]
    assert session.pending == 0


def test_a_harmless_call_that_waits_to_be_sent_again_may_have_run() -> None:
    session = legacy_session(retry_tool_calls=True)
    tools = {"tools": [{"name": "t", "annotations": {"readOnlyHint": True}}]}
    session.from_host([request(1, "tools/list")], 0)
    session.from_remote([answer(1, tools)])
    session.from_host([request(2, name="t")], 0)
    assert session.lost("gone", [], 1).to_host == []
    session.from_host([request(3, name="t")], 2)
    sent, unsent = decoded(session.failed("over").to_host)
    assert "it may have run" in sent["error"]["message"]
    assert unsent["error"]["message"] == "over"
