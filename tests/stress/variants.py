"""Changes the stories of some seeds in one respect, and leaves those of all others as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from random import Random

from stress.story import BREAKING, LEGACY, Event, Story

PAGED = 0.15
_PAGES_FIRST = 0.4  # of the calls without another instruction
_ASKING = ("tools/call", "prompts/get", "resources/read")
KEPT = 0.15
_TIMES = ("60", "60", "60", "1")
"""Seconds for which a remote is kept: longer than all faults, or shorter than some."""
_LIVELY = 0.6  # the part of them in which no remote ends
_KEEPER_DIES = 0.5


def with_keep(story: Story, random: Random, part: float) -> Story:
    """The same with a keeper, if the dice say so; in most of them no remote ends by itself."""
    if random.random() >= part:
        return story
    options = (*story.options, "--keep", random.choice(_TIMES))
    lively = random.random() < _LIVELY
    events = _without_ends(story.events) if lively else _of_keepers(story.events, random)
    kept = replace(story, options=options, events=tuple(events), shell=False)
    return replace(kept, may_end="--no-reconnect" in options and kept.breaks)


def with_pages(story: Story, random: Random, part: float) -> Story:
    """The same with pages that the person has to open, if the dice say so."""
    if random.random() >= part:
        return story
    with_page = _page_of_legacy if story.remote_era == LEGACY else _page_of_modern
    return story.told(
        replace(event, args={**event.args, "do": with_page(event, random)})
        if event.name == "ask" and event.args["method"] in _ASKING
        else event
        for event in story.events
    )


def _page_of_legacy(event: Event, random: Random) -> list[str]:
    """An error in which pages are named, or a question."""
    do = list(event.args.get("do", ()))
    if not do and random.random() < _PAGES_FIRST:
        return [f"pages {random.randint(1, 2)}"]
    return [_in_page(each) if each == "ask elicitation/create" else each for each in do]


def _page_of_modern(event: Event, _random: Random) -> list[str]:
    do = event.args.get("do", ())
    return [_in_page(each) if each[:6] == "input " else each for each in do]


def _in_page(instruction: str) -> str:
    return f"{instruction} url"


def _without_ends(events: Iterable[Event]) -> Iterator[Event]:
    for event in events:
        if event.is_fault and not event.is_of_network:
            continue
        do = [each for each in event.args.get("do", ()) if each.partition(" ")[0] not in BREAKING]
        if event.name == "ask" and "do" in event.args:
            event = replace(event, args={**event.args, "do": do})
        yield event


def _of_keepers(events: Iterable[Event], random: Random) -> Iterator[Event]:
    """Kill the keeper in place of some servers."""
    for event in events:
        keeper = event.name == "kill" and random.random() < _KEEPER_DIES
        yield Event("kill_keeper") if keeper else event
