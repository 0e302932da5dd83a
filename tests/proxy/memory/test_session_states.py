"""The table of states in docs/architecture.md, row by row."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from m2m_ssh_client.proxy.memory.session import Session, State

INITIALIZE = b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}'
DISCOVER = b'{"jsonrpc":"2.0","id":0,"method":"server/discover","params":{}}'
HELLO = b'{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}'
NOTE = b'{"jsonrpc":"2.0","method":"notifications/x"}'


def connecting() -> Session:
    return Session()


def connecting_to_a_shell() -> Session:
    return Session(may_be_shell=True)


def guarded() -> Session:
    session = connecting_to_a_shell()
    session.connected()
    return session


def opened() -> Session:
    session = connecting()
    session.connected()
    return session


def opened_on_discover() -> Session:
    session = opened()
    session.from_host([DISCOVER], 0)
    return session


def lost() -> Session:
    session = opened()
    session.lost("gone", [], 0)
    return session


def lost_after_handshake() -> Session:
    session = opened()
    session.from_host([INITIALIZE], 0)
    session.from_remote([HELLO])
    session.lost("gone", [], 0)
    return session


def lost_to_a_shell() -> Session:
    session = guarded()
    session.lost("gone", [], 0)
    return session


def replaying() -> Session:
    session = lost_after_handshake()
    session.connected()
    return session


def failed() -> Session:
    session = opened()
    session.failed("over")
    return session


def connects(session: Session) -> None:
    session.connected()


def hears_a_message(session: Session) -> None:
    session.from_remote([NOTE])


def hears_stray_output(session: Session) -> None:
    session.from_remote([b"Welcome"])


def hears_the_answer_to_the_handshake(session: Session) -> None:
    session.lost("again", [], 0)  # to learn the id of the repeated initialize
    (line,) = session.connected().to_remote
    answer = {"jsonrpc": "2.0", "id": json.loads(line)["id"], "result": {"protocolVersion": "x"}}
    session.from_remote([json.dumps(answer).encode()])


def loses(session: Session) -> None:
    session.lost("gone", [], 0)


def fails(session: Session) -> None:
    session.failed("over")


def ends_on_discover(session: Session) -> None:
    session.ended_on_discover()


def never_ran(session: Session) -> None:
    session.never_ran(1)


def waits(session: Session) -> None:
    session.expire(1e9, "waiting")


ROWS: list[tuple[Callable[[], Session], Callable[[Session], None], State]] = [
    (connecting, connects, State.OPEN),
    (connecting_to_a_shell, connects, State.GUARDED),
    (connecting, fails, State.FAILED),
    (guarded, hears_stray_output, State.GUARDED),
    (guarded, hears_a_message, State.OPEN),
    (guarded, loses, State.LOST),
    (guarded, fails, State.FAILED),
    (opened, hears_a_message, State.OPEN),
    (opened, hears_stray_output, State.OPEN),
    (opened, loses, State.LOST),
    (opened, fails, State.FAILED),
    (opened, ends_on_discover, State.OPEN),
    (opened_on_discover, ends_on_discover, State.CONNECTING),
    (opened_on_discover, never_ran, State.CONNECTING),
    (replaying, never_ran, State.LOST),
    (lost, waits, State.LOST),
    (lost, connects, State.OPEN),
    (lost_to_a_shell, connects, State.GUARDED),
    (lost_after_handshake, connects, State.REPLAYING),
    (lost, fails, State.FAILED),
    (replaying, hears_a_message, State.REPLAYING),
    (replaying, hears_the_answer_to_the_handshake, State.OPEN),
    (replaying, waits, State.REPLAYING),
    (replaying, loses, State.LOST),
    (replaying, fails, State.FAILED),
    (failed, fails, State.FAILED),
]


@pytest.mark.parametrize(
    ("start", "event", "end"), ROWS, ids=[f"{s.__name__}-{e.__name__}" for s, e, _ in ROWS]
)
def test_a_row_of_the_table(
    start: Callable[[], Session], event: Callable[[Session], None], end: State
) -> None:
    session = start()
    event(session)
    assert session.state is end


def test_every_state_is_a_row_of_the_page() -> None:
    page = Path(__file__).parents[3] / "docs" / "architecture.md"
    rows = [line for line in page.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert {state.name for state in State} <= {row.split("`")[1] for row in rows}
    assert {end for _, _, end in ROWS} == set(State)


@pytest.mark.parametrize("begin", [connecting, connecting_to_a_shell])
def test_an_initialize_may_go_ahead_as_it_would_be_sent(begin: Callable[[], Session]) -> None:
    session = begin()
    session.from_host([INITIALIZE.replace(b"{}", b'{"x":"a $(b)"}'), NOTE], 0)
    first = session.first_line
    assert first
    assert session.connected().to_remote[0] == first
    assert session.first_line == b""


def initialize_is_not_first(session: Session) -> None:
    session.from_host([NOTE, INITIALIZE], 0)


def initialize_is_in_a_batch(session: Session) -> None:
    session.from_host([b"[%s,%s]" % (NOTE, INITIALIZE)], 0)


def only_asks_for_the_tools(session: Session) -> None:
    session.from_host([INITIALIZE.replace(b"initialize", b"tools/list")], 0)


def initializes(session: Session) -> None:
    session.from_host([INITIALIZE], 0)


@pytest.mark.parametrize(
    ("begin", "event"),
    [
        (connecting, initialize_is_not_first),
        (connecting, initialize_is_in_a_batch),
        (connecting, only_asks_for_the_tools),
        (lost, initializes),
        (lost_after_handshake, initializes),
        (failed, initializes),
    ],
)
def test_nothing_else_goes_ahead(
    begin: Callable[[], Session], event: Callable[[Session], None]
) -> None:
    session = begin()
    event(session)
    assert session.first_line == b""
