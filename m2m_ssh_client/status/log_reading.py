"""Read the log file: its last lines, and those that are added to it, across its rotation."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from m2m_ssh_client.log_file import OLD_SUFFIX
from m2m_ssh_client.text import printable

_LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) (?P<pid>\d+)(?:/(?P<tag>[0-9a-f]{6}))? "
    r"(?P<level>[A-Z]+) (?P<logger>[\w.]+): (?P<text>.*)"
)
_MOST_READ = 10_000_000  # bytes from the end of a file
_MOST_AT_ONCE = 1 << 20


class Line(NamedTuple):
    """A line of the log. Of a line that is not ours, only `raw` is known, and is the `text` too."""

    raw: str
    text: str
    time: datetime | None = None
    level: str = ""
    pid: int | None = None
    tag: str = ""
    logger: str = ""

    @classmethod
    def of(cls, data: bytes) -> Line:
        """Return the line, without what could control a terminal."""
        raw = printable(data.rstrip(b"\r\n"))
        match = _LINE.fullmatch(raw)
        if match is None:
            return cls(raw, raw)
        try:
            time = datetime.strptime(match["time"], "%Y-%m-%d %H:%M:%S,%f").astimezone()
        except (ValueError, OverflowError):
            return cls(raw, raw)
        pid, tag = int(match["pid"]), match["tag"] or ""
        return cls(raw, match["text"], time, match["level"], pid, tag, match["logger"])

    def document(self) -> dict[str, Any]:
        """Return the line as plain data."""
        return {
            "time": self.time.isoformat(timespec="milliseconds") if self.time else None,
            "level": self.level or None,
            "pid": self.pid,
            "tag": self.tag or None,
            "logger": self.logger or None,
            "text": self.text,
        }


class LogReader:
    """Reads a log file. Its predecessor is read too: processes may still add lines to that.

    Raises OSError for a file that cannot be read; a missing one has no lines.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tails: list[_Tail] = []
        for each in (path.with_suffix(OLD_SUFFIX), path):
            with suppress(FileNotFoundError):
                self._tails.append(_Tail(each, os.SEEK_END))

    @property
    def exists(self) -> bool:
        return bool(self._tails)

    def last(self, count: int, tags: frozenset[str] | None = None) -> list[Line]:
        """Return up to `count` of the lines so far, of these tags only. Call this first."""
        found: deque[Line] = deque(maxlen=count)
        found.extend(self._new(tags))
        return list(found)

    def added(self, tags: frozenset[str] | None = None) -> Iterator[Line]:
        """Yield the lines that were added since the last call."""
        self._turn_over()
        yield from self._new(tags)

    def close(self) -> None:
        while self._tails:
            self._tails.pop().close()

    def _new(self, tags: frozenset[str] | None) -> Iterator[Line]:
        for tail in self._tails:
            for data in tail.lines():
                line = Line.of(data)
                if tags is None or line.tag in tags:
                    yield line

    def _turn_over(self) -> None:
        """Begin to read a new file under the name, if there is one; keep its predecessor."""
        with suppress(FileNotFoundError):
            if not self._tails or not self._tails[-1].is_at(self._path):
                self._tails.append(_Tail(self._path, os.SEEK_SET))
        while len(self._tails) > 2:
            self._tails.pop(0).close()


class _Tail:
    """An open file, read to its end again and again."""

    def __init__(self, path: Path, whence: int) -> None:
        """Start at the beginning; with SEEK_END, so far before the end that lines are recent."""
        self._descriptor = _opened(path)
        self._begun = b""  # a line that is not complete
        self._in_a_line = False  # its beginning was not read
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise OSError(f"{printable(str(path))} is not a file")
        if whence == os.SEEK_END and status.st_size > _MOST_READ:
            os.lseek(self._descriptor, -_MOST_READ, os.SEEK_END)
            self._in_a_line = True

    def is_at(self, path: Path) -> bool:
        """Return whether the name still leads to this file. Raises FileNotFoundError."""
        return os.path.samestat(os.fstat(self._descriptor), path.stat())

    def lines(self) -> Iterator[bytes]:
        """Yield the complete lines that are new."""
        while data := os.read(self._descriptor, _MOST_AT_ONCE):
            *complete, self._begun = (self._begun + data).split(b"\n")
            if complete and self._in_a_line:
                self._in_a_line = False
                del complete[0]
            yield from complete

    def close(self) -> None:
        os.close(self._descriptor)


def _opened(path: Path) -> int:
    """Open the file so that whoever writes it can rename it meanwhile."""
    if sys.platform != "win32":
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    from m2m_ssh_client.windows import calls

    return calls.opened(path, os.O_RDONLY)
