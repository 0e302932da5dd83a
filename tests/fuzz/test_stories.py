"""The session's fuzz target with stories that make more sense than a fuzzer's: both sides speak JSON-RPC."""

from __future__ import annotations

import json
from itertools import chain
from typing import Any

from fuzz.sessions import check
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

IDS = st.sampled_from(
    [0, 1, 2, 3, "a", "b", "1", None, 1.5, "m2m-1", "m2m-2", "m2m-1:1", 'm2m-2:"a"']
)
METHODS = st.sampled_from(
    [
        *("initialize", "tools/call", "tools/call", "tools/list", "ping", "server/discover"),
        *(
            "subscriptions/listen",
            "logging/setLevel",
            "resources/subscribe",
            "resources/unsubscribe",
        ),
        *("sampling/createMessage", "elicitation/create", "x"),
    ]
)
NOTIFICATIONS = st.sampled_from(
    [
        *("notifications/initialized", "notifications/cancelled", "notifications/progress"),
        *("notifications/subscriptions/acknowledged", "notifications/x"),
    ]
)
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["t", "u", "$(x)"]) | st.just([]),
        "uri": st.sampled_from(["x:1", "x:2"]),
        "level": st.sampled_from(["debug", "error", 1]),
        "requestId": IDS | st.just([]),
        "progressToken": IDS | st.just([]),
        "notifications": st.just({"toolsListChanged": True}) | st.just("x"),
        "_meta": st.fixed_dictionaries(
            {}, optional={"progressToken": IDS, "io.modelcontextprotocol/subscriptionId": IDS}
        ),
    },
)
RESULTS = st.sampled_from(
    [
        {},
        None,
        {
            "capabilities": {"tools": {"listChanged": True}, "logging": {}},
            "serverInfo": {"name": "s"},
        },
        {"supportedVersions": ["2026-07-28"]},
        {"tools": [{"name": "t", "annotations": {"readOnlyHint": True}}, {"name": "u"}]},
    ]
)


def message(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"jsonrpc": st.just("2.0"), **members})


MESSAGES = (
    message(id=IDS, method=METHODS, params=PARAMS)
    | message(method=NOTIFICATIONS, params=PARAMS)
    | message(id=IDS, result=RESULTS)
    | message(id=IDS, error=st.just({"code": 1, "message": "x"}))
)
LINES = (MESSAGES | MESSAGES | st.lists(MESSAGES, min_size=1, max_size=3)).map(json.dumps)
HOST, REMOTE = LINES.map(lambda line: f">{line}"), LINES.map(lambda line: f"<{line}")
HELLO = {"capabilities": {"tools": {"listChanged": True}}, "serverInfo": {"name": "s"}}


def replayed(number: int) -> str:
    return "<" + json.dumps({"jsonrpc": "2.0", "id": f"m2m-{number}", "result": HELLO})


BEGINNING = [
    "+",
    '>{"jsonrpc":"2.0","id":0,"method":"initialize"}',
    "<" + json.dumps({"jsonrpc": "2.0", "id": 0, "result": HELLO}),
]
# What happens, as a few steps that belong together.
SCENES = (
    st.lists(HOST | REMOTE, min_size=1, max_size=3)
    | st.builds(lambda line: ["-", line, "+"], HOST)
    | st.builds(lambda line, number: ["-", line, "+", replayed(number)], HOST, st.integers(1, 5))
    | st.builds(lambda line, answer: ["|", line, answer, "-", "+", "."], HOST, REMOTE)
    | st.sampled_from("+-|.~?").map(lambda step: [step])
)
STORIES = st.builds(
    lambda options, beginning, scenes: "\n".join([options, *beginning, *chain(*scenes)]),
    st.sampled_from(["", "", "s", "r", "sr"]),
    st.sampled_from([[], BEGINNING, BEGINNING]),
    st.lists(SCENES, max_size=12),
)


@examples(200)
@given(STORIES)
def test_whatever_both_sides_say_each_request_gets_one_answer(story: str) -> None:
    check(story.encode())


