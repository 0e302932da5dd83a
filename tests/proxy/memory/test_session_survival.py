"""The session across lost connections, as scripts and as a randomly driven model."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.examples import examples

from m2m_ssh_client.proxy.memory.session import Output, Session, State

SAFE = [
    "completion/complete",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "server/discover",
    "tools/list",
    "vendor/things/list",
]
UNSAFE = ["tools/call", "tasks/cancel", "vendor/launch", "sampling/createMessage"]
CAPABILITIES = {"tools": {"listChanged": True}, "prompts": {}, "logging": {}}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": CAPABILITIES, "serverInfo": {"name": "s"}}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def line(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}).encode()


def request(id_: int | str, method: str = "tools/call", **params: Any) -> bytes:
    return line(id=id_, method=method, params=params)


def answer(id_: Any, result: object = None) -> bytes:
    return line(id=id_, result=result or {})


def decoded(lines: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(item) for item in lines]


def methods(lines: list[bytes]) -> list[str]:
    return [value.get("method", "answer") for value in decoded(lines)]


def legacy_session(**options: Any) -> Session:
    """Return a session that has completed the handshake."""
    session = Session(**options)
    session.connected()
    session.from_host([request("i", "initialize", name="host")], 0)
    session.from_remote([answer("i", HELLO)])
    session.from_host([line(**INITIALIZED)], 0)
    return session


def reconnect(session: Session, result: object = None) -> Output:
    """Let a fresh server accept the repeated initialize; return the output of that."""
    (initialize,) = decoded(session.connected().to_remote)
    assert initialize["method"] == "initialize"
    return session.from_remote([answer(initialize["id"], result or HELLO)])


@pytest.mark.parametrize("method", SAFE)
def test_a_request_that_only_reads_is_sent_again_unchanged(method: str) -> None:
    session = legacy_session()
    asked = request(7, method, uri="a", cursor=["x"])
    session.from_host([asked], 0)
    assert session.lost("gone", [], 1).to_host == []
    assert asked in reconnect(session).to_remote
    assert session.from_remote([answer(7)]).to_host == [answer(7)]


@pytest.mark.parametrize("method", UNSAFE)
def test_a_request_that_may_have_run_is_answered_and_not_repeated(method: str) -> None:
    session = legacy_session()
    session.from_host([request(7, method)], 0)
    (reply,) = decoded(session.lost("The link broke", [], 1).to_host)
    assert reply["id"] == 7
    assert reply["error"]["message"].startswith("The link broke. ")
    assert "may or may not have run" in reply["error"]["message"]
    assert methods(reconnect(session).to_remote) == ["notifications/initialized"]


@pytest.mark.parametrize("method", UNSAFE)
def test_an_unsent_request_is_sent_after_the_reconnect(method: str) -> None:
    session = legacy_session()
    asked = request(7, method)
    session.from_host([asked, line(method="notifications/x")], 0)
    unsent = [asked, line(method="notifications/x")]
    assert session.lost("gone", unsent, 1).to_host == []
    assert reconnect(session).to_remote[-2:] == unsent
    assert session.pending == 1


def test_the_state_after_the_handshake_is_restored_and_the_answers_are_dropped() -> None:
    session = legacy_session()
    passing = [
        request(1, "logging/setLevel", level="debug"),
        request(2, "resources/subscribe", uri="a"),
        request(3, "resources/subscribe", uri="b"),
        request(4, "resources/unsubscribe", uri="a"),
        request(5, "logging/setLevel", level="error"),
    ]
    session.from_host(passing, 0)
    session.from_remote([answer(id_) for id_ in range(1, 6)])
    session.lost("gone", [], 1)
    (initialize,) = decoded(session.connected().to_remote)
    assert initialize["params"] == {"name": "host"}
    output = session.from_remote([answer(initialize["id"], HELLO)])
    initialized, level, subscribe = decoded(output.to_remote)
    assert initialized == INITIALIZED
    assert (level["method"], level["params"]) == ("logging/setLevel", {"level": "error"})
    assert (subscribe["method"], subscribe["params"]) == ("resources/subscribe", {"uri": "b"})
    assert session.from_remote([answer(level["id"]), answer(subscribe["id"])]).to_host == []


def test_the_host_is_told_that_lists_may_have_changed_and_that_the_server_is_fresh() -> None:
    session = legacy_session()
    session.lost("gone", [], 1)
    tools, message = decoded(reconnect(session).to_host)
    assert tools == {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
    assert message["method"] == "notifications/message"
    assert message["params"]["level"] == "warning"


def test_a_host_that_asked_for_errors_only_gets_no_warning() -> None:
    session = legacy_session()
    session.from_host([request(1, "logging/setLevel", level="error")], 0)
    session.from_remote([answer(1)])
    session.lost("gone", [], 1)
    assert methods(reconnect(session).to_host) == ["notifications/tools/list_changed"]


def test_another_server_behind_the_same_address_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    session = legacy_session()
    session.lost("gone", [], 1)
    reconnect(session, {**HELLO, "serverInfo": {"name": "s", "version": "2"}})
    (record,) = caplog.records
    assert "serverInfo" in record.getMessage()


def test_a_fresh_server_that_refuses_the_handshake_is_reported() -> None:
    session = legacy_session()
    session.lost("gone", [], 1)
    (initialize,) = decoded(session.connected().to_remote)
    session.from_remote([line(id=initialize["id"], error={"code": -1, "message": "no"})])
    assert session.refused_replay
    assert session.state is State.REPLAYING


def test_an_initialize_without_an_answer_is_sent_again_under_its_own_id() -> None:
    session = Session()
    session.connected()
    asked = request("i", "initialize")
    session.from_host([asked], 0)
    session.lost("gone", [], 1)
    assert session.connected().to_remote == [asked]
    assert session.from_remote([answer("i", HELLO)]).to_host[0] == answer("i", HELLO)


def test_an_initialized_that_comes_during_the_outage_is_not_sent_twice() -> None:
    session = Session()
    session.connected()
    session.from_host([request("i", "initialize")], 0)
    session.from_remote([answer("i", HELLO)])
    session.lost("gone", [], 1)
    session.from_host([line(**INITIALIZED)], 2)
    assert methods(reconnect(session).to_remote) == ["notifications/initialized"]


def test_only_initialized_is_repeated_from_its_batch() -> None:
    session = Session()
    session.connected()
    session.from_host([request(0, "initialize")], 0)
    session.from_remote([answer(0, HELLO)])
    initialized = line(method="notifications/initialized")
    session.from_host([b"[" + initialized + b"," + request(1) + b"]"], 0)
    session.from_remote([answer(1)])
    session.lost("gone", [], 1)
    assert decoded(reconnect(session).to_remote) == decoded([initialized])


@pytest.mark.parametrize("method", ["notifications/initialized", "notifications/cancelled"])
def test_a_request_beside_a_notification_that_is_settled_is_held_all_the_same(method: str) -> None:
    session = legacy_session()
    session.lost("gone", [], 1)
    notification = line(method=method, params={"requestId": 7})
    session.from_host([request(7), b"[" + notification + b"," + request(8) + b"]"], 2)
    session.from_host([request(9, method, requestId=7)], 2)
    left = [7, 8, 9] if method == "notifications/initialized" else [8, 9]
    assert session.pending == len(left)
    answers = decoded(session.failed("over").to_host)
    assert [(value["id"], value["error"]["message"]) for value in answers] == [
        (id_, "over") for id_ in left
    ]


def test_requests_during_the_outage_are_held_and_sent_in_order() -> None:
    session = legacy_session()
    session.lost("gone", [], 1)
    held = [request(1), line(method="notifications/x"), request(2, "tools/list")]
    assert session.from_host(held, 2).to_remote == []
    assert reconnect(session).to_remote[1:] == held


def test_a_held_request_is_answered_when_its_time_is_up_while_reconnecting_continues() -> None:
    session = legacy_session(hold_time=20)
    session.from_host([request(1, "tools/list")], 0)
    assert session.next_expiry == float("inf")
    session.lost("gone", [], 100)
    session.from_host([request(2), line(method="notifications/x")], 105)
    assert session.next_expiry == 120
    assert session.expire(119.9, "trying again").to_host == []
    (first,) = decoded(session.expire(120, "trying again").to_host)
    assert first["id"] == 1
    assert first["error"]["message"].startswith("trying again. This request was sent before")
    (second,) = decoded(session.expire(125, "trying again").to_host)
    assert second["id"] == 2
    assert second["error"]["message"].startswith("trying again. This request was not sent")
    assert session.next_expiry == float("inf")
    assert methods(reconnect(session).to_remote) == ["notifications/initialized", "notifications/x"]


def test_a_second_loss_does_not_give_a_request_more_time() -> None:
    session = legacy_session(hold_time=20)
    session.lost("gone", [], 100)
    session.from_host([request(1)], 101)
    session.lost("gone again", [], 110)
    assert session.next_expiry == 121


def test_a_call_cancelled_while_held_is_never_sent() -> None:
    session = legacy_session()
    session.lost("gone", [], 1)
    session.from_host([request(1)], 2)
    cancel = line(method="notifications/cancelled", params={"requestId": 1})
    assert session.from_host([cancel], 3).to_host == []
    assert session.pending == 0
    assert methods(reconnect(session).to_remote) == ["notifications/initialized"]


def tools_list(**annotations: bool) -> dict[str, Any]:
    return {"tools": [{"name": "t", "annotations": annotations}, {"name": "plain"}, {"odd": 1}, 5]}


@pytest.mark.parametrize(
    ("annotations", "repeated"),
    [
        ({"readOnlyHint": True}, True),
        ({"idempotentHint": True}, True),
        ({"readOnlyHint": False}, False),
        ({}, False),
    ],
)
@pytest.mark.parametrize("allowed", [True, False])
def test_a_tool_call_is_repeated_only_where_that_is_allowed_and_the_tool_says_it_is_harmless(
    annotations: dict[str, bool], repeated: bool, allowed: bool
) -> None:
    session = legacy_session(retry_tool_calls=allowed)
    session.from_host([request(1, "tools/list")], 0)
    session.from_remote([answer(1, tools_list(**annotations))])
    session.from_host([request(2, name="t"), request(3, name="plain")], 0)
    answered = [value["id"] for value in decoded(session.lost("gone", [], 1).to_host)]
    assert answered == ([3] if repeated and allowed else [2, 3])


# Requests of the remote


def ask(id_: int | str, token: int | str | None = None) -> bytes:
    params = {"_meta": {"progressToken": token}} if token is not None else {}
    return line(id=id_, method="elicitation/create", params=params)


def test_a_loss_cancels_the_remotes_requests_and_drops_their_late_answers() -> None:
    session = legacy_session()
    session.from_remote([ask(1, 99), ask("x")])
    session.from_host([answer("x")], 0)
    (cancelled,) = decoded(session.lost("gone", [], 1).to_host)
    assert cancelled["method"] == "notifications/cancelled"
    assert cancelled["params"]["requestId"] == 1
    late = [
        line(method="notifications/progress", params={"progressToken": 99, "progress": 1}),
        answer(1),
    ]
    assert session.from_host(late, 2).to_remote == []
    assert methods(reconnect(session).to_remote) == ["notifications/initialized"]


def test_ids_and_tokens_of_a_later_connection_are_unique_and_are_mapped_back() -> None:
    session = legacy_session()
    session.from_remote([ask(1, 99)])
    session.lost("gone", [], 1)
    reconnect(session)
    (shown,) = decoded(session.from_remote([ask(1, 99)]).to_host)
    token = shown["params"]["_meta"]["progressToken"]
    assert shown["id"] != 1
    assert token != 99
    progress = line(method="notifications/progress", params={"progressToken": token, "progress": 1})
    back = session.from_host([progress, answer(shown["id"], {"n": 1.50})], 2).to_remote
    assert decoded(back) == [
        json.loads(
            line(method="notifications/progress", params={"progressToken": 99, "progress": 1})
        ),
        json.loads(answer(1, {"n": 1.50})),
    ]
    assert session.from_host([answer(1)], 2).to_remote == []  # belongs to the first connection


@pytest.mark.parametrize("token", [99, [99], {}])
def test_only_the_messages_about_an_outdated_request_are_dropped_from_a_batch(token: Any) -> None:
    session = legacy_session()
    session.from_remote([ask(1, 99)])
    session.lost("gone", [], 1)
    reconnect(session)
    progress = line(method="notifications/progress", params={"progressToken": token})
    batch = b"[" + b",".join([progress, answer(1), request(8)]) + b"]"
    (sent,) = session.from_host([batch], 2).to_remote
    left = [progress, request(8)] if token != 99 else [request(8)]
    assert json.loads(sent) == decoded(left)
    assert session.pending == 1


def test_values_of_any_type_are_accepted_in_the_members_that_are_read() -> None:
    session = Session(retry_tool_calls=True)
    session.connected()
    session.from_host(
        [request(1, "tools/list"), request(5, "subscriptions/listen", notifications="x")], 0
    )
    tools = {"tools": [{"name": "t", "annotations": {"readOnlyHint": True}}]}
    session.from_remote([answer(1, tools), acknowledged(5)])
    session.from_host([request(2, name=[]), request(3, "resources/subscribe", uri={})], 0)
    session.lost("gone", [], 1)
    assert session.connected().to_host == []
    assert session.pending == 2


@pytest.mark.parametrize("rest", ["", "x", '"t"1', "{}", "[" * 5000])
def test_an_id_that_the_host_invented_passes_unchanged(rest: str) -> None:
    session = legacy_session()
    session.lost("gone", [], 1)
    reconnect(session)
    made_up = answer(f"m2m-1:{rest}", {})
    assert decoded(session.from_host([made_up], 2).to_remote) == decoded([made_up])


def test_a_later_server_can_cancel_its_request() -> None:
    session = legacy_session()
    session.lost("gone", [], 1)
    reconnect(session)
    (shown,) = decoded(session.from_remote([ask(1)]).to_host)
    cancel = line(method="notifications/cancelled", params={"requestId": 1, "reason": "r"})
    (cancelled,) = decoded(session.from_remote([cancel]).to_host)
    assert cancelled["params"] == {"requestId": shown["id"], "reason": "r"}


def test_an_unsent_answer_is_not_sent_to_the_next_server() -> None:
    session = legacy_session()
    session.from_remote([ask(1)])
    session.from_host([answer(1)], 0)
    session.lost("gone", [answer(1)], 1)
    assert methods(reconnect(session).to_remote) == ["notifications/initialized"]


def test_an_unsent_answer_is_not_mistaken_for_a_request_with_the_same_id() -> None:
    """Each side chooses its own ids, and a batch may contain the same id of both."""
    session = legacy_session()
    session.from_host([request(7)], 1)
    batch = b"[" + answer(7) + b"," + request(8) + b"]"
    (reply,) = decoded(session.lost("gone", session.from_host([batch], 1).to_remote, 1).to_host)
    assert (reply["id"], session.pending) == (7, 1)


def test_a_held_answer_is_not_sent_to_the_server_after_the_next() -> None:
    session = legacy_session()
    session.lost("gone", [], 1)
    session.connected()
    (shown,) = decoded(session.from_remote([ask(1)]).to_host)
    assert session.from_host([answer(shown["id"])], 2).to_remote == []
    session.lost("gone again", [], 3)
    assert methods(reconnect(session).to_remote) == ["notifications/initialized"]


# Hosts of 2026-07-28


def listen(id_: int | str, **wanted: Any) -> bytes:
    return request(id_, "subscriptions/listen", notifications=wanted)


def acknowledged(id_: int | str) -> bytes:
    meta = {"io.modelcontextprotocol/subscriptionId": id_}
    return line(method="notifications/subscriptions/acknowledged", params={"_meta": meta})


def test_an_open_subscription_is_sent_again_and_its_second_acknowledgement_dropped() -> None:
    session = Session()
    session.connected()
    asked = listen(5, toolsListChanged=True, promptsListChanged=False)
    session.from_host([asked], 0)
    assert session.from_remote([acknowledged(5)]).to_host == [acknowledged(5)]
    session.lost("gone", [], 1)
    assert session.next_expiry == float("inf")
    output = session.connected()
    assert output.to_remote == [asked]
    (changed,) = decoded(output.to_host)
    assert changed["method"] == "notifications/tools/list_changed"
    assert changed["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": 5}
    assert session.from_remote([acknowledged(5)]).to_host == []


def test_an_answered_subscription_is_over_even_if_its_id_came_back_as_a_string() -> None:
    session = Session()
    session.connected()
    session.from_host([listen(5, toolsListChanged=True)], 0)
    session.from_remote([acknowledged(5)])
    assert session.from_remote([answer("5", {})]).to_host == [answer("5", {})]
    session.lost("gone", [], 1)
    assert session.connected().to_host == []


def discovered(version: str) -> dict[str, Any]:
    meta = {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": version}}
    return {"resultType": "complete", "capabilities": {}, "_meta": meta}


@pytest.mark.parametrize(("version", "warnings"), [("1", 0), ("2", 1)])
def test_a_fresh_server_without_a_handshake_is_asked_who_it_is(
    version: str, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    session = Session()
    session.connected()
    session.from_host([request(0, "server/discover", x=1)], 0)
    session.from_remote([answer(0, discovered("1"))])
    session.lost("gone", [], 1)
    (inquiry,) = decoded(session.connected().to_remote)
    assert (inquiry["method"], inquiry["params"]) == ("server/discover", {"x": 1})
    assert session.from_remote([answer(inquiry["id"], discovered(version))]).to_host == []
    assert ["serverInfo" in record.getMessage() for record in caplog.records] == [True] * warnings


@pytest.mark.parametrize("repeated", [True, False])
def test_an_acknowledgement_of_a_cancelled_subscription_is_dropped(repeated: bool) -> None:
    session = Session()
    session.connected()
    session.from_host([listen(5)], 0)
    if repeated:
        session.from_remote([acknowledged(5)])
        session.lost("gone", [], 1)
        assert session.connected().to_remote == [listen(5)]
    cancellation = line(method="notifications/cancelled", params={"requestId": 5})
    session.from_host([cancellation], 2)
    assert session.from_remote([acknowledged(5)]).to_host == []


def test_an_acknowledgement_may_have_the_text_of_the_number() -> None:
    session = Session()
    session.connected()
    session.from_host([listen(5)], 0)
    assert session.from_remote([acknowledged("5")]).to_host == [acknowledged("5")]
    assert session.from_remote([acknowledged("5")]).to_host == []


def test_a_subscription_that_was_not_acknowledged_yet_gets_its_first_acknowledgement() -> None:
    session = Session()
    session.connected()
    session.from_host([listen(5)], 0)
    session.lost("gone", [], 1)
    session.connected()
    assert session.from_remote([acknowledged(5)]).to_host == [acknowledged(5)]


@pytest.mark.parametrize("end", ["cancelled", "answered"])
def test_a_subscription_that_has_ended_is_not_sent_again(end: str) -> None:
    session = Session()
    session.connected()
    session.from_host([listen(5)], 0)
    session.from_remote([acknowledged(5)])
    if end == "cancelled":
        cancel = line(method="notifications/cancelled", params={"requestId": 5})
        assert session.from_host([cancel], 0).to_remote == [cancel]
    else:
        session.from_remote([answer(5)])
    session.lost("gone", [], 1)
    assert session.connected().to_remote == []


def test_a_server_that_ends_on_discover_is_replaced_by_one_that_gets_the_initialize() -> None:
    session = Session()
    session.connected()
    session.from_host([request(0, "server/discover")], 0)
    output = session.ended_on_discover()
    assert output is not None
    (reply,) = decoded(output.to_host)
    assert (reply["id"], reply["error"]["code"]) == (0, -32601)
    asked = request(1, "initialize")
    assert session.from_host([asked], 1).to_remote == []
    assert session.connected().to_remote == [asked]


def test_a_server_that_ends_on_anything_else_is_not_excused() -> None:
    session = Session()
    session.connected()
    session.from_host([request(0, "initialize")], 0)
    assert session.ended_on_discover() is None


def test_all_that_a_process_got_that_never_ran_goes_to_the_next_in_order() -> None:
    session = Session()
    session.connected()
    said = [request(0, "initialize"), line(method="notifications/initialized"), request(1)]
    session.from_host(said[:2], 0)
    session.from_host(said[2:], 0)
    assert session.never_ran(1)
    assert session.state is State.CONNECTING
    later = request(2)
    assert session.from_host([later], 1).to_remote == []
    assert session.connected().to_remote == [*said, later]
    assert session.from_remote([answer(2, {})]).to_host == [answer(2, {})]
    assert session.pending == 2


def test_a_process_that_has_answered_has_run() -> None:
    session = Session()
    session.connected()
    session.from_host([request(0, "initialize")], 0)
    session.from_remote([answer(0, HELLO)])
    session.from_host([request(1)], 0)
    assert not session.never_ran(1)
    assert session.pending == 1


def test_what_a_process_got_is_remembered_only_within_bounds() -> None:
    session = Session()
    session.connected()
    for id_ in range(18):
        session.from_host([request(id_, x="x" * 1_000_000)], 0)
    assert not session.never_ran(1)


def test_a_fresh_process_that_never_ran_leaves_the_replay_for_the_next() -> None:
    session = Session()
    session.connected()
    session.from_host([request(0, "initialize")], 0)
    session.from_remote([answer(0, HELLO)])
    session.lost("gone", [], 1)
    session.from_host([request(1)], 2)
    (first,) = session.connected().to_remote
    assert session.never_ran(3)
    assert session.state is State.LOST
    (again,) = session.connected().to_remote
    assert json.loads(again)["method"] == json.loads(first)["method"] == "initialize"
    output = session.from_remote([answer(json.loads(again)["id"], HELLO)])
    assert output.to_remote[-1] == request(1)


def test_after_a_shell_request_the_repeated_initialize_is_sent_alone_and_shell_safe() -> None:
    session = Session(may_be_shell=True)
    session.connected()
    session.from_host([request("i", "initialize", name="$(x)")], 0)
    session.from_remote([answer("i", HELLO)])
    session.lost("gone", [], 1)
    session.from_host([request(1)], 2)
    (safe,) = session.connected().to_remote
    assert b"$" not in safe
    assert session.from_remote([answer(json.loads(safe)["id"], HELLO)]).to_remote == [request(1)]


class Survival(RuleBasedStateMachine):
    """Random orders of events, checked against a simple model of the answers that are due."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.session = Session(hold_time=20)
        self.next_id = 0
        self.methods: list[str] = []  # by id
        self.asked: Counter[int] = Counter()
        self.answered: Counter[int] = Counter()
        self.calls_delivered: Counter[int] = Counter()
        self.cancelled: set[int] = set()
        self.at_remote: list[dict[str, Any]] = []  # unanswered by the current server
        self.unsent: list[bytes] = []  # the last lines, which have not left
        self.connected = False

    def take(self, output: Output, *, leaves: bool = True) -> None:
        for value in decoded(output.to_host):
            if "method" not in value and value["id"] is not None:
                self.answered[value["id"]] += 1
        if leaves:
            self.deliver(output.to_remote)
        else:
            self.unsent += output.to_remote

    def deliver(self, lines: list[bytes]) -> None:
        for value in decoded(lines):
            if "id" in value and "method" in value:
                assert value["id"] not in self.cancelled
                self.at_remote.append(value)
                if value["method"] == "tools/call":
                    self.calls_delivered[value["id"]] += 1

    @rule(
        method=st.sampled_from(
            ["tools/call", "tools/list", "ping", "initialize", "logging/setLevel"]
        ),
        leaves=st.booleans(),
    )
    def host_asks(self, method: str, leaves: bool) -> None:
        self.asked[self.next_id] += 1
        self.methods.append(method)
        leaves = leaves and not self.unsent  # lines leave in order
        self.take(self.session.from_host([request(self.next_id, method)], self.now), leaves=leaves)
        self.next_id += 1

    @rule(leaves=st.booleans())
    def host_notifies(self, leaves: bool) -> None:
        leaves = leaves and not self.unsent
        self.take(self.session.from_host([line(method="notifications/x")], self.now), leaves=leaves)

    @precondition(lambda self: self.next_id and not self.unsent)
    @rule(data=st.data())
    def host_cancels_a_request(self, data: st.DataObject) -> None:
        id_ = data.draw(st.integers(0, self.next_id - 1))
        if self.answered[id_] or self.methods[id_] == "initialize":
            return
        cancel = line(method="notifications/cancelled", params={"requestId": id_})
        output = self.session.from_host([cancel], self.now)
        assert output.to_host == []
        self.cancelled.add(id_)
        self.at_remote = [value for value in self.at_remote if value["id"] != id_]
        del self.asked[id_]
        self.take(output)

    @rule()
    def the_writer_catches_up(self) -> None:
        lines, self.unsent = self.unsent, []
        self.deliver(lines)

    @precondition(lambda self: self.connected and self.at_remote)
    @rule(data=st.data())
    def remote_answers(self, data: st.DataObject) -> None:
        value = self.at_remote.pop(data.draw(st.integers(0, len(self.at_remote) - 1)))
        result = HELLO if value["method"] == "initialize" else {}
        self.take(self.session.from_remote([answer(value["id"], result)]))

    @precondition(lambda self: self.connected)
    @rule()
    def remote_talks(self) -> None:
        self.take(self.session.from_remote([b"stray", line(method="notifications/y"), ask(1)]))

    @precondition(lambda self: not self.connected)
    @rule()
    def connection_comes(self) -> None:
        self.connected = True
        self.take(self.session.connected())

    @precondition(lambda self: self.connected)
    @rule()
    def connection_goes(self) -> None:
        self.connected = False
        self.at_remote.clear()
        unsent, self.unsent = self.unsent, []
        self.take(self.session.lost("gone", unsent, self.now))

    @rule(seconds=st.floats(0.1, 30))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        if self.session.next_expiry <= self.now:
            self.take(self.session.expire(self.now, "waiting"))

    @invariant()
    def nothing_is_answered_twice(self) -> None:
        assert all(count == 1 for count in self.answered.values())
        assert self.answered.keys() <= self.asked.keys()

    @invariant()
    def no_tool_call_reaches_a_server_twice(self) -> None:
        assert all(count == 1 for count in self.calls_delivered.values())

    @invariant()
    def every_unanswered_request_is_remembered(self) -> None:
        assert self.session.pending == sum(self.asked.values()) - sum(self.answered.values())

    def teardown(self) -> None:
        self.take(self.session.failed("over"))
        assert self.answered == self.asked


