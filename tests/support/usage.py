"""What a running process uses, as Linux tells it."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path


def memory(pid: int) -> int:
    """In KiB, what is resident."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1])


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def starved(pid: int) -> dict[str, float]:
    """The seconds for which each thread could have run and had no processor; none if all have ended."""
    found = {}
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):  # it has ended just now, or this kernel does not count
            found[task.name] = int((task / "schedstat").read_text().split()[1]) / 1e9
    return found
