"""A host that speaks 2026-07-28 and a server of the legacy era."""

from __future__ import annotations

from typing import Any

import pytest
from support.bridged import META, MODERN, Bridged, Json, envelope, error, note, request, result

FORM = {"message": "?", "requestedSchema": {"type": "object", "properties": {}}}
ALL: Json = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}
OFFERED = {
    "tools": {"listChanged": True},
    "resources": {"subscribe": True},
    "logging": {},
    "tasks": {},
}
COMPLETE = {"resultType": "complete"}
KEPT = {**COMPLETE, "ttlMs": 0, "cacheScope": "private"}


def call(id_: Any, name: str = "t", *, method: str = "tools/call", **more: Any) -> Json:
    meta = envelope(more.pop("capabilities", ALL), **more.pop("meta", {}))
    return request(id_, method, name=name, _meta=meta, **more)


def begun(refusal: Json | None = None) -> tuple[Bridged, Json]:
    """A pair whose server has not understood the first request, and its `initialize`."""
    pair = Bridged()
    pair.host(request(0, "tools/list", _meta=envelope(ALL)))
    [first] = pair.heard_by_server()
    assert f"{META}protocolVersion" in first["params"]["_meta"]
    pair.server(refusal or error(0, -32602))
    assert pair.heard_by_host() == []
    [initialize] = pair.heard_by_server()
    return pair, initialize


def met(**members: Any) -> Bridged:
    """A pair that is ready for requests."""
    pair, initialize = begun()
    pair.server(initialized(initialize["id"], **members))
    pair.server(result(0, tools=[]))
    pair.heard_by_host()
    pair.heard_by_server()
    return pair


def initialized(id_: Any, **members: Any) -> Json:
    info = {"name": "old", "version": "1"}
    answer = {"protocolVersion": "2025-06-18", "capabilities": OFFERED, "serverInfo": info}
    return result(id_, **{**answer, **members})


def asked(pair: Bridged, id_: Any = 1, **more: Any) -> tuple[str, Json]:
    """The server asks in a call of the host: the token for the next round, and the question."""
    pair.host(call(id_, **more))
    pair.heard_by_server()
    pair.server(request(90, "elicitation/create", **FORM))
    [answer] = pair.heard_by_host()
    assert answer["id"] == id_
    assert answer["result"]["resultType"] == "input_required"
    [question] = answer["result"]["inputRequests"].values()
    return answer["result"]["requestState"], question


def retry(id_: Any, token: str, answer: Json | None = None, **more: Any) -> Json:
    responses = {"question": {"action": "accept"} if answer is None else answer}
    return call(id_, requestState=token, inputResponses=responses, **more)


def test_the_server_is_initialized_and_asked_again_without_the_envelope() -> None:
    pair, initialize = begun()
    assert initialize["method"] == "initialize"
    assert initialize["params"]["protocolVersion"] == "2025-11-25"
    assert initialize["params"]["capabilities"] == ALL
    assert initialize["params"]["clientInfo"] == {"name": "host", "version": "1"}
    pair.host(call(1))  # it waits
    assert pair.heard_by_server() == []
    pair.server(initialized(initialize["id"]))
    ready, listed, called = pair.heard_by_server()
    assert ready["method"] == "notifications/initialized"
    assert listed == request(0, "tools/list")
    assert called == request(1, "tools/call", name="t")


def test_results_say_that_they_are_complete_and_how_long_they_may_be_kept() -> None:
    pair, initialize = begun()
    pair.server(initialized(initialize["id"]))
    pair.host(call(1))
    pair.server(result(1, content=[], isError=True), result(0, tools=[], nextCursor="c"))
    assert pair.heard_by_host() == [
        result(1, content=[], isError=True, **COMPLETE),
        result(0, tools=[], nextCursor="c", **KEPT),
    ]


def test_a_discover_is_answered_from_what_the_server_said() -> None:
    pair = met(instructions="Ask.")
    pair.host(request("d", "server/discover", _meta=envelope()))
    [answer] = pair.heard_by_host()
    assert answer["id"] == "d"
    assert answer["result"]["supportedVersions"] == [MODERN]
    assert answer["result"]["capabilities"] == {
        name: OFFERED[name] for name in OFFERED if name != "tasks"
    }
    assert answer["result"]["instructions"] == "Ask."
    assert answer["result"]["_meta"] == {f"{META}serverInfo": {"name": "old", "version": "1"}}
    assert KEPT.items() <= answer["result"].items()
    assert pair.heard_by_server() == []


