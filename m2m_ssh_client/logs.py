"""Where log records go: stderr and a file. Never stdout, which is the protocol's.

Records are written by a thread of their own: a host that does not read our stderr must not stall the relay. When
too many wait, the newest are dropped and counted.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Full, Queue
from typing import TextIO

from m2m_ssh_client import descriptors
from m2m_ssh_client._version import PROGRAM
from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.log_file import AppendedFile, RotatingFile, default_path
from m2m_ssh_client.text import printable

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
DEFAULT_LEVEL = "INFO"
REMOTE_STDERR = "m2m_ssh_client.remote"
"""The logger of what the remote server writes to its stderr."""

PAYLOADS = "m2m_ssh_client.payloads"
"""The logger of messages, which are logged where its own level, not an inherited one, is DEBUG."""

NO_FILE = "none"

_FILE_FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
_files: list[Path] = []  # of the `configured` that lasts
_NOWHERE = logging.NullHandler()
_MOST_WAITING = 10_000  # records
_MOST_TEXT = 4_000_000  # characters in them
_FLUSH_PAUSE = 0.2  # seconds in which nothing is written: nobody reads, then
_FLUSH_TIME = 2.0  # seconds, at the most


@contextmanager
def configured(
    level: str | None, file: Path | None, stream: TextIO | None = None, *, payloads: bool = False
) -> Iterator[None]:
    """Log our records and paramiko's for as long as the context lasts.

    `level` counts for stderr and the file; without it stderr shows WARNING and above (hosts present every line
    there as an error) and the file INFO. `file` takes the place of the one in the user's state folder; the path `none`:
    no file. `stream` stands in for stderr; a thread of its own writes to it. `payloads` has messages logged too,
    at DEBUG. Raises UsageError if the file cannot be written.
    """
    stderr = _StderrHandler(stream or sys.stderr)
    stderr.setLevel(level or "WARNING")
    stderr.setFormatter(_StderrFormatter())
    handlers: list[logging.Handler] = [stderr]
    path = file or default_file()
    if path is not None and str(path) != NO_FILE:
        handlers.append(RotatingFile(path) if file is None else _named_file(path, stderr))
        handlers[-1].setLevel(level or DEFAULT_LEVEL)
        handlers[-1].setFormatter(_OneLineFormatter(_FILE_FORMAT))
        _files.append(path)
    background = _BackgroundHandler(handlers, None if level else stderr)
    loggers = {
        logging.getLogger("m2m_ssh_client"): min(handler.level for handler in handlers),
        # paramiko reports as errors what we explain in words of our own.
        logging.getLogger("paramiko"): logging.DEBUG if level == "DEBUG" else logging.CRITICAL,
    }
    before = {logger: (logger.level, logger.propagate) for logger in loggers}
    for logger, lowest in loggers.items():
        logger.addHandler(background)
        logger.propagate = False
        logger.setLevel(lowest)
    messages = logging.getLogger(PAYLOADS)
    messages.setLevel(logging.DEBUG if payloads and level == "DEBUG" else logging.NOTSET)
    try:
        yield
    finally:
        _files.clear()
        messages.setLevel(logging.NOTSET)
        # A thread of paramiko's may still find out that its connection is gone: nobody needs to read that.
        logging.getLogger("paramiko").addHandler(_NOWHERE)
        for logger, (lowest, propagate) in before.items():
            logger.removeHandler(background)
            logger.propagate = propagate
            logger.setLevel(lowest)
        background.close()


def set_default_level(level: int | None) -> None:
    """The level of stderr, unless one was given to `configured()`."""
    logger = logging.getLogger("m2m_ssh_client")
    for handler in logger.handlers:
        if level is not None and isinstance(handler, _BackgroundHandler) and handler.adjustable:
            handler.adjustable.setLevel(level)
            logger.setLevel(min(level, logger.level))


def shows_payloads() -> bool:
    return logging.getLogger(PAYLOADS).level == logging.DEBUG


def file() -> Path | None:
    """Where records go at present, besides stderr."""
    return _files[-1] if _files else None


def default_file() -> Path | None:
    """Where records go unless another file is named; None where nobody knows the user's home folder."""
    with suppress(RuntimeError):
        return default_path()
    return None


