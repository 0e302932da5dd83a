"""What the pages name exists."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1]
PAGES = [*sorted(SOURCE.glob("*.md")), *sorted((SOURCE / "docs").glob("*.md"))]

_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_LINK = re.compile(r"\]\(([^)#:]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    for file, name in _TEST.findall(page.read_text(encoding="utf-8")):
        assert f"def {name}(" in (SOURCE / file).read_text(encoding="utf-8"), f"{file}::{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_links_to_is_there(page: Path) -> None:
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link


def test_contributing_names_every_environment_of_tox() -> None:
    tox = ConfigParser(interpolation=None)
    tox.read(SOURCE / "tox.ini", encoding="utf-8")
    names = {*tox["tox"]["env_list"].replace(",", " ").split()}
    names |= {name for section in tox.sections() if (name := section.partition("testenv:")[2])}
    page = (SOURCE / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert not [name for name in sorted(names) if f"`{name}`" not in page]