@pytest.mark.parametrize(
    ("asked_for", "code"),
    [
        (request(1, "ping", _meta=envelope()), -32601),
        (request(1, "logging/setLevel", level="info", _meta=envelope()), -32601),
        (request(1, "resources/subscribe", uri="a:1", _meta=envelope()), -32601),
        (request(1, "tasks/list", _meta=envelope()), -32601),
        (request(1, "initialize", protocolVersion="2025-06-18"), -32022),
        (
            request(1, "tools/list", _meta={**envelope(), f"{META}protocolVersion": "2030-01-01"}),
            -32022,
        ),
        (request(1, "tools/list", _meta={f"{META}protocolVersion": MODERN}), -32602),
        (request(1, "tools/list"), -32602),
    ],
)
def test_what_a_modern_server_would_refuse_is_refused_here(asked_for: Json, code: int) -> None:
    pair = met()
    pair.host(asked_for)
    [answer] = pair.heard_by_host()
    assert answer["error"]["code"] == code
    if code == -32022:
        assert answer["error"]["data"]["supported"] == [MODERN]
    assert pair.heard_by_server() == []


def test_a_question_is_the_result_of_its_call_and_the_retry_answers_it() -> None:
    pair = met()
    token, question = asked(pair)
    assert question == {"method": "elicitation/create", "params": FORM}
    assert len(token) > 20
    pair.host(retry(2, token))
    assert pair.heard_by_server() == [result(90, action="accept")]
    pair.server(result(1, content=[]))
    assert pair.heard_by_host() == [result(2, content=[], **COMPLETE)]


def test_two_questions_at_once_are_asked_one_after_the_other() -> None:
    pair = met()
    pair.host(call(1))
    pair.server(request(90, "roots/list"), request(91, "elicitation/create", **FORM))
    [first] = pair.heard_by_host()
    pair.heard_by_server()
    pair.host(retry(2, first["result"]["requestState"], {"roots": []}))
    assert pair.heard_by_server() == [result(90, roots=[])]
    [second] = pair.heard_by_host()
    assert second["id"] == 2
    assert second["result"]["requestState"] != first["result"]["requestState"]
    pair.host(retry(3, second["result"]["requestState"]))
    assert pair.heard_by_server() == [result(91, action="accept")]


@pytest.mark.parametrize(
    "change", [{"requestState": "forged"}, {"name": "other"}, {"method": "prompts/get"}, {"x": 1}]
)
def test_a_token_is_good_for_its_own_call_only(change: Json) -> None:
    pair = met()
    token, _ = asked(pair)
    pair.host({**call(2, **{"requestState": token, "inputResponses": {}, **change})})
    [answer] = pair.heard_by_host()
    assert answer["error"]["code"] == -32602
    assert pair.heard_by_server() == []


def test_a_token_is_good_once() -> None:
    pair = met()
    token, _ = asked(pair)
    pair.host(retry(2, token), retry(3, token))
    [answer] = pair.heard_by_host()
    assert (answer["id"], answer["error"]["code"]) == (3, -32602)


def test_a_retry_without_the_answer_is_asked_again() -> None:
    pair = met()
    token, question = asked(pair)
    pair.host(call(2, requestState=token, inputResponses={}))
    [again] = pair.heard_by_host()
    assert list(again["result"]["inputRequests"].values()) == [question]
    assert again["result"]["requestState"] != token
    assert pair.heard_by_server() == []


def test_a_question_belongs_to_the_oldest_call_without_one() -> None:
    pair = met()
    pair.host(request(1, "tools/list", _meta=envelope()), call(2), call(3))
    pair.server(request(90, "roots/list"), request(91, "roots/list"))
    assert [said["id"] for said in pair.heard_by_host()] == [2, 3]


def test_a_host_is_asked_only_what_its_request_declares() -> None:
    pair = met()
    pair.host(call(1, capabilities={"elicitation": {}}))
    pair.heard_by_server()
    pair.server(request(90, "roots/list"), request(91, "ping"), request(92, "other/thing"))
    refused, pong, unknown = pair.heard_by_server()
    assert (refused["id"], refused["error"]["code"]) == (90, -32601)
    assert pong == result(91)
    assert unknown["error"]["code"] == -32601
    assert pair.heard_by_host() == []


