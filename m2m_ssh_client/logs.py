"""Logging to stderr and to a file; never to stdout, which carries the protocol.

A thread of its own writes the records, so a host that does not read stderr cannot stall the relay.
If too many records wait, the newest are dropped and counted; those of the remote's stderr first.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Full, Queue
from typing import TextIO

from m2m_ssh_client import descriptors, entry_tag
from m2m_ssh_client._version import PROGRAM
from m2m_ssh_client.errors import UsageError, reason, unexpected
from m2m_ssh_client.log_file import (
    REMOTE_STDERR,
    AppendedFile,
    RotatingFile,
    default_path,
)
from m2m_ssh_client.text import printable

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
DEFAULT_LEVEL = "INFO"
PAYLOADS = "m2m_ssh_client.payloads"
"""Logger of the messages themselves; active only if its own level is DEBUG."""

NO_FILE = "none"

_FILE_FORMAT = "%(asctime)s %(process)d{tag} %(levelname)s %(name)s: %(message)s"
# Also as `cli` writes errors on a terminal.
_LIKE_OURS = re.compile(rf"\W*({PROGRAM}|error:|warning:)|\s*→", re.IGNORECASE)
_files: list[Path] = []  # the log file of the active `configured`
_NOWHERE = logging.NullHandler()
_MOST_WAITING = 10_000  # records
_MOST_TEXT = 4_000_000  # characters in the waiting records
_FLUSH_PAUSE = 0.2  # seconds; without a write in this time, nobody reads
_FLUSH_TIME = 2.0  # seconds, at most


@contextmanager
def configured(
    level: str | None,
    file: Path | None,
    stream: TextIO | None = None,
    *,
    payloads: bool = False,
    arguments: Sequence[str] | None = None,
) -> Iterator[None]:
    """Log our records, paramiko's, and what no thread catches, within the context.

    `level` applies to stderr and the file; by default stderr shows WARNING and above, because hosts
    present every line there as an error, and the file INFO. `file` replaces the default file; the
    path `none` means no file. `stream` replaces stderr. `payloads` also logs messages, at DEBUG.
    The file's lines are marked with the tag of the `arguments`. Raises UsageError if the file
    cannot be written.
    """
    stderr = _StderrHandler(stream or sys.stderr)
    stderr.setLevel(level or "WARNING")
    stderr.setFormatter(_StderrFormatter())
    handlers = [stderr, *_file_handlers(level, file, stderr, arguments)]
    background = _BackgroundHandler(handlers, None if level else stderr)
    loggers = {
        logging.getLogger("m2m_ssh_client"): min(handler.level for handler in handlers),
        # paramiko logs as errors what our own exceptions explain.
        logging.getLogger("paramiko"): logging.DEBUG if level == "DEBUG" else logging.CRITICAL,
    }
    before = {logger: (logger.level, logger.propagate) for logger in loggers}
    for logger, lowest in loggers.items():
        logger.addHandler(background)
        logger.propagate = False
        logger.setLevel(lowest)
    hook, threading.excepthook = threading.excepthook, _log_uncaught
    messages = logging.getLogger(PAYLOADS)
    messages.setLevel(logging.DEBUG if payloads and level == "DEBUG" else logging.NOTSET)
    try:
        yield
    finally:
        _files.clear()
        threading.excepthook = hook
        messages.setLevel(logging.NOTSET)
        # A thread of paramiko may still notice that its connection is gone; drop its report.
        logging.getLogger("paramiko").addHandler(_NOWHERE)
        for logger, (lowest, propagate) in before.items():
            logger.removeHandler(background)
            logger.propagate = propagate
            logger.setLevel(lowest)
        background.close()


def _log_uncaught(args: threading.ExceptHookArgs) -> None:
    """Log what ended a thread: a bug. By default it goes to stderr, which the host may not read."""
    logger = logging.getLogger(__name__)
    if isinstance(args.exc_value, Exception):  # not SystemExit, which ends a thread on purpose
        logger.error("%s", unexpected(args.exc_value))
        logger.info("details", exc_info=args.exc_value)


def set_default_level(level: int | None) -> None:
    """Set the level of stderr, unless `configured()` was given one."""
    logger = logging.getLogger("m2m_ssh_client")
    for handler in logger.handlers:
        if level is not None and isinstance(handler, _BackgroundHandler) and handler.adjustable:
            handler.adjustable.setLevel(level)
            logger.setLevel(min(level, logger.level))


def shows_payloads() -> bool:
    return logging.getLogger(PAYLOADS).level == logging.DEBUG


def file() -> Path | None:
    """Return the current log file."""
    return _files[-1] if _files else None


def level() -> str:
    """Return the name of the lowest level that is logged."""
    return logging.getLevelName(logging.getLogger("m2m_ssh_client").getEffectiveLevel())


def default_file() -> Path | None:
    """Return the default log file; None if the home folder is unknown."""
    with suppress(RuntimeError):
        return default_path()
    return None


def _file_handlers(
    level: str | None,
    named: Path | None,
    stderr: logging.Handler,
    arguments: Sequence[str] | None,
) -> list[logging.Handler]:
    """Return the handler of the log file, if there is one."""
    path = named or default_file()
    if path is None or str(path) == NO_FILE:
        return []
    handler = RotatingFile(path) if named is None else _named_file(path, stderr)
    handler.setLevel(level or DEFAULT_LEVEL)
    handler.setFormatter(_FileFormatter(arguments))
    _files.append(path)
    return [handler]


def _named_file(path: Path, stderr: logging.Handler) -> AppendedFile:
    def tell(why: OSError) -> None:
        text = f"The log file {path} can no longer be written: {reason(why)}"
        stderr.emit(logging.makeLogRecord({"levelno": 30, "levelname": "WARNING", "msg": text}))

    try:
        file = AppendedFile(path.expanduser(), tell)
        file.open()
    except (OSError, RuntimeError) as exc:
        raise UsageError(f"The log file {path} cannot be written: {reason(exc)}") from exc
    return file


class _StderrHandler(logging.Handler):
    """Writes directly to the descriptor, without Python's buffer and the handler's lock.

    The interpreter waits for both when it exits, so a host that does not read stderr would keep it
    from exiting.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def createLock(self) -> None:  # noqa: N802 - inherited
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record) + "\n"
        with suppress(OSError):  # the reader is gone
            try:
                descriptor = self._stream.fileno()
            except (AttributeError, ValueError):  # None without a console, or not a file
                if self._stream is not None:
                    self._stream.write(line)
                return
            descriptors.write(descriptor, line.encode(self._stream.encoding, "backslashreplace"))


