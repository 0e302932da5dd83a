"""Makes a story that breaks a rule as short as it goes: events are left out as long as the rule is broken without them.

(Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002: ddmin.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from stress.story import PINNED, Event, Story


def shrunk(story: Story, breaks: Callable[[Story], bool], seconds: float) -> Story:
    """The shortest story that was found within this time; `breaks` plays one."""
    deadline = time.monotonic() + seconds
    events = list(story.events)
    size = max(1, len(events) // 2)
    while time.monotonic() < deadline:
        shorter = _without_one_part(story, events, size, breaks, deadline)
        if shorter is not None:
            events = shorter
            size = min(size, max(1, len(events) // 2))
        elif size == 1:
            break
        else:
            size = max(1, size // 2)
    return _without_options(story.told(events), breaks, deadline)


def _without_one_part(
    story: Story,
    events: Sequence[Event],
    size: int,
    breaks: Callable[[Story], bool],
    deadline: float,
) -> list[Event] | None:
    """The events without some of them, if the rule is broken so; from the end, where less depends on them."""
    for end in range(len(events), 0, -size):
        part = events[max(0, end - size) : end]
        kept = [
            *events[: max(0, end - size)],
            *(e for e in part if e.name in PINNED),
            *events[end:],
        ]
        if len(kept) == len(events) or time.monotonic() > deadline:
            continue
        if breaks(story.told(kept)):
            return kept
    return None


def _without_options(story: Story, breaks: Callable[[Story], bool], deadline: float) -> Story:
    for option in [word for word in story.options if word.startswith("--")]:
        at = story.options.index(option)
        end = at + 1
        while end < len(story.options) and not story.options[end].startswith("--"):
            end += 1
        shorter = replace(story, options=story.options[:at] + story.options[end:])
        if time.monotonic() < deadline and breaks(shorter):
            story = shorter
    return story
