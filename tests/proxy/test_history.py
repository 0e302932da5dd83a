from __future__ import annotations

import pytest

from m2m_ssh_client.proxy.history import History


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("m2m_ssh_client.proxy.history.time.time", lambda: now[0])
    return now


def test_the_time_is_that_of_the_last_change_of_state(clock: list[float]) -> None:
    past = History()
    assert not past.changed.is_set()
    for now, note in (
        (101.0, past.connected),
        (102.0, lambda: past.lost("it broke")),
        (103.0, lambda: past.failed("refused")),
        (104.0, lambda: past.failed("refused again")),
    ):
        clock[0] = now
        note()
        assert past.changed.is_set()
        past.changed.clear()
    assert (past.started, past.since) == (100.0, 102.0)
    assert (past.connections, past.losses) == (1, 1)
    assert (past.error, past.error_time) == ("refused again", 104.0)
    clock[0] = 105.0
    past.connected()
    assert past.since == 105.0