def test_a_question_without_a_call_is_refused() -> None:
    pair = met()
    pair.server(request(90, "roots/list"))
    [answer] = pair.heard_by_server()
    assert answer["error"]["code"] == -32601


def test_a_call_that_ends_while_it_is_parked_answers_the_retry() -> None:
    pair = met()
    token, _ = asked(pair)
    pair.server(note("cancelled", requestId=90), result(1, content=[]))
    assert pair.heard_by_host() == []
    pair.host(retry(2, token))
    assert pair.heard_by_host() == [result(2, content=[], **COMPLETE)]
    assert pair.heard_by_server() == []


def test_the_server_gets_its_answer_although_the_call_that_it_seemed_to_be_about_has_ended() -> (
    None
):
    pair = met()
    pair.host(call(1), call(2))
    pair.heard_by_server()
    pair.server(request(90, "elicitation/create", **FORM), result(1, content=[]))
    [parked] = pair.heard_by_host()
    pair.host(retry(3, parked["result"]["requestState"]))
    assert pair.heard_by_server() == [result(90, action="accept")]
    assert pair.heard_by_host() == [result(3, content=[], **COMPLETE)]


def test_further_questions_of_a_call_that_has_ended_are_asked_in_another_one() -> None:
    pair = met()
    pair.host(call(1), call(2))
    pair.heard_by_server()
    pair.server(*(request(id_, "roots/list") for id_ in (90, 91, 92)), result(1, content=[]))
    first, second = pair.heard_by_host()
    pair.host(retry(3, first["result"]["requestState"], {"roots": []}))
    assert pair.heard_by_server() == [result(90, roots=[])]
    assert pair.heard_by_host() == [result(3, content=[], **COMPLETE)]
    pair.host(retry(4, second["result"]["requestState"], {"roots": []}))
    assert pair.heard_by_server() == [result(91, roots=[])]
    [third] = pair.heard_by_host()
    assert third["result"]["resultType"] == "input_required"
    pair.server(result(2, content=[]))
    pair.host(retry(5, third["result"]["requestState"], {"roots": []}))
    assert pair.heard_by_server() == [result(92, roots=[])]


def test_a_request_that_is_cancelled_before_the_server_is_known_never_reaches_it() -> None:
    pair, initialize = begun()
    cancellations = [note("cancelled", requestId=id_) for id_ in (0, 1)]
    pair.host(call(1), call(2), *cancellations)
    pair.server(initialized(initialize["id"]))
    assert [said.get("id") for said in pair.heard_by_server()] == [None, 2]
    assert pair.heard_by_host() == []


def test_a_request_that_the_server_has_is_cancelled_while_the_connection_is_away() -> None:
    pair = Bridged()
    pair.host(request(0, "tools/list", _meta=envelope()), call(1, method="resources/read"))
    pair.server(error(0, -32602))
    pair.lose()
    pair.host(note("cancelled", requestId=1))
    pair.reconnect()
    [opener] = pair.heard_by_server()
    pair.server(initialized(opener["id"]))
    assert [said.get("id") for said in pair.heard_by_server()] == [None, 0]
    assert pair.heard_by_host() == []


def test_a_call_that_is_cancelled_before_the_server_refuses_the_first_request_asks_nothing() -> (
    None
):
    pair = Bridged()
    pair.host(request(0, "tools/list", _meta=envelope(ALL)), call(1))
    pair.host(note("cancelled", requestId=1))
    pair.server(error(0, -32602))
    initialize = pair.heard_by_server()[-1]
    pair.server(initialized(initialize["id"]))
    pair.host(call(2))
    pair.server(request(90, "elicitation/create", **FORM))
    assert [said["id"] for said in pair.heard_by_host()] == [2]


def test_a_discover_that_is_cancelled_and_never_answered_is_not_answered_by_the_bridge() -> None:
    pair = Bridged("modern")
    pair.host(request(0, "server/discover", _meta=envelope()), note("cancelled", requestId=0))
    pair.heard_by_server()
    pair.pass_time(10)
    [initialize] = pair.heard_by_server()
    assert initialize["method"] == "initialize"
    pair.server(initialized(initialize["id"]))
    assert pair.heard_by_host() == []


