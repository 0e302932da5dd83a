"""How long the program takes that only says something, beside the interpreter that does nothing."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

_BARE = [sys.executable, "-c", "pass"]
_WHAT = {
    "--version": [sys.executable, "-m", "m2m_ssh_client", "--version"],
    "--help": [sys.executable, "-m", "m2m_ssh_client", "--help"],
    "only argparse": [sys.executable, "-c", "import argparse"],
}


def table(rounds: int) -> str:
    """Medians of the rounds' ratios to `python -c pass`, all taking turns."""
    ratios: dict[str, list[float]] = {name: [] for name in _WHAT}
    for _ in range(rounds):
        base = _seconds(_BARE)
        for name, argv in _WHAT.items():
            ratios[name].append(_seconds(argv) / base)
    lines = ["| beside `python -c pass` | ratio |", "|---|---|"]
    return "\n".join(lines + [f"| {n} | {statistics.median(r):.2f} |" for n, r in ratios.items()])


def _seconds(argv: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun
