"""The commands that use a remote server, as processes, with whichever line of the SDK is installed."""

from __future__ import annotations

import base64
import importlib.metadata
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import terminal
from support.far import ENOUGH, Embedded, Far, environment, machine
from support.host import PROGRAM
from support.showcase_server import BLOB, ESCAPE, LISTS, PNG

pytestmark = pytest.mark.sdk

SDK = int(importlib.metadata.version("mcp").partition(".")[0])
ERAS = ["legacy", "modern"] if SDK >= 2 else ["legacy"]
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
CLEAN = "\\x1b[31mred\\x1b[0m \\x9b2J\\x07"
"""ESCAPE as it may be shown."""

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs a pty")


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    with machine(tmp_path_factory.mktemp("far")) as far:
        yield far


@pytest.fixture
def far(reached: Embedded, tmp_path: Path) -> Embedded:
    reached.here = tmp_path
    return reached


@pytest.fixture(params=ERAS)
def server(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return ("showcase", "--era", request.param)


# tools


def test_all_pages_of_tools_come_as_json_with_nothing_lost(
    far: Far, server: tuple[str, ...]
) -> None:
    done = far("tools", "--json", server=server)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == LISTS["tools"]
    assert not UNSAFE.search(done.stdout)
    assert "grüße ☂" in done.stdout  # readable, not \u00fc


def test_a_table_of_tools_without_a_terminal_is_plain_and_not_cut(far: Far) -> None:
    done = far("tools", env={"FORCE_COLOR": "1", "COLUMNS": "40"})
    assert (done.returncode, done.stderr) == (0, "")
    assert not UNSAFE.search(done.stdout)
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert len(lines) == 1 + len(LISTS["tools"])
    typed = lines["typed"]
    for text in ("Typed Arguments", "text*: string, count*: integer", "maybe: integer|null"):
        assert text in typed
    assert "read-only, idempotent, closed world" in typed
    assert typed.endswith("Give the arguments back.")
    assert "destructive" in lines["erase"]
    assert "Erase It" in lines["erase"]
    assert lines["steps"].endswith("x" * 300)
    assert f"name{CLEAN}" in done.stdout
    assert "[bold]no markup[/bold] :smile:" in done.stdout


def test_tools_that_are_left_out_are_neither_listed_nor_called(
    far: Far, server: tuple[str, ...]
) -> None:
    chosen = ("--tool", "[te]*", "--tool", "hang", "--ignore-tool", "escape")
    listed = json.loads(far("tools", "--json", *chosen, server=server).stdout)
    assert listed == [
        tool for tool in LISTS["tools"] if tool["name"] in ("typed", "erase", "hang", "talk")
    ]
    done = far("call", "escape", *chosen, server=server)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Unknown tool: escape" in done.stderr
    assert far("call", "typed", "text=a", "count=1", *chosen, server=server).returncode == 0


def test_a_server_without_tools_has_none(far: Far) -> None:
    without = ("showcase", "--without", "tools/list")
    done = far("tools", "--output", "json", server=without)
    assert (done.returncode, done.stdout) == (0, "[]\n")
    done = far("tools", server=without)
    assert (done.returncode, done.stdout) == (0, "The server has no tools.\n")


def test_a_server_with_resource_templates_alone_has_resources(far: Far) -> None:
    done = far("resources", server=("showcase", "--without", "resources/list"))
    assert done.returncode == 0
    assert "show:///" in done.stdout


@pytest.mark.parametrize(("cursors", "pages"), [("same", 2), ("fresh", 1000)])
def test_a_list_that_does_not_end_is_given_up(
    far: Far, tmp_path: Path, cursors: str, pages: int
) -> None:
    record = tmp_path / "record"
    done = far("tools", server=("showcase", "--endless", cursors, "--record", str(record)))
    assert (done.returncode, done.stdout) == (1, "")
    assert "never ends" in done.stderr
    assert [message["method"] for message in messages(record)].count("tools/list") == pages


def test_the_sample_server_of_the_demo_can_be_used(far: Far) -> None:
    assert "a*: integer, b*: integer" in far("tools", server=("sample",)).stdout
    done = far("call", "add", "a=40", "b=2", server=("sample",))
    assert (done.returncode, done.stdout) == (0, "42\n")


# call


def test_values_get_the_types_of_the_schema(far: Far, server: tuple[str, ...]) -> None:
    words = ["text=5", "count=5", "ratio=2.5", "flag=true", 'tags=["a"]', 'options={"b": null}']
    done = far("call", "typed", *words, "maybe=null", "free=x=y", server=server)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "text": "5",
        "count": 5,
        "ratio": 2.5,
        "flag": True,
        "tags": ["a"],
        "options": {"b": None},
        "maybe": None,
        "free": "x=y",
    }