class _OneLineFormatter(logging.Formatter):
    """Formats each record as one line; line feeds and control characters are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _FileFormatter(_OneLineFormatter):
    """Writes time, process, tag, level and origin before each record.

    The tag is made for the first record, in the thread that writes: not while the relay starts.
    """

    def __init__(self, arguments: Sequence[str] | None) -> None:
        super().__init__(_FILE_FORMAT.format(tag=""))
        self._arguments = arguments

    def format(self, record: logging.LogRecord) -> str:
        arguments, self._arguments = self._arguments, None
        if arguments is not None and (tag := entry_tag.tag(arguments)):
            self._style = logging.PercentStyle(_FILE_FORMAT.format(tag=f"/{tag}"))
        return super().format(record)


class _StderrFormatter(_OneLineFormatter):
    """Prefixes our own lines with program and level, like argparse; not those of the remote.

    Only lines of the remote that could be taken for ours are marked as the remote's.
    """

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        if record.name == REMOTE_STDERR:
            return f"remote: {line}" if _LIKE_OURS.match(line) else line
        return f"{PROGRAM}: {record.levelname.lower()}: {line}"


class _BackgroundHandler(logging.Handler):
    """Passes records to other handlers, in a thread of its own."""

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
        # Half of the room is kept for our own records: the remote's would keep them out.
        part = 2 if record.name == REMOTE_STDERR else 1
        if self._text + size > _MOST_TEXT // part or self._queue.qsize() >= _MOST_WAITING // part:
            self._dropped += 1
            return
        try:
            self._queue.put_nowait(record)
            self._text += size
        except Full:
            self._dropped += 1

    def close(self) -> None:
        """Write the waiting records as long as stderr is read."""
        try:
            self._queue.put_nowait(None)
        except Full:
            with suppress(Empty):  # drop one to make room for the end mark
                self._queue.get_nowait()
                self._dropped += 1
            self._queue.put_nowait(None)
        if self._thread.ident is not None:  # it may have failed to start for lack of memory
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
        """The lock held around `emit`."""
        assert self.lock is not None  # noqa: S101 - every handler has one
        return self.lock

    def _tell_dropped(self) -> None:
        with self._counting:
            dropped, self._dropped = self._dropped, 0
        text = f"{dropped} log lines were dropped because stderr was not read in time"
        self._pass_on(logging.makeLogRecord({"levelno": 30, "levelname": "WARNING", "msg": text}))

    def _pass_on(self, record: logging.LogRecord) -> None:
        for handler in self._handlers:
            if record.levelno >= handler.level:
                handler.emit(record)  # not handle(): one thread needs no lock


def _size(record: logging.LogRecord) -> int:
    """Return the characters in the arguments of a record; foreign text is there."""
    given = record.args if isinstance(record.args, tuple) else ()
    return sum(len(each) for each in given if isinstance(each, str))
