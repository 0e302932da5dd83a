"""Long lines on their way: a tool call, or its answer, goes on while it still comes.

Only within one long string, whose bytes are checked as they come; the rest of such a line is parsed as any other. So
what has gone on can always be completed to valid JSON: a connection that is lost in the middle of an answer makes a
failed tool call of it. Requests that can be repeated, and answers to these, are not passed on early: of those the host
sees nothing at all when a connection is lost.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable

from m2m_ssh_client.flow.hand_over import FromThread, Lines, ToThread
from m2m_ssh_client.proxy.early_forwarding.line_prefix import Opening, StringReader, read_opening
from m2m_ssh_client.proxy.frames.frame import LineSplitter, parse
from m2m_ssh_client.proxy.frames.too_long import Excess, StandIn
from m2m_ssh_client.proxy.memory.session import Output, Session

_LONG = 64 * 1024
"""Bytes of a line that must have come before it is looked at whether it can go on."""

_SMALL = 4096  # bytes

_BRACE = re.compile(rb"\{ *\Z")
_LONGEST_BRACE = 8  # bytes


class CutThrough:
    """A line that goes on to `to` while it still comes."""

    def __init__(self, opening: Opening, to: ToThread, *, keep: bool) -> None:
        """`to` has begun this line. `keep`: what has gone on may be wanted again."""
        self.opening = opening
        self.to = to
        self._reader = StringReader()
        self._unwritten = deque([opening.line])
        self._kept: deque[bytes] | None = deque() if keep else None
        self._over = False
        self._lock = threading.Lock()
        self.brace = b""
        """What the string ends with so far, if that may be where a message begins: the string is torn then."""

    def take(self, chunk: bytes) -> bytes:
        """Pass on the string's next chunk. What is returned, if anything, is what the line goes on with."""
        whole, rest = self._reader.read(chunk)
        if whole:
            brace = _BRACE.search(whole, max(len(whole) - _LONGEST_BRACE, 0))
            self.brace = brace.group() if brace else b""
        with self._lock:
            if whole and not self._over:
                _append(self._unwritten, whole)
                if self._kept is not None:
                    _append(self._kept, whole)
                self._write()
        return rest

    def whole_line(self, end: bytes) -> bytes:
        """Of one that was kept."""
        return b"".join([self.opening.line, *(self._kept or ()), end])

    def complete(self, end: bytes) -> None:
        """Any thread, once."""
        with self._lock:
            self._over = True
            self.to.complete([*self._unwritten, end])

    def _write(self) -> None:
        while self._unwritten:
            data = self._unwritten[0]
            written = self.to.more(data)
            if written < len(data):
                self._unwritten[0] = data[written:]
                return
            self._unwritten.popleft()


def _append(pieces: deque[bytes], piece: bytes) -> None:
    """Small ones together: each object has some fifty bytes besides."""
    if pieces and len(pieces[-1]) + len(piece) <= _SMALL:
        pieces[-1] += piece
    else:
        pieces.append(piece)


Begin = Callable[[Opening], CutThrough | None]
"""Lets a line go on early, or not. In the thread that reads."""


class LongLineSplitter:
    """A `LineSplitter` that passes on early what `begin` lets: of such a line only the end is left, behind a quote.

    Where a line is longer than `limit` bytes, there is a stand-in (`too_long.py`), which may come before its end.
    """

    def __init__(self, limit: int, lines: FromThread, *, from_host: bool) -> None:
        """`lines` is what the lines are put to."""
        self.begin: Begin = lambda _: None
        self._limit = limit
        self._from_host = from_host
        self._splitter = LineSplitter(limit)
        self._lines = lines
        self._through: CutThrough | None = None
        self._asked = False  # about this line
        self._passed = 0  # bytes of this line
        self._begun = b""  # with which a line begins that is passed on
        self._excess: Excess | None = None  # of this line, which is skipped to its end

    @property
    def pending(self) -> int:
        """Bytes of a line whose end has not come yet; of one that is skipped, one."""
        return self._passed + self._splitter.pending + (self._excess is not None)

    def feed(self, chunk: bytes) -> Lines:
        """The lines that are complete. Raises MessageTooLongError where nothing can stand in the place of one."""
        if self._excess is not None:
            skipped, end, chunk = chunk.partition(b"\n")
            self._excess.take(skipped)
            lines = self._excess.look(ended=bool(end))
            if end:
                self._excess = None
            return lines + self.feed(chunk) if chunk else lines
        if self._through is not None:
            rest = self._through.take(chunk)
            self._passed += len(chunk) - len(rest)
            if not rest:
                return self._skip(chunk) if self._passed > self._limit else []
            self._passed -= 1
            chunk = b'"' + rest  # no line is empty, then, and none is left out
            self._through = None
        lines = self._splitter.cut(chunk)
        ended = bool(lines)
        if (
            self._passed + max(self._splitter.pending, max(map(len, lines), default=0))
            > self._limit
        ):
            lines = self._without_long(lines)
        if ended:
            self._asked = False
            self._passed = 0
        elif not self._asked and self._splitter.pending >= _LONG and self._lines.is_idle():
            self._asked = True
            self._ask()
        return lines

    def take_begun(self) -> bytes:
        """Take the line whose end has not come, unless some of it has gone on."""
        return b"" if self._passed else self._splitter.take_begun()

    def _without_long(self, lines: Lines) -> Lines:
        """With stand-ins for those that are too long, and for the one that goes on if that is."""
        kept: Lines = []
        passed = self._passed
        for line in lines:
            if passed + len(line) <= self._limit:
                kept.append(line)
            else:
                excess = self._too_long(line, passed)
                kept += excess.look(ended=True)
            passed = 0
        if passed + self._splitter.pending > self._limit:
            self._passed = passed
            kept += self._skip(self._splitter.take_begun())
        return kept

    def _skip(self, data: bytes) -> Lines:
        """From here on, to the end of the line."""
        self._excess = self._too_long(data, self._passed)
        self._through = None
        self._asked = False
        self._passed = 0
        return self._excess.look(ended=False)

    def _too_long(self, data: bytes, passed: int) -> Excess:
        begun = self._begun if passed else data
        excess = Excess(self._limit, begun, from_host=self._from_host, owed=bool(passed))
        excess.take(data)
        return excess

    def _ask(self) -> None:
        begun = self._splitter.take_begun()
        found = read_opening(begun)
        through = self.begin(found[0]) if found is not None else None
        if found is None or through is None:
            self._splitter.feed(begun)
            return
        through.take(found[1])
        self._through = through
        self._begun = through.opening.line
        self._passed = len(begun)


