"""The commands that use a remote server, against a real sshd: what people see beside what programs get."""

from __future__ import annotations

import base64
import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from support.far import ENOUGH, Far
from support.showcase_server import BLOB, LISTS, PNG, command
from support.sshd import Sshd
from support.waiting import wait_until

if sys.platform == "win32":
    pytest.skip("sshd with POSIX shells behind it", allow_module_level=True)

pytestmark = pytest.mark.interop

SERVER = command()


@pytest.fixture
def far(sshd: Sshd, tmp_path: Path) -> Far:
    return Far(sshd.client_options(), tmp_path)


def both(far: Far, *words: str, status: int = 0) -> tuple[str, str, Any]:
    """stdout and stderr for people, and the JSON for programs."""
    text = far(*words, server=SERVER)
    data = far(*words, "--output", "json", server=SERVER)
    assert (text.returncode, data.returncode) == (status, status), text.stderr + data.stderr
    return text.stdout, text.stderr, json.loads(data.stdout)


def first_words(table: str) -> list[str]:
    return [re.split(r"  +", line)[0] for line in table.splitlines()]


def shown(name: str) -> str:
    """As a name with escapes is shown."""
    return name.encode("unicode_escape").decode()


@pytest.mark.cold
def test_tools_are_the_same_in_a_table_and_as_json(far: Far) -> None:
    table, stderr, data = both(far, "tools")
    assert (data, stderr) == (LISTS["tools"], "")
    assert first_words(table) == ["tool", *(shown(tool["name"]) for tool in data)]
    assert "count*: integer" in table
    assert data[0]["inputSchema"]["properties"]["count"] == {"type": "integer"}


def test_resources_are_the_same_in_tables_and_as_json(far: Far) -> None:
    table, stderr, data = both(far, "resources")
    listed = ("resources", "resourceTemplates")
    assert (data, stderr) == ({name: LISTS[name] for name in listed}, "")
    uris = [each.get("uri") or each["uriTemplate"] for name in listed for each in data[name]]
    assert [word for word in first_words(table) if "://" in word] == uris


def test_prompts_are_the_same_in_a_table_and_as_json(far: Far) -> None:
    table, stderr, data = both(far, "prompts")
    assert (data, stderr) == (LISTS["prompts"], "")
    assert first_words(table) == ["prompt", *(prompt["name"] for prompt in data)]


def test_the_text_of_a_call_is_that_of_its_json(far: Far) -> None:
    text, stderr, data = both(far, "call", "typed", "text=grüße", "count=3", "flag=true")
    assert (text, stderr) == (data["content"][0]["text"] + "\n", "")
    assert json.loads(text) == {"text": "grüße", "count": 3, "flag": True}


def test_a_call_that_fails_has_status_1_and_its_text_is_that_of_its_json(far: Far) -> None:
    text, stderr, data = both(far, "call", "fail", status=1)
    assert (text, stderr) == ("", "the disk is full\n")
    assert data == {"content": [{"type": "text", "text": "the disk is full"}], "isError": True}


def test_progress_is_told_beside_the_answer_in_either_form(far: Far) -> None:
    text, stderr, data = both(far, "call", "steps", "total:=3")
    assert text == data["content"][0]["text"] + "\n" == "done\n"
    assert stderr.startswith("progress 1/3 step ")


def test_bytes_that_a_call_saves_are_those_of_its_json(far: Far) -> None:
    text, _, data = both(far, "call", "bytes")
    saved = [far.here / line.partition(" (")[0] for line in text.splitlines()[:3]]
    assert sorted(saved) == sorted(far.here.iterdir())
    image, audio, blob = (path.read_bytes() for path in saved)
    content = data["content"]
    assert image == base64.b64decode(content[0]["data"]) == PNG
    assert audio == base64.b64decode(content[1]["data"])
    assert blob == base64.b64decode(content[2]["resource"]["blob"]) == BLOB


@pytest.mark.cold
def test_a_resource_that_is_read_is_that_of_its_json(far: Far) -> None:
    text, _, data = both(far, "read", "show:///notes.txt")
    assert text == shown(data["contents"][0]["text"]).replace("\\n", "\n")
    text, _, data = both(far, "read", "show:///disk.img")
    assert text == "disk.img.bin (unknown type, 256 bytes)\n"
    assert (far.here / "disk.img.bin").read_bytes() == base64.b64decode(data["contents"][0]["blob"])


@pytest.mark.cold
def test_a_prompt_that_is_filled_in_is_that_of_its_json(far: Far) -> None:
    text, _, data = both(far, "prompt", "greet", "who=Ada")
    said, picture = (message["content"] for message in data["messages"])
    assert text.splitlines() == [
        f"# {data['description']}",
        "[user]",
        said["text"],
        "[assistant]",
        f"greet.png (image/png, {len(base64.b64decode(picture['data']))} bytes)",
    ]


@pytest.mark.cold
def test_an_interrupt_cancels_the_call_at_the_server_which_then_ends(far: Far) -> None:
    record, ended = far.here / "record", far.here / "ended"
    server = f"{' '.join(command('--record', str(record)))}; touch {ended}"
    with far.hanging(record, [server]) as process:
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=ENOUGH) == (b"", b"")
    assert process.returncode == 130
    wait_until(ended.exists)
    *_, call, last = map(json.loads, record.read_text().splitlines())
    assert last["method"] == "notifications/cancelled"
    assert last["params"]["requestId"] == call["id"]


def test_a_command_that_fails_at_once_is_run_once(far: Far) -> None:
    script = "echo run >> runs; echo 'no such module' >&2; exit 3"
    done = far("tools", server=["sh", "-c", f"cd {far.here} && {{ {script}; }}"])
    assert done.returncode == 1
    assert "exit status 3" in done.stderr
    assert (far.here / "runs").read_text() == "run\n"