def test_a_value_comes_from_a_file_from_stdin_or_as_json(far: Far) -> None:
    (far.here / "said").write_bytes("grüße\n".encode())
    words = ["text=@said", "free=@-", "count:=[1]"]
    done = far("call", "typed", *words, stdin='{"a": 1}')
    assert json.loads(done.stdout) == {"text": "grüße\n", "free": {"a": 1}, "count": [1]}


@pytest.mark.parametrize(("given", "stdin"), [('{"a": null}', ""), ("-", '{"a": null}')])
def test_all_arguments_may_be_given_at_once(far: Far, given: str, stdin: str) -> None:
    done = far("call", "typed", "--arguments", given, stdin=stdin)
    assert json.loads(done.stdout) == {"a": None}


def test_options_may_stand_between_the_arguments(far: Far) -> None:
    done = far("call", "--timeout", "30", "typed", "text=a", "--json", "count=1")
    result = json.loads(done.stdout)
    assert json.loads(result["content"][0]["text"]) == {"text": "a", "count": 1}
    assert result["x-unknown"] == {"kept": True}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["typed", "count=abc"], "count must be integer, not 'abc'"),
        (["typed", "count"], "Invalid argument 'count'"),
        (["typed", "a=1", "--arguments", "{}"], "exclude each other"),
        (["typed", "--arguments", "[1]"], "--arguments must be an object"),
        (["typed", "--json", "{}"], "it prints JSON. All arguments at once: --arguments '{…}'"),
        (["typed", "--json={}"], "All arguments at once: --arguments"),
        (["typed", "--json", "-"], "All arguments at once: --arguments"),
        (["typed", "a=@missing"], "missing cannot be read"),
        ([], "NAME"),
        (["typed", "--timeout", "0"], "--timeout"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(far: Far, words: list[str], said: str) -> None:
    done = far("call", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_tool_that_does_not_exist_is_told_with_those_that_do(far: Far) -> None:
    done = far("call", "nonsense", "a=1")
    assert done.returncode == 1
    assert "no tool 'nonsense'. It has: typed, erase," in done.stderr
    assert not UNSAFE.search(done.stderr)


def test_a_tool_that_fails_says_so_on_stderr(far: Far, server: tuple[str, ...]) -> None:
    done = far("call", "fail", server=server)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "the disk is full\n")
    done = far("call", "fail", "--output", "json", server=server)
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout)["isError"] is True


def test_an_error_is_told_on_one_line(far: Far, server: tuple[str, ...]) -> None:
    done = far("call", "broken", server=server)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr
        == f'm2m-mcp-server-ssh-client: error: no such thing {CLEAN} ({{"why": "it is broken"}})\n'
    )


def test_structure_is_shown_where_there_is_no_text(far: Far) -> None:
    done = far("call", "structure")
    assert json.loads(done.stdout) == {"answer": 42, "of": ["ü"]}


def test_line_feeds_and_tabs_stay_and_escapes_do_not(far: Far) -> None:
    assert far("call", "escape").stdout == f"two lines\n\tand a tab {CLEAN}\n"


def test_bytes_are_saved_under_fresh_names_and_links_listed(
    far: Far, server: tuple[str, ...]
) -> None:
    for number in ("", "-2"):
        done = far("call", "bytes", "--save-to", "made/here", server=server)
        made = Path("made", "here")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == [
            f"{made / f'bytes{number}.png'} (image/png, {len(PNG)} bytes)",
            f"{made / f'bytes{number}.wav'} (audio/wav, 4 bytes)",
            f"{made / f'passwd{number}.bin'} (unknown type, 256 bytes)",
            "text within",
            "link: show:///notes.txt - notes",
        ]
        assert (far.here / made / f"bytes{number}.png").read_bytes() == PNG
        assert (far.here / made / f"passwd{number}.bin").read_bytes() == BLOB


def test_nothing_is_saved_where_json_is_wanted(far: Far) -> None:
    done = far("call", "bytes", "--json")
    assert base64.b64decode(json.loads(done.stdout)["content"][0]["data"]) == PNG
    assert list(far.here.iterdir()) == []


def test_progress_is_told_in_lines_at_most_one_a_second(far: Far, server: tuple[str, ...]) -> None:
    began = time.monotonic()
    done = far("call", "steps", "total:=200", server=server)
    lines = done.stderr.splitlines()
    assert done.stdout == "done\n"
    assert lines[0] == f"progress 1/200 step {CLEAN}"
    assert len(lines) <= 1 + time.monotonic() - began


