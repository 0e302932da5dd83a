"""One program under rounds of events for as long as wanted: what it uses must not grow."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from stress.dice import Rounds
from stress.invariants import Violation, violations
from stress.record import Record
from stress.stage import Stage
from stress.story import MANNERS, Event, Story
from support.fault_proxy import FaultProxy
from support.usage import descriptors, memory, threads

OPTIONS = (
    "--retry-tool-calls",
    "--hold-timeout",
    "2",
    "--keepalive",
    "0.4",
    "--keepalive-count",
    "2",
)

# glibc keeps what threads have freed, in a heap for each of many threads, and so the more the longer messages were
# (malloc(3), mallopt(3)): with these what is resident is what the program itself keeps.
_ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "131072",
    "MALLOC_TRIM_THRESHOLD_": "131072",
}

_LOCAL = ("stuck", "useless", "ended", "traceback", "answered-twice", "host-era", "runs-twice")
_WARM_UP = 0.2  # of the time: what is made once is there then
_MOST_GROWTH = 6 << 10  # KiB: as much as is there for a moment while a long message goes through
_TELL_EACH = 60.0  # seconds


class Sample(NamedTuple):
    memory: int  # KiB
    threads: int
    descriptors: int

    def __str__(self) -> str:
        return f"{self.memory} KiB, {self.threads} threads, {self.descriptors} descriptors"


def soaked(era: str, *, bridged: bool) -> Story:
    """What is soaked: a host of this era, and a remote of the same or of the other one alone."""
    story = Story(era, OPTIONS, ())
    other = Story(era, OPTIONS, (), bridged="?").remote_era
    return replace(story, bridged=MANNERS[other][0]) if bridged else story


def soak(
    stage: Stage,
    story: Story,
    seed: int,
    seconds: float,
    say: Callable[[str], object],
    *,
    show: bool = False,
) -> list[str]:
    """Return what broke, in words. `show`: say all that was seen in a round that broke a rule."""
    era = story.era + (" bridged" if story.bridged else "")
    with (
        FaultProxy(stage.port) as network,
        stage.begin(story, network, env=_ALLOCATOR) as play,
    ):
        rounds = Rounds(seed, story)
        samples: list[Sample] = []
        broken: list[str] = []
        began = told = time.monotonic()
        play.play([Event("hello")])
        play.settle()
        while time.monotonic() < began + seconds and not play.ended:
            events = rounds.next()
            play.go_on(events)
            play.settle()
            found = _judged(play.record)
            if found:
                text = "\n".join(map(str, events))
                name = f"round {len(samples)} of seed {seed}"
                broken += [f"{name}: {violation}\n{text}" for violation in found]
                if show:
                    say(f"# {name}: {found}\n{play.record}")
            if play.ended:
                break
            samples.append(Sample(memory(play.pid), threads(play.pid), descriptors(play.pid)))
            if time.monotonic() > told + _TELL_EACH:
                told = time.monotonic()
                say(f"{era}: {len(samples)} rounds in {told - began:.0f} s: {samples[-1]}")
        play.go_on([])  # without what the last round was judged by
        play.leave()
        broken += map(str, _judged(play.record))
    say(f"{era}: {len(samples)} rounds, {samples[0]} in the beginning, {samples[-1]} in the end")
    return broken + growth(samples)


def _judged(record: Record) -> list[Violation]:
    """The rules that a round breaks.

    Of a bridged one, those that need not know how the state of the session arose before.
    """
    found = violations(record)
    return [each for each in found if each.rule in _LOCAL or not record.story.bridged]


def growth(samples: list[Sample]) -> list[str]:
    """What is more in the last third than in the first one after the warm-up, as it usually is there."""
    warm = samples[int(len(samples) * _WARM_UP) :]
    third = len(warm) // 3
    if not third:
        return []
    found = []
    # One thread more is a probe of the connection, which a busy machine leaves there for longer.
    for name, most in (("memory", _MOST_GROWTH), ("threads", 1), ("descriptors", 0)):
        before, after = (
            statistics.median(getattr(sample, name) for sample in part)
            for part in (warm[:third], warm[-third:])
        )
        if after > before + most:
            found.append(f"{name} grew from {before:g} to {after:g}")
    return found
