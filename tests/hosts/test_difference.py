"""The diff of an edit: it has the change and no secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.app_configs import OF_APP, SECRET

from m2m_ssh_client.hosts.apps import APPS
from m2m_ssh_client.hosts.difference import difference
from m2m_ssh_client.hosts.editing import Edit
from m2m_ssh_client.hosts.members import with_member, without_member

ENTRY = {"command": "/opt/client", "args": ["--host", "ada@lab"]}


def shown(before: str | None, after: str, app: str = "cursor") -> list[str]:
    content = None if before is None else before.encode()
    path = (APPS[app].key, "lab")
    edit = Edit(Path("mcp.json"), content, before or "", after)
    return difference(edit, path, APPS[app].format.parse)


@pytest.mark.parametrize("app", APPS)
def test_a_new_entry_is_shown_and_none_of_the_secrets_beside_it(app: str) -> None:
    before, path = OF_APP[app], (APPS[app].key, "lab")
    lines = shown(before, APPS[app].format.with_member(before, path, ENTRY), app)
    assert lines[:2] == ["--- mcp.json", "+++ mcp.json"]
    text = "\n".join(lines)
    assert "ada@lab" in text
    assert SECRET not in text
    assert "\r" not in text


def test_what_is_outside_the_entry_has_keys_and_no_strings() -> None:
    before = '{\n  "token": "hush",\n  "n": 1,\n  "mcpServers": {}\n}\n'
    lines = shown(before, with_member(before, ("mcpServers", "lab"), ENTRY))
    assert lines[3:] == [
        *(" {", '   "token": "…",', '   "n": 1,', '-  "mcpServers": {}', '+  "mcpServers": {'),
        *('+    "lab": {', '+      "command": "/opt/client",', '+      "args": ['),
        *('+        "--host",', '+        "ada@lab"', "+      ]", "+    }", "+  }", " }"),
    ]


def test_a_missing_file_is_all_new() -> None:
    lines = shown(None, with_member("", ("mcpServers", "lab"), ENTRY))
    assert all(line.startswith("+") for line in lines[3:])
    assert len(lines) > 8


@pytest.mark.parametrize(
    "entry",
    [
        {"command": "x", "args": ["a"], "env": {"TOKEN": SECRET}},
        {"url": "http://x", "headers": {"Authorization": SECRET}},
        {"command": "m2m-ssh-client", "args": ["--host", "h", "--passphrase", SECRET, "--port", "1"]},
        {"command": {"path": "x", "args": ["--api-key", SECRET], "env": {"A": [SECRET]}}},
        {"command": "x", "args": [{"deep": "a"}, f"--token={SECRET}"]},
        SECRET + "not an entry",
    ],
)  # fmt: skip
def test_of_an_entry_that_goes_no_secret_is_shown(entry: Any) -> None:
    if isinstance(entry, str):
        entry = {"env": entry}
    before = json.dumps({"mcpServers": {"lab": entry, "other": {"env": {"X": SECRET}}}}, indent=2)
    for after in (
        without_member(before, ("mcpServers", "lab")),
        with_member(before, ("mcpServers", "lab"), ENTRY),
    ):
        text = "\n".join(shown(before, after))
        assert '"lab": {' in text
        assert SECRET not in text


def test_what_could_steer_the_terminal_is_shown_as_an_escape() -> None:
    before = '{\n  // \x1b[2J\n  "mcpServers": {}\n}'
    assert any("\\x1b[2J" in line for line in shown(before, without_member(before, ["mcpServers"])))


def test_a_line_that_is_very_long_is_cut() -> None:
    before = json.dumps({"history": list(range(10_000))})
    lines = shown(before, with_member(before, ("mcpServers", "lab"), ENTRY))
    assert max(map(len, lines)) <= 300