def test_a_parked_call_is_cancelled_by_the_id_of_its_first_round() -> None:
    pair = met()
    token, _ = asked(pair)
    pair.host(note("cancelled", requestId=1))
    cancelled, refused = pair.heard_by_server()
    assert cancelled["params"]["requestId"] == 1
    assert refused["id"] == 90
    pair.host(retry(2, token))
    [answer] = pair.heard_by_host()
    assert answer["error"]["code"] == -32602


def test_a_call_in_its_second_round_is_cancelled_under_the_id_that_the_server_knows() -> None:
    pair = met()
    token, _ = asked(pair)
    pair.host(retry(2, token))
    pair.heard_by_server()
    pair.host(note("cancelled", requestId=2))
    [cancelled] = pair.heard_by_server()
    assert cancelled["params"]["requestId"] == 1


def test_a_host_that_never_comes_back_is_given_up() -> None:
    pair = met()
    asked(pair)
    pair.pass_time(pair.crossing.next_expiry - pair.now)
    cancelled, refused = pair.heard_by_server()
    assert cancelled["params"]["requestId"] == 1
    assert refused["id"] == 90
    assert pair.crossing.next_expiry == float("inf")


def test_progress_comes_under_the_token_of_the_present_round() -> None:
    pair = met()
    token, _ = asked(pair, meta={"progressToken": "p"})
    pair.server(note("progress", progressToken="p", progress=1))
    assert pair.heard_by_host() == []  # the first round is over
    pair.host(retry(2, token, meta={"progressToken": 7}))
    pair.server(note("progress", progressToken="p", progress=2))
    assert pair.heard_by_host() == [note("progress", progressToken=7, progress=2)]


def test_log_messages_come_only_while_a_request_asks_for_them() -> None:
    pair = met()
    pair.host(call(1), call(2, meta={f"{META}logLevel": "info"}))
    first, level, second = pair.heard_by_server()
    assert (level["method"], level["params"]) == ("logging/setLevel", {"level": "info"})
    assert (first["id"], second["id"]) == (1, 2)
    pair.server(result(level["id"]))
    pair.server(note("message", level="debug", data=0), note("message", level="error", data=1))
    assert [said["params"]["data"] for said in pair.heard_by_host()] == [1]
    pair.server(result(2, content=[]))
    pair.heard_by_host()
    pair.server(note("message", level="error", data=2))
    assert pair.heard_by_host() == []


def test_the_level_of_a_request_that_the_server_already_has_is_set_and_restored() -> None:
    pair = Bridged()
    early = request(1, "prompts/list", _meta=envelope(ALL, **{f"{META}logLevel": "info"}))
    pair.host(request(0, "tools/list", _meta=envelope(ALL)), early)
    pair.heard_by_server()
    pair.server(error(0, -32602))
    [opener] = pair.heard_by_server()
    pair.server(initialized(opener["id"]))
    ready, level, _ = pair.heard_by_server()
    assert ready["method"] == "notifications/initialized"
    assert (level["method"], level["params"]) == ("logging/setLevel", {"level": "info"})
    pair.server(result(level["id"]), note("message", level="error", data=0))
    assert [said["params"]["data"] for said in pair.heard_by_host()] == [0]
    pair.lose()
    pair.reconnect()
    [opener] = pair.heard_by_server()
    pair.server(initialized(opener["id"]))
    _, restored, *again = pair.heard_by_server()
    assert (restored["method"], restored["params"]) == ("logging/setLevel", {"level": "info"})
    assert early in again


def test_a_listen_gets_what_the_server_can_send_under_its_own_id() -> None:
    pair = met()
    wanted = {
        "toolsListChanged": True,
        "promptsListChanged": True,
        "resourceSubscriptions": ["a:1", "b:2"],
    }
    pair.host(request("1", "subscriptions/listen", notifications=wanted, _meta=envelope()))
    [acknowledged] = pair.heard_by_host()
    granted = {name: wanted[name] for name in wanted if name != "promptsListChanged"}
    assert acknowledged == note(
        "subscriptions/acknowledged", _meta={f"{META}subscriptionId": "1"}, notifications=granted
    )
    assert {said["params"]["uri"] for said in pair.heard_by_server()} == {"a:1", "b:2"}
    only_a = {"resourceSubscriptions": ["a:1"]}
    pair.host(request(1, "subscriptions/listen", notifications=only_a, _meta=envelope()))
    assert pair.heard_by_server() == []  # the server sends it already
    pair.heard_by_host()
    pair.server(note("tools/list_changed"), note("resources/updated", uri="a:1"))
    heard = [
        (said["method"], said["params"]["_meta"][f"{META}subscriptionId"])
        for said in pair.heard_by_host()
    ]
    assert heard == [
        ("notifications/tools/list_changed", "1"),
        ("notifications/resources/updated", "1"),
        ("notifications/resources/updated", 1),
    ]
    pair.host(note("cancelled", requestId="1"))
    [unsubscribe] = pair.heard_by_server()
    assert (unsubscribe["method"], unsubscribe["params"]["uri"]) == (
        "resources/unsubscribe",
        "b:2",
    )