def test_what_the_server_logs_goes_to_stderr(far: Far, server: tuple[str, ...]) -> None:
    done = far("call", "talk", server=server)
    assert done.stdout == "said\n"
    assert done.stderr.splitlines() == [
        f"warning: show: a word {CLEAN}",
        'warning: show: {"n": 1}',
    ]


# resources and prompts


def test_resources_and_their_templates_are_listed(far: Far, server: tuple[str, ...]) -> None:
    done = far("resources", "--json", server=server)
    expected = {name: LISTS[name] for name in ("resources", "resourceTemplates")}
    assert json.loads(done.stdout) == expected
    table = far("resources", server=server).stdout
    assert re.search(r"show:///notes.txt +notes +text/plain +12", table)
    assert re.search(r"show:///files/{id} +files +By number\.", table)


def test_a_resource_of_text_is_shown_and_another_saved(far: Far, server: tuple[str, ...]) -> None:
    assert far("read", "show:///notes.txt", server=server).stdout == f"line 1\nline 2 {CLEAN}\n"
    done = far("read", "show:///disk.img", server=server)
    assert done.stdout == "disk.img.bin (unknown type, 256 bytes)\n"
    assert (far.here / "disk.img.bin").read_bytes() == BLOB
    done = far("read", "show:///notes.txt", "--json", server=server)
    assert json.loads(done.stdout)["contents"][0]["text"].endswith(f"{ESCAPE}\n")
    assert not UNSAFE.search(done.stdout)


def test_the_server_does_not_choose_a_suffix_in_the_current_folder(far: Far) -> None:
    done = far("read", "show:///conftest.py")
    assert done.stdout == "conftest.py.bin (unknown type, 256 bytes)\n"
    done = far("read", "show:///conftest.py", "--save-to", "chosen")
    assert done.stdout == f"{Path('chosen', 'conftest.py')} (unknown type, 256 bytes)\n"


def test_prompts_are_listed_with_their_arguments(far: Far, server: tuple[str, ...]) -> None:
    assert json.loads(far("prompts", "--json", server=server).stdout) == LISTS["prompts"]
    assert re.search(r"greet +who\*, how +Ask for a greeting\.", far("prompts").stdout)


def test_a_prompt_is_filled_in_with_text(far: Far, server: tuple[str, ...]) -> None:
    done = far("prompt", "greet", "who=5", "how=null", server=server)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "# A greeting",
        "[user]",
        'greet {"how": "null", "who": "5"}',
        "[assistant]",
        f"greet.png (image/png, {len(PNG)} bytes)",
    ]
    raw = json.loads(far("prompt", "greet", "--json", server=server).stdout)
    assert [message["role"] for message in raw["messages"]] == ["user", "assistant"]


# failures


def test_nobody_listening_is_told_once_on_one_line(far: Far) -> None:
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        connection = [*far.connection]
        connection[connection.index("--port") + 1] = str(port)
        argv = [*PROGRAM, "tools", *connection, "--", "showcase"]
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=ENOUGH, env=environment(), cwd=far.here
        )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("m2m-mcp-server-ssh-client: error: ")
    assert f"127.0.0.1 port {port}" in line


def test_a_remote_that_ends_is_told_with_its_last_words(far: Far) -> None:
    done = far("prompts", server=("ends",))
    assert (done.returncode, done.stdout) == (1, "")
    assert "ended with exit status 1 before it answered" in done.stderr.splitlines()[-1]
    assert "no such module" in done.stderr.splitlines()[-1]


def test_half_a_character_in_an_answer_is_shown_as_most_hosts_read_it(far: Far) -> None:
    content = r'{"type":"text","text":"cut \ud83d"}'
    rest = f'rest="result":{{"resultType":"complete","content":[{content}]}}'
    done = far("call", "spell", rest, server=("echo",))
    assert (done.returncode, done.stdout, done.stderr) == (0, "cut \ufffd\n", "")


def test_an_answer_that_cannot_be_read_is_told_at_once(far: Far) -> None:
    done = far("call", "spell", 'rest="error":"gone"', server=("echo",))
    assert done.returncode == 1
    assert 'error: Input should be an object ("gone")' in done.stderr


