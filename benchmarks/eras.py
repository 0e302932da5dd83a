"""What a call costs through the era bridge, beside the same call without it: `python benchmarks/eras.py`.

Each host and each server of the two eras in turn, through this client and an sshd on loopback. A small call 400 times
in a row, and 2,000 at once. The ratios are what counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from support.bridged import envelope  # noqa: E402 - the folder comes first
from support.sshd import Sshd, SshdKeys, make_privilege_separation_folder  # noqa: E402

IN_A_ROW, AT_ONCE = 400, 2000
PAIRS = [(host, server) for host in ("legacy", "modern") for server in ("legacy", "modern")]


class Costs(NamedTuple):
    p50: float
    """Seconds of a small call."""
    rate: float
    """Pipelined calls a second."""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each has its turn (5)")
    rounds: int = parser.parse_args(argv).rounds
    found: dict[tuple[str, str], list[Costs]] = {pair: [] for pair in PAIRS}
    with tempfile.TemporaryDirectory() as name, _far_side(Path(name)) as sshd:
        for _ in range(rounds):
            for pair in PAIRS:
                found[pair].append(_measured(*pair, sshd, Path(name)))
    for host, server in PAIRS:
        mine, direct = found[host, server], found[host, host]
        p50 = statistics.median(a.p50 / b.p50 for a, b in zip(mine, direct, strict=True))
        rate = statistics.median(a.rate / b.rate for a, b in zip(mine, direct, strict=True))
        print(f"{host} host, {server} server: p50 {p50:.2f}, pipelined {rate:.2f}")  # noqa: T201


@contextmanager
def _far_side(folder: Path) -> Iterator[Sshd]:
    make_privilege_separation_folder()
    keys = folder / "keys"
    keys.mkdir()
    with Sshd(SshdKeys.generate(keys), folder / "sshd", []) as sshd:
        yield sshd


def _measured(host: str, server: str, sshd: Sshd, home: Path) -> Costs:
    remote = [sys.executable, "-S", "-E", str(HERE / "era_server.py"), server]
    argv = [sys.executable, "-m", "m2m_ssh_client", *sshd.client_options(), "-F", "none", "--"]
    process = subprocess.Popen(
        [*argv, *remote],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(home)},
    )
    watchdog = threading.Timer(120, process.kill)
    watchdog.start()
    try:
        return _costs(process, host)
    finally:
        process.communicate()
        watchdog.cancel()


def _costs(process: subprocess.Popen[bytes], host: str) -> Costs:
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None
    lines = map(_call if host == "legacy" else _modern_call, range(1, IN_A_ROW + AT_ONCE + 2))
    if host == "legacy":
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "b"}}
        stdin.write(_line(id=0, method="initialize", params=params))
        stdin.flush()
        stdout.readline()
    seconds = []
    for line in [next(lines) for _ in range(IN_A_ROW + 1)]:
        begin = time.perf_counter()
        stdin.write(line)
        stdin.flush()
        stdout.readline()
        seconds.append(time.perf_counter() - begin)
    rest = b"".join(lines)
    begin = time.perf_counter()
    writer = threading.Thread(target=lambda: (stdin.write(rest), stdin.flush()))
    writer.start()
    answers = [stdout.readline() for _ in range(AT_ONCE)]
    took = time.perf_counter() - begin
    writer.join()
    assert all(b'"content"' in answer for answer in answers)
    return Costs(statistics.median(seconds[1:]), AT_ONCE / took)


def _call(id_: int, **more: Any) -> bytes:
    params = {"name": "echo", "arguments": {"a": 1}, **more}
    return _line(id=id_, method="tools/call", params=params)


def _modern_call(id_: int) -> bytes:
    return _call(id_, _meta=envelope())


def _line(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **members}).encode() + b"\n"


if __name__ == "__main__":
    main()
