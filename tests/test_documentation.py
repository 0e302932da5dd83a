"""The pages agree with the code, the tests and each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import picture
import pytest
import reference

from m2m_ssh_client.usage import COMMANDS

SOURCE = Path(__file__).resolve().parents[1]
PAGES = [*sorted(SOURCE.glob("*.md")), *sorted((SOURCE / "docs").glob("*.md"))]


_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_LINK = re.compile(r"\]\(([^():]+)\)")
_PATH = re.compile(r"(?<![\w/.])(?:\.ci|docs|findings|m2m_ssh_client|mcpb|tests)/[a-z0-9_./-]*")
_FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    for file, name in _TEST.findall(page.read_text(encoding="utf-8")):
        assert f"def {name}(" in (SOURCE / file).read_text(encoding="utf-8"), f"{file}::{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    for path in _PATH.findall(page.read_text(encoding="utf-8")):
        assert (SOURCE / path.rstrip(".")).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_and_heading_that_a_page_links_to_is_there(page: Path) -> None:
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_line_of_prose_is_too_long(page: Path) -> None:
    assert not [line for line in prose(page) if len(line) > 100]


def test_the_reference_has_the_options_commands_and_keywords_of_the_code() -> None:
    page = reference.PAGE.read_text(encoding="utf-8")
    assert page == reference.updated(page), "run `python docs/reference.py`"


def test_the_help_shows_the_options_of_the_code() -> None:
    text = reference.HELP.read_text(encoding="utf-8")
    assert text == reference.help_module(), "run `python docs/reference.py`"
    assert text.isascii(), "not every console shows more"


def test_the_picture_is_what_its_script_draws() -> None:
    drawn = picture.PICTURE.read_text(encoding="utf-8")
    assert drawn == picture.svg(), "run `python docs/picture.py`"


def test_the_readme_names_every_command_and_stays_short() -> None:
    page = (SOURCE / "README.md").read_text(encoding="utf-8")
    _, _, section = page.partition("## Commands\n")
    table, _, _ = section.partition("\n## ")
    assert not [name for name in COMMANDS if f"`{name}`" not in table]
    assert len(page.splitlines()) <= 150


def test_the_readme_has_the_command_that_installs_and_the_one_that_tests() -> None:
    blocks = _FENCED.findall((SOURCE / "README.md").read_text(encoding="utf-8"))
    venv = "python3 -m venv .venv && .venv/bin/pip install"
    demo = f"{venv} . && .venv/bin/m2m-mcp-server-ssh-client demo"
    assert {f"```sh\n{demo}\n```", f"```sh\n{venv} tox && .venv/bin/tox\n```"} <= set(blocks)


def test_contributing_names_every_environment_of_tox() -> None:
    tox = ConfigParser(interpolation=None)
    tox.read(SOURCE / "tox.ini", encoding="utf-8")
    names = {*tox["tox"]["env_list"].replace(",", " ").split()}
    names |= {name for section in tox.sections() if (name := section.partition("testenv:")[2])}
    page = (SOURCE / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert not [name for name in sorted(names) if f"`{name}`" not in page]


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def prose(page: Path) -> Iterator[str]:
    """Yield the lines that can be broken: no code, no rows of tables, no single long words."""
    for line in _FENCED.sub("", page.read_text(encoding="utf-8")).splitlines():
        if not line.startswith("|") and " " in line.strip().removeprefix("- "):
            yield line
