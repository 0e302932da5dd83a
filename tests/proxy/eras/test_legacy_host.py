"""A host of the legacy era and a server that speaks 2026-07-28 only."""

from __future__ import annotations

from typing import Any

import pytest
from support.bridged import META, MODERN, Bridged, Json, error, note, request, result

INFO = {"name": "host", "version": "1"}
SERVER = {"name": "server", "version": "2"}
FORM = {"message": "?", "requestedSchema": {"type": "object", "properties": {}}}
ALL: Json = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {"listChanged": True}}
OFFERED = {
    "tools": {"listChanged": True},
    "resources": {"subscribe": True},
    "extensions": {"x/y": {}},
}


def discovered(**members: Any) -> Json:
    return {
        "resultType": "complete",
        "supportedVersions": [MODERN],
        "capabilities": OFFERED,
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {f"{META}serverInfo": SERVER},
        **members,
    }


def begun(
    capabilities: Json | None = None, refusal: Json | None = None, version: str = "2025-06-18"
) -> Bridged:
    """A pair of which the server has refused `initialize`, and was asked to discover itself."""
    pair = Bridged()
    pair.host(
        request(
            0,
            "initialize",
            protocolVersion=version,
            capabilities=ALL if capabilities is None else capabilities,
            clientInfo=INFO,
        )
    )
    assert [said["method"] for said in pair.heard_by_server()] == ["initialize"]
    pair.server(refusal or error(0, -32022, supported=[MODERN]))
    assert pair.heard_by_host() == []
    return pair


def met(capabilities: Json | None = None, **members: Any) -> Bridged:
    """A pair that is ready for requests; the listen for `tools/list_changed` is acknowledged."""
    pair = begun(capabilities)
    [probe] = pair.heard_by_server()
    pair.server(result(probe["id"], **discovered(**members)))
    pair.host(note("initialized"))
    for listen in pair.heard_by_server():
        acknowledge(pair, listen)
    pair.heard_by_host()
    pair.heard_by_server()
    return pair


def acknowledge(pair: Bridged, listen: Json, **granted: Any) -> None:
    assert listen["method"] == "subscriptions/listen"
    meta = {f"{META}subscriptionId": listen["id"]}
    notifications = granted or listen["params"]["notifications"]
    pair.server(note("subscriptions/acknowledged", _meta=meta, notifications=notifications))


def ask(pair: Bridged, id_: Any, questions: Json | None, state: Any = None, **params: Any) -> str:
    """A call of the host is answered with questions; the id of the call at the server."""
    pair.host(request(id_, "tools/call", **{"name": "ask", **params}))
    [call] = pair.heard_by_server()
    answer = {
        **({"inputRequests": questions} if questions is not None else {}),
        **({"requestState": state} if state is not None else {}),
    }
    pair.server(result(call["id"], resultType="input_required", **answer))
    return str(call["id"])


@pytest.mark.parametrize(
    "refusal",
    [
        error(0, -32022, supported=[MODERN], requested="2025-06-18"),
        error(0, -32601),
        error(0, -32602),
    ],
)
def test_a_refused_initialize_is_answered_from_what_the_server_says_of_itself(
    refusal: Json,
) -> None:
    pair = begun(refusal=refusal)
    [probe] = pair.heard_by_server()
    assert probe["method"] == "server/discover"
    meta = probe["params"]["_meta"]
    assert meta[f"{META}protocolVersion"] == MODERN
    assert meta[f"{META}clientInfo"] == INFO
    assert meta[f"{META}clientCapabilities"] == {**ALL, "roots": {}}

    pair.server(result(probe["id"], **discovered(instructions="Ask.")))
    [answer] = pair.heard_by_host()
    assert answer == result(
        0,
        protocolVersion="2025-06-18",
        capabilities={"tools": {"listChanged": True}, "resources": {"subscribe": True}},
        serverInfo=SERVER,
        instructions="Ask.",
    )


def test_a_server_without_a_name_gets_one() -> None:
    pair = begun(version="2099-01-01")
    [probe] = pair.heard_by_server()
    pair.server(result(probe["id"], **discovered(_meta={})))
    [answer] = pair.heard_by_host()
    assert answer["result"]["serverInfo"] == {"name": "remote", "version": ""}
    assert answer["result"]["protocolVersion"] == "2025-11-25"


