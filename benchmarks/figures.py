"""What is measured, a function for each figure. Each is called once a round for each peer, peers taking turns."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any

from peers import Peer
from session import Session

CALLS = 400
PIPELINED = 2000
LARGE = 16 * 1000 * 1000
NOISE = 200 * 1000 * 1000
TOGETHER = 10
SIZES = [10**3, 10**4, 10**5, 10**6, 4 * 10**6, 16 * 10**6, 64 * 10**6]
IN_FLIGHT = [1, 10, 100, 1000]
_WARM_UP = 20

Figures = dict[str, Any]


def one_round(peer: Peer, port: int, slow_port: int, env: Mapping[str, str]) -> Figures:
    """All figures of one peer. `slow_port` leads to the same sshd over a link with a long round-trip time."""
    figures = _start(peer, port, env)
    figures |= _small(peer, port, env)
    figures |= _large(peer, port, env)
    figures |= _far(peer, slow_port, env)
    figures |= _together(peer, port, env)
    return figures | _noise(peer, port, env)


def _start(peer: Peer, port: int, env: Mapping[str, str]) -> Figures:
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        with Session(peer.argv(port), env) as session:
            session.begin()
            times.append(time.perf_counter() - begun)
            idle = session.memory("VmRSS")
    return {"start": statistics.median(times), "idle_memory": idle}


def _small(peer: Peer, port: int, env: Mapping[str, str]) -> Figures:
    with Session(peer.argv(port), env) as session:
        session.begin()
        for _ in range(_WARM_UP):
            session.call()
        latencies = sorted(session.call() for _ in range(CALLS))
        # Ten milliseconds each: one alone says little.
        pipelined = PIPELINED / statistics.median(
            session.calls_at_once(PIPELINED) for _ in range(5)
        )
        in_flight = {
            count: statistics.median(session.calls_at_once(count) for _ in range(5)) / count
            for count in IN_FLIGHT
        }
    return {
        "p50": latencies[CALLS // 2],
        "p99": latencies[CALLS * 99 // 100],
        "latencies": latencies,
        "pipelined": pipelined,
        "in_flight": in_flight,
    }


def _large(peer: Peer, port: int, env: Mapping[str, str]) -> Figures:
    with Session(peer.argv(port), env) as session:
        session.begin()
        down = LARGE / 1e6 / statistics.median(session.call(size_down=LARGE) for _ in range(5))
        up = LARGE / 1e6 / statistics.median(session.call(size_up=LARGE) for _ in range(5))
        peak = session.memory("VmHWM")
        by_size = {size: _by_size(session, size) for size in SIZES}
    return {"down": down, "up": up, "peak_memory": peak, "by_size": by_size}


def _by_size(session: Session, size: int) -> tuple[float, float]:
    """Of an answer and of an argument so long."""
    times = 5 if size < LARGE else 1
    return (
        statistics.median(session.call(size_down=size) for _ in range(times)),
        statistics.median(session.call(size_up=size) for _ in range(times)),
    )


def _together(peer: Peer, port: int, env: Mapping[str, str]) -> Figures:
    """Of ten at once, each counting its share of what they have in common."""
    with ExitStack() as sessions:
        all_ = [sessions.enter_context(Session(peer.argv(port), env)) for _ in range(TOGETHER)]
        for session in all_:
            session.begin()
        return {"memory_of_ten": sum(session.memory("Pss") for session in all_)}


def _noise(peer: Peer, port: int, env: Mapping[str, str]) -> Figures:
    """NaN if it ends by that."""
    with suppress(EOFError), Session(peer.argv(port), env) as session:
        session.begin()
        session.call_behind_noise(NOISE)
        return {"memory_behind_noise": session.memory("VmHWM")}
    return {"memory_behind_noise": math.nan}


def _far(peer: Peer, port: int, env: Mapping[str, str]) -> Figures:
    with Session(peer.argv(port), env) as session:
        session.begin()
        call = statistics.median(session.call() for _ in range(5))
        return {
            "far_call": call,
            "far_down": session.call(size_down=LARGE),
            "far_up": session.call(size_up=LARGE),
        }
