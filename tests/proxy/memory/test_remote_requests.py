"""The limit on remembered requests of the remote, and the requests beyond it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from m2m_ssh_client.proxy.frames.frame import parse
from m2m_ssh_client.proxy.memory.remote_requests import RemoteRequests

MOST = 10_000


def line(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}).encode()


def ask(requests: RemoteRequests, *ids: int | str) -> None:
    """Send a request for each id; its progress token is the id, doubled."""
    for id_ in ids:
        params = {"_meta": {"progressToken": id_ * 2}}
        asked = line(id=id_, method="sampling/createMessage", params=params)
        requests.from_remote(parse(asked))


def cancelled(requests: RemoteRequests) -> list[Any]:
    return [json.loads(each)["params"]["requestId"] for each in requests.lost()]


def reaches_the_remote(requests: RemoteRequests, sent: bytes) -> bool:
    return requests.from_host(parse(sent)) is not None


def test_as_many_requests_as_there_is_room_for_are_cancelled_when_the_connection_is_lost() -> None:
    requests = RemoteRequests("m2m-")
    ask(requests, *range(MOST))
    assert cancelled(requests) == list(range(MOST))
    assert cancelled(requests) == []


def test_beyond_the_limit_the_oldest_are_forgotten() -> None:
    requests = RemoteRequests("m2m-")
    ask(requests, *range(MOST + 3))
    assert cancelled(requests) == list(range(3, MOST + 3))


def test_an_answered_request_makes_room() -> None:
    requests = RemoteRequests("m2m-")
    ask(requests, *range(MOST))
    assert reaches_the_remote(requests, line(id=5, result={}))
    ask(requests, MOST)
    assert cancelled(requests) == [*range(5), *range(6, MOST + 1)]


def test_the_answer_to_a_forgotten_request_reaches_the_server_that_sent_it() -> None:
    requests = RemoteRequests("m2m-")
    ask(requests, *range(MOST + 1))
    answer = line(id=0, result={})
    found = requests.from_host(parse(answer))
    assert found is not None
    assert found.line == answer


@pytest.mark.parametrize(
    "late",
    [
        line(id=0, result={}),
        line(method="notifications/progress", params={"progressToken": 0, "progress": 1}),
    ],
    ids=["answer", "progress"],
)
def test_a_late_message_about_a_forgotten_request_does_not_reach_the_next_server(
    late: bytes,
) -> None:
    """The next server may have sent another request with the same id."""
    requests = RemoteRequests("m2m-")
    ask(requests, *range(MOST + 1))
    requests.lost()
    ask(requests, 0)
    assert not reaches_the_remote(requests, late)


def test_an_id_that_is_too_long_is_not_remembered() -> None:
    requests = RemoteRequests("m2m-")
    ask(requests, "x" * 1001, "y" * 1000)
    assert cancelled(requests) == ["y" * 1000]


def test_a_request_that_the_server_cancels_is_not_cancelled_again() -> None:
    requests = RemoteRequests("m2m-")
    ask(requests, 1, 2)
    cancel = line(method="notifications/cancelled", params={"requestId": 1})
    requests.from_remote(parse(cancel))
    assert cancelled(requests) == [2]


def test_every_connection_has_the_same_room() -> None:
    requests = RemoteRequests("m2m-")
    for connection in range(3):
        ask(requests, *range(MOST + 1))
        ids = cancelled(requests)
        assert len(ids) == MOST
        assert ids[0] == (f"m2m-{connection}:1" if connection else 1)