def test_pages_that_must_be_opened_first_are_asked_for_and_the_call_is_made_afresh() -> None:
    pages = [{"mode": "url", "message": "?", "url": "https://a.example/", "elicitationId": "e"}]
    pair = met()
    pair.host(call(1))
    pair.server(error(1, -32042, "first", elicitations=pages))
    [answer] = pair.heard_by_host()
    [question] = answer["result"]["inputRequests"].values()
    assert question["params"] == {"mode": "url", "message": "?", "url": "https://a.example/"}
    pair.heard_by_server()
    pair.host(retry(2, answer["result"]["requestState"]))
    assert pair.heard_by_server() == [request(2, "tools/call", name="t")]
    pair.server(result(2, content=[]))
    assert pair.heard_by_host() == [result(2, content=[], **COMPLETE)]


def test_pages_for_a_host_that_opens_none_are_an_error_that_names_the_capability() -> None:
    pair = met()
    pair.host(call(1, capabilities={}))
    pair.server(error(1, -32042, "first", elicitations=[{"url": "https://a.example/"}]))
    [answer] = pair.heard_by_host()
    assert answer["error"]["code"] == -32021
    assert answer["error"]["data"]["requiredCapabilities"] == {"elicitation": {"url": {}}}


def test_a_missing_resource_is_told_with_the_newer_code() -> None:
    pair = met()
    pair.host(call(1, method="resources/read"))
    pair.server(error(1, -32002, "gone", uri="a:1"))
    assert pair.heard_by_host() == [error(1, -32602, "gone", uri="a:1")]


def test_notifications_of_the_older_era_stay_here() -> None:
    pair = met()
    pair.server(
        note("elicitation/complete", elicitationId="e"),
        note("tasks/status"),
        note("resources/updated", uri="a:1"),
        note("prompts/list_changed"),
    )
    assert pair.heard_by_host() == []


def test_a_lost_question_is_a_plain_error_and_nothing_runs_again() -> None:
    pair = met()
    token, _ = asked(pair)
    pair.lose(ended=True)
    assert pair.heard_by_host() == []
    pair.reconnect()
    [opener] = pair.heard_by_server()
    assert opener["method"] == "initialize"
    pair.server(initialized(opener["id"]))
    pair.heard_by_host()
    pair.host(retry(2, token))
    [answer] = pair.heard_by_host()
    assert answer["id"] == 2
    assert "may or may not have run" in answer["error"]["message"]
    assert [said.get("method") for said in pair.heard_by_server()] == ["notifications/initialized"]


def test_levels_and_subscriptions_live_on_with_a_fresh_server() -> None:
    pair = met()
    pair.host(call(1, meta={f"{META}logLevel": "info"}))
    wanted = {"resourceSubscriptions": ["a:1"]}
    pair.host(request(2, "subscriptions/listen", notifications=wanted, _meta=envelope()))
    for said in pair.heard_by_server():
        pair.server(result(said["id"], content=[]))
    pair.heard_by_host()
    pair.lose()
    pair.reconnect()
    [opener] = pair.heard_by_server()
    pair.server(initialized(opener["id"]))
    restored = [said["method"] for said in pair.heard_by_server()]
    assert restored == ["notifications/initialized", "logging/setLevel", "resources/subscribe"]