def _named_file(path: Path, stderr: logging.Handler) -> AppendedFile:
    def tell(why: OSError) -> None:
        text = f"The log file {path} cannot be written any more: {why.strerror}"
        stderr.emit(logging.makeLogRecord({"levelno": 30, "levelname": "WARNING", "msg": text}))

    try:
        file = AppendedFile(path.expanduser(), tell)
        file.open()
    except (OSError, RuntimeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise UsageError(f"The log file {path} cannot be written: {why}") from exc
    return file


class _StderrHandler(logging.Handler):
    """Writes past Python's buffer and without the handler's lock.

    At its end the interpreter waits for both, so a host that does not read our stderr would keep us alive.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def createLock(self) -> None:  # noqa: N802 - inherited
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record) + "\n"
        with suppress(OSError):  # nobody reads any more
            try:
                descriptor = self._stream.fileno()
            except (AttributeError, ValueError):  # None without a console; not a file in tests
                if self._stream is not None:
                    self._stream.write(line)
                return
            descriptors.write(descriptor, line.encode(self._stream.encoding, "backslashreplace"))


class _OneLineFormatter(logging.Formatter):
    """One line a record, tracebacks too: what cannot be shown on a line is escaped."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _StderrFormatter(_OneLineFormatter):
    """Prefix our own lines with program and level, as argparse does; keep those of the remote."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        if record.name == REMOTE_STDERR:
            return line
        return f"{PROGRAM}: {record.levelname.lower()}: {line}"


class _BackgroundHandler(logging.Handler):
    """Passes records to other handlers in a thread of its own."""

    def __init__(
        self, handlers: list[logging.Handler], adjustable: logging.Handler | None = None
    ) -> None:
        super().__init__()
        self.adjustable = adjustable
        self._handlers = handlers
        self._queue: Queue[logging.LogRecord | None] = Queue(_MOST_WAITING)
        self._text = 0  # characters in the queue; guarded by the handler's lock
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, name="m2m-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        size = _size(record)
        if self._text + size > _MOST_TEXT:
            self._dropped += 1
            return
        try:
            self._queue.put_nowait(record)
            self._text += size
        except Full:
            self._dropped += 1

    def close(self) -> None:
        """Write what waits, for as long as stderr takes it."""
        try:
            self._queue.put_nowait(None)
        except Full:
            with suppress(Empty):  # one makes room for the end
                self._queue.get_nowait()
                self._dropped += 1
            self._queue.put_nowait(None)
        if self._thread.ident is not None:  # there may have been no memory for it
            self._flush()
        super().close()

    def _flush(self) -> None:
        for _ in range(round(_FLUSH_TIME / _FLUSH_PAUSE)):
            before = self._queue.qsize()
            self._thread.join(_FLUSH_PAUSE)
            if not self._thread.is_alive() or self._queue.qsize() == before:
                return

    def _work(self) -> None:
        while (record := self._queue.get()) is not None:
            self._pass_on(record)
            with self._counting:
                self._text -= _size(record)
            if self._dropped and self._queue.empty():
                self._tell_dropped()
        if self._dropped:
            self._tell_dropped()
        for handler in self._handlers:
            if isinstance(handler, AppendedFile):
                handler.close()

    @property
    def _counting(self) -> threading.RLock:
        """The lock that is held around `emit`."""
        assert self.lock is not None  # noqa: S101 - every handler has one
        return self.lock

    def _tell_dropped(self) -> None:
        dropped, self._dropped = self._dropped, 0
        text = f"{dropped} log lines were dropped: nobody read them in time"
        self._pass_on(logging.makeLogRecord({"levelno": 30, "levelname": "WARNING", "msg": text}))

    def _pass_on(self, record: logging.LogRecord) -> None:
        for handler in self._handlers:
            if record.levelno >= handler.level:
                handler.emit(record)  # not handle(): one thread needs no lock


def _size(record: logging.LogRecord) -> int:
    """Characters of what a message was given to hold, which is where foreign text is."""
    given = record.args if isinstance(record.args, tuple) else ()
    return sum(len(each) for each in given if isinstance(each, str))
