"""How many of the remote's own requests are remembered, and what becomes of those behind that."""

from __future__ import annotations

import json
from typing import Any

import pytest

from m2m_ssh_client.proxy.frames.frame import parse
from m2m_ssh_client.proxy.memory.remote_requests import Questions

MOST = 10_000


def line(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}).encode()


def ask(questions: Questions, *ids: int | str) -> None:
    """Each with a progress token of its own: its id, doubled."""
    for id_ in ids:
        params = {"_meta": {"progressToken": id_ * 2}}
        asked = line(id=id_, method="sampling/createMessage", params=params)
        questions.from_remote(parse(asked))


def called_back(questions: Questions) -> list[Any]:
    return [json.loads(each)["params"]["requestId"] for each in questions.lost()]


def reaches_the_remote(questions: Questions, said: bytes) -> bool:
    return questions.from_host(parse(said)) is not None


def test_as_many_questions_as_there_is_room_for_are_called_back_when_the_connection_is_lost() -> (
    None
):
    questions = Questions("m2m-")
    ask(questions, *range(MOST))
    assert called_back(questions) == list(range(MOST))
    assert called_back(questions) == []


def test_behind_that_the_oldest_are_forgotten() -> None:
    questions = Questions("m2m-")
    ask(questions, *range(MOST + 3))
    assert called_back(questions) == list(range(3, MOST + 3))


def test_an_answered_question_makes_room() -> None:
    questions = Questions("m2m-")
    ask(questions, *range(MOST))
    assert reaches_the_remote(questions, line(id=5, result={}))
    ask(questions, MOST)
    assert called_back(questions) == [*range(5), *range(6, MOST + 1)]


def test_the_answer_to_a_forgotten_question_reaches_whoever_asked() -> None:
    questions = Questions("m2m-")
    ask(questions, *range(MOST + 1))
    answer = line(id=0, result={})
    found = questions.from_host(parse(answer))
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
def test_and_nobody_else(late: bytes) -> None:
    """Not the next server, which may have asked something else under the same id."""
    questions = Questions("m2m-")
    ask(questions, *range(MOST + 1))
    questions.lost()
    ask(questions, 0)
    assert not reaches_the_remote(questions, late)


def test_an_id_that_is_too_long_is_not_remembered() -> None:
    questions = Questions("m2m-")
    ask(questions, "x" * 1001, "y" * 1000)
    assert called_back(questions) == ["y" * 1000]


def test_a_question_that_the_server_calls_back_is_not_called_back_again() -> None:
    questions = Questions("m2m-")
    ask(questions, 1, 2)
    cancel = line(method="notifications/cancelled", params={"requestId": 1})
    questions.from_remote(parse(cancel))
    assert called_back(questions) == [2]


def test_every_connection_has_room_for_as_many() -> None:
    questions = Questions("m2m-")
    for connection in range(3):
        ask(questions, *range(MOST + 1))
        ids = called_back(questions)
        assert len(ids) == MOST
        assert ids[0] == (f"m2m-{connection}:1" if connection else 1)
