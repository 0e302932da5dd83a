"""How fast this client is, beside `ssh -T` and the asyncssh client: `python benchmarks/compare.py`.

Starts an sshd of its own on loopback and a link to it with 100 ms round-trip time, lets the peers take turns, prints
a table and writes JSON and a picture. Absolute times depend on the machine and on its mood; the ratios are what counts.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

import bare  # noqa: E402 - the folders come first
import figures  # noqa: E402
import peers  # noqa: E402
import report  # noqa: E402
from support.fault_proxy import FaultProxy  # noqa: E402
from support.sshd import Sshd, SshdKeys, make_privilege_separation_folder  # noqa: E402

ROUND_TRIP = 0.1  # seconds


def main(argv: Sequence[str] | None = None) -> None:
    args = _arguments(argv)
    with tempfile.TemporaryDirectory() as name, _far_side(Path(name)) as sshd:
        compared = [peers.openssh(sshd), peers.ours(sshd)]
        if args.floor:
            compared.append(peers.floor(sshd))
        compared += [peers.ours(sshd, python) for python in args.python]
        if not args.without_asyncssh:
            compared.append(peers.asyncssh(sshd))
        with FaultProxy(sshd.port) as slow:
            slow.delay(ROUND_TRIP / 2)
            known = sshd.known_hosts.read_text()
            sshd.known_hosts.write_text(known + known.replace(f":{sshd.port} ", f":{slow.port} "))
            rounds = _measure(compared, sshd, slow.port, args.rounds, Path(name))
    print(report.table(rounds), bare.table(args.rounds * 5), sep="\n\n")  # noqa: T201
    args.output.mkdir(parents=True, exist_ok=True)
    report.write_json(rounds, _machine(), args.output / "compare.json")
    report.plot(rounds, args.output / "compare.svg")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each has its turn (5)")
    parser.add_argument(
        "--output", type=Path, default=HERE / "results", help="folder for compare.json and .svg"
    )
    parser.add_argument(
        "--without-asyncssh", action="store_true", help="leave out the asyncssh client"
    )
    parser.add_argument(
        "--floor", action="store_true", help="compare the least program with paramiko, too"
    )
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="PATH",
        help="compare this client on that Python too, where it is installed (may be repeated)",
    )
    return parser.parse_args(argv)


@contextmanager
def _far_side(folder: Path) -> Iterator[Sshd]:
    """An sshd that runs the same program whatever is asked for: the asyncssh client can only ask for a shell."""
    make_privilege_separation_folder()
    keys = folder / "keys"
    keys.mkdir()
    command = f"ForceCommand {sys.executable} -S -E {HERE / 'remote.py'}"
    with Sshd(SshdKeys.generate(keys), folder / "sshd", [command]) as sshd:
        yield sshd


def _measure(
    compared: Sequence[peers.Peer], sshd: Sshd, slow_port: int, rounds: int, folder: Path
) -> dict[str, list[figures.Figures]]:
    # The clients see an empty home: what the person who measures has configured plays no part.
    home = folder / "home"
    home.mkdir()
    env = {**os.environ, "HOME": str(home)}
    for name in ("SSH_AUTH_SOCK", "PYTHONDONTWRITEBYTECODE"):
        env.pop(name, None)
    measured: dict[str, list[figures.Figures]] = {peer.name: [] for peer in compared}
    for number in range(rounds):
        for peer in compared:
            print(f"round {number + 1}: {peer.name}", file=sys.stderr)  # noqa: T201
            measured[peer.name].append(figures.one_round(peer, sshd.port, slow_port, env))
    return measured


def _machine() -> dict[str, str]:
    openssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True)
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": str(os.cpu_count()),
        "openssh": openssh.stderr.strip(),
    }


if __name__ == "__main__":
    main()
