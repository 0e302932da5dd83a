"""Commands on a real terminal: what a person sees while they work and what stands there afterwards."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from support import installed, programs
from support.far import Far, environment
from support.showcase_server import command
from support.sshd import Sshd

if sys.platform == "win32":
    pytest.skip("tmux", allow_module_level=True)

from support.tmux import Pane

pytestmark = pytest.mark.interop

CLEAN = "\\x1b[31mred\\x1b[0m \\x9b2J\\x07"
"""The showcase server's escapes, as they may be shown."""
SIZES = pytest.mark.parametrize(("columns", "lines"), [(100, 40), (80, 24), (40, 10)])


@pytest.fixture
def far(sshd: Sshd, tmp_path: Path) -> Far:
    return Far(sshd.client_options(), tmp_path)


def pane(
    far: Far, *words: str, columns: int, lines: int, server: Sequence[str] | None = None
) -> Pane:
    argv = far.argv(*words, server=server or command())
    return Pane(argv, env=environment(LC_ALL="C.UTF-8"), cwd=far.here, columns=columns, lines=lines)


@SIZES
def test_a_call_shows_its_progress_as_a_bar_and_then_the_result_alone(
    far: Far, columns: int, lines: int
) -> None:
    goes_on = far.here / "goes-on"
    words = ["call", "steps", "total:=10", "held_at:=5", f"until={goes_on}"]
    with pane(far, *words, columns=columns, lines=lines) as shown:
        bar = shown.wait_for(lambda screen: "5/10" in screen)
        goes_on.touch()
        assert shown.status() == 0
        assert shown.everything() == "done"
    (line,) = bar.splitlines()
    # A narrow terminal cuts the message, not the bar.
    assert re.fullmatch(r"step \\x1b\[31mred\\x1(…|b\[0m \\x9b2J\\x07) ━+[╸╺]?━* 5/10", line)
    assert len(line) < columns


@SIZES
def test_what_the_server_says_meanwhile_stands_above_the_bar_and_stays(
    far: Far, columns: int, lines: int
) -> None:
    goes_on = far.here / "goes-on"
    words = ["call", "steps", "total:=6", "chatter:=true", "held_at:=6", f"until={goes_on}"]
    with pane(far, *words, columns=columns, lines=lines) as shown:
        bar = shown.wait_for(lambda screen: "6/6" in screen).splitlines()[-1]
        goes_on.touch()
        assert shown.status() == 0
        said = shown.everything().splitlines()
    assert "━" in bar
    assert [re.sub(".*chatter", "chatter", line) for line in said] == [
        *(f"chatter {step}" for step in range(1, 7)),
        "done",
    ]


def test_an_interrupt_at_the_keyboard_leaves_a_clean_screen(far: Far) -> None:
    words = ["call", "steps", "held_at:=5", f"until={far.here / 'never'}"]
    with pane(far, *words, columns=80, lines=24) as shown:
        shown.wait_for(lambda screen: "5/10" in screen)
        shown.press("C-c")
        assert shown.status() == 130
        assert shown.everything() in ("", "^C")  # which the terminal itself wrote


FORM = {
    "Answer": "yes",
    "String*": "Ada",
    "Boolean": "no",
    "String with default": "",
    "String with email format": "ada@lab.example",
    "String with uri format": "",
    "String with date format": "2026-01-31",
    "Integer": "7",
    "Number in range": "",
    "Untitled Single Select": "2",
    "Untitled Multiple Select": "1, 3",
    "Titled Single Select": "",
    "Titled Multiple Select": "",
    "Legacy Titled": "1",
    "Send this": "yes",
}


def begins_a_line(text: str, screen: str) -> bool:
    return any(line.startswith(text) for line in screen.splitlines())


@pytest.mark.timeout(300)  # the first run installs the package
def test_the_form_of_the_reference_server_is_filled_in(far: Far) -> None:
    server = [*installed.node_argv(installed.EVERYTHING), "stdio"]
    words = ["call", "trigger-elicitation-request"]
    with pane(far, *words, columns=100, lines=50, server=server) as shown:
        for prompt, answer in FORM.items():
            shown.wait_for(partial(begins_a_line, prompt))
            shown.type(answer)
            shown.press("Enter")
        assert shown.status() == 0
        result = json.loads(shown.everything().partition("Raw result:")[2])
    assert result["action"] == "accept"
    content = result["content"]
    assert (content["name"], content["check"], content["integer"]) == ("Ada", False, 7)
    assert content["firstLine"] == "It was a dark and stormy night."  # what is taken otherwise
    assert content["untitledSingleSelectEnum"] == "Rachel"
    assert content["untitledMultipleSelectEnum"] == ["Guitar", "Violin"]
    assert content["titledMultipleSelectEnum"] == ["fish-1"]
    assert content["legacyTitledEnum"] == "pet-1"