Survival.TestCase.settings = settings(examples(200), stateful_step_count=40)
TestSurvival = Survival.TestCase


def test_a_ping_of_ours_waits_for_the_handshake_and_its_answer_stays_here() -> None:
    session = Session("m2m-test-")
    assert session.ping().to_remote == []
    session.connected()
    assert session.ping().to_remote == []
    session = legacy_session(prefix="m2m-test-")
    (ping,) = decoded(session.ping().to_remote)
    assert ping["method"] == "ping"
    assert ping["id"].startswith("m2m-test-")
    late = decoded(session.ping().to_remote)[0]["id"]
    assert session.from_remote([answer(ping["id"])]) == Output()
    session.lost("gone", [], 1)
    assert session.ping().to_remote == []
    reconnect(session)
    assert session.from_remote([answer(late)]) == Output()


def test_a_server_without_ping_is_asked_what_the_host_asked_it_first() -> None:
    session = Session()
    session.connected()
    session.from_host([request(0, "server/discover", x=1)], 0)
    session.from_remote([answer(0, discovered("1"))])
    (ping,) = decoded(session.ping().to_remote)
    assert (ping["method"], ping["params"]) == ("server/discover", {"x": 1})
    assert session.from_remote([answer(ping["id"], discovered("2"))]) == Output()
