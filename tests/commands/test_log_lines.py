"""`logs`: whose lines, from which file; tests/status/test_log_reading.py has the reading itself."""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.far import ENOUGH, environment
from support.host import PROGRAM

from m2m_ssh_client import cli, logs
from m2m_ssh_client.log_file import default_path

ours = logging.getLogger("m2m_ssh_client.something")

ENTRIES = {
    "lab-git": ["--host", "lab", "--", "uvx", "mcp-server-git", "--repository", "/a"],
    "lab-other": ["--host", "lab", "--", "uvx", "mcp-server-git", "--repository", "/b"],
}


@pytest.fixture(autouse=True)
def _installed() -> None:
    install(ENTRIES)


def install(entries: dict[str, list[str]]) -> None:
    path = Path.home() / ".cursor" / "mcp.json"
    path.parent.mkdir(exist_ok=True)
    servers = {name: {"command": "m2m-ssh-client", "args": args} for name, args in entries.items()}
    path.write_text(json.dumps({"mcpServers": servers}))


def log(text: str, arguments: Sequence[str] | None, file: Path | None = None) -> None:
    with logs.configured(None, file, arguments=arguments):
        ours.info("%s", text)


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert cli.main(["logs", *words]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_relays_lines_have_a_tag_and_those_of_other_commands_have_none() -> None:
    log("of a relay", ENTRIES["lab-git"])
    log("of another", None)
    first, second = default_path().read_text().splitlines()
    assert re.search(rf" {os.getpid()}/[0-9a-f]{{6}} INFO m2m_ssh_client.something: of a", first)
    assert f" {os.getpid()} INFO m2m_ssh_client.something: of another" in second


def test_the_lines_of_an_entry_are_shown_without_all_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log("of git", ENTRIES["lab-git"])
    log("of the other", ENTRIES["lab-other"])
    log("of nobody", None)
    log("of git\x1b[2J\nagain", ENTRIES["lab-git"])
    assert len(shown(capsys)) == 4
    assert [line.partition("thing: ")[2] for line in shown(capsys, "lab-git")] == [
        "of git",
        "of git\\x1b[2J\\x0aagain",
    ]
    assert len(shown(capsys, "lab-git", "-n", "1")) == 1
    assert shown(capsys, "-n", "0") == []


def test_there_is_a_document_for_each_line(capsys: pytest.CaptureFixture[str]) -> None:
    log("one", ENTRIES["lab-git"])
    log("two", None)
    one, two = map(json.loads, shown(capsys, "--json"))
    assert (one["text"], one["level"], one["pid"]) == ("one", "INFO", os.getpid())
    assert re.fullmatch(r"[0-9a-f]{6}", one["tag"])
    assert (two["text"], two["tag"]) == ("two", None)


def test_the_file_that_an_entry_names_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log"
    for option in (["--log-file", str(path)], [f"--log-file={path}"]):
        arguments = ["--host", "lab", *option, "--", "serve", "--log-file", "/theirs"]
        install({"own": arguments})
        log("in its own file", arguments, path)
        assert "in its own file" in shown(capsys, "own")[-1]


def test_a_log_without_lines_yet_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["logs"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"Nothing has been logged yet\. The log will be .*client\.log\.\n", err)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lab-gut"], "no entry for this program is called 'lab-gut'. Is it 'lab-git'?"),
        (["x"], "shows the entries"),
        (["-n", "-1"], "must not be negative"),
        (["--log-file", "none"], "there is no log file"),
        (["--log-file", "{folder}"], "cannot be read: "),
    ],
)
def test_a_mistake_is_explained(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["logs", *(word.format(folder=tmp_path) for word in words)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="moves no open file, sends no such signal")
def test_what_is_added_is_shown_across_a_rotation_until_ctrl_c() -> None:
    log("before", ENTRIES["lab-git"])
    process = subprocess.Popen(
        [*PROGRAM, "logs", "lab-git", "--follow"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line.partition("thing: ")[2].strip())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert lines.get(timeout=ENOUGH) == "before"
        log("added", ENTRIES["lab-git"])
        assert lines.get(timeout=ENOUGH) == "added"
        default_path().rename(default_path().with_suffix(".log.1"))
        log("of the other", ENTRIES["lab-other"])
        log("after", ENTRIES["lab-git"])
        assert lines.get(timeout=ENOUGH) == "after"
        process.send_signal(signal.SIGINT)
        assert process.wait(ENOUGH) == 0
        reader.join(ENOUGH)
        assert lines.empty()
    finally:
        process.kill()
        process.communicate(timeout=ENOUGH)


@pytest.mark.skipif(sys.platform == "win32", reason="a mode, path or shell of POSIX")
def test_a_reader_that_leaves_early_is_no_error() -> None:
    path = default_path()
    path.parent.mkdir(parents=True)
    path.write_text("x\n" * 100_000)
    script = '"$@" logs -n 100000 | head -n 1'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *PROGRAM],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=ENOUGH,
    )
    assert (done.stdout, done.stderr) == ("x\n", "")
