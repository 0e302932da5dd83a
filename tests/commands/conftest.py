"""What the tests of commands share."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from support.far import environment
from support.host import PROGRAM


@pytest.fixture(scope="session")
def program() -> Iterator[list[str]]:
    """The argv of a program that starts fast, where the system can fork."""
    if sys.platform == "win32":
        yield [*PROGRAM]
    else:
        from support import forked

        with forked.program(environment()) as argv:
            yield argv
