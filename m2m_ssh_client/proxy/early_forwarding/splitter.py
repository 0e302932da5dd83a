"""A splitter that forwards long lines early and replaces lines over the limit by errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from m2m_ssh_client.errors import MessageTooLongError
from m2m_ssh_client.flow.splitting import Lines, LineSplitter
from m2m_ssh_client.proxy.early_forwarding.early_line import EarlyLine
from m2m_ssh_client.proxy.early_forwarding.line_prefix import LinePrefix, read_prefix
from m2m_ssh_client.proxy.frames.noise import Noise, is_noise
from m2m_ssh_client.proxy.frames.too_long import Excess

_LONG = 64 * 1024
"""Bytes of a line that must have come before the splitter asks whether it can be forwarded."""


class EarlyExit(NamedTuple):
    """The way out for lines that have not ended yet, for the thread that reads."""

    is_free: Callable[[], bool]
    """Returns whether nothing is queued that has to go first."""
    begin: Callable[[LinePrefix], EarlyLine | None]
    """Begins a line with this prefix, if it may go now."""


class LongLineSplitter:
    """Cuts bytes into lines of at most `limit` bytes, and forwards long lines early.

    Of a line that was forwarded early, only the end is returned, behind a quote: the rest of the
    string, whose beginning has gone, and all that follows it. A line over the limit is replaced by
    an error (`frames/too_long.py`), which may come before the line's end. Of a remote's long line
    that is no message, an excerpt is returned.
    """

    def __init__(self, limit: int, exit_: EarlyExit | None, *, from_host: bool) -> None:
        """Without an exit, lines are forwarded whole."""
        self._limit = limit
        self._exit = exit_
        self._from_host = from_host
        self._splitter = LineSplitter(limit)
        self._early: EarlyLine | None = None  # this line, while its string lasts
        self._asked = False  # whether this line can be forwarded early
        self._passed = 0  # bytes of this line that were forwarded early
        self._prefix = b""  # of this line, if it was forwarded early
        self._excess: Excess | None = None  # this line, if it is over the limit and has not ended
        self._judged = from_host  # whether it is known if this line is noise: a host's never is
        self._noise: Noise | None = None  # this line, until a message begins in it

    @property
    def pending(self) -> int:
        """Bytes of the line that has not ended; 1 for one over the limit, or that is noise."""
        elsewhere = self._excess is not None or self._noise is not None
        return self._passed + self._splitter.pending + elsewhere

    def feed(self, chunk: bytes) -> Lines:
        """Return the lines that the chunk completes.

        Raises MessageTooLongError if a line is over the limit and no error can replace it.
        """
        if self._excess is not None:
            skipped, end, chunk = chunk.partition(b"\n")
            self._excess.add(skipped)
            lines = self._excess.look(ended=bool(end))
            if end:
                self._excess = None
            return lines + self.feed(chunk) if chunk else lines
        if self._noise is not None:
            line, end, rest = chunk.partition(b"\n")
            begins = self._noise.add(line)
            if self._noise.size > self._limit:
                raise MessageTooLongError.over(self._limit)
            if not begins and not end:
                return []
            chunk = self._noise.line() + end + rest
            self._noise = None
        if self._early is not None:
            rest = self._early.add(chunk)
            self._passed += len(chunk) - len(rest)
            if not rest:
                return self._skip(chunk) if self._passed > self._limit else []
            self._passed -= 1
            chunk = b'"' + rest  # so that the end of the line is never empty, which is left out
            self._early = None
        return self._cut(chunk)

    def take_begun(self) -> bytes:
        """Remove and return the line that has not ended, unless it was forwarded early."""
        if self._noise is not None:
            noise, self._noise = self._noise, None
            self._judged = self._from_host
            return noise.line()
        return b"" if self._passed else self._splitter.take_begun()

    def _cut(self, chunk: bytes) -> Lines:
        lines = self._splitter.cut(chunk)
        ended = bool(lines)
        longest = max(self._splitter.pending, max(map(len, lines), default=0))
        if self._passed + longest > self._limit:
            lines = self._without_long(lines)
        if ended:
            self._asked = False
            self._passed = 0
            self._judged = self._from_host
        if self._splitter.pending >= _LONG:
            if not self._judged:
                self._judge()
            if not ended and not self._asked and self._noise is None:
                self._ask()
        return lines

    def _without_long(self, lines: Lines) -> Lines:
        """Replace lines over the limit, including the one that has not ended."""
        kept: Lines = []
        passed = self._passed
        for line in lines:
            if passed + len(line) <= self._limit:
                kept.append(line)
            else:
                kept += self._too_long(line, passed).look(ended=True)
            passed = 0
        if passed + self._splitter.pending > self._limit:
            self._passed = passed
            kept += self._skip(self._splitter.take_begun())
        return kept

    def _skip(self, data: bytes) -> Lines:
        """Skip this line from here to its end."""
        self._excess = self._too_long(data, self._passed)
        self._early = None
        self._asked = False
        self._passed = 0
        return self._excess.look(ended=False)

    def _too_long(self, data: bytes, passed: int) -> Excess:
        begun = self._prefix if passed else data
        excess = Excess(self._limit, begun, from_host=self._from_host, owed=bool(passed))
        excess.add(data)
        return excess

    def _judge(self) -> None:
        """Stop keeping this line if it is no message."""
        self._judged = True
        begun = self._splitter.take_begun()
        if is_noise(begun):
            self._noise = Noise(begun)
        else:
            self._splitter.cut(begun)

    def _ask(self) -> None:
        """Forward this line early from now on, if it can be."""
        if self._exit is None or not self._exit.is_free():
            return
        self._asked = True
        begun = self._splitter.take_begun()
        found = read_prefix(begun)
        early = self._exit.begin(found[0]) if found is not None else None
        if found is None or early is None:
            self._splitter.cut(begun)
            return
        early.add(found[1])
        self._early = early
        self._prefix = early.prefix.line
        self._passed = len(begun)
