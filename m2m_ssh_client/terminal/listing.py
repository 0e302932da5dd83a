"""Tables of tools, resources and prompts, from the results of MCP's `…/list` methods.

Nothing validates these results, so nothing about their form is assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from m2m_ssh_client.terminal.arguments import types_of
from m2m_ssh_client.terminal.json_text import value

Entry = dict[str, Any]

TOOL_COLUMNS = ("tool", "title", "arguments (* required)", "annotations", "description")
RESOURCE_COLUMNS = ("resource", "name", "title", "type", "bytes", "description")
PROMPT_COLUMNS = ("prompt", "title", "arguments (* required)", "description")

_ANNOTATIONS = {
    ("readOnlyHint", True): "read-only",
    ("destructiveHint", True): "destructive",
    ("destructiveHint", False): "not destructive",
    ("idempotentHint", True): "idempotent",
    ("openWorldHint", True): "open world",
    ("openWorldHint", False): "closed world",
}


class Rows:
    """The rows of a table, made of entries each time that they are iterated over.

    `check` is called now and then, and may raise.
    """

    def __init__(
        self, kind: str, lists: Mapping[str, Sequence[bytes]], check: Callable[[], None]
    ) -> None:
        """`kind` is `tools`, `resources` or `prompts`; `lists` are its entries, as text."""
        self.columns, self._row = _TABLES[kind]
        self._lists = lists
        self._check = check

    def __iter__(self) -> Iterator[list[str]]:
        for text in chain.from_iterable(self._lists.values()):
            self._check()
            yield self._row(_object(value(text)))


def tool_row(tool: Entry) -> list[str]:
    return [
        _text(tool.get("name")),
        _text(tool.get("title") or _object(tool.get("annotations")).get("title")),
        "\n".join(_inputs(_object(tool.get("inputSchema")))),
        "\n".join(_annotations(_object(tool.get("annotations")))),
        _first_line(tool.get("description")),
    ]


def resource_row(entry: Entry) -> list[str]:
    """Return the row for a resource or a resource template."""
    return [
        _text(entry.get("uri") or entry.get("uriTemplate")),
        _text(entry.get("name")),
        _text(entry.get("title")),
        _text(entry.get("mimeType")),
        _text(entry.get("size")),
        _first_line(entry.get("description")),
    ]


def prompt_row(prompt: Entry) -> list[str]:
    return [
        _text(prompt.get("name")),
        _text(prompt.get("title")),
        "\n".join(
            _text(argument.get("name")) + ("*" if argument.get("required") else "")
            for argument in map(_object, _list(prompt.get("arguments")))
        ),
        _first_line(prompt.get("description")),
    ]


_TABLES: dict[str, tuple[tuple[str, ...], Callable[[Entry], list[str]]]] = {
    "tools": (TOOL_COLUMNS, tool_row),
    "resources": (RESOURCE_COLUMNS, resource_row),
    "prompts": (PROMPT_COLUMNS, prompt_row),
}


def _inputs(schema: Entry) -> list[str]:
    required = _list(schema.get("required"))
    return [
        f"{name}{'*' * (name in required)}: {'|'.join(sorted(types_of(of, schema))) or 'any'}"
        for name, of in _object(schema.get("properties")).items()
    ]


def _annotations(annotations: Entry) -> list[str]:
    return [word for (name, is_so), word in _ANNOTATIONS.items() if annotations.get(name) is is_so]


def _first_line(text: Any) -> str:
    lines = _text(text).strip().splitlines()
    return lines[0] if lines else ""


def _object(value: Any) -> Entry:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return "" if value is None else str(value)
