from __future__ import annotations

import io
import logging
import os
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TextIO

import pytest
from support.host import PACKAGE_PARENT
from support.waiting import wait_until

from m2m_ssh_client import logs
from m2m_ssh_client.api import SSHServerParameters
from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.log_file import REMOTE_STDERR

ENOUGH = 10.0  # seconds
ours = logging.getLogger("m2m_ssh_client.something")
remote = logging.getLogger(REMOTE_STDERR)
of_paramiko = logging.getLogger("paramiko.transport")

LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


@pytest.fixture
def stderr() -> io.StringIO:
    return io.StringIO()


@contextmanager
def configured(stderr: TextIO, level: str | None, file: Path | None = None) -> Iterator[None]:
    # Not a fixture, because pytest replaces stderr before each test call.
    with redirect_stderr(stderr), logs.configured(level, file):
        yield


def log_at_every_level() -> None:
    for level in LEVELS:
        ours.log(getattr(logging, level), "this is %s", level)


def levels_in(text: str) -> list[str]:
    return [level for level in LEVELS if f"this is {level}" in text]


@pytest.mark.parametrize(
    ("wanted", "on_stderr", "in_file"),
    [
        (None, LEVELS[2:], LEVELS[1:]),
        ("DEBUG", LEVELS, LEVELS),
        ("INFO", LEVELS[1:], LEVELS[1:]),
        ("WARNING", LEVELS[2:], LEVELS[2:]),
        ("ERROR", LEVELS[3:], LEVELS[3:]),
        ("CRITICAL", LEVELS[4:], LEVELS[4:]),
    ],
)
def test_the_level_counts_for_both_and_stderr_is_quiet_without_one(
    wanted: str | None,
    on_stderr: list[str],
    in_file: list[str],
    stderr: io.StringIO,
    tmp_path: Path,
) -> None:
    with configured(stderr, wanted, tmp_path / "log"):
        log_at_every_level()
    assert levels_in(stderr.getvalue()) == on_stderr
    assert levels_in((tmp_path / "log").read_text()) == in_file


def test_nothing_goes_to_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    with logs.configured("DEBUG", None):
        log_at_every_level()
        remote.warning("from the far side")
    out, err = capfd.readouterr()
    assert out == ""
    assert "from the far side" in err


def test_ours_have_a_prefix_while_the_remotes_lines_stand_as_they_are(
    stderr: io.StringIO,
) -> None:
    with configured(stderr, None):
        ours.warning("look out")
        ours.error("it broke")
        remote.warning("Traceback of the %s", "remote's own")
    assert stderr.getvalue().splitlines() == [
        "m2m-mcp-server-ssh-client: warning: look out",
        "m2m-mcp-server-ssh-client: error: it broke",
        "Traceback of the remote's own",
    ]


@pytest.mark.parametrize(
    "line",
    [
        *("m2m-mcp-server-ssh-client: error: it broke", " M2M-mcp-server-ssh-client: x"),
        *("error: Host key", "  → Run this", "\u200bwarning: x"),
    ],
)
def test_a_line_of_the_remote_that_looks_like_ours_is_marked(
    line: str, stderr: io.StringIO
) -> None:
    with configured(stderr, None):
        remote.warning("%s", line)
    assert stderr.getvalue().startswith("remote: ")


def test_a_line_in_the_file_says_when_how_grave_and_from_where(
    stderr: io.StringIO, tmp_path: Path
) -> None:
    with configured(stderr, None, tmp_path / "log"):
        ours.warning("look out")
    line = (tmp_path / "log").read_text()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d .* WARNING m2m_ssh_client\.something: look out\n", line)
    assert stderr.getvalue()


def log_an_exception() -> None:
    try:
        int("first line\nsecond line")
    except ValueError:
        ours.exception("it happened\nhere")


def test_a_record_is_one_line_tracebacks_too(stderr: io.StringIO, tmp_path: Path) -> None:
    with configured(stderr, "DEBUG", tmp_path / "log"):
        log_an_exception()
        remote.warning("one\ntwo\r\nthree\u2028four")
    for text in (stderr.getvalue(), (tmp_path / "log").read_text()):
        assert text.count("\n") == 2
        assert len(text.splitlines()) == 2
        assert "ValueError: " in text
        assert "second line" in text
        assert "log_an_exception" in text  # where it happened
        assert "three" in text


def test_what_ends_a_thread_is_logged_and_shown_without_a_traceback(
    stderr: io.StringIO, tmp_path: Path
) -> None:
    def fail() -> None:
        raise ValueError("nobody catches this")

    hook, file = threading.excepthook, tmp_path / "log"
    with configured(stderr, None, file):
        for target in (fail, sys.exit):  # the second one is an end on purpose
            thread = threading.Thread(target=target)
            thread.start()
            thread.join(ENOUGH)
    (line,) = stderr.getvalue().splitlines()
    assert "Unexpected failure: ValueError('nobody catches this')" in line
    assert "Traceback" in file.read_text()
    assert threading.excepthook is hook


