"""Patterns and pattern-lists: ssh_config(5), PATTERNS. Only `*` and `?` are special."""

from __future__ import annotations

from collections.abc import Iterable

# The room for one pattern of a list in OpenSSH; a longer one voids its list.
_LONGEST_PATTERN = 1023


def matches(text: str, pattern: str) -> bool:
    """Return whether the pattern matches the whole text.

    The time does not explode with the number of stars.
    """
    at = position = 0
    star = restart = -1
    while position < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, restart = at, position
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", text[position]):
            at += 1
            position += 1
        elif star >= 0:
            # The last star takes one character more.
            restart += 1
            at, position = star + 1, restart
        else:
            return False
    return all(char == "*" for char in pattern[at:])


def chosen(text: str, patterns: Iterable[str]) -> bool:
    """Return whether one of the patterns matches the text and no pattern with a `!` does."""
    found = False
    for pattern in patterns:
        negated = pattern.startswith("!")
        if matches(text, pattern[negated:]):
            if negated:
                return False
            found = True
    return found


def listed(text: str, patterns: str, *, lowered: bool = False) -> bool:
    """Do the same for a comma-separated list; `lowered` ignores case, as host names do."""
    if lowered:
        text, patterns = text.lower(), patterns.lower()
    each = patterns.split(",")
    if any(len(pattern.removeprefix("!")) > _LONGEST_PATTERN for pattern in each):
        return False
    return chosen(text, each)
