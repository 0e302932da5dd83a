"""When a bridge comes in, and when it does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.bridged import META, MODERN, Bridged, Json, envelope, error, note, request, result

from m2m_ssh_client.proxy.eras import era_bridge

DISCOVER = request("d", "server/discover", _meta=envelope())
INITIALIZE = request(0, "initialize", protocolVersion="2025-06-18", capabilities={})
INITIALIZED = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "serverInfo": {"name": "old", "version": "1"},
}


def unchanged(pair: Bridged, *steps: tuple[str, Json]) -> None:
    """Assert that each side hears what the other says, to the byte, and that nothing watches then."""
    for side, message in steps:
        line = json.dumps(message, indent=None, separators=(" , ", " : ")).encode()
        getattr(pair, side)(line)
        heard = pair.to_server if side == "host" else pair.to_host
        assert heard == [line]
        heard.clear()
    assert pair.crossing.between is None
    assert (pair.to_host, pair.to_server) == ([], [])


@pytest.mark.parametrize("mode", ["auto", "modern"])
@pytest.mark.parametrize(
    "steps",
    [
        [("host", INITIALIZE), ("server", result(0, **INITIALIZED))],
        [("host", DISCOVER), ("server", result("d", resultType="complete"))],
        [("host", DISCOVER), ("server", error("d", -32022, supported=["2027-01-01"]))],
        [
            ("host", request(1, "tools/list", _meta=envelope())),
            ("server", result(1, resultType="complete", tools=[])),
        ],
        [
            ("host", request(1, "tools/call", _meta=envelope())),
            ("server", note("progress", progressToken=1, progress=1)),
            ("server", error(1, -32021)),
        ],
    ],
)
def test_nothing_changes_where_both_sides_share_an_era(
    mode: str, steps: list[tuple[str, Json]]
) -> None:
    unchanged(Bridged(mode), *steps)


def test_a_host_of_both_eras_gets_the_error_and_speaks_the_older_one() -> None:
    unchanged(
        Bridged(),
        ("host", DISCOVER),
        ("server", error("d", -32601)),
        ("host", INITIALIZE),
        ("server", result(0, **INITIALIZED)),
    )


def test_a_host_that_gives_up_the_newer_era_while_it_waits_is_bridged() -> None:
    pair = Bridged()
    pair.host(DISCOVER, INITIALIZE)  # as some do after ten seconds
    assert pair.heard_by_server() == [DISCOVER, INITIALIZE]
    pair.server(error(0, -32022))
    [probe] = pair.heard_by_server()
    pair.server(result("d", resultType="complete"))  # late
    pair.server(result(probe["id"], supportedVersions=[MODERN], capabilities={}))
    [answer] = pair.heard_by_host()
    assert answer["id"] == 0
    assert answer["result"]["protocolVersion"] == "2025-06-18"


@pytest.mark.parametrize("code", [-32601, -32600, -32602, -32002, -1])
def test_with_modern_the_error_is_bridged_and_the_discover_answered(code: int) -> None:
    pair = Bridged("modern")
    pair.host(DISCOVER)
    pair.heard_by_server()
    pair.server(error("d", code))
    [initialize] = pair.heard_by_server()
    pair.server(result(initialize["id"], **INITIALIZED))
    [answer] = pair.heard_by_host()
    assert answer["id"] == "d"
    assert answer["result"]["supportedVersions"] == [MODERN]


def test_with_modern_a_silent_server_is_bridged_after_five_seconds() -> None:
    pair = Bridged("modern")
    pair.host(DISCOVER)
    pair.heard_by_server()
    pair.pass_time(4.9)
    assert pair.heard_by_server() == []
    pair.pass_time(0.2)
    cancelled, initialize = pair.heard_by_server()
    assert cancelled["params"]["requestId"] == "d"
    pair.server(error("d", -32601))  # late
    pair.server(result(initialize["id"], **INITIALIZED))
    [answer] = pair.heard_by_host()
    assert answer["result"]["supportedVersions"] == [MODERN]


def test_a_slow_modern_server_is_not_bridged_after_all() -> None:
    pair = Bridged("modern")
    pair.host(DISCOVER)
    pair.pass_time(6)
    initialize = pair.heard_by_server()[-1]
    pair.server(error(initialize["id"], -32022, supported=[MODERN]))
    [again] = pair.heard_by_server()
    assert again == DISCOVER
    answer = result("d", resultType="complete", supportedVersions=[MODERN])
    pair.server(answer)
    assert pair.heard_by_host() == [answer]
    assert pair.crossing.between is None


def test_a_modern_server_that_refuses_the_first_request_is_not_taken_for_a_legacy_one() -> None:
    pair = Bridged()
    pair.host(request(1, "tools/call", name="none", _meta=envelope()))
    pair.heard_by_server()
    refusal = error(1, -32602, "Unknown tool")
    pair.server(refusal)
    [initialize] = pair.heard_by_server()
    pair.host(request(2, "tools/list", _meta=envelope()))
    pair.server(error(initialize["id"], -32022))
    assert pair.heard_by_host() == [refusal]
    assert [said["id"] for said in pair.heard_by_server()] == [2]


@pytest.mark.parametrize(
    ("method", "answer", "runs_again"),
    [
        ("tools/call", {"error": {"code": -32602, "message": "?"}}, True),
        ("tools/call", {"error": {"code": -32603, "message": "failed"}}, False),
        ("tools/call", {"result": {"content": []}}, False),
        ("tools/list", {"error": {"code": -32603, "message": "?"}}, True),
        ("tools/list", {"result": {"tools": []}}, False),
    ],
)
def test_a_call_that_a_lax_server_has_run_is_not_run_again(
    method: str, answer: Json, runs_again: bool
) -> None:
    pair = Bridged()
    pair.host(request(1, method, name="t", _meta=envelope()))
    pair.heard_by_server()
    pair.server({"jsonrpc": "2.0", "id": 1, **answer})
    [initialize] = pair.heard_by_server()
    pair.server(result(initialize["id"], **INITIALIZED))
    asked = [said["method"] for said in pair.heard_by_server()]
    assert (method in asked) == runs_again
    heard = pair.heard_by_host()
    if not runs_again:
        [said] = heard
        assert said["id"] == 1
        assert said.get("result", {}).get("resultType") in (None, "complete")


def test_requests_behind_the_first_one_are_judged_by_their_own_answers() -> None:
    pair = Bridged()
    pair.host(*[request(id_, "tools/call", name="t", _meta=envelope()) for id_ in (1, 2, 3)])
    pair.heard_by_server()
    pair.server(error(1, -32602))
    [initialize] = pair.heard_by_server()
    pair.server(error(2, -32602), result(initialize["id"], **INITIALIZED), result(3, content=[]))
    asked = [said.get("id") for said in pair.heard_by_server()]
    assert sorted(filter(None, asked)) == [1, 2]
    pair.server(result(1, content=[]), result(2, content=[]))
    assert sorted(said["id"] for said in pair.heard_by_host()) == [1, 2, 3]


def test_errors_of_our_own_bring_no_bridge_in() -> None:
    pair = Bridged()
    pair.host(INITIALIZE)
    pair.heard_by_server()
    pair.fail("No route to host")
    [answer] = pair.heard_by_host()
    assert answer["error"]["message"].startswith("No route to host")
    assert pair.heard_by_server() == []


@pytest.mark.parametrize(
    "first", [INITIALIZE, request(0, "tools/call", name="t", _meta=envelope())]
)
def test_an_answer_that_cannot_be_read_brings_no_bridge_in(first: Json) -> None:
    pair = Bridged()
    pair.host(first)
    pair.heard_by_server()
    pair.server(b'{"jsonrpc":"2.0","id":0,"result":NaN}')
    [answer] = pair.heard_by_host()
    assert (answer["id"], answer["error"]["code"]) == (0, -32000)
    assert pair.heard_by_server() == []


def test_what_waits_for_the_first_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(era_bridge, "HOLD_LIMIT", 1000)
    pair = Bridged()
    pair.host(INITIALIZE)
    pair.server(error(0, -32022))
    pair.host(*[request(id_, "tools/list", text="x" * 200) for id_ in range(1, 10)])
    refused = [said["id"] for said in pair.heard_by_host()]
    assert refused == list(range(refused[0], 10))
    assert 2 < refused[0] < 8


def test_lines_that_are_no_requests_do_not_end_the_watch() -> None:
    pair = Bridged()
    pair.host(b"no JSON", note("x"), request(1, "ping"))
    assert pair.crossing.between is not None
    pair.host(INITIALIZE)
    pair.server(error(0, -32022))
    methods = [said.get("method") for said in pair.heard_by_server()]
    assert methods[-1] == "server/discover"


def test_a_host_that_never_opens_a_session_is_not_watched_for_ever() -> None:
    pair = Bridged()
    for id_ in range(100):
        pair.host(request(id_, "ping"))
    assert pair.crossing.between is None


@pytest.mark.parametrize("side", ["legacy", "modern"])
def test_invalid_lines_are_answered_through_the_bridge_too(side: str) -> None:
    pair = Bridged()
    first: Any = INITIALIZE if side == "legacy" else request(0, "tools/list", _meta=envelope())
    pair.host(first)
    pair.server(error(0, -32022 if side == "legacy" else -32602))
    opener = pair.heard_by_server()[-1]
    discovered = {"supportedVersions": [MODERN], "capabilities": {}, "_meta": {f"{META}x": 1}}
    pair.server(result(opener["id"], **(discovered if side == "legacy" else INITIALIZED)))
    pair.heard_by_host()
    pair.host(
        b"{", b'{"jsonrpc":"2.0","id":null,"method":"x"}', b'{"jsonrpc":"1","id":5,"method":"x"}'
    )
    assert [said["error"]["code"] for said in pair.heard_by_host()] == [-32700, -32600, -32600]


def test_a_call_that_is_lost_before_the_era_is_known_says_nothing_of_the_server() -> None:
    pair = Bridged()
    pair.host(
        request(1, "tools/list", _meta=envelope()), request(2, "tools/call", _meta=envelope())
    )
    pair.lose()
    [lost] = pair.heard_by_host()
    assert (lost["id"], lost["error"]["code"]) == (2, -32000)
    pair.reconnect()
    [opener] = pair.heard_by_server()
    pair.server(error(opener["id"], -32602))
    [again] = pair.heard_by_server()
    pair.server(error(again["id"], -32602))
    assert [said["method"] for said in pair.heard_by_server()] == ["initialize"]


def test_an_initialize_that_waited_for_too_long_may_be_tried_again() -> None:
    pair = Bridged()
    pair.host(INITIALIZE)
    pair.lose()
    pair.expire_held()
    [expired] = pair.heard_by_host()
    assert expired["error"]["code"] == -32000
    pair.reconnect()
    pair.host({**INITIALIZE, "id": 1})
    pair.heard_by_server()
    pair.server(error(1, -32022))
    assert [said["method"] for said in pair.heard_by_server()] == ["server/discover"]


def test_a_discover_that_fails_behind_another_request_is_no_word_of_a_host_of_both_eras() -> None:
    pair = Bridged()
    pair.host(request(1, "tools/list", _meta=envelope()), DISCOVER)
    pair.heard_by_server()
    pair.server(error("d", -32601))
    [initialize] = pair.heard_by_server()
    pair.server(result(1, tools=[]), result(initialize["id"], **INITIALIZED))
    assert [said["id"] for said in pair.heard_by_host()] == [1, "d"]


def test_what_was_refused_goes_before_what_the_host_has_said_since() -> None:
    pair = Bridged("modern")
    pair.host(DISCOVER, *[request(id_, "tools/list", _meta=envelope()) for id_ in (1, 2)])
    pair.server(error("d", -32601))
    pair.host(request(3, "tools/list", _meta=envelope()))
    pair.server(error(1, -32602), error(2, -32602))
    initialize = pair.heard_by_server()[-1]
    pair.server(result(initialize["id"], **INITIALIZED))
    assert [said["id"] for said in pair.heard_by_server()[1:]] == [1, 2, 3]


def test_a_fresh_server_is_not_asked_to_discover_while_the_bridge_opens_a_legacy_session() -> None:
    pair = Bridged()
    pair.host(request(1, "tools/list", _meta=envelope()))
    pair.server(error(1, -32602))
    pair.lose()
    pair.reconnect()
    [initialize] = pair.heard_by_server()
    assert initialize["method"] == "initialize"
    pair.server(result(initialize["id"], **INITIALIZED))
    assert [said["method"] for said in pair.heard_by_server()][-1] == "tools/list"


@pytest.mark.parametrize(("method", "again"), [("vendor/do", 0), ("resources/read", 1)])
def test_only_what_does_no_harm_is_asked_again_after_any_error(method: str, again: int) -> None:
    pair = Bridged()
    pair.host(*[request(id_, method, _meta=envelope()) for id_ in (1, 2)])
    pair.heard_by_server()
    pair.server(error(1, -32603))
    [initialize] = pair.heard_by_server()
    pair.server(error(2, -32603), result(initialize["id"], **INITIALIZED))
    asked = [said for said in pair.heard_by_server() if said["method"] == method]
    assert len(asked) == 2 * again
    assert len(pair.heard_by_host()) == 2 - 2 * again


def test_a_request_that_was_lost_while_the_bridge_opens_is_not_asked_again() -> None:
    pair = Bridged()
    pair.host(*[request(id_, "resources/read", _meta=envelope()) for id_ in (1, 2)])
    pair.server(error(1, -32602))
    pair.lose()
    pair.expire_held()
    expired = pair.heard_by_host()
    assert {said["id"]: said["error"]["code"] for said in expired} == {1: -32000, 2: -32000}
    pair.reconnect()
    [initialize] = pair.heard_by_server()
    pair.server(result(initialize["id"], **INITIALIZED))
    assert [said["method"] for said in pair.heard_by_server()] == ["notifications/initialized"]


def test_a_server_is_not_silent_while_the_connection_is_away() -> None:
    pair = Bridged("modern")
    pair.host(DISCOVER)
    [discover] = pair.heard_by_server()
    pair.lose()
    pair.pass_time(6)
    pair.reconnect()
    assert pair.heard_by_server() == [discover]
    pair.pass_time(4)
    assert pair.heard_by_server() == []
    pair.pass_time(1)
    assert [said["method"] for said in pair.heard_by_server()][-1] == "initialize"


def test_a_question_before_the_first_answer_is_of_a_legacy_server() -> None:
    pair = Bridged()
    meta = envelope({"elicitation": {}})
    pair.host(request(1, "tools/call", name="t", _meta=meta))
    pair.heard_by_server()
    pair.server(request(90, "elicitation/create", message="?", requestedSchema={}))
    [asked] = pair.heard_by_host()
    assert (asked["id"], asked["result"]["resultType"]) == (1, "input_required")
    [initialize] = pair.heard_by_server()
    assert initialize["method"] == "initialize"
    pair.server(result(initialize["id"], protocolVersion="2025-06-18", capabilities={}))
    state, answers = asked["result"]["requestState"], {"question": {"action": "accept"}}
    again = request(
        2, "tools/call", name="t", _meta=meta, requestState=state, inputResponses=answers
    )
    pair.host(again)
    assert pair.heard_by_server()[-1] == result(90, action="accept")
    pair.server(result(1, content=[]))
    assert [said["id"] for said in pair.heard_by_host()] == [2]
