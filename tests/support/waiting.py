"""Waiting for what no event tells."""

from __future__ import annotations

import time
from collections.abc import Callable

_ENOUGH = 40.0  # seconds


def wait_until(what: Callable[[], bool], timeout: float = _ENOUGH) -> None:
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