def test_no_answer_in_time_ends_the_call_and_cancels_it_at_the_server(
    far: Far, server: tuple[str, ...], tmp_path: Path
) -> None:
    record = tmp_path / "record"
    done = far("call", "hang", "--timeout", "4", server=(*server, "--record", str(record)))
    assert (done.returncode, done.stdout) == (1, "")
    assert "No answer within 4 s (raise the limit with --timeout)" in done.stderr
    assert cancelled(record) == called(record)


@on_posix
def test_an_interrupt_cancels_the_call_at_the_server_and_ends_with_130(
    far: Far, server: tuple[str, ...], tmp_path: Path
) -> None:
    record = tmp_path / "record"
    with far.hanging(record, (*server, "--record", str(record))) as process:
        process.send_signal(signal.SIGINT)
        outputs = process.communicate(timeout=ENOUGH)
    assert (process.returncode, outputs) == (130, (b"", b""))
    assert cancelled(record) == called(record)


def test_a_call_whose_connection_is_lost_may_have_run_and_the_error_says_so(
    far: Embedded, tmp_path: Path
) -> None:
    record = tmp_path / "record"
    with far.hanging(record, ("showcase", "--record", str(record))) as process:
        far.server.close_connections()
        _, stderr = process.communicate(timeout=ENOUGH)
    assert process.returncode == 1
    assert b"may or may not have run" in stderr.splitlines()[-1]


def messages(record: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in record.read_text().splitlines()]


def called(record: Path) -> object:
    (call,) = (message for message in messages(record) if message["method"] == "tools/call")
    return call["id"]


def cancelled(record: Path) -> object:
    """The id of the request that was cancelled, the last message that the server got."""
    last = messages(record)[-1]
    assert last["method"] == "notifications/cancelled"
    params = last["params"]
    assert isinstance(params, dict)
    return params["requestId"]


def test_a_reader_that_has_enough_is_no_failure_to_speak_of(far: Far) -> None:
    process = subprocess.Popen(
        far.argv("tools"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        cwd=far.here,
    )
    assert process.stdout is not None
    process.stdout.close()
    try:
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(ENOUGH) == 141
        process.stderr.close()
    finally:
        process.kill()
        process.wait()


# on a terminal


if sys.platform != "win32":

    def shown(far: Far, *words: str, columns: int = 100, **env: str) -> tuple[int, str]:
        return terminal.run(far.argv(*words), env=environment(**env), cwd=far.here, columns=columns)

    def without_style(text: str) -> str:
        return re.sub(r"\x1b\[[0-9;]*m", "", text)

    def test_a_table_on_a_terminal_has_colours_and_fits_it(far: Far) -> None:
        status, text = shown(far, "tools", columns=90)
        assert status == 0
        text = terminal.behind_spinner(text)
        assert "\x1b[36mtyped" in text
        assert not UNSAFE.search(without_style(text).replace("\r\n", "\n"))
        lines = without_style(text).split("\r\n")
        assert max(len(line) for line in lines if "xxx" not in line) <= 90

    def test_no_color_is_honoured_on_a_terminal(far: Far) -> None:
        status, text = shown(far, "tools", NO_COLOR="1")
        assert status == 0
        text = terminal.behind_spinner(text)
        assert "typed" in text
        assert not UNSAFE.search(text.replace("\r\n", "\n"))

    def test_progress_on_a_terminal_is_a_bar_that_goes_away(far: Far, tmp_path: Path) -> None:
        out = tmp_path / "out"
        words = ["call", "steps", "total:=20"]
        status, text = terminal.run(far.argv(*words), env=environment(), cwd=tmp_path, stdout=out)
        assert (status, out.read_text()) == (0, "done\n")
        assert "━" in text
        assert CLEAN in text
        assert "progress 1/" not in text
        assert text.endswith("\x1b[2K")  # the bar's line, erased

    def test_what_the_server_writes_to_stderr_stands_above_the_bar(
        far: Far, tmp_path: Path
    ) -> None:
        words = ["call", "steps", "total:=20", "chatter:=true"]
        status, text = terminal.run(far.argv(*words), env=environment(), cwd=tmp_path)
        assert status == 0
        lines = [line for line in text.split("\n") if "chatter" in line]
        assert lines
        # Nothing of the bar is left on the line: it was erased, or had not come yet.
        assert all("\u2501" not in line.rpartition("\x1b[2K")[2] for line in lines)

    def test_logs_on_a_terminal_are_dimmed_and_clean(far: Far) -> None:
        status, text = shown(far, "call", "talk")
        assert status == 0
        assert f"\x1b[2mwarning: show: a word {CLEAN}\x1b[0m\r\n" in text
        assert text.endswith("said\r\n")