META = "io.modelcontextprotocol/"
ENVELOPE = {f"{META}protocolVersion": "2026-07-28", f"{META}clientCapabilities": {"roots": {}}}
ERA_IDS = st.integers(1, 6).map(lambda number: f"m2m-era-{number}")
ASKING = st.sampled_from(
    ["roots/list", "elicitation/create", "sampling/createMessage", "ping", "x"]
)
MODERN_RESULTS = st.fixed_dictionaries(
    {"resultType": st.sampled_from(["complete", "complete", "input_required", "task", 1])},
    optional={
        "inputRequests": st.dictionaries(
            st.sampled_from("ab"), st.fixed_dictionaries({"method": ASKING}), max_size=2
        )
        | st.just([]),
        "requestState": st.just("s") | st.just(1),
        "tools": st.just([{"name": "t", "outputSchema": {"type": "array"}}]) | st.just({}),
        "supportedVersions": st.just(["2026-07-28"]),
    },
)
ERA_NOTIFICATIONS = st.sampled_from(
    ["notifications/message", "notifications/tools/list_changed", "notifications/resources/updated"]
)
ERA_PARAMS = st.builds(
    lambda params, meta: {**params, "_meta": {**params.get("_meta", {}), **meta}},
    PARAMS,
    st.sampled_from(
        [ENVELOPE, ENVELOPE, {}, {**ENVELOPE, f"{META}logLevel": "info", "progressToken": 1}]
    ),
)
ERA_MESSAGES = (
    message(id=IDS, method=METHODS, params=ERA_PARAMS | st.just([1]))
    | message(id=IDS | ERA_IDS, method=ASKING, params=PARAMS | st.just([1]))
    | message(method=NOTIFICATIONS | ERA_NOTIFICATIONS, params=PARAMS | st.just([1]))
    | message(id=IDS | ERA_IDS, result=MODERN_RESULTS | RESULTS)
    | message(
        id=IDS | ERA_IDS, error=st.sampled_from([{"code": -32601}, {"code": -32022}, {"code": 1}])
    )
)
ERA_LINES = ERA_MESSAGES.map(json.dumps)
ERA_SCENES = st.lists(
    ERA_LINES.map(lambda line: f">{line}") | ERA_LINES.map(lambda line: f"<{line}"),
    min_size=1,
    max_size=3,
)


def line(side: str, id_: Any, **members: Any) -> str:
    return side + json.dumps({"jsonrpc": "2.0", "id": id_, **members})


CAPABILITIES: dict[str, Any] = {"roots": {}, "elicitation": {"form": {}, "url": {}}, "sampling": {}}
OFFERED: dict[str, Any] = {
    "tools": {"listChanged": True},
    "resources": {"subscribe": True},
    "logging": {},
}
LEGACY_HOST = [
    "b",
    line(">", "i", method="initialize", params={"capabilities": CAPABILITIES}),
    line("<", "i", error={"code": -32022, "message": "x"}),
    line(
        "<",
        "m2m-era-1",
        result={"supportedVersions": ["2026-07-28"], "capabilities": OFFERED},
    ),
    '>{"jsonrpc":"2.0","method":"notifications/initialized"}',
]
MODERN_HOST = [
    "b",
    line(">", "i", method="tools/list", params={"_meta": ENVELOPE}),
    line("<", "i", error={"code": -32601, "message": "x"}),
    line("<", "m2m-era-1", result={"protocolVersion": "x", "capabilities": OFFERED}),
]
UNKNOWN = ["m"]
BRIDGED_STORIES = st.builds(
    lambda beginning, scenes: "\n".join([beginning[0], "+", *beginning[1:], *chain(*scenes)]),
    st.sampled_from([LEGACY_HOST, MODERN_HOST, UNKNOWN]),
    st.lists(ERA_SCENES | SCENES, max_size=12),
)


@examples(300)
@given(BRIDGED_STORIES)
def test_whatever_two_eras_say_each_request_gets_one_answer(story: str) -> None:
    check(story.encode())
