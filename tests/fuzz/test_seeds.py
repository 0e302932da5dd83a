"""Every seed of every fuzz target, without a fuzzer: each input that has ever broken something is one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from fuzz.target import SEEDS
from fuzz.targets import TARGETS

INPUTS = [path for name in TARGETS for path in sorted((SEEDS / name).iterdir())]


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_no_seed_breaks_what_it_is_for(path: Path) -> None:
    TARGETS[path.parent.name].load()(path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_no_seed_does_when_it_is_damaged(name: str) -> None:
    """A little of what the fuzzer does, on every platform and Python."""
    dice = random.Random(name)  # noqa: S311 - the same each time
    check = TARGETS[name].load()
    seeds = [path.read_bytes() for path in sorted((SEEDS / name).iterdir())]
    for _ in range(60):
        seed, other = dice.choice(seeds), dice.choice(seeds)
        start, end = sorted(dice.choices(range(len(seed) + 1), k=2))
        inserted = other[dice.randrange(len(other) + 1) :][: dice.choice((0, 1, 40))]
        check(seed[:start] + inserted + seed[end:])


def test_every_folder_of_seeds_is_of_a_target() -> None:
    assert {path.name for path in SEEDS.iterdir()} == set(TARGETS)
