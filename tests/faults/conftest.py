"""A real sshd for each worker, and the way to start a session through a network that can be broken."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from faults.play import BreakableSshd, Play
from support import programs
from support.sshd import SshdKeys, make_privilege_separation_folder

if sys.platform != "linux":
    collect_ignore_glob = ["*"]  # processes are looked up in /proc

StartPlay = Callable[..., Play]


@pytest.fixture(scope="session")
def breakable_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BreakableSshd]:
    programs.require("sshd")
    make_privilege_separation_folder()
    keys = SshdKeys.generate(tmp_path_factory.mktemp("sshd-keys"))
    # Every connection that a test breaks off before its login counts.
    server = BreakableSshd(keys, tmp_path_factory.mktemp("sshd"), ["MaxStartups 100"])
    with server:
        yield server


@pytest.fixture
def play(breakable_sshd: BreakableSshd, tmp_path: Path) -> Iterator[StartPlay]:
    """Starts the one session of a test, with the arguments of `Play` behind its first two."""
    with ExitStack() as stack:

        def start(*options: str, **more: Sequence[str]) -> Play:
            return stack.enter_context(Play(breakable_sshd, tmp_path, *options, **more))

        yield start
