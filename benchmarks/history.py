"""The ratios to `ssh -T` from release to release, as a picture: `python benchmarks/history.py`.

Draws docs/performance.svg from the files in benchmarks/releases/, one for each release: the output of `compare.py`
without the rounds. `--add VERSION FILE` makes such a file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from peers import OURS  # noqa: E402 - the folder comes first
from report import ROWS  # noqa: E402

RELEASES = HERE / "releases"
PICTURE = HERE.parent / "docs" / "performance.svg"

_DRAWN = ROWS[:8]  # those of docs/performance.md that people ask for first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--add", nargs=2, metavar=("VERSION", "FILE"))
    parser.add_argument("--peer", default=OURS, help="whose ratios of FILE to take")
    args = parser.parse_args()
    if args.add:
        version, file = args.add
        found = json.loads(Path(file).read_text())
        ratios = {label: peers[args.peer] for label, peers in found["ratios"].items()}
        system = found["machine"]["system"].partition("-")[0]
        content = {"machine": {**found["machine"], "system": system}, "ratios": ratios}
        RELEASES.mkdir(exist_ok=True)
        (RELEASES / f"{version}.json").write_text(json.dumps(content, indent=1) + "\n")
    draw()


def draw() -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "history"  # the same figures, the same file
    from matplotlib import pyplot as plt

    files = sorted(RELEASES.glob("*.json"), key=lambda path: [*map(int, path.stem.split("."))])
    ratios = [json.loads(path.read_text())["ratios"] for path in files]
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    for row in _DRAWN:
        axes.plot(
            [p.stem for p in files], [r[row.label] for r in ratios], marker="o", label=row.label
        )
    axes.axhline(1, color="grey", linewidth=1)
    axes.set(yscale="log", xlabel="release", ylabel="ratio to ssh -T")
    axes.grid(visible=True, alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    figure.savefig(PICTURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