def test_control_characters_do_not_reach_a_terminal(stderr: io.StringIO, tmp_path: Path) -> None:
    with configured(stderr, None, tmp_path / "log"):
        remote.warning("%s", "\x1b]0;owned\x07\x9b2J\u202e")
        ours.warning("\x1b[2J")
    for text in (stderr.getvalue(), (tmp_path / "log").read_text()):
        assert not set(text) & set("\x1b\x07\x9b\u202e")
        assert "\\x1b]0;owned\\x07" in text


def test_text_that_is_no_unicode_is_escaped(stderr: io.StringIO, tmp_path: Path) -> None:
    with configured(stderr, None, tmp_path / "log"):
        ours.warning("a file name: %s", "caf\udce9")
    assert "caf\\udce9" in (tmp_path / "log").read_text()
    assert stderr.getvalue()


@pytest.mark.skipif(sys.platform == "win32", reason="a mode, path or shell of POSIX")
def test_a_new_log_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        with logs.configured(None, tmp_path / "log"):
            mode = stat.S_IMODE((tmp_path / "log").stat().st_mode)
    finally:
        os.umask(previous)
    assert mode == 0o600


def test_the_log_file_is_appended_to(stderr: io.StringIO, tmp_path: Path) -> None:
    for number in (1, 2):
        with configured(stderr, None, tmp_path / "log"):
            ours.warning("run %d", number)
    text = (tmp_path / "log").read_text()
    assert text.index("run 1") < text.index("run 2")
    assert stderr.getvalue()


def test_a_tilde_in_the_name_of_the_log_file_is_the_home_folder() -> None:
    with logs.configured(None, Path("~/the.log")):
        ours.info("hello")
    assert "hello" in (Path.home() / "the.log").read_text()


def test_a_log_file_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "file" / "log", tmp_path / "missing" / "log"):
        with pytest.raises(UsageError) as caught, logs.configured(None, place):
            pass
        assert str(place) in str(caught.value)


@pytest.mark.parametrize(
    ("level", "shown"), [(None, False), ("INFO", False), ("ERROR", False), ("DEBUG", True)]
)
def test_paramiko_speaks_only_at_debug(level: str | None, shown: bool, stderr: io.StringIO) -> None:
    with configured(stderr, level):
        of_paramiko.error("Exception (client): Error reading SSH protocol banner")
    assert ("protocol banner" in stderr.getvalue()) is shown


def test_afterwards_everything_is_as_before(stderr: io.StringIO) -> None:
    package, paramiko = logging.getLogger("m2m_ssh_client"), logging.getLogger("paramiko")
    before = [(log.handlers[:], log.propagate) for log in (package, paramiko)]
    with configured(stderr, "DEBUG"):
        assert package.handlers != before[0][0]
    assert [(log.handlers[:], log.propagate) for log in (package, paramiko)] == before
    ours.error("too late")
    assert "too late" not in stderr.getvalue()


def test_what_was_logged_last_is_written_before_the_end(stderr: io.StringIO) -> None:
    with configured(stderr, None):
        for number in range(500):
            ours.warning("number %d", number)
    numbers = re.findall(r"number (\d+)$", stderr.getvalue(), re.MULTILINE)
    assert numbers == [str(number) for number in range(500)]


def test_a_passphrase_among_the_parameters_is_left_out(stderr: io.StringIO) -> None:
    params = SSHServerParameters(host="lab", passphrase="open sesame")
    with configured(stderr, "DEBUG"):
        ours.debug("%s %r", params, params)
    assert "sesame" not in stderr.getvalue()
    assert "lab" in stderr.getvalue()


