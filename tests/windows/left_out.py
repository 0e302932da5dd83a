"""A plugin of pytest: what a run under Wine leaves out is what CONTRIBUTING.md says, by number.

A test that is skipped for another reason, or that joins those of a known one, fails the run.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "CONTRIBUTING.md"
_ROW = re.compile(r"(?m)^\| (\d+) \| (.+) \|$")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if exitstatus == pytest.ExitCode.OK and _wrong(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if wrong := _wrong(config):
        terminalreporter.section("left out")
        terminalreporter.write_line(f"The table in {PAGE.name} has to be as follows, or else the")
        terminalreporter.write_line("tests have to run under Wine:\n" + "\n".join(wrong))


def _wrong(config: pytest.Config) -> list[str]:
    """The rows that the table ought to have, if it has others."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # in a worker
        return []
    found = Counter(_reason(report.longrepr) for report in reporter.stats.get("skipped", ()))
    told = {reason: int(number) for number, reason in _ROW.findall(PAGE.read_text("utf-8"))}
    rows = [f"| {number} | {reason} |" for reason, number in found.most_common()]
    return rows if dict(found) != told else []


def _reason(where: object) -> str:
    assert isinstance(where, tuple)
    return str(where[2]).removeprefix("Skipped: ")
