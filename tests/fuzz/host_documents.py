"""Configurations of MCP hosts in TOML and YAML: read, and edited by text.

The oracles are Python's tomllib, and ruamel.yaml where it makes values and not only places.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from copy import deepcopy
from functools import lru_cache
from importlib import import_module
from io import StringIO
from typing import Any

import ruamel.yaml
from ruamel.yaml.error import YAMLError

from m2m_ssh_client.hosts.formats import TOML, YAML, YAML_LIST, Format
from m2m_ssh_client.hosts.nodes import FormatError, find

_ENTRY = {"command": "/bin/x", "args": ["--host", "h"]}
_MOST_NESTED = 60
_SPELT = re.compile(r"~|null|\{\s*\}|\[\s*\]|\s", re.IGNORECASE)
_NO_VALUE = object()
_Read = Callable[[str], Any]


def check_toml(data: bytes) -> None:
    """A table is set and removed, and nothing else changes."""
    _check(data, TOML, "mcp_servers", _toml)


def check_yaml(data: bytes) -> None:
    """The same, of a member and of an item with a name."""
    _check(data, YAML, "extensions", _yaml)
    _check(data, YAML_LIST, "mcpServers", _yaml)


def _check(data: bytes, kind: Format, key: str, read: _Read) -> None:
    text = data.decode("utf-8", "replace")
    if len(re.findall(r"[\[{]", text)) > _MOST_NESTED or re.search(r"\d{400}", text):
        return
    path = (key, "lab")
    entry = {"name": "lab", **_ENTRY} if kind is YAML_LIST else _ENTRY
    try:
        before = kind.parse(text)
        is_there = find(before, path) is not None
        after = kind.with_member(text, path, _ENTRY)
    except FormatError:
        pass
    else:
        _shows(kind, after, path, entry)
        if not is_there:
            _is_within(text, after)
        assert kind.with_member(after, path, _ENTRY) == after
        _reads_as(read, text, after, key, entry)
        back = kind.without_member(after, path)
        assert find(kind.parse(back), path) is None
        _reads_as(read, text, back, key, None)
    try:
        less = kind.without_member(text, path)
    except FormatError:
        return
    _is_within(less, text)
    _reads_as(read, text, less, key, None)


def _is_within(less: str, more: str) -> None:
    """All but the entry stays, in its order; blanks and no servers may be spelt in several ways."""
    rest = iter(_SPELT.sub("", more))
    assert all(character in rest for character in _SPELT.sub("", less))


def _shows(kind: Format, text: str, path: tuple[str, str], entry: dict[str, Any]) -> None:
    """The entry is found, and its strings are where they are said to be."""
    node = find(kind.parse(text), path)
    assert node is not None
    assert node.value == entry
    for scalar in node.scalars():
        assert text[scalar.start : scalar.end].strip("'\"") == scalar.value


def _reads_as(read: _Read, before: str, after: str, key: str, entry: Any) -> None:
    """What another reader makes of the text differs by the entry, and by nothing else."""
    value = read(before)
    if value is _NO_VALUE:
        return
    expected = deepcopy(value) or {}
    servers = expected.get(key) or ([] if entry and "name" in entry else {})
    if isinstance(servers, list):
        expected[key] = [each for each in servers if each.get("name") != "lab"]
        place = next(
            (n for n, each in enumerate(servers) if each.get("name") == "lab"), len(servers)
        )
        if entry is not None:
            expected[key].insert(place, entry)
    else:
        expected[key] = {**servers, "lab": entry}
        if entry is None:
            del expected[key]["lab"]
    found = read(after)
    assert found is not _NO_VALUE
    assert _settled(found, key) == _settled(expected, key), f"{after!r}"


def _settled(value: Any, key: str) -> str:
    """The value, as text that tells 1 from True; no servers are as good as none."""
    value = value or {}
    rest = {name: each for name, each in value.items() if name != key or each}
    return repr(sorted(rest.items(), key=repr))


def _toml(text: str) -> Any:
    if sys.version_info < (3, 11):
        return _NO_VALUE
    try:
        return import_module("tomllib").loads(text)
    except ValueError:
        return _NO_VALUE


@lru_cache(maxsize=8)
def _yaml(text: str) -> Any:
    try:
        value = ruamel.yaml.YAML(typ="safe", pure=True).load(StringIO(text))
    except (YAMLError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
        return _NO_VALUE
    if re.search(r"\[\.\.\.\]|\{\.\.\.\}", repr(value)):  # it holds itself
        return _NO_VALUE
    return value if isinstance(value, (dict, type(None))) else _NO_VALUE
