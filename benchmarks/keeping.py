"""What `--keep` costs, beside the same client without it: `python benchmarks/keeping.py`.

Both take turns towards one sshd on loopback. The last figure compares the time from a lost connection to the next
answer with a start that is not kept. The ratios are what counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from session import Session  # noqa: E402 - the folder comes first
from support.fault_proxy import FaultProxy  # noqa: E402
from support.sshd import Sshd, SshdKeys, make_privilege_separation_folder  # noqa: E402

CALLS = 400
PIPELINED = 2000
LARGE = 16 * 1000 * 1000
WARM_UP = 20
TIMES = 5

Figures = dict[str, float]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="how often each has its turn (7)")
    rounds: int = parser.parse_args(argv).rounds
    found: list[tuple[Figures, Figures]] = []
    with tempfile.TemporaryDirectory() as name, _far_side(Path(name)) as (sshd, network):
        env = {**os.environ, "HOME": name, "SSH_AUTH_SOCK": ""}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(rounds):
            plain, kept = _measured(sshd, env), _measured(sshd, env, "--keep")
            kept["reconnect"] = _reconnect(sshd, network, env)
            plain["reconnect"] = plain["start"]
            found.append((plain, kept))
    for figure in found[0][0]:
        ratio = statistics.median(kept[figure] / plain[figure] for plain, kept in found)
        print(f"{figure:10} {ratio:.2f}")  # noqa: T201


@contextmanager
def _far_side(folder: Path) -> Iterator[tuple[Sshd, FaultProxy]]:
    make_privilege_separation_folder()
    keys = folder / "keys"
    keys.mkdir()
    with (
        Sshd(SshdKeys.generate(keys), folder / "sshd", []) as sshd,
        FaultProxy(sshd.port) as network,
    ):
        known = sshd.known_hosts.read_text()
        sshd.known_hosts.write_text(known + known.replace(f":{sshd.port} ", f":{network.port} "))
        yield sshd, network


def _argv(sshd: Sshd, port: int, *options: str) -> list[str]:
    there = sshd.client_options()
    there[there.index("--port") + 1] = str(port)
    server = [sys.executable, "-S", "-E", str(HERE / "remote.py")]
    return [sys.executable, "-m", "m2m_ssh_client", *there, *options, "--", *server]


def _measured(sshd: Sshd, env: Mapping[str, str], *options: str) -> Figures:
    with Session(_argv(sshd, sshd.port, *options), env) as session:
        began = time.perf_counter()
        session.begin()
        start = time.perf_counter() - began
        for _ in range(WARM_UP):
            session.call()
        latencies = sorted(session.call() for _ in range(CALLS))
        at_once = statistics.median(session.calls_at_once(PIPELINED) for _ in range(TIMES))
        down = statistics.median(session.call(size_down=LARGE) for _ in range(TIMES))
        up = statistics.median(session.call(size_up=LARGE) for _ in range(TIMES))
    return {
        "start": start,
        "p50": latencies[CALLS // 2],
        "p99": latencies[CALLS * 99 // 100],
        "pipelined": at_once,
        "down": down,
        "up": up,
    }


def _reconnect(sshd: Sshd, network: FaultProxy, env: Mapping[str, str]) -> float:
    """Return the seconds from the loss of the connection to the answer to a call."""
    with Session(_argv(sshd, network.port, "--keep"), env) as session:
        session.begin()
        session.call()
        network.cut()
        return session.call()


if __name__ == "__main__":
    main()