def test_a_page_that_the_reference_server_wants_opened_can_be_declined(far: Far) -> None:
    server = [*installed.node_argv(installed.EVERYTHING), "stdio"]
    words = ["call", "trigger-url-elicitation", "url=https://lab.example/login"]
    with pane(far, *words, columns=80, lines=24, server=server) as shown:
        screen = shown.wait_for(lambda screen: "Will you open it" in screen)
        assert "It asks you to open a page at lab.example:\n  | https://lab.example/login" in screen
        shown.type("no")
        shown.press("Enter")
        assert shown.status() == 0
        assert '"action": "decline"' in shown.everything()


def test_an_interrupt_at_a_question_ends_the_call(far: Far) -> None:
    form = {"message": "Sure?", "requestedSchema": {"type": "object", "properties": {}}}
    question = {"method": "elicitation/create", "params": form}
    with pane(
        far, "call", "ask", "--arguments", json.dumps(question), columns=80, lines=24
    ) as shown:
        shown.wait_for(lambda screen: "Answer" in screen)
        shown.press("C-c")
        assert shown.status() == 130
        assert shown.everything().splitlines()[-1].endswith("? ^C")


def test_a_slow_start_of_the_server_is_said_and_leaves_no_trace(far: Far) -> None:
    goes_on = far.here / "goes-on"
    wait = f"until [ -e {goes_on} ]; do sleep 0.05; done; exec {shlex.join(command())}"
    with pane(far, "call", "talk", columns=80, lines=24, server=["sh", "-c", wait]) as shown:
        shown.wait_for(lambda screen: "waiting for the server" in screen)
        goes_on.touch()
        assert shown.status() == 0
        assert "waiting" not in shown.everything()
        assert shown.everything().endswith("said")


def test_a_machine_that_is_silent_is_named_and_an_interrupt_leaves_a_clean_screen(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = str(silent.getsockname()[1])
        with pane(Far(["-p", port, "127.0.0.1"], tmp_path), "tools", columns=80, lines=24) as shown:
            shown.wait_for(lambda screen: "connecting to 127.0.0.1" in screen)
            shown.press("C-c")
            assert shown.status() == 130
            assert shown.everything() in ("", "^C")  # which the terminal itself wrote


@pytest.mark.parametrize("columns", [60, 80])
def test_a_table_fits_the_terminal(far: Far, columns: int) -> None:
    with pane(far, "tools", columns=columns, lines=24) as shown:
        assert shown.status() == 0
        lines = shown.everything().splitlines()
    assert max(len(line) for line in lines if "xxx" not in line) <= columns
    begin = [line.partition(" ")[0] for line in lines]
    assert {"typed", "erase", "bytes", "steps", "escape"} <= set(begin)


@SIZES
def test_doctor_says_on_a_terminal_what_it_says_in_a_pipe(
    far: Far, columns: int, lines: int
) -> None:
    piped = far("doctor", server=command(), env={"LC_ALL": "C.UTF-8"})
    with pane(far, "doctor", columns=columns, lines=lines) as shown:
        assert shown.status() == piped.returncode == 0
        seen = shown.everything()
    assert without_times(seen) == without_times(piped.stdout.rstrip())
    assert "✓ MCP " in seen


def without_times(text: str) -> str:
    return re.sub(r"\d+(\.\d+)?(?= (ms|to|s\b)|\)?, median)", "#", text)


def test_what_is_typed_is_shown_again_after_a_passphrase_that_was_not_typed(
    far: Far, tmp_path: Path
) -> None:
    argv = far.argv("tools", server=command())
    place = argv.index("--client-key") + 1
    key = tmp_path / "locked"
    key.touch(0o600)
    key.write_bytes(Path(argv[place]).read_bytes())
    keygen = programs.require("ssh-keygen")
    subprocess.run([keygen, "-q", "-p", "-N", "sesame", "-f", key], check=True, timeout=20)
    argv[place] = str(key)
    then = ["sh", "-c", 'trap : INT; "$@"; stty -a', "sh", *argv]
    env = environment(LC_ALL="C.UTF-8")
    with Pane(then, env=env, cwd=far.here, columns=80, lines=24) as shown:
        shown.wait_for(lambda screen: "Enter passphrase for key" in screen)
        shown.press("C-c")
        assert " echo " in shown.wait_for(lambda screen: "icanon" in screen)