@pytest.mark.parametrize(
    "verdict", [{"error": {"code": -32601, "message": "?"}}, {"result": {"supportedVersions": []}}]
)
def test_a_server_that_is_not_a_modern_one_either_is_refused_with_its_first_words(
    verdict: Json,
) -> None:
    refusal = b'{"jsonrpc":"2.0","id":0,"error":{"code":-1,"message":"no","data":1e2}}'
    pair = Bridged()
    pair.host(request(0, "initialize", protocolVersion="2025-06-18", capabilities={}))
    pair.heard_by_server()
    pair.server(refusal)
    [probe] = pair.heard_by_server()
    pair.server({"jsonrpc": "2.0", "id": probe["id"], **verdict})
    assert pair.to_host == [refusal]
    assert pair.crossing.between is None


def test_each_request_says_who_the_host_is_and_keeps_its_own_meta() -> None:
    pair = met()
    pair.host(b'{"id":1,"method":"tools/list","jsonrpc":"2.0"}')
    pair.host(request("2", "prompts/get", name="p", _meta={"progressToken": 7, "trace": "t"}))
    listed, got = pair.heard_by_server()
    assert listed["params"]["_meta"][f"{META}protocolVersion"] == MODERN
    assert got["params"]["name"] == "p"
    meta = got["params"]["_meta"]
    assert (meta["progressToken"], meta["trace"], meta[f"{META}clientInfo"]) == (7, "t", INFO)
    pair.server(result("2", resultType="complete", messages=[], _meta={f"{META}serverInfo": {}}))
    pair.server(result(1, resultType="complete", tools=[], ttlMs=5, cacheScope="public"))
    assert pair.heard_by_host() == [result("2", messages=[]), result(1, tools=[])]


def test_a_ping_is_answered_here() -> None:
    pair = met()
    pair.host(request(1, "ping"))
    assert pair.heard_by_host() == [result(1)]
    assert pair.heard_by_server() == []


def test_the_log_level_goes_into_each_later_request() -> None:
    pair = met()
    pair.host(request(1, "logging/setLevel", level="debug"))
    pair.host(request(2, "logging/setLevel", level="loud"))
    assert [said.get("error", {}).get("code") for said in pair.heard_by_host()] == [None, -32602]
    pair.host(request(3, "tools/call", name="t"))
    [call] = pair.heard_by_server()
    assert call["params"]["_meta"][f"{META}logLevel"] == "debug"
    pair.server(note("message", level="info", data="x"))
    assert pair.heard_by_host() == [note("message", level="info", data="x")]


def test_list_changed_comes_from_a_listen_without_its_id() -> None:
    pair = begun()
    [probe] = pair.heard_by_server()
    pair.server(result(probe["id"], **discovered()))
    pair.host(note("initialized"))
    [listen] = pair.heard_by_server()
    assert listen["params"]["notifications"] == {"toolsListChanged": True}
    acknowledge(pair, listen)
    pair.heard_by_host()
    meta = {f"{META}subscriptionId": listen["id"]}
    pair.server(note("tools/list_changed", _meta=meta))
    assert pair.heard_by_host() == [note("tools/list_changed")]


def test_a_second_subscription_leaves_no_gap_and_brings_nothing_twice() -> None:
    pair = met()
    pair.host(request(1, "resources/subscribe", uri="a:1"))
    [first] = pair.heard_by_server()
    assert pair.heard_by_host() == []  # not before the server has said yes
    acknowledge(pair, first)
    assert pair.heard_by_host() == [result(1)]
    pair.heard_by_server()

    pair.host(request(2, "resources/subscribe", uri="b:2"))
    [second] = pair.heard_by_server()
    assert second["params"]["notifications"]["resourceSubscriptions"] == ["a:1", "b:2"]
    old = note("resources/updated", uri="a:1", _meta={f"{META}subscriptionId": first["id"]})
    new = note("resources/updated", uri="a:1", _meta={f"{META}subscriptionId": second["id"]})
    pair.server(old)
    assert pair.heard_by_host() == [note("resources/updated", uri="a:1")]
    acknowledge(pair, second)
    assert pair.heard_by_host() == [result(2)]
    [ended] = pair.heard_by_server()
    assert ended == note("cancelled", requestId=first["id"])
    pair.server(old, new)
    assert pair.heard_by_host() == [note("resources/updated", uri="a:1")]

    pair.host(request(3, "resources/unsubscribe", uri="a:1"))
    assert pair.heard_by_host() == [result(3)]
    pair.server(new)
    assert pair.heard_by_host() == []


