"""Plays stories and tells which rules they broke: `tox -e stress -- --episodes 20000 --seed 7 --seconds 3600`.

Without arguments every run has the same stories: those that have a name, and one for each of 300 seeds. A story that
breaks a rule is printed as short as it goes; `--story FILE` plays it again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from support.host import PACKAGE_PARENT  # noqa: E402

from stress import dice  # noqa: E402
from stress.invariants import Violation, violations  # noqa: E402
from stress.play import PATIENCE  # noqa: E402
from stress.record import Record  # noqa: E402
from stress.shrink import shrunk  # noqa: E402
from stress.stage import Stage  # noqa: E402
from stress.stories import STORIES  # noqa: E402
from stress.story import Event, Story  # noqa: E402

_SHRINKING = 60.0  # seconds for one story
_SHORT_PATIENCE = 5.0  # while it is made shorter
_SHRUNK_EACH = 2  # stories for each rule that are made shorter
_TRIES = 2  # a story depends on time: it breaks a rule if it does so in one of them


@dataclass(frozen=True)
class Job:
    name: str
    story: Story


@dataclass(frozen=True)
class Outcome:
    name: str
    story: Story
    broken: list[Violation]
    counts: Counter[str]
    problem: str = ""


def main() -> int:
    options = _options()
    began = time.monotonic()
    counts: Counter[str] = Counter()
    kinds: dict[str, list[Outcome]] = {}
    for outcome in _outcomes(options):
        counts += outcome.counts
        for violation in outcome.broken:
            kinds.setdefault(violation.rule, []).append(outcome)
            _say(f"{outcome.name} breaks {violation}")
        if outcome.problem:
            kinds.setdefault("driver", []).append(outcome)
            _say(f"{outcome.name} could not be played: {outcome.problem}")
    seconds = time.monotonic() - began
    _say(", ".join(f"{count} {what}" for what, count in counts.items()) + f" in {seconds:.0f} s")
    if kinds and options.shrink:
        _show_shortest(kinds, options)
    for rule, outcomes in sorted(kinds.items()):
        names = [outcome.name for outcome in outcomes]
        _say(f"{rule}: {len(names)} stories: {' '.join(names[:12])}{' …' if len(names) > 12 else ''}")
    return 1 if kinds else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="play these stories only")
    parser.add_argument("--list", action="store_true", help="the names of stories")
    parser.add_argument("--episodes", type=int, default=300, help="how many seeds (default: 300)")
    parser.add_argument("--seed", type=int, default=1, help="the first of them (default: 1)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin none after this time")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--story", type=Path, help="play the story in this file only")
    parser.add_argument("--repeat", type=int, default=1, help="play each so many times")
    parser.add_argument("--show", action="store_true", help="print the stories, and all that was seen")
    parser.add_argument("--no-shrink", dest="shrink", action="store_false", help="do not make them shorter")
    parser.add_argument("--package-root", default=PACKAGE_PARENT, help="the folder that has m2m_ssh_client")
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
            for seed in range(options.seed, options.seed + options.episodes):
                yield Job(f"seed-{seed}", dice.story(seed))


def _outcomes(options: argparse.Namespace) -> Iterator[Outcome]:
    """What becomes of all jobs, as it comes."""
    context = multiprocessing.get_context("fork")
    jobs: Queue[Job | None] = context.Queue(2 * options.workers)
    outcomes: Queue[Outcome | None] = context.Queue()
    workers = [
        context.Process(target=_work, args=(jobs, outcomes, options), daemon=True)
        for _ in range(options.workers)
    ]
    for worker in workers:
        worker.start()
    deadline = time.monotonic() + options.seconds
    given = taken = 0
    for job in _jobs(options):
        if time.monotonic() > deadline:
            break
        jobs.put(job)
        given += 1
        while not outcomes.empty():
            outcome = outcomes.get()
            taken += 1
            if outcome is not None:
                yield outcome
    for _ in workers:
        jobs.put(None)
    while taken < given:
        outcome = outcomes.get()
        taken += 1
        if outcome is not None:
            yield outcome
    for worker in workers:
        worker.join()


def _work(
    jobs: Queue[Job | None], outcomes: Queue[Outcome | None], options: argparse.Namespace
) -> None:
    with Stage(options.package_root) as stage:
        while (job := jobs.get()) is not None:
            outcomes.put(_outcome(stage, job, options))


def _outcome(stage: Stage, job: Job, options: argparse.Namespace) -> Outcome:
    try:
        record = stage.play(job.story)
    except (AssertionError, OSError) as exc:
        return Outcome(job.name, job.story, [], Counter(episodes=1), repr(exc))
    if options.show:
        _show(job, record)
    return Outcome(job.name, job.story, violations(record), _counts(record))


def _counts(record: Record) -> Counter[str]:
    return Counter(
        episodes=1,
        requests=len(record.asked),
        processes=len(record.processes),
        faults=sum(Event.read(entry.note["text"]).is_fault for entry in record.of("event")),
    )


def _show_shortest(kinds: dict[str, list[Outcome]], options: argparse.Namespace) -> None:
    with Stage(options.package_root) as stage:
        for rule, outcomes in sorted(kinds.items()):
            for outcome in outcomes[:_SHRUNK_EACH]:
                if rule != "driver":
                    _show_one(stage, rule, outcome)


def _show_one(stage: Stage, rule: str, outcome: Outcome) -> None:
    seen: list[Violation] = []

    def breaks(story: Story) -> bool:
        for _ in range(_TRIES):
            found = [v for v in violations(stage.play(story, patience=_SHORT_PATIENCE)) if v.rule == rule]
            if found:
                seen[:] = found
                return True
        return False

    if not breaks(outcome.story):
        first = next(v for v in outcome.broken if v.rule == rule)
        _say(f"\n# {outcome.name}, not seen again: {first}\n{outcome.story}\n")
        return
    story = shrunk(outcome.story, breaks, _SHRINKING)
    _say(f"\n# {outcome.name}: {seen[0]}\n{story}\n")


def _show(job: Job, record: Record) -> None:
    lines = [f"# {job.name}", str(job.story), ""]
    start = record.entries[0].time
    for entry in record.entries:
        what = entry.message or entry.note or entry.line
        lines.append(f"{entry.time - start:8.3f} {entry.process} {entry.kind:<8} {str(what)[:300]}")
    _say("\n".join(lines))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
