"""What a shared connection saves, ours (`--share`) and OpenSSH's: `python benchmarks/shared_connection.py`.

In each round a session starts where no connection is shared yet, and a second one after its end, which finds that
connection (ControlPersist): on loopback, and over a link with 100 ms round-trip time. Our client does so with its own
SSH, and with `--via ssh`; `ssh -T` stands beside them, and its own start without a shared connection. What counts are
the ratios: second to first start, and second start to that of `ssh -T` alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from session import Session  # noqa: E402 - the folder comes first
from support.fault_proxy import FaultProxy  # noqa: E402
from support.sshd import Sshd, SshdKeys, make_privilege_separation_folder  # noqa: E402

ROUND_TRIP = 0.1  # seconds
SERVER = [sys.executable, "-S", "-E", str(HERE / "remote.py")]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="how often each has its turn (7)")
    rounds: int = parser.parse_args(argv).rounds
    make_privilege_separation_folder()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "keys").mkdir()
        env = {**os.environ, "HOME": name, "SSH_AUTH_SOCK": ""}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        keys = SshdKeys.generate(folder / "keys")
        with Sshd(keys, folder / "sshd", []) as sshd, FaultProxy(sshd.port) as slow:
            slow.delay(ROUND_TRIP / 2)
            known = sshd.known_hosts.read_text()
            sshd.known_hosts.write_text(known + known.replace(f":{sshd.port} ", f":{slow.port} "))
            for place, port in (("loopback", sshd.port), ("100 ms", slow.port)):
                _compare(place, sshd, port, folder / "master", env, rounds)


def _compare(
    place: str, sshd: Sshd, port: int, socket: Path, env: Mapping[str, str], rounds: int
) -> None:
    shared = ["ControlMaster=auto", f"ControlPath={socket}", "ControlPersist=60"]
    options = [word for each in shared for word in ("-o", each)]
    there = sshd.client_options()
    there[there.index("--port") + 1] = str(port)
    client = [sys.executable, "-m", "m2m_ssh_client", "-F", "none", *there]
    ssh = sshd.openssh_argv(*SERVER)
    ssh[ssh.index(f"Port={sshd.port}")] = f"Port={port}"
    peers = {
        "--share": [*client, "--share", "-o", "ControlPersist=3", "--", *SERVER],
        "--via ssh": [*client, "--via", "ssh", *options, "--", *SERVER],
        "ssh -T": [*ssh[:3], *options, *ssh[3:]],
    }
    alone: list[float] = []
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in peers}
    for _ in range(rounds):
        alone.append(_start(ssh, env))
        for name, argv in peers.items():
            found[name].append((_start(argv, env), _start(argv, env)))
            if name == "--share":
                _wait_for_the_end_of_holders(Path(env["HOME"]))
                continue
            stop = ["ssh", "-F", "none", "-S", str(socket), "-O", "exit", "127.0.0.1"]
            subprocess.run(stop, capture_output=True, timeout=10, check=True)
    for name, starts in found.items():
        first, second = (statistics.median(each) for each in zip(*starts, strict=True))
        ratio = statistics.median(second / first for first, second in starts)
        beside = statistics.median(
            second / one for (_, second), one in zip(starts, alone, strict=True)
        )
        print(  # noqa: T201
            f"{place:10} {name:10} {first:.3f} s {second:.3f} s {ratio:.2f}; "
            f"second to `ssh -T` alone {beside:.2f}"
        )


def _wait_for_the_end_of_holders(home: Path) -> None:
    deadline = time.monotonic() + 20
    while any(path.is_socket() for path in home.rglob("shared/*")):
        if time.monotonic() > deadline:
            raise RuntimeError("the shared connection is still there")
        time.sleep(0.05)


def _start(argv: Sequence[str], env: Mapping[str, str]) -> float:
    """Return the seconds to the answers to `initialize` and `tools/list`."""
    began = time.perf_counter()
    with Session(argv, env) as session:
        session.begin()
        return time.perf_counter() - began


if __name__ == "__main__":
    main()