def test_a_resource_that_the_server_does_not_grant_is_refused() -> None:
    pair = met()
    pair.host(request(1, "resources/subscribe", uri="a:1"))
    [listen] = pair.heard_by_server()
    acknowledge(pair, listen, toolsListChanged=True)
    [answer] = pair.heard_by_host()
    assert answer["error"]["code"] == -32603
    assert "a:1" in answer["error"]["message"]


def test_a_listen_that_the_server_refuses_refuses_the_subscription() -> None:
    pair = met()
    pair.host(request(1, "resources/subscribe", uri="a:1"))
    [listen] = pair.heard_by_server()
    pair.server(error(listen["id"], -32603, "limit"))
    assert pair.heard_by_host() == [error(1, -32603, "limit")]
    assert pair.heard_by_server() == []


def test_a_listen_that_the_server_ends_is_made_again_but_not_for_ever() -> None:
    pair = met()
    pair.host(request(1, "resources/subscribe", uri="a:1"))
    for _ in range(40):
        listens = [
            said for said in pair.heard_by_server() if said["method"] == "subscriptions/listen"
        ]
        if not listens:
            break
        acknowledge(pair, listens[-1])
        pair.server(result(listens[-1]["id"], resultType="complete"))
    else:
        pytest.fail("the listens never end")


def test_a_question_becomes_a_request_and_its_answer_the_next_round() -> None:
    state = 'state é "1" \\u0041'
    pair = met()
    first = ask(pair, 5, {"who": {"method": "elicitation/create", "params": FORM}}, state, x=1)
    [question] = pair.heard_by_host()
    assert (question["method"], question["params"]) == ("elicitation/create", FORM)
    pair.host(result(question["id"], action="accept", content={"name": "Ada"}))
    [again] = pair.heard_by_server()
    assert again["method"] == "tools/call"
    assert str(again["id"]) != first
    params = again["params"]
    assert params["inputResponses"] == {"who": {"action": "accept", "content": {"name": "Ada"}}}
    assert (params["requestState"], params["x"], params["name"]) == (state, 1, "ask")
    assert params["_meta"][f"{META}protocolVersion"] == MODERN
    pair.server(result(again["id"], resultType="complete", content=[]))
    assert pair.heard_by_host() == [result(5, content=[])]


