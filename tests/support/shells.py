"""The shells of this machine that people have as login shells."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

NAMES = ("sh", "bash", "dash", "zsh", "fish", "tcsh", "ash")


def found() -> list[str]:
    return [name for name in NAMES if _program(name)]


def path(name: str) -> str:
    """What an account's entry would have."""
    program = _program(name)
    assert program is not None
    return program if name != "ash" else str(_ash(program))


def _program(name: str) -> str | None:
    return shutil.which("busybox" if name == "ash" else name)


@cache
def _ash(busybox: str) -> Path:
    """BusyBox is the program that it is called by."""
    folder = Path(tempfile.mkdtemp(prefix="ash-"))
    folder.chmod(0o755)
    link = folder / "ash"
    link.symlink_to(busybox)
    return link
