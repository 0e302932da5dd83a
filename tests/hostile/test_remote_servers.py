"""What a malicious remote MCP server can do, once it is connected."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from faults.play import PATIENT
from hostile import remote
from hostile.victim import MOST_MEMORY, STEERING, Victim, attacked, way_to
from support import terminal
from support.far import environment
from support.host import client_argv
from support.odd_ssh import Keys

from m2m_ssh_client.demo.ssh_server import SSHServer
from m2m_ssh_client.parameters import Parameters

if sys.platform == "win32":
    pytest.skip("what is watched is in Linux's /proc", allow_module_level=True)

MiB = 1 << 20
LIMIT = 6 * MiB  # --max-message-size
MOST_FOR_A_MESSAGE = MOST_MEMORY + 4 * LIMIT


@pytest.fixture(scope="module")
def machine(keys: Keys) -> Iterator[SSHServer]:
    """An honest SSH server with a malicious MCP server behind it."""

    def command_for(_kind: str, text: str | None) -> Sequence[str]:
        return remote.command(*shlex.split(text or ""))

    with SSHServer(keys["ed25519 host"], lambda *_: True, command_for) as server:
        yield server


class Start:
    """Starts the client for a session with the server that does this."""

    def __init__(self, machine: SSHServer, keys: Keys, folder: Path) -> None:
        self._folder = folder
        self.way = way_to(machine, keys, folder)

    def options(self, *attack: str, limit: int | None = LIMIT) -> list[str]:
        limits = [] if limit is None else ["--max-message-size", str(limit)]
        return [*self.way, *limits, "--", *attack]


@pytest.fixture
def start(machine: SSHServer, keys: Keys, tmp_path: Path) -> Start:
    return Start(machine, keys, tmp_path)


def pings(victim: Victim, count: int = 3) -> None:
    """Each is answered, once."""
    for number in range(count):
        id_ = victim.ask(f"ping-{number}", "ping")
        (answer,) = victim.answers_to([id_])
        assert "result" in answer, answer


@pytest.mark.parametrize("name", remote.LINES)
def test_before_each_answer_it_sends(name: str, start: Start, tmp_path: Path) -> None:
    with attacked(tmp_path, *start.options(shlex.quote(name))) as victim:
        assert "result" in victim.open()
        pings(victim)
        assert victim.look_at_memory() < MOST_MEMORY
        victim.end(0)


def test_an_answer_that_comes_twice_is_passed_on_once(start: Start, tmp_path: Path) -> None:
    with attacked(tmp_path, *start.options("'answers twice'")) as victim:
        assert "result" in victim.open()
        pings(victim)
        victim.end(0)


def test_an_answer_may_come_a_byte_at_a_time(start: Start, tmp_path: Path) -> None:
    with attacked(tmp_path, *start.options("drips")) as victim:
        assert "result" in victim.open()
        pings(victim)
        victim.end(0)


@pytest.mark.parametrize(
    ("attack", "most", "status"), [("ends", 1, 1), ("ends behind an answer", 4, 0)]
)
def test_a_server_that_ends_at_once_is_started_a_few_times(
    attack: str, most: int, status: int, start: Start, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    with attacked(tmp_path, *start.options(shlex.join([attack, str(mark)]))) as victim:
        victim.open()
        assert "error" in victim.request("tools/list")
        assert len(mark.read_text()) <= most
        victim.end(status)


def test_more_questions_than_are_remembered_are_passed_on(start: Start, tmp_path: Path) -> None:
    """And the host answers none of them."""
    with attacked(tmp_path, *start.options("asks")) as victim:
        assert "result" in victim.open()
        pings(victim)
        asked = [each["id"] for each in victim.others if each.get("method") != "ping"]
        assert asked == list(range(remote.QUESTIONS))
        assert victim.look_at_memory() < MOST_MEMORY
        victim.end(0)


COMMANDS = [
    "tools",
    "resources",
    "prompts",
    "call t",
    "read x:y",
    "read nothing:there",
    "prompt p",
    "doctor",
]
JSON = ["tools --json", "read x:y --json", "doctor --json"]
# What the commands themselves write to a terminal: a line's end, a bar of progress that is drawn again and goes away.
DRAWING = re.compile(r"\r\n|\x1b\[\?25[hl]|\r?\x1b\[(?:2K|1A)")


def argv(words: str, start: Start) -> list[str]:
    return client_argv(*words.split(), "-F", "none", *start.way, "--", "escapes")


def on_a_terminal(words: str, start: Start, folder: Path) -> str:
    env = environment(NO_COLOR="1")
    _, text = terminal.run(argv(words, start), env=env, cwd=folder)
    return DRAWING.sub("\n", text)


def without_one(words: str, start: Start, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        argv(words, start), capture_output=True, timeout=30, env=environment(), cwd=folder
    )


@pytest.mark.parametrize("words", [*COMMANDS, *JSON])
def test_no_escape_reaches_the_terminal_from(words: str, start: Start, tmp_path: Path) -> None:
    text = on_a_terminal(words, start, tmp_path)
    assert not STEERING.search(text), ascii(text)
    assert "Traceback" not in text
    assert "all is well" in text


@pytest.mark.parametrize("words", ["tools", "call t", "read x:y", "prompt p", "doctor"])
def test_no_escape_reaches_a_file_from(words: str, start: Start, tmp_path: Path) -> None:
    """Which somebody will look at on a terminal."""
    done = without_one(words, start, tmp_path)
    for written in (done.stdout, done.stderr):
        text = written.decode("utf-8")
        assert not STEERING.search(text), ascii(text)
        assert "Traceback" not in text
    assert b"all is well" in done.stdout + done.stderr


def test_what_is_read_comes_whole_as_json_and_as_a_file(start: Start, tmp_path: Path) -> None:
    document = json.loads(without_one("read x:y --json", start, tmp_path).stdout)
    assert document["contents"][0]["text"] == remote.STEERS
    without_one("read x:y --save-to saved", start, tmp_path)
    (saved,) = (tmp_path / "saved").iterdir()
    assert saved.read_bytes() == remote.STEERS.encode()
    assert saved.name.isascii()
    assert saved.name.isprintable()


@pytest.mark.parametrize("name", remote.LONG)
def test_memory_stays_in_its_bounds_with(name: str, start: Start, tmp_path: Path) -> None:
    attack = f"{name} of five megabytes"
    options = start.options(shlex.quote(attack))
    with attacked(tmp_path, "--retry-tool-calls", *options) as victim:
        victim.open()
        id_ = victim.ask("tools", "tools/list")
        victim.answers_to([id_])
        pings(victim)
        assert victim.look_at_memory() < MOST_FOR_A_MESSAGE
        victim.end(0)


@pytest.mark.parametrize("given", [LIMIT, None], ids=["given", "default"])
def test_a_line_over_the_limit_ends_the_connection(
    given: int | None, start: Start, tmp_path: Path
) -> None:
    limit = given or Parameters.max_message_size
    with attacked(tmp_path, *start.options("'a line without end'", limit=given)) as victim:
        victim.open()
        victim.ask("next", "ping")
        (answer,) = victim.answers_to(["next"])
        assert f"A message is longer than {limit} bytes" in answer["error"]["message"]
        assert (
            victim.look_at_memory() < MOST_MEMORY
        )  # it is no message, so it was counted, not kept
        victim.end(1)


def test_a_long_line_of_noise_is_counted_and_not_kept(start: Start, tmp_path: Path) -> None:
    options = start.options("'a hundred megabytes of noise'", limit=None)
    with attacked(tmp_path, *options) as victim:
        victim.ask("first", "ping")
        victim.answers_to(["first"])
        before = victim.look_at_memory()
        victim.ask("next", "ping")
        victim.answers_to(["next"])
        assert victim.look_at_memory() < before + 8 * MiB
        victim.end(0)


@pytest.mark.parametrize(
    "name",
    [
        "notifications without end",
        "noise without end",
        "short noise without end",
        "empty lines without end",
    ],
)
def test_a_host_that_does_not_read_makes_the_server_wait(
    name: str, start: Start, tmp_path: Path
) -> None:
    with attacked(tmp_path, *start.options(shlex.quote(name)), reading=False) as victim:
        victim.ask("first", "initialize")
        with pytest.raises(AssertionError, match="still running"):
            victim.wait(0.5)
        assert victim.look_at_memory() < MOST_MEMORY
        victim.start_reading()
        victim.answers_to(["first"])
        victim.end(0)


@pytest.mark.parametrize(
    "name",
    [
        "stderr of long lines",
        "stderr of short lines",
        "stderr without a line feed",
        "a flood of answers",
    ],
)
def test_its_log_is_bounded_with(name: str, start: Start, tmp_path: Path) -> None:
    with attacked(tmp_path, *start.options(shlex.quote(name))) as victim:
        victim.open(PATIENT)
        pings(victim)
        assert victim.look_at_memory() < MOST_MEMORY
        victim.end(0)