def test_three_questions_are_answered_in_any_order() -> None:
    kinds = {
        "a": {"method": "elicitation/create", "params": FORM},
        "b": {"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}},
        "c": {"method": "roots/list"},
    }
    pair = met()
    ask(pair, 1, kinds)
    asked = {said["method"]: said["id"] for said in pair.heard_by_host()}
    pair.host(result(asked["roots/list"], roots=[]))
    pair.host(result(asked["sampling/createMessage"], role="assistant"))
    assert pair.heard_by_server() == []
    pair.host(result(asked["elicitation/create"], action="decline"))
    [again] = pair.heard_by_server()
    assert set(again["params"]["inputResponses"]) == {"a", "b", "c"}
    assert "requestState" not in again["params"]


def test_a_page_to_open_gets_the_id_that_the_legacy_era_needs() -> None:
    page = {"mode": "url", "message": "?", "url": "https://a.example/"}
    pair = met()
    ask(pair, 1, {"a": {"method": "elicitation/create", "params": page}})
    [question] = pair.heard_by_host()
    assert question["params"].pop("elicitationId")
    assert question["params"] == page


@pytest.mark.parametrize(
    ("capabilities", "question", "missing"),
    [
        ({}, {"method": "elicitation/create", "params": FORM}, "elicitation"),
        (
            {"elicitation": {}},
            {"method": "elicitation/create", "params": {"mode": "url", "message": "", "url": "u"}},
            "elicitation.url",
        ),
        (
            {"elicitation": {"url": {}}},
            {"method": "elicitation/create", "params": FORM},
            "elicitation.form",
        ),
        ({"sampling": {}}, {"method": "sampling/createMessage", "params": {"tools": []}}, "tools"),
        ({"elicitation": {}}, {"method": "roots/list"}, "roots"),
        (ALL, {"method": "other/thing"}, "other"),
    ],
)
def test_a_host_is_asked_only_what_it_offers(
    capabilities: Json, question: Json, missing: str
) -> None:
    pair = met(capabilities)
    ask(pair, 1, {"a": question})
    [answer] = pair.heard_by_host()
    assert answer["error"]["code"] == -32603
    assert missing in answer["error"]["message"]


def test_the_hosts_error_for_a_question_is_the_answer_to_the_call() -> None:
    question = {"method": "elicitation/create", "params": FORM}
    pair = met()
    ask(pair, 1, {"a": question, "b": question})
    first, second = pair.heard_by_host()
    pair.host(error(first["id"], -1, "busy"))
    withdrawn, answer = pair.heard_by_host()
    assert withdrawn["params"]["requestId"] == second["id"]
    assert answer == error(1, -1, "busy")
    pair.host(result(second["id"], action="accept"))
    assert pair.heard_by_server() == []


def test_a_state_without_a_question_is_tried_again_after_growing_pauses() -> None:
    pair = met()
    id_ = ask(pair, 1, None, "s")
    pauses: list[float] = []
    while not pair.heard_by_host() and len(pauses) < 20:
        pause = pair.crossing.next_expiry - pair.now
        pauses.append(pause)
        pair.pass_time(pause)
        [again] = pair.heard_by_server()
        id_ = again["id"]
        pair.server(result(id_, resultType="input_required", requestState="s"))
    assert len(pauses) == 9  # ten rounds in all
    assert pauses == sorted(pauses)
    assert pauses[-1] > 10 * pauses[0]


def test_a_cancelled_question_is_withdrawn_and_nothing_follows() -> None:
    pair = met()
    ask(pair, 1, {"a": {"method": "elicitation/create", "params": FORM}})
    [question] = pair.heard_by_host()
    pair.host(note("cancelled", requestId=1))
    [withdrawn] = pair.heard_by_host()
    assert withdrawn["params"]["requestId"] == question["id"]
    pair.host(result(question["id"], action="accept"))
    assert pair.heard_by_server() == []


def test_a_cancellation_names_the_round_that_the_server_knows() -> None:
    pair = met()
    ask(pair, 1, {"a": {"method": "elicitation/create", "params": FORM}})
    [question] = pair.heard_by_host()
    pair.host(result(question["id"], action="accept"))
    [again] = pair.heard_by_server()
    pair.host(note("cancelled", requestId=1))
    [cancelled] = pair.heard_by_server()
    assert cancelled["params"]["requestId"] == again["id"]
    pair.server(result(again["id"], resultType="complete", content=[]))
    assert pair.heard_by_host() == []


def test_what_older_sdks_refuse_is_left_out() -> None:
    tools = [
        {"name": "a", "inputSchema": {}, "outputSchema": {"type": "array"}},
        {"name": "b", "inputSchema": {}, "outputSchema": {"type": "object"}},
    ]
    pair = met()
    pair.host(request(1, "tools/list"), request(2, "tools/call", name="a"))
    pair.heard_by_server()
    pair.server(result(1, resultType="complete", tools=tools))
    pair.server(result(2, resultType="complete", content=[], structuredContent=["a"]))
    listed, called = pair.heard_by_host()
    assert listed["result"]["tools"] == [{"name": "a", "inputSchema": {}}, tools[1]]
    assert called == result(2, content=[])


def test_messages_that_cannot_be_read_are_dropped_or_refused() -> None:
    pair = met()
    pair.host(request(1, "tools/list"), request(2, "tools/call"), request(3, "tools/call"))
    pair.heard_by_server()
    meta = f'{{"_meta":{{"{META}subscriptionId":{"[" * 500}{"]" * 500}}}}}'
    pair.server(
        f'{{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{meta}}}'.encode(),
        {"jsonrpc": "2.0", "method": "notifications/message", "params": [1]},
        {"jsonrpc": "2.0", "id": 1, "result": [1]},
        result(2, resultType="input_required", inputRequests={"a": {"method": [1]}}),
        result(3, resultType="input_required", inputRequests=[1]),
    )
    heard = [said for said in pair.heard_by_host() if "id" in said]
    assert [(said["id"], said["error"]["code"]) for said in heard] == [
        (number, -32603) for number in (1, 2, 3)
    ]


def test_a_result_of_an_unknown_type_is_an_error_that_names_it() -> None:
    pair = met()
    pair.host(request(1, "tools/call", name="a", task={"ttl": 1}))
    [call] = pair.heard_by_server()
    assert "task" not in call["params"]
    pair.server(result(1, resultType="task", taskId="t"))
    [answer] = pair.heard_by_host()
    assert answer["error"]["code"] == -32603
    assert "'task'" in answer["error"]["message"]


def test_progress_that_falls_in_the_next_round_is_dropped() -> None:
    pair = met()
    question = {"a": {"method": "roots/list"}}
    ask(pair, 1, question, _meta={"progressToken": "t"})
    [asked] = pair.heard_by_host()
    pair.server(note("progress", progressToken="t", progress=2))
    pair.host(result(asked["id"], roots=[]))
    pair.server(note("progress", progressToken="t", progress=1))
    pair.server(note("progress", progressToken="t", progress=3))
    assert [said["params"]["progress"] for said in pair.heard_by_host()] == [2, 3]


def test_what_has_no_counterpart_is_refused_here() -> None:
    pair = met()
    pair.host(request(1, "tasks/get"), request(2, "server/discover"), request(3, "initialize"))
    codes = [said["error"]["code"] for said in pair.heard_by_host()]
    assert codes == [-32601, -32601, -32600]
    assert pair.heard_by_server() == []


def test_a_modern_error_that_older_hosts_do_not_know_is_put_in_their_terms() -> None:
    pair = met()
    pair.host(request(1, "tools/list"), request(2, "resources/read", uri="x:y"))
    pair.heard_by_server()
    pair.server(error(1, -32022, "Unsupported"), error(2, -32602, "Not found"))
    assert pair.heard_by_host() == [error(1, -32603, "Unsupported"), error(2, -32602, "Not found")]


def test_a_question_stays_open_over_a_reconnect() -> None:
    pair = met()
    ask(pair, 1, {"a": {"method": "elicitation/create", "params": FORM}}, "s")
    [question] = pair.heard_by_host()
    pair.lose(ended=True)
    assert pair.heard_by_host() == []
    pair.host(result(question["id"], action="accept"))
    pair.reconnect()
    [probe] = pair.heard_by_server()
    assert probe["method"] == "server/discover"
    pair.server(result(probe["id"], **discovered()))
    said = pair.heard_by_server()
    [again] = [each for each in said if each["method"] == "tools/call"]
    assert again["params"]["requestState"] == "s"
    pair.server(result(again["id"], resultType="complete", content=[]))
    answers = [each for each in pair.heard_by_host() if "id" in each]
    assert answers == [result(1, content=[])]


def test_a_request_that_is_cancelled_before_the_server_is_known_never_reaches_it() -> None:
    pair = begun()
    [probe] = pair.heard_by_server()
    pair.host(request(1, "tools/list"), request(2, "tools/list"), note("cancelled", requestId=1))
    pair.server(result(probe["id"], **discovered()))
    assert [said["id"] for said in pair.heard_by_server()] == [2]


def test_a_second_round_that_is_lost_is_not_run_again() -> None:
    pair = met()
    ask(pair, 1, {"a": {"method": "roots/list"}})
    [question] = pair.heard_by_host()
    pair.host(result(question["id"], roots=[]))
    assert len(pair.heard_by_server()) == 1
    pair.lose()
    [answer] = pair.heard_by_host()
    assert answer["id"] == 1
    assert "may or may not have run" in answer["error"]["message"]
    pair.reconnect()
    [probe] = pair.heard_by_server()
    pair.server(result(probe["id"], **discovered()))
    assert "tools/call" not in [said["method"] for said in pair.heard_by_server()]


def test_a_subscription_lives_on_with_a_fresh_server() -> None:
    pair = met()
    pair.host(request(1, "resources/subscribe", uri="a:1"))
    [listen] = pair.heard_by_server()
    acknowledge(pair, listen)
    pair.heard_by_host()
    pair.lose()
    pair.reconnect()
    [probe] = pair.heard_by_server()
    pair.server(result(probe["id"], **discovered()))
    [again] = pair.heard_by_server()
    assert again == listen
    acknowledge(pair, again)
    meta = {f"{META}subscriptionId": listen["id"]}
    pair.server(note("resources/updated", uri="a:1", _meta=meta))
    assert note("resources/updated", uri="a:1") in pair.heard_by_host()


def test_the_end_answers_what_waits_here() -> None:
    pair = met()
    ask(pair, 1, {"a": {"method": "roots/list"}})
    pair.host(request(2, "resources/subscribe", uri="a:1"))
    pair.heard_by_host()
    pair.fail("It is over")
    answers = {
        said["id"]: said["error"]["message"] for said in pair.heard_by_host() if "id" in said
    }
    assert set(answers) == {1, 2}
    assert all("It is over" in text for text in answers.values())


def test_the_end_in_the_middle_of_the_handshake_answers_it() -> None:
    pair = begun()
    pair.host(request(1, "ping"))
    pair.fail("It is over")
    assert {said["id"] for said in pair.heard_by_host()} == {0, 1}


def test_a_subscribe_that_is_taken_back_before_the_server_has_heard_of_it_is_answered() -> None:
    pair = met()
    pair.host(request(1, "resources/subscribe", uri="u"))
    [first] = pair.heard_by_server()
    pair.host(request(2, "resources/subscribe", uri="v"))
    pair.host(request(3, "resources/unsubscribe", uri="v"))
    assert [said["id"] for said in pair.heard_by_host()] == [2, 3]
    acknowledge(pair, first)
    assert [said["id"] for said in pair.heard_by_host()] == [1]
    assert [said["method"] for said in pair.heard_by_server()] == ["notifications/cancelled"]


def test_a_call_that_ends_between_two_rounds_may_have_run() -> None:
    pair = met()
    ask(pair, 1, {"q": {"method": "elicitation/create", "params": FORM}})
    pair.heard_by_host()
    pair.fail("Gone")
    errors = [said for said in pair.heard_by_host() if said.get("id") == 1]
    assert "may or may not have run" in errors[0]["error"]["message"]


def test_a_second_round_that_was_not_sent_does_not_say_so_of_the_call() -> None:
    pair = met()
    ask(pair, 1, {"q": {"method": "elicitation/create", "params": FORM}})
    [question] = pair.heard_by_host()
    pair.lose()
    pair.host(result(question["id"], action="accept"))
    pair.expire_held()
    [answer] = pair.heard_by_host()
    assert answer["id"] == 1
    assert "was not sent" not in answer["error"]["message"]
    assert "may or may not have run" in answer["error"]["message"]


def test_a_second_round_that_is_held_at_the_end_does_not_make_the_call_one_that_never_ran() -> None:
    pair = met()
    ask(pair, 1, {"q": {"method": "elicitation/create", "params": FORM}})
    [question] = pair.heard_by_host()
    pair.lose()
    pair.host(result(question["id"], action="accept"))
    pair.fail("It is over")
    [answer] = pair.heard_by_host()
    assert answer["id"] == 1
    assert "It is over" in answer["error"]["message"]
    assert "may or may not have run" in answer["error"]["message"]


def test_what_sets_the_session_up_waits_for_the_connection_however_long_that_takes() -> None:
    """The host itself does not, but it may try again."""
    pair = begun()
    pair.pass_time(1000)
    assert pair.heard_by_host() == []
    pair.host(request(1, "ping"))
    pair.lose()
    pair.pass_time(19)
    assert pair.heard_by_host() == []
    pair.pass_time(1)
    expired = pair.heard_by_host()
    assert [said["id"] for said in expired] == [0, 1]
    assert "Still away. This request was sent before" in expired[0]["error"]["message"]
    assert "Still away. This request was not sent" in expired[1]["error"]["message"]
    pair.reconnect()
    [probe] = pair.heard_by_server()
    pair.host(request(2, "initialize", protocolVersion="2025-06-18"))
    pair.server(result(probe["id"], **discovered()))
    [answer] = pair.heard_by_host()
    assert (answer["id"], answer["result"]["serverInfo"]) == (2, SERVER)
    pair.host(request(3, "initialize"))
    [answer] = pair.heard_by_host()
    assert answer["error"]["code"] == -32600


def test_an_initialize_that_is_bridged_cannot_be_cancelled() -> None:
    pair = begun()
    [probe] = pair.heard_by_server()
    pair.host(note("cancelled", requestId=0))
    pair.server(result(probe["id"], **discovered()))
    assert [said["id"] for said in pair.heard_by_host()] == [0]


@pytest.mark.parametrize("asking", [True, False])
def test_the_token_of_a_cancelled_call_may_be_used_again(asking: bool) -> None:
    pair = met()
    for id_ in (1, 2):
        pair.host(request(id_, "tools/call", name="t", _meta={"progressToken": "t"}))
        pair.server(note("progress", progressToken="t", progress=2))
        assert [said["method"] for said in pair.heard_by_host()] == ["notifications/progress"]
        if asking:
            question = {"method": "elicitation/create", "params": FORM}
            pair.server(result(id_, resultType="input_required", inputRequests={"q": question}))
        pair.host(note("cancelled", requestId=id_))
        pair.heard_by_host()