class LongLines:
    """A session to which the proxy brings lines that may have gone on early. Calls are part of the proxy's steps."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._request: CutThrough | None = None
        self._answer: CutThrough | None = None

    def begin_request(self, opening: Opening, remote: ToThread) -> CutThrough | None:
        """What takes the host's next line, of which this has come, if that may go on now."""
        if not self._session.may_cut_request(opening.message) or not remote.begin():
            return None
        self._request = CutThrough(opening, remote, keep=True)
        return self._request

    def begin_answer(self, opening: Opening, host: ToThread) -> CutThrough | None:
        """The same for the remote's next line."""
        can_fail = opening.path[:3] == (b"result", b"content", None)
        if not can_fail or not self._session.may_cut_answer(opening.message) or not host.begin():
            return None
        self._answer = CutThrough(opening, host, keep=False)
        return self._answer

    def from_host(self, lines: Lines, now: float, remote: ToThread | None) -> Output:
        """As the session's; `remote` is where its requests go now."""
        through, self._request = self._request, None
        if through is None:
            return self._session.from_host(lines, now)
        if isinstance(lines[0], StandIn):
            if through.to is remote:
                through.complete(b"")  # within a string: no server can take it for a message
            return self._session.from_host(lines, now)
        end, others = lines[0][1:], lines[1:]
        if through.to is not remote:
            return self._session.from_host([through.whole_line(end), *others], now)
        line = through.opening.line + end
        output = self._session.from_host([line], now)
        through.complete(end)
        output.to_remote = [each for each in output.to_remote if each is not line]
        return output + self._session.from_host(others, now)

    def from_remote(self, lines: Lines) -> Output:
        through = self._answer
        if through is None:
            return self._session.from_remote(lines)
        if isinstance(lines[0], StandIn):
            self._break_off(lines[0].why)
            return self._session.from_remote(lines[1:])
        end, others = lines[0][1:], lines[1:]
        return self._end_answer(through, end) + self._session.from_remote(others)

    def _end_answer(self, through: CutThrough, end: bytes) -> Output:
        """Say how the answer ends that the host has the beginning of: as the session takes it, or as a failed call.

        It is none if it is not valid, if by its end it is another request's, or if the host has called it back. What
        else its line holds is for others.
        """
        begun, id_ = through.opening.line + through.brace, through.opening.message.id
        output = self._session.from_remote([begun + end])
        whole = next((each for each in output.to_host if each.startswith(begun)), None)
        if whole is not None:
            self._answer = None
            through.complete(whole.removeprefix(begun))
            output.to_host.remove(whole)
        else:
            self._break_off("The remote server's answer is not valid JSON-RPC")
            output.to_host = [each for each in output.to_host if parse(each).messages[0].id != id_]
        return output

    def lost(self, reason: str, unsent: Lines, now: float, *, ended: bool) -> Output:
        self._break_off(reason)
        return self._session.lost(reason, unsent, now, ended=ended)

    def failed(self, reason: str) -> Output:
        self._break_off(reason)
        return self._session.failed(reason)

    def _break_off(self, reason: str) -> None:
        through, self._answer = self._answer, None
        if through is not None and through.opening.message.id is not None:
            said = self._session.break_off(through.opening.message.id, reason)
            through.complete(through.opening.failing(said))
