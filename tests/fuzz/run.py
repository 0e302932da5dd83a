"""Fuzzes the targets, one on each processor, and tells what came of it: `tox -e fuzz -- --seconds 600 [TARGET…]`.

An input that breaks a target is kept in a folder (`--crashes`), and the command that tries it again is printed.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from fuzz.target import SEEDS, Target  # noqa: E402
from fuzz.targets import TARGETS  # noqa: E402

_SLOWEST = 10  # seconds for one input
_MEMORY = 2048  # MiB
_STARTING = 30  # seconds
_LONGEST_RUNS = 600  # seconds for those of one target, on a machine that is busy
_FIGURES = re.compile(r"^#(\d+)\s.*?cov: (\d+) ft: (\d+) corp: (\d+)", re.MULTILINE)
_ROW = "{:<14}{:>8}{:>12}{:>10}{:>10}{:>9}{:>9}"


def main() -> int:
    options = _options()
    if options.input is not None:
        (name,) = options.targets
        TARGETS[name].load()(options.input.read_bytes())
        return 0
    if find_spec("atheris") is None:
        _say("Nothing was fuzzed: there is no atheris for this machine")
        return 1 if "CI" in os.environ else 0
    names = options.targets or list(TARGETS)
    processors = os.cpu_count() or 1
    shares = sum(TARGETS[name].share for name in names)
    _say(
        _ROW.format("target", "seconds", "executions", "coverage", "features", "corpus", "crashes")
    )

    def fuzz(name: str) -> bool:
        seconds = max(1, round(options.seconds * processors * TARGETS[name].share / shares))
        return _fuzz(name, TARGETS[name], _LONGEST_RUNS if options.runs else seconds, options)

    with ThreadPoolExecutor(processors) as pool:
        broken = list(pool.map(fuzz, names))
    return 1 if any(broken) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=30, help="for all together (default: 30)")
    parser.add_argument(
        "--runs",
        type=int,
        help="this many inputs for each, and as many times that as its share is, in place of --seconds",
    )
    parser.add_argument(
        "--input", type=Path, help="try this file with one target, without a fuzzer"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the dice; 0: another one each time")
    parser.add_argument("--corpus", type=Path, help="keep what was learnt here, and begin with it")
    parser.add_argument("--crashes", type=Path, default=Path("fuzz-crashes"))
    options = parser.parse_args()
    unknown = set(options.targets) - set(TARGETS)
    if unknown or (options.input and len(options.targets) != 1):
        parser.error(
            f"no such target: {', '.join(unknown)}" if unknown else "--input needs one target"
        )
    return options


def _fuzz(name: str, target: Target, seconds: int, options: argparse.Namespace) -> bool:
    """Whether it broke."""
    with tempfile.TemporaryDirectory(prefix="fuzz-run-", dir=_quick_folder()) as scratch:
        corpus = (options.corpus or Path(scratch)).resolve() / name
        corpus.mkdir(parents=True, exist_ok=True)
        options.crashes.mkdir(parents=True, exist_ok=True)
        before = set(options.crashes.glob(f"{name}-*"))
        words = Path(scratch) / "words"
        words.write_text(
            "".join(f'"{_escaped(word)}"\n' for word in target.words), encoding="ascii"
        )
        command = [
            *(sys.executable, "-m", "fuzz.one", name),
            f"-runs={options.runs * target.share}"
            if options.runs
            else f"-max_total_time={seconds}",
            *(f"-max_len={target.longest}", f"-timeout={_SLOWEST}", f"-rss_limit_mb={_MEMORY}"),
            f"-seed={options.seed}",
            f"-artifact_prefix={options.crashes.resolve()}/{name}-",
            *([f"-dict={words}"] if target.words else ()),
            *(str(corpus), str(SEEDS / name)),
        ]
        done = subprocess.run(
            command,
            cwd=scratch,
            env={
                **os.environ,
                "PYTHONHASHSEED": str(options.seed),
                "PYTHONPATH": os.pathsep.join([str(TESTS), *_python_path()]),
                "TMPDIR": scratch,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds + _SLOWEST + _STARTING,
        )
    output = done.stdout.decode("utf-8", "backslashreplace")
    crashes = sorted(set(options.crashes.glob(f"{name}-*")) - before)
    figures = _FIGURES.findall(output)
    told = [_ROW.format(name, seconds, *(figures[-1] if figures else "????"), len(crashes))]
    if done.returncode:
        told += output.splitlines()[-40:]
    for crash in crashes:
        again = shlex.join(["python", str(Path(__file__)), name, "--input", str(crash)])
        told += [f"{crash.read_bytes()!r}", f"try it again: {again}"]
    _say("\n".join(told))
    return done.returncode != 0


def _python_path() -> list[str]:
    given = os.environ.get("PYTHONPATH", "")
    return given.split(os.pathsep) if given else []


def _quick_folder() -> Path | None:
    """In memory, where there is such a thing: some targets write a file for each input."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    return memory if os.access(memory, os.W_OK) else None


def _escaped(word: str) -> str:
    """As libFuzzer's dictionaries have it; `\\xNN` in our words is a byte, other backslashes are themselves."""
    parts = re.split(r"(\\x[0-9a-f]{2})", word)
    return "".join(
        part if at % 2 else part.replace("\\", "\\\\").replace('"', '\\"')
        for at, part in enumerate(parts)
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
