from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

import pytest
from msgspec.structs import replace
from rich.console import Console
from status.reports import NOW, report

from m2m_ssh_client.status.report import Report, RoundTrip, Trouble
from m2m_ssh_client.terminal import running
from m2m_ssh_client.terminal.running import duration, sparkline


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "datetime", type("Clock", (), {"now": lambda _: NOW}))


@contextmanager
def stdout(encoding: str) -> Iterator[io.BytesIO]:
    raw = io.BytesIO()
    with redirect_stdout(io.TextIOWrapper(raw, encoding, newline="\n")) as stream:
        yield raw
        stream.flush()


def written(
    *reports: Report, names: Sequence[str] = ("lab-git",), encoding: str = "utf-8"
) -> list[str]:
    with stdout(encoding) as raw:
        running.write([(names, each) for each in reports])
        sys.stdout.flush()
        return raw.getvalue().decode(encoding).splitlines()


def on_a_terminal(columns: int, of: Report) -> list[str]:
    console = Console(file=io.StringIO(), width=columns, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(running._page([(["lab-git"], of)]))
    return captured.get().splitlines()


def test_no_relay_is_said_to_be_none() -> None:
    assert written() == ["No relay is running."]


def test_a_relay_is_a_few_lines() -> None:
    assert written(report()) == [
        "lab-git  open for 2 h 5 min",
        "  application  Claude 1.2, started by claude",
        "  destination  ada@lab.example:22 (lab)",
        "  server       mcp-git 1.0, uvx …",
        "  connection   lost and made again 2 times",
        "  requests     1 in flight",
        "  round trips  ▄█▄  17.5 ms (17.5 to 40.0)",
        "  last error   2 h 6 min ago: The SSH connection to lab was lost",
        "  process      4711, up for 3 h",
    ]


def test_what_is_not_known_is_left_out() -> None:
    blank = report(
        state="connecting", alias="lab", destination="lab", command="", host="", parent=""
    )
    bare = replace(blank, server="", connections=0, losses=0, round_trips=(), last_error=None)
    assert written(bare, names=()) == [
        "lab  connecting for 2 h 5 min",
        "  destination  lab",
        "  requests     1 in flight",
        "  process      4711, up for 3 h",
    ]


@pytest.mark.parametrize("state", ["connecting", "connected", "open", "reconnecting", "failed"])
@pytest.mark.parametrize("columns", [60, 80])
def test_a_page_fits(columns: int, state: str) -> None:
    long = report(
        state=state,
        destination="ada-lovelace@analytical-engine-number-one.laboratory.example:22022",
        last_error=Trouble(NOW, "The connection was lost, as it always is. " * 20),
        round_trips=(RoundTrip(NOW, 1234.5),) * 40,
        requests=12345,
    )
    lines = on_a_terminal(columns, long)
    assert max(map(len, lines)) <= columns
    assert not [line for line in lines[1:] if not line.startswith("  ")]
    assert "1234.5 ms (1234.5 to 1234.5)" in "".join(line.strip() + " " for line in lines)


def test_foreign_text_does_not_control_the_terminal() -> None:
    evil = "\x1b[2J\x9b\u202e[bold]"
    text = "\n".join(
        written(
            report(host=evil, server=evil, alias=evil, last_error=Trouble(NOW, evil)), names=[evil]
        )
    )
    assert all(character.isprintable() or character == "\n" for character in text)
    assert text.count("[bold]") == 5


def test_a_console_that_has_no_bars_gets_other_characters() -> None:
    with stdout("utf-8"):
        assert sparkline([0.0, 3.9, 4.0, 8.0]) == "▁▄▅█"
    with stdout("ascii"):
        assert sparkline([0.0, 3.9, 4.0, 8.0]) == "_~=#"
    assert all(line.isascii() for line in written(report(command="grün"), encoding="ascii"))


def test_bars_are_those_of_the_last_values() -> None:
    with stdout("utf-8"):
        assert sparkline([100.0, *[1.0] * 20]) == "█" * 20
        assert sparkline([0.0]) == "▁"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        *((-5, "0 s"), (0.9, "0 s"), (59, "59 s"), (60, "1 min"), (61, "1 min 1 s")),
        *((3600, "1 h"), (3605, "1 h"), (7500, "2 h 5 min"), (90000, "1 d 1 h"), (86460, "1 d")),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("connections", "losses", "shown"),
    [
        (1, 0, "never lost"),
        (1, 1, "lost once"),
        (2, 1, "lost and made again once"),
        (2, 3, "lost 3 times, made again once"),
    ],
)
def test_losses_and_reconnects_are_counted(connections: int, losses: int, shown: str) -> None:
    lines = written(report(connections=connections, losses=losses))
    assert f"  connection   {shown}" in lines
