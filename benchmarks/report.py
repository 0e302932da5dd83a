"""The figures of several rounds as a table with ratios, as JSON, and as a picture."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from figures import Figures
from peers import BASE

Rounds = Mapping[str, Sequence[Figures]]
"""By the peer's name."""


@dataclass(frozen=True)
class Row:
    label: str
    value: Callable[[Figures], float]
    unit: str
    scale: float = 1.0


ROWS = [
    Row("start → answers to `initialize` and `tools/list`", lambda f: f["start"], "s"),
    Row("p50 of a small call, 400 in a row", lambda f: f["p50"], "ms", 1e3),
    Row("p99", lambda f: f["p99"], "ms", 1e3),
    Row("small calls per second, 2,000 pipelined", lambda f: f["pipelined"], "k/s", 1e-3),
    Row("16 MB answer", lambda f: f["down"], "MB/s"),
    Row("16 MB argument", lambda f: f["up"], "MB/s"),
    Row("peak memory with 16 MB messages", lambda f: f["peak_memory"], "MB"),
    Row("idle memory", lambda f: f["idle_memory"], "MB"),
    Row("memory of ten at once (PSS)", lambda f: f["memory_of_ten"], "MB"),
    Row("peak memory behind 200 MB of noise", lambda f: f["memory_behind_noise"], "MB"),
    Row("64 MB answer, time per MB", lambda f: f["by_size"][64 * 10**6][0] / 64, "ms", 1e3),
    Row("1 MB answer, time per MB", lambda f: f["by_size"][10**6][0], "ms", 1e3),
    Row("64 MB argument, time per MB", lambda f: f["by_size"][64 * 10**6][1] / 64, "ms", 1e3),
    Row("1 MB argument, time per MB", lambda f: f["by_size"][10**6][1], "ms", 1e3),
    Row("1,000 calls in flight, time per call", lambda f: f["in_flight"][1000], "ms", 1e3),
    Row("10 calls in flight, time per call", lambda f: f["in_flight"][10], "ms", 1e3),
    Row("100 ms round-trip time: one call", lambda f: f["far_call"], "ms", 1e3),
    Row("100 ms round-trip time: 16 MB answer", lambda f: f["far_down"], "s"),
    Row("100 ms round-trip time: 16 MB argument", lambda f: f["far_up"], "s"),
]


def table(rounds: Rounds) -> str:
    """Medians over the rounds; behind each peer's, the median of the rounds' ratios to the base."""
    names = list(rounds)
    lines = [
        f"| figure | {' | '.join(f'{name} | ratio' if name != BASE else name for name in names)} |",
        f"|---{'|---' * (2 * len(names) - 1)}|",
    ]
    lines += [f"| {row.label} | {' | '.join(_cells(row, rounds))} |" for row in ROWS]
    return "\n".join(lines)


def ratio(row: Row, rounds: Rounds, name: str) -> float:
    pairs = zip(rounds[name], rounds[BASE], strict=True)
    return statistics.median(row.value(figures) / row.value(base) for figures, base in pairs)


def _cells(row: Row, rounds: Rounds) -> list[str]:
    cells = []
    for name, figures in rounds.items():
        value = statistics.median(map(row.value, figures)) * row.scale
        cells.append(f"{value:.3g} {row.unit}")
        if name != BASE:
            cells.append(f"{ratio(row, rounds, name):.2f}")
    return cells


def write_json(rounds: Rounds, machine: Mapping[str, str], path: Path) -> None:
    ratios = {
        row.label: {name: ratio(row, rounds, name) for name in rounds if name != BASE}
        for row in ROWS
    }
    content = {"machine": machine, "ratios": ratios, "rounds": rounds}
    path.write_text(json.dumps(content, indent=1) + "\n")


def plot(rounds: Rounds, path: Path) -> None:
    """The distribution of latencies, and time over message size, as SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "benchmarks"  # the same figures, the same file
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for name, figures in rounds.items():
        latencies = sorted(each * 1e3 for round_ in figures for each in round_["latencies"])
        shares = [(number + 1) / len(latencies) for number in range(len(latencies))]
        left.plot(latencies, shares, label=name)
        sizes = list(figures[0]["by_size"])
        for way, style in ((0, "-"), (1, "--")):
            times = [
                statistics.median(round_["by_size"][size][way] for round_ in figures)
                for size in sizes
            ]
            label = f"{name}, {'answer' if way == 0 else 'argument'}"
            right.plot([size / 1e6 for size in sizes], times, style, marker="o", label=label)
    left.set(xscale="log", xlabel="ms", ylabel="share of calls", title="latency of a small call")
    right.set(xscale="log", yscale="log", xlabel="MB", ylabel="s", title="time of one message")
    for axes in (left, right):
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None})
