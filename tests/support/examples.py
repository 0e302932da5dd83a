"""How many examples Hypothesis makes: fewer where another environment of tox makes all of them."""

from __future__ import annotations

import hypothesis
from support import programs

_PERCENT = int(programs.ORIGINAL_ENVIRONMENT.get("EXAMPLES", "100"))


def examples(count: int) -> hypothesis.settings:
    """Settings for so many examples, or for the part of them that the variable EXAMPLES says."""
    return hypothesis.settings(max_examples=max(count * _PERCENT // 100, 1))
