"""`status`, beside reports that a test writes; tests/interop/test_status.py has real relays."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from status.reports import report

from m2m_ssh_client import cli
from m2m_ssh_client.entry_tag import tag
from m2m_ssh_client.status import report_file
from m2m_ssh_client.status.report import encoded
from m2m_ssh_client.status.report_file import ReportFile

ARGUMENTS = ["--host", "lab"]


@pytest.fixture
def file() -> Iterator[ReportFile]:
    with closing(ReportFile()) as file:
        yield file


def install(*names: str) -> None:
    entry = {"command": "m2m-ssh-client", "args": ARGUMENTS}
    path = Path.home() / ".cursor" / "mcp.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"mcpServers": dict.fromkeys(names, entry)}))


def test_a_relay_has_the_names_of_its_entry(
    file: ReportFile, capsys: pytest.CaptureFixture[str]
) -> None:
    install("lab-git", "again")
    file.write(encoded(report(tag=tag(ARGUMENTS))))
    assert cli.main(["status"]) == 0
    assert capsys.readouterr().out.startswith("lab-git, again  open for ")
    assert cli.main(["status", "--json"]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert document["entries"] == ["lab-git", "again"]
    assert document["state"] == "open"
    assert document["since"] == "2026-11-28T09:55:00Z"
    assert document["round_trips"][0] == {"at": "2026-11-28T12:00:00Z", "ms": 18.2}


def test_another_relay_has_the_name_of_its_machine(
    file: ReportFile, capsys: pytest.CaptureFixture[str]
) -> None:
    install("lab-git")
    file.write(encoded(report(tag="")))
    assert cli.main(["status"]) == 0
    assert capsys.readouterr().out.startswith("lab  open for ")


def test_what_is_no_report_is_not_shown(
    file: ReportFile, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write(b'{"pid": "\x1b[2J"}\n')
    assert cli.main(["status"]) == 0
    assert capsys.readouterr().out == "No relay is running.\n"
    assert cli.main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_folder_that_cannot_be_read_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    report_file.folder().parent.mkdir(parents=True)
    report_file.folder().touch()
    assert cli.main(["status"]) == 1
    assert "The reports of relays cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--watch"], ["--watch", "--json"]])
def test_watching_needs_a_terminal(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert not sys.stdout.isatty()
    assert cli.main(["status", *options]) == 2
    assert "--watch needs a terminal" in capsys.readouterr().err