class UnreadPipe:
    """A pipe as stderr that nobody reads until `start_reading`."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self.writer: TextIO = os.fdopen(writing, "w", encoding="utf-8")
        self.text = ""
        self._reader = os.fdopen(reading, encoding="utf-8")
        self._thread = threading.Thread(target=self._read)
        self._changed = threading.Condition()

    def start_reading(self) -> None:
        self._thread.start()

    def wait_for(self, text: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: text in self.text, ENOUGH), self.text[-500:]

    def close(self) -> None:
        if not self._thread.ident:
            self.start_reading()
        for thread in threading.enumerate():
            if thread.name == "m2m-log":  # it may still be writing into the pipe
                thread.join(ENOUGH)
        self.writer.close()
        self._thread.join(ENOUGH)
        self._reader.close()

    def _read(self) -> None:
        for line in self._reader:
            with self._changed:
                self.text += line
                self._changed.notify_all()


@pytest.fixture
def unread() -> Iterator[UnreadPipe]:
    pipe = UnreadPipe()
    yield pipe
    pipe.close()


WAITING = 10_000  # records; what is above is dropped
PIPE = 70_000  # bytes; no platform's pipe takes more


def fill(count: int) -> None:
    for _ in range(PIPE // 1000 + 1):
        ours.warning("%s", "x" * 1000)
    for number in range(count):
        ours.warning("number %d", number)


def assert_accounted_for(count: int, unread: UnreadPipe) -> None:
    """Assert that each line was either written or counted as dropped."""
    written = len(re.findall(r"(?:number \d+|x{1000})$", unread.text, re.MULTILINE))
    dropped = re.findall(r"warning: (\d+) log lines were dropped", unread.text)
    assert written + sum(map(int, dropped)) == count + PIPE // 1000 + 1


def test_a_host_that_does_not_read_our_stderr_stalls_nobody(unread: UnreadPipe) -> None:
    started = time.monotonic()
    with configured(unread.writer, None):
        fill(WAITING // 2)
        logged = time.monotonic()
    assert logged - started < ENOUGH / 2
    assert time.monotonic() - logged < 1.5  # the end does not wait for it either


def test_lines_that_were_dropped_are_counted(unread: UnreadPipe) -> None:
    with configured(unread.writer, None):
        fill(WAITING + 500)
        unread.start_reading()
        unread.wait_for("were dropped")
        ours.warning("the last one")
        unread.wait_for("the last one")
    assert_accounted_for(WAITING + 500, unread)


def test_a_flood_of_the_remotes_stderr_drops_no_line_of_ours(unread: UnreadPipe) -> None:
    with configured(unread.writer, None):
        for _ in range(WAITING + 500):
            remote.warning("%s", "x" * 100)
        for number in range(100):
            ours.warning("number %d", number)
        unread.start_reading()
        unread.wait_for("were dropped")
    assert len(re.findall(r"number \d+$", unread.text, re.MULTILINE)) == 100


def test_long_lines_that_wait_are_bounded_by_their_size(unread: UnreadPipe) -> None:
    """A remote server may write very long lines: ten thousand of 256 KiB are gigabytes."""
    with configured(unread.writer, None):
        for _ in range(40):
            ours.warning("%s", "x" * 250_000)
        unread.start_reading()
        unread.wait_for("were dropped")
    counted = re.search(r"warning: (\d+) log lines were dropped", unread.text)
    assert counted is not None
    assert 20 < int(counted[1]) < 40


def test_what_was_written_makes_room_for_more(stderr: io.StringIO) -> None:
    size, count = 400_000, 15  # more in all than may wait

    def holds(least: int) -> Callable[[], bool]:
        return lambda: stderr.tell() > least

    with configured(stderr, None):
        for number in range(1, count + 1):
            ours.warning("%s", "x" * size)
            wait_until(holds(number * size), ENOUGH)
    assert "were dropped" not in stderr.getvalue()


def test_an_unread_stderr_does_not_keep_lines_from_the_file_for_ever(
    unread: UnreadPipe, tmp_path: Path
) -> None:
    with configured(unread.writer, None, tmp_path / "log"):
        fill(10)
        unread.start_reading()
        unread.wait_for("number 9")
    assert "number 9" in (tmp_path / "log").read_text()


def test_a_host_that_reads_our_stderr_slowly_has_the_last_line_too() -> None:
    code = (
        "import logging\n"
        "from m2m_ssh_client import logs\n"
        "with logs.configured(None, None):\n"
        "    for number in range(5000):\n"
        "        logging.getLogger('m2m_ssh_client').warning('x' * 100)\n"
        "    logging.getLogger('m2m_ssh_client').warning('the last one')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": PACKAGE_PARENT},
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        pace = threading.Event()
        read = b""
        while chunk := process.stderr.read(1 << 16):  # ten of these
            read += chunk
            pace.wait(0.06)
        assert process.wait(ENOUGH) == 0
    assert read.count(b"x" * 100) == 5000
    assert read.endswith(b"the last one\n")


@pytest.mark.parametrize("count", [500, 2 * WAITING])
def test_a_host_that_never_reads_our_stderr_does_not_keep_the_process_alive(count: int) -> None:
    code = (
        "import logging\n"
        "from m2m_ssh_client import logs\n"
        "with logs.configured(None, None):\n"
        f"    for _ in range({count}):\n"
        "        logging.getLogger('m2m_ssh_client').warning('x' * 1000)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": PACKAGE_PARENT},
        stderr=subprocess.PIPE,
    )
    try:
        assert process.wait(ENOUGH) == 0
    finally:
        process.kill()
        process.communicate()


def test_dropped_lines_are_counted_even_if_the_end_comes_first(unread: UnreadPipe) -> None:
    with configured(unread.writer, None):
        fill(2 * WAITING)
    unread.start_reading()
    unread.wait_for("were dropped")
    unread.close()
    assert_accounted_for(2 * WAITING, unread)
