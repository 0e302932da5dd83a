"""Plays stories and tells which rules they broke: `tox -e stress -- --episodes 20000 --seed 7 --seconds 3600`.

Without arguments every run has the same stories: those that have a name, and one for each of 300 seeds. A story that
breaks a rule is printed as short as it goes; `--story FILE` plays it again.
"""

from __future__ import annotations

import argparse
import multiprocessing as processes
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from stress import dice, variants  # noqa: E402
from stress.invariants import Violation, violations  # noqa: E402
from stress.record import Record  # noqa: E402
from stress.shrink import shrunk  # noqa: E402
from stress.soak import soak, soaked  # noqa: E402
from stress.stage import Stage  # noqa: E402
from stress.stories import STORIES  # noqa: E402
from stress.story import LEGACY, MODERN, Event, Story  # noqa: E402
from support import programs  # noqa: E402
from support.forked import Forks  # noqa: E402
from support.host import PACKAGE_PARENT  # noqa: E402

_DRIVER = "driver"  # the name of the rule that the driver itself works
_TELL_EACH = 500  # episodes
_SHRINKING = 60.0  # seconds for one story
_SHORT_PATIENCE = 5.0  # while it is made shorter
_SHRUNK_EACH = 2  # stories for each rule that are made shorter
_TRIES = 2  # a story depends on time: it breaks a rule if it does so in one of them


@dataclass(frozen=True)
class Job:
    """A story to play; with a rule that it breaks, one to make shorter."""

    name: str
    story: Story
    rule: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a job. `problem`: why it could not be done."""

    job: Job
    story: Story
    broken: list[Violation]
    counts: Counter[str]
    problem: str = ""


def main() -> int:
    options = _options()
    if options.list:
        _say("\n".join(STORIES))
        return 0
    if programs.find("sshd") is None:
        _say("Nothing was played: sshd is not installed")
        return 1 if "CI" in os.environ else 0
    if options.soak:
        return _soak(options)
    began = time.monotonic()
    counts: Counter[str] = Counter()
    kinds: dict[str, list[Job]] = {}
    with Crew(options) as crew:
        for outcome in crew.outcomes(_jobs(options), began + options.seconds):
            counts += outcome.counts
            if counts["episodes"] % _TELL_EACH == 0:
                _say(_told(counts, began))
            for violation in outcome.broken:
                kinds.setdefault(violation.rule, []).append(outcome.job)
                _say(f"{outcome.job.name} breaks {violation}")
        _say(_told(counts, began))
        if options.shrink:
            for outcome in crew.outcomes(_longest(kinds)):
                _show_short(outcome)
    for rule, jobs in sorted(kinds.items()):
        names = [job.name for job in jobs]
        _say(
            f"{rule}: {len(names)} stories: {' '.join(names[:12])}{' …' if len(names) > 12 else ''}"
        )
    return 1 if kinds else 0


def _told(counts: Counter[str], began: float) -> str:
    what = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{what} in {time.monotonic() - began:.0f} s"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="play these stories only")
    parser.add_argument("--list", action="store_true", help="the names of stories")
    parser.add_argument("--episodes", type=int, default=300, help="how many seeds (default: 300)")
    parser.add_argument("--seed", type=int, default=1, help="the first of them (default: 1)")
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="begin none after this time"
    )
    parser.add_argument(
        "--bridged",
        type=float,
        default=dice.BRIDGED,
        metavar="PART",
        help="in how many of them the eras differ, from 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--kept",
        type=float,
        default=variants.KEPT,
        metavar="PART",
        help="in how many of them the remote is kept, from 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--paged",
        type=float,
        default=variants.PAGED,
        metavar="PART",
        help="in how many of them pages have to be opened, from 0 to 1 (default: %(default)s)",
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--story", type=Path, help="play the story in this file only")
    parser.add_argument("--repeat", type=int, default=1, help="play each so many times")
    parser.add_argument(
        "--show", action="store_true", help="print the stories, and all that was seen"
    )
    parser.add_argument(
        "--show-broken", action="store_true", help="the same for those that break a rule"
    )
    parser.add_argument(
        "--no-shrink", dest="shrink", action="store_false", help="do not make them shorter"
    )
    parser.add_argument(
        "--soak", type=float, metavar="SECONDS", help="one program of each era, for so long"
    )
    parser.add_argument(
        "--package-root", default=PACKAGE_PARENT, help="the folder that has m2m_ssh_client"
    )
    options = parser.parse_args()
    unknown = set(options.names) - set(STORIES)
    if unknown:
        parser.error(f"no such story: {', '.join(unknown)}")
    return options


def _jobs(options: argparse.Namespace) -> Iterator[Job]:
    named = options.names or (STORIES if options.story is None and options.seed == 1 else ())
    for _ in range(options.repeat):
        if options.story is not None:
            yield Job(options.story.name, Story.read(options.story.read_text()))
            continue
        for name in named:
            yield Job(name, STORIES[name])
        if not options.names:
            parts = options.bridged, options.kept, options.paged
            for seed in range(options.seed, options.seed + options.episodes):
                yield Job(f"seed-{seed}", dice.story(seed, *parts))


def _longest(kinds: dict[str, list[Job]]) -> Iterator[Job]:
    """Some stories of each kind, to be made shorter. Those with a name are short."""
    for rule, jobs in sorted(kinds.items()):
        unnamed = [job for job in jobs if job.name not in STORIES and rule != _DRIVER]
        for job in unnamed[:_SHRUNK_EACH]:
            yield Job(job.name, job.story, rule)


class Crew:
    """Processes that play stories, each on a stage of its own. A context manager."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._jobs: Queue[Job | None] = processes.Queue(2 * options.workers)
        self._outcomes: Queue[Outcome] = processes.Queue()
        self._workers = [
            processes.Process(target=_work, args=(self._jobs, self._outcomes, options))
            for _ in range(options.workers)
        ]

    def __enter__(self) -> Crew:
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        for _worker in self._workers:
            self._jobs.put(None)
        for worker in self._workers:
            worker.join()

    def outcomes(self, jobs: Iterable[Job], deadline: float = float("inf")) -> Iterator[Outcome]:
        """What becomes of all jobs, as it comes; none is begun after the deadline."""
        waiting = 0
        for job in jobs:
            if time.monotonic() > deadline:
                break
            self._jobs.put(job)
            waiting += 1
            while not self._outcomes.empty():
                waiting -= 1
                yield self._outcomes.get()
        for _ in range(waiting):
            yield self._outcomes.get()


