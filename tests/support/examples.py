"""How many examples Hypothesis makes: fewer on Windows, which under Wine is many times as slow.

What these tests are about, texts and their meaning, does not depend on the platform.
"""

from __future__ import annotations

import sys

import hypothesis

_FEWER = 6 if sys.platform == "win32" else 1


def examples(count: int) -> hypothesis.settings:
    """Settings for so many examples."""
    return hypothesis.settings(max_examples=count // _FEWER)
