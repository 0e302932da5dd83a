"""The words with which SSH servers turn a client away for a time, before their version line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class TurnedAway(NamedTuple):
    """`said` is in the server's line, `wait` the shortest time in seconds that it means."""

    said: str
    wait: float
    why: str
    hint: str


_BUSY = "has too many logins in progress"
_CASES = (
    # The shortest lock, PerSourcePenalties min of sshd_config(5); an attempt does not extend it.
    TurnedAway(
        "Not allowed at this time",
        15.0,
        "has locked this machine out for a time",
        "Too many connections or logins from this address have failed (PerSourcePenalties in its "
        "sshd_config); `ssh` is locked out, too. Stop what keeps failing, and wait some minutes.",
    ),
    TurnedAway(
        "Exceeded MaxStartups",
        1.0,
        _BUSY,
        "Try again, or ask its administrator to raise MaxStartups in its sshd_config.",
    ),
    TurnedAway(
        "Too many connections",
        1.0,
        _BUSY,
        "Try again, or ask its administrator how many connections it takes.",
    ),
)


def turned_away(greeting: Sequence[str]) -> TurnedAway | None:
    """Return what the lines before a version line mean, if that is known."""
    return next((each for each in _CASES if any(each.said in line for line in greeting)), None)