def _work(jobs: Queue[Job | None], outcomes: Queue[Outcome], options: argparse.Namespace) -> None:
    with Forks() as forks, Stage(options.package_root) as stage:
        forks.active = True
        while (job := jobs.get()) is not None:
            outcomes.put(_shortened(stage, job) if job.rule else _played(stage, job, options))


def _played(stage: Stage, job: Job, options: argparse.Namespace) -> Outcome:
    try:
        record = stage.play(job.story)
        broken = violations(record)
    except Exception as exc:  # noqa: BLE001 - whatever it is, the others go on
        return Outcome(job, job.story, [Violation(_DRIVER, repr(exc))], Counter(episodes=1))
    if options.show or (broken and options.show_broken):
        _show(job, record)
    return Outcome(job, job.story, broken, _counts(record))


def _shortened(stage: Stage, job: Job) -> Outcome:
    seen: list[Violation] = []

    def breaks(story: Story) -> bool:
        for _ in range(_TRIES):
            broken = violations(stage.play(story, patience=_SHORT_PATIENCE))
            found = [violation for violation in broken if violation.rule == job.rule]
            if found:
                seen[:] = found
                return True
        return False

    story = shrunk(job.story, breaks, _SHRINKING) if breaks(job.story) else job.story
    return Outcome(job, story, seen, Counter())


def _soak(options: argparse.Namespace) -> int:
    """One program for each host at a time; bridged, if all sessions are to be."""
    outcomes: Queue[list[str]] = processes.Queue()
    soaks = [
        processes.Process(target=_soak_one, args=(era, options, outcomes))
        for era in (LEGACY, MODERN)
    ]
    for each in soaks:
        each.start()
    broken = [problem for _ in soaks for problem in outcomes.get()]
    for each in soaks:
        each.join()
    for problem in broken:
        _say(problem)
    return 1 if broken else 0


def _soak_one(era: str, options: argparse.Namespace, outcomes: Queue[list[str]]) -> None:
    try:
        with Stage(options.package_root) as stage:
            story = soaked(era, bridged=options.bridged == 1)
            outcomes.put(soak(stage, story, options.seed, options.soak, _say, show=options.show))
    except (AssertionError, OSError) as exc:
        outcomes.put([f"{era}: {exc!r}"])


def _counts(record: Record) -> Counter[str]:
    return Counter(
        episodes=1,
        bridged=bool(record.story.bridged),
        kept="--keep" in record.story.options,
        requests=len(record.asked),
        processes=len(record.processes),
        faults=sum(Event.read(entry.note["text"]).is_fault for entry in record.of("event")),
    )


def _show_short(outcome: Outcome) -> None:
    """The story, short; what it did when it was made so."""
    job = outcome.job
    what = str(outcome.broken[0]) if outcome.broken else f"{job.rule}, which was not seen again"
    _say(f"\n# {job.name} breaks {what}\n{outcome.story}\n")


def _show(job: Job, record: Record) -> None:
    _say(f"# {job.name}\n{job.story}\n\n{record}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
