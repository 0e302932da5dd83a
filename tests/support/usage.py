"""What a running process uses, as Linux tells it."""

from __future__ import annotations

import re
import sys
import time
from contextlib import suppress
from pathlib import Path

_MOST_BUSY = 3  # times the limit: a machine that is busier is too busy for tests


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
    found: dict[str, float] = {}
    if sys.platform != "linux":  # Wine shows Linux's /proc, with other numbers
        return found
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):  # it has ended just now, or this kernel does not count
            found[task.name] = int((task / "schedstat").read_text().split()[1]) / 1e9
    return found


class Limit:
    """Seconds from now on, without those for which these processes wait for a processor.

    On a machine that does other things too, the promise of an end within two seconds can be held to
    the program alone.
    """

    def __init__(self, seconds: float, *pids: int) -> None:
        self._seconds = seconds
        self._ends = time.monotonic() + seconds
        self._before = {pid: starved(pid) for pid in pids}
        self._waited = dict.fromkeys(
            pids, 0.0
        )  # the last that was seen of a process that has ended

    @property
    def left(self) -> float:
        """Asked for again and again: what a process has waited is told until its end."""
        for pid, before in self._before.items():
            waited = sum(now - before.get(task, 0.0) for task, now in starved(pid).items())
            self._waited[pid] = max(self._waited[pid], waited)
        busy = min(sum(self._waited.values()), _MOST_BUSY * self._seconds)
        return self._ends + busy - time.monotonic()