def test_messages_that_cannot_be_read_are_dropped_or_refused() -> None:
    pair = met()
    pair.host(call(1))
    pair.heard_by_server()
    pair.server(
        {"jsonrpc": "2.0", "method": "notifications/progress", "params": [1]},
        {"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": [1]},
        {"jsonrpc": "2.0", "id": 90, "method": "roots/list", "params": [1]},
        {"jsonrpc": "2.0", "id": 1, "result": [1]},
    )
    [refused] = pair.heard_by_server()
    assert (refused["id"], refused["error"]["code"]) == (90, -32602)
    [answer] = pair.heard_by_host()
    assert (answer["id"], answer["error"]["code"]) == (1, -32603)


def test_the_open_questions_of_a_call_are_bounded() -> None:
    pair = met()
    pair.host(call(1))
    pair.heard_by_server()
    pair.server(*[request(100 + number, "roots/list") for number in range(120)])
    assert len(pair.heard_by_server()) == 20


def test_the_end_answers_what_is_open() -> None:
    pair = met()
    wanted = {"toolsListChanged": True}
    pair.host(request(1, "subscriptions/listen", notifications=wanted, _meta=envelope()), call(2))
    pair.heard_by_host()
    pair.fail("It is over")
    assert sorted(said["id"] for said in pair.heard_by_host() if "error" in said) == [1, 2]


@pytest.mark.parametrize("id_", [None, 1.5])
def test_a_request_of_the_server_with_an_invalid_id_does_not_reach_the_host(id_: Any) -> None:
    pair = met()
    pair.server(request(id_, "x/y"))
    assert pair.heard_by_host() == []


def test_the_end_in_the_middle_of_the_handshake_answers_what_waits() -> None:
    pair, _ = begun()
    pair.host(call(1))
    pair.fail("It is over")
    assert [said["id"] for said in pair.heard_by_host()] == [0, 1]


def test_what_is_held_before_the_handshake_waits_for_a_lost_connection_as_long_as_other_requests() -> (
    None
):
    pair, initialize = begun()
    pair.host(call(1))
    pair.pass_time(1000)
    assert pair.heard_by_host() == []  # the server is slow
    assert not pair.crossing.is_awaited
    pair.lose()
    assert pair.crossing.is_awaited
    pair.pass_time(10)
    pair.host(call(2), request(3, "subscriptions/listen", _meta=envelope(ALL)))
    pair.pass_time(10)
    expired = pair.heard_by_host()
    assert [said["id"] for said in expired] == [0, 1]
    assert "Still away. This request was sent before" in expired[0]["error"]["message"]
    assert "Still away. This request was not sent" in expired[1]["error"]["message"]
    pair.reconnect()
    pair.pass_time(10)
    assert [said["id"] for said in pair.heard_by_host()] == [2]
    assert pair.heard_by_server() == [initialize]
    pair.server(initialized(initialize["id"]))
    assert [said["method"] for said in pair.heard_by_server()] == ["notifications/initialized"]
    [acknowledged] = pair.heard_by_host()
    assert acknowledged["method"] == "notifications/subscriptions/acknowledged"


def test_a_server_that_ends_twice_in_the_handshake_gets_another_one() -> None:
    pair, initialize = begun()
    for _ in range(3):
        pair.lose(ended=True)
        pair.reconnect()
        assert pair.heard_by_server() == [initialize]
    pair.server(initialized(initialize["id"]))
    assert pair.heard_by_server()[1] == request(0, "tools/list")


def test_a_subscription_waits_for_the_connection_however_long_that_takes() -> None:
    pair = met()
    pair.lose()
    wanted = {"resourceSubscriptions": ["u"]}
    pair.host(request(1, "subscriptions/listen", _meta=envelope(ALL), notifications=wanted))
    pair.host(call(2, meta={f"{META}logLevel": "debug"}))
    pair.expire_held()
    heard = [said for said in pair.heard_by_host() if "error" in said]
    assert [said["id"] for said in heard] == [2]  # a request does not
    pair.reconnect()
    [initialize] = pair.heard_by_server()
    pair.server(initialized(initialize["id"]))
    methods = [said["method"] for said in pair.heard_by_server()]
    assert methods[-2:] == ["resources/subscribe", "logging/setLevel"]


def test_a_question_in_a_result_has_no_progress_token() -> None:
    pair = met()
    pair.host(call(1))
    pair.server(request(90, "elicitation/create", **FORM, _meta={"progressToken": 1, "x": 2}))
    [answer] = pair.heard_by_host()
    [question] = answer["result"]["inputRequests"].values()
    assert question["params"]["_meta"] == {"x": 2}
