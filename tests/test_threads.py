"""Daemon threads, and calls whose results are waited for."""

from __future__ import annotations

import threading

import pytest

from m2m_ssh_client.threads import Background, start

ENOUGH = 10.0  # seconds


def test_a_thread_has_our_name_and_does_not_hold_up_the_end() -> None:
    seen: list[threading.Thread] = []
    thread = start("test", lambda: seen.append(threading.current_thread()))
    thread.join(ENOUGH)
    assert seen == [thread]
    assert thread.daemon
    assert thread.name == "m2m-test"


def test_the_result_of_a_call_is_waited_for() -> None:
    go_on = threading.Event()

    def work() -> str:
        assert go_on.wait(ENOUGH)
        return "done"

    call = Background("test", work)
    assert not call.wait(0.01)
    go_on.set()
    assert call.result() == "done"
    assert call.wait(0)


def test_a_call_that_fails_raises_where_its_result_is_asked_for() -> None:
    def work() -> None:
        raise SystemExit("no exception is lost")

    call = Background("test", work)
    assert call.wait(ENOUGH)
    with pytest.raises(SystemExit, match="no exception is lost"):
        call.result()
