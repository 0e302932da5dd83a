"""What a malicious server can do to the commands that list, call and read."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hostile import crowd
from hostile.victim import way_to
from support.far import environment
from support.host import client_argv
from support.odd_ssh import Keys
from support.usage import Limit, starved
from support.waiting import wait_until

from m2m_ssh_client.demo.ssh_server import SSHServer

if sys.platform == "win32":
    pytest.skip("what is watched is in Linux's /proc", allow_module_level=True)

# They take long, and what they watch does not depend on the Python.
pytestmark = pytest.mark.interop

MiB = 1 << 20
# docs/security.md: what a command has in use for short answers, and what a long one adds.
MOST_MEMORY = 110 * MiB + 6 * crowd.SIZE
LIMIT = 1.2  # --timeout
ENOUGH = 40.0
LONG_ENOUGH = 6.0  # to have all that is needed in memory; what is not shown by then need not be


class Ended(NamedTuple):
    status: int
    stdout: bytes
    stderr: str
    seconds: float
    """Without those for which it waited for a processor."""
    peak: int
    """The most memory that it had in use, in bytes."""


class Start:
    """Starts a command for the server that does this."""

    def __init__(self, machine: SSHServer, keys: Keys, folder: Path) -> None:
        self._folder = folder
        self._way = ("-F", "none", *way_to(machine, keys, folder))

    def process(self, words: str, attack: str, *options: str) -> subprocess.Popen[bytes]:
        argv = client_argv(*words.split(), *self._way, *options, "--", shlex.quote(attack))
        with (self._folder / "out").open("wb") as out, (self._folder / "err").open("wb") as err:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment(),
                cwd=self._folder,
            )

    def __call__(self, words: str, attack: str, timeout: float | None = ENOUGH) -> Ended:
        """Run it to its end. doctor has no `timeout`."""
        started = time.monotonic()
        peak, starving = 0, 0.0
        limit = () if timeout is None else ("--timeout", str(timeout))
        with self.process(words, attack, *limit) as process:
            try:
                while process.poll() is None:
                    peak = max(peak, _peak(process.pid))
                    starving = max(starving, sum(starved(process.pid).values()))
                    assert time.monotonic() - started < (timeout or 0) + ENOUGH
                    time.sleep(0.01)
            finally:
                process.kill()
        took = time.monotonic() - started - starving
        written = ((self._folder / name).read_bytes() for name in ("out", "err"))
        out, err = written
        return Ended(process.returncode, out, err.decode(), took, peak)


def _peak(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


@pytest.fixture(scope="module")
def machine(keys: Keys) -> Iterator[SSHServer]:
    def command_for(_kind: str, text: str | None) -> Sequence[str]:
        return crowd.command(*shlex.split(text or ""))

    with SSHServer(keys["ed25519 host"], lambda *_: True, command_for) as server:
        yield server


@pytest.fixture(scope="module")
def second() -> float:
    """A second, and what this machine may add to it: as much as it takes to load."""
    started = time.monotonic()
    load = [sys.executable, "-c", "import m2m_ssh_client.terminal.client"]
    subprocess.run(load, check=True, env=environment(), timeout=ENOUGH)
    return 1 + (time.monotonic() - started)


@pytest.fixture
def start(machine: SSHServer, keys: Keys, tmp_path: Path) -> Start:
    return Start(machine, keys, tmp_path)


@pytest.mark.parametrize("attack", crowd.LONG)
@pytest.mark.parametrize("words", ["tools", "call t", "read x:y --json"])
def test_memory_stays_in_its_bounds_with(words: str, attack: str, start: Start) -> None:
    """Whatever becomes of it: it is shown, or the reason why not is told."""
    ended = start(words, attack, LONG_ENOUGH)
    assert 0 < ended.peak < MOST_MEMORY
    assert ended.status in (0, 1)
    assert bool(ended.stdout) or "error: " in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("words", ["prompt p", "prompts", "resources"])
def test_memory_stays_in_its_bounds_with_two_hundred_thousand_entries_in(
    words: str, start: Start
) -> None:
    assert 0 < start(words, "small entries", LONG_ENOUGH).peak < 110 * MiB + 6 * crowd.SMALL_SIZE


@pytest.mark.cold
@pytest.mark.parametrize(
    "attack", ["small entries", "entries of nothing", "entries of empty lists"]
)
def test_doctor_counts_entries_in_the_same_bounds(attack: str, start: Start) -> None:
    ended = start("doctor", attack, None)
    assert 0 < ended.peak < MOST_MEMORY
    assert ended.status == 0
    assert "Traceback" not in ended.stderr


def test_a_long_list_is_shown_whole(start: Start) -> None:
    lines = start("tools", "large entries").stdout.splitlines()
    assert len(lines) == 1 + crowd.LARGE
    document = json.loads(start("tools --json", "large entries").stdout)
    assert [tool["name"] for tool in document] == [f"t{number}" for number in range(crowd.LARGE)]


def test_a_long_text_is_shown_whole(start: Start) -> None:
    assert start("call t", "one large entry").stdout == b"x" * (crowd.SIZE // 3) + b"\n"
    document = json.loads(start("call t --json", "one large entry").stdout)
    assert len(document["content"][0]["text"]) == crowd.SIZE // 3


def test_more_entries_than_there_may_be_are_told(start: Start) -> None:
    ended = start("tools", "entries of nothing")
    assert (ended.status, ended.stdout) == (1, b"")
    assert "has more than 200000 entries" in ended.stderr


@pytest.mark.parametrize("words", ["tools", "resources", "prompts", "call t a=1"])
def test_pages_without_end_are_told(words: str, start: Start) -> None:
    ended = start(words, "pages")
    assert ended.status == 1
    assert "never ends" in ended.stderr


@pytest.mark.parametrize(
    ("words", "attack"),
    [
        *(("tools", attack) for attack in crowd.ENDLESS),
        ("call t", "progress"),
        ("read x:y", "noise"),
    ],
)
def test_the_time_limit_is_kept_with(words: str, attack: str, start: Start, second: float) -> None:
    ended = start(words, attack, LIMIT)
    assert ended.status == 1
    assert f"within {LIMIT:g} s (raise the limit with --timeout)" in ended.stderr
    assert ended.seconds < LIMIT + second


def test_the_time_limit_is_kept_while_the_answer_is_shown(start: Start, second: float) -> None:
    ended = start("tools", "small entries", LIMIT)
    assert ended.seconds < LIMIT + second
    assert "raise the limit with --timeout" in ended.stderr


@pytest.mark.parametrize("attack", ["log messages", "small entries"])
def test_ctrl_c_ends_a_command_at_once(
    attack: str, start: Start, second: float, tmp_path: Path
) -> None:
    """While it waits, and while it shows the answer."""
    written = [tmp_path / "out", tmp_path / "err"]
    with start.process("tools", attack) as process:
        try:
            wait_until(lambda: any(path.stat().st_size for path in written), ENOUGH)
            process.send_signal(signal.SIGINT)
            limit = Limit(second, process.pid)
            while process.poll() is None:
                assert limit.left > 0
                time.sleep(0.01)
            assert process.returncode == 128 + signal.SIGINT
        finally:
            process.kill()
