"""The prose of the package: docstrings open with a noun or a verb, and lines fit on a page."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import m2m_ssh_client

PACKAGE = Path(m2m_ssh_client.__file__).parent
LONGEST = 100  # characters

# Docstrings say what a thing does or is (PEP 257); a relative clause is neither.
_RELATIVE = re.compile(r"(What|Whether|Of|As|How|Who|Whom|Whose|Where|When|Which|Why)\b")

MODULES = [path.relative_to(PACKAGE).as_posix() for path in sorted(PACKAGE.glob("**/*.py"))]


def _docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring, including those of attributes."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node.lineno, node.value.value


def _prose_lines(source: str) -> Iterator[int]:
    """Yield the numbers of lines with a comment or a part of a docstring."""
    for line, text in _docstrings(source):
        yield from range(line, line + text.count("\n") + 1)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0]


@pytest.mark.parametrize("name", MODULES)
def test_no_docstring_opens_with_a_relative_clause(name: str) -> None:
    source = (PACKAGE / name).read_text(encoding="utf-8")
    found = [f"{line}: {text}" for line, text in _docstrings(source) if _RELATIVE.match(text)]
    assert not found


@pytest.mark.parametrize("name", MODULES)
def test_no_line_of_prose_is_long(name: str) -> None:
    source = (PACKAGE / name).read_text(encoding="utf-8")
    lines = source.splitlines()
    assert not [n for n in _prose_lines(source) if len(lines[n - 1]) > LONGEST]


def test_what_is_no_docstring_is_not_taken_for_one() -> None:
    source = 'x = 1\n"""What it is."""\n\n\ndef f():\n    """Do it."""\n    return "What"\n'
    assert [text for _, text in _docstrings(source)] == ["What it is.", "Do it."]
