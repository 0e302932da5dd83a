"""The formats of configuration files: how each is read, edited and written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from m2m_ssh_client.hosts import blocks, jsonc, members, tables
from m2m_ssh_client.hosts.nodes import Node


class Format(NamedTuple):
    """A format. Its functions take a text without a BOM and raise FormatError.

    `parse` returns the values with their positions, or None if there are none. `with_member` and
    `without_member` return a text in which only the member at a path has changed. `rendered`
    returns a document that has only this member. `quote` is around each key of the text.
    """

    name: str
    parse: Callable[[str], Node | None]
    with_member: Callable[[str, Sequence[str], Any], str]
    without_member: Callable[[str, Sequence[str]], str]
    rendered: Callable[[Sequence[str], Any], str]
    quote: str = ""


JSON = Format(
    "JSON",
    partial(jsonc.parse, comments=False),
    partial(members.with_member, comments=False),
    partial(members.without_member, comments=False),
    members.rendered,
    '"',
)
JSONC = Format(
    "JSONC", jsonc.parse, members.with_member, members.without_member, members.rendered, '"'
)
TOML = Format("TOML", tables.parse, tables.with_member, tables.without_member, tables.rendered)
YAML = Format("YAML", blocks.parse, blocks.with_member, blocks.without_member, blocks.rendered)
YAML_LIST = YAML._replace(
    name="YAML, a list",
    with_member=partial(blocks.with_member, items=True),
    rendered=partial(blocks.rendered, items=True),
)
