"""The policy for reconnecting."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from m2m_ssh_client.errors import (
    AuthenticationError,
    ConnectionLostError,
    HostKeyError,
    KeyServerError,
    RemoteExitError,
    SSHClientError,
    UnreachableError,
)
from m2m_ssh_client.proxy.recovery import Recovery, delays

FOR_EVER = float("inf")
LOST = ConnectionLostError("lost")
REFUSED = UnreachableError("refused")
NO_NETWORK = UnreachableError("no network", network_down=True)
EXITED = RemoteExitError("exit", status=1)
HUNG_UP = UnreachableError("ended the connection", reached=True)
LOCKED_OUT = UnreachableError("locked out", reached=True, wait=15.0)


def recovery(**options: Any) -> Recovery:
    defaults: dict[str, Any] = {
        "enabled": True,
        "start_time": 25.0,
        "lost_time": FOR_EVER,
        "rng": lambda: 1.0,
    }
    return Recovery(0.0, **(defaults | options))


def working(**options: Any) -> Recovery:
    patience = recovery(**options)
    patience.answered()
    return patience


def test_the_first_attempt_is_immediate_and_the_pauses_grow_to_half_a_minute() -> None:
    assert list(islice(delays(lambda: 1.0), 9)) == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_the_jitter_is_full() -> None:
    assert list(islice(delays(lambda: 0.0), 5)) == [0, 0, 0, 0, 0]


def test_a_lost_connection_is_retried_for_ever_by_default() -> None:
    patience = working()
    now = 0.0
    for _ in range(5000):  # two days
        delay = patience.delay(LOST if now == 0 else REFUSED, now)
        assert delay is not None
        now += delay + 25
    assert now > 150_000


def test_a_lost_connection_is_given_up_at_the_reconnect_timeout() -> None:
    patience = working(lost_time=3)
    assert patience.delay(LOST, 100) == 0
    assert patience.delay(REFUSED, 101) == 0.5
    assert patience.delay(REFUSED, 102.5) is None


def test_an_answer_resets_the_pauses() -> None:
    patience = working()
    assert [patience.delay(LOST, 0), patience.delay(REFUSED, 1), patience.delay(REFUSED, 2)] == [
        0,
        0.5,
        1,
    ]
    patience.answered()
    assert patience.delay(LOST, 10) == 0


def test_a_connection_that_breaks_before_its_first_answer_does_not_reset_the_pauses() -> None:
    patience = working()
    assert [patience.delay(LOST, now) for now in range(4)] == [0, 0.5, 1, 2]


def test_the_pauses_grow_while_a_request_waits_too() -> None:
    patience = working()
    hurried = []
    for now in range(9):
        assert patience.delay(REFUSED, now) is not None
        hurried.append(round(patience.hurried, 2))
    assert hurried == [0, 0.45, 0.67, 1.01, 1.52, 2.28, 3, 3, 3]


def test_a_server_that_counts_what_it_hangs_up_on_is_asked_every_other_second_at_most() -> None:
    """An sshd locks out whoever fails at more than one connection a second for 15 seconds."""
    patience = working(rng=lambda: 0.0)
    for now in range(5):
        delay = patience.delay(HUNG_UP, now)
        assert delay == patience.hurried == 2.0


def test_a_lock_is_waited_out_however_urgent_a_request_is() -> None:
    patience = working()
    delay = patience.delay(LOCKED_OUT, 0)
    assert delay is not None
    assert 15 <= delay == patience.hurried < 20


def test_a_first_connection_that_is_turned_away_is_tried_again_within_the_connect_timeout() -> None:
    patience = recovery(start_time=25)
    delay = patience.delay(LOCKED_OUT, 0)
    assert delay is not None
    assert patience.delay(LOCKED_OUT, delay) is None
    assert recovery().delay(HUNG_UP, 0) is None


@pytest.mark.parametrize("reason", [HostKeyError("changed"), AuthenticationError("refused")])
def test_a_permanent_failure_is_not_retried(reason: SSHClientError) -> None:
    assert working().delay(reason, 0) is None
    assert recovery().delay(reason, 0) is None


@pytest.mark.parametrize("reason", [LOST, REFUSED, NO_NETWORK, EXITED])
def test_nothing_is_retried_if_reconnecting_is_switched_off(reason: SSHClientError) -> None:
    assert working(enabled=False).delay(reason, 0) is None


@pytest.mark.parametrize("reason", [REFUSED, KeyServerError("down"), EXITED])
def test_a_refused_first_connection_is_reported_at_once(reason: SSHClientError) -> None:
    assert recovery().delay(reason, 0) is None


def test_a_first_connection_that_breaks_before_the_first_answer_is_made_again() -> None:
    assert recovery().delay(LOST, 0) == 0
    assert recovery().delay(LOST, 26) is None


def test_a_first_connection_waits_for_the_network_within_the_connect_timeout() -> None:
    patience = recovery(start_time=25)
    now, tries = 0.0, 0
    while (delay := patience.delay(NO_NETWORK, now)) is not None:
        now += delay + 1
        tries += 1
    assert 20 < now < 27
    assert tries > 4


def test_a_process_that_had_answered_is_started_again_three_times_a_minute() -> None:
    patience = recovery()
    results = []
    for now in (0, 10, 20, 30):
        patience.answered()
        results.append(patience.delay(EXITED, now))
    assert results == [0, 0, 0, 30]
    assert patience.hurried == 30
    patience.answered()
    assert patience.delay(EXITED, 71) == 0


def test_a_process_that_fails_before_its_first_answer_is_reported() -> None:
    assert recovery().delay(EXITED, 0) is None


def test_after_a_server_that_worked_an_early_end_is_retried_for_a_while() -> None:
    patience = working()
    assert patience.delay(EXITED, 0) == 0
    assert [patience.delay(EXITED, now) for now in (1, 2, 3)] == [0, 0.5, 1]
    patience.answered()
    assert patience.delay(LOST, 10) == 0
    assert patience.delay(REFUSED, 1000) == 0.5
    assert patience.delay(EXITED, 2000) == 1
    assert patience.delay(EXITED, 2290) == 2
    assert patience.delay(EXITED, 2301) is None


def test_a_reboot_is_waited_for_even_if_the_process_ends_before_the_connection() -> None:
    patience = working(start_time=25.0)
    assert patience.delay(EXITED, 100) == 0
    assert [patience.delay(REFUSED, now) for now in (101, 102, 103)] == [0, 0.5, 1]
