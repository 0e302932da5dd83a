"""Tables of tools, resources and prompts, from the results of MCP's `…/list` methods.

SDK 1.x does not validate these results, so nothing about their form is assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from m2m_ssh_client.terminal.arguments import types_of

Entry = dict[str, Any]
Rows = list[list[str]]

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


def table(kind: str, lists: Mapping[str, Iterable[Entry]]) -> tuple[tuple[str, ...], Rows]:
    """Return columns and rows for the lists of `tools`, `resources` or `prompts`."""
    columns, rows = _TABLES[kind]
    return columns, [row for entries in lists.values() for row in rows(entries)]


def tool_rows(tools: Iterable[Entry]) -> Rows:
    return [
        [
            _text(tool.get("name")),
            _text(tool.get("title") or _object(tool.get("annotations")).get("title")),
            "\n".join(_inputs(_object(tool.get("inputSchema")))),
            "\n".join(_annotations(_object(tool.get("annotations")))),
            _first_line(tool.get("description")),
        ]
        for tool in tools
    ]


def resource_rows(resources: Iterable[Entry]) -> Rows:
    """Return rows for resources or resource templates."""
    return [
        [
            _text(entry.get("uri") or entry.get("uriTemplate")),
            _text(entry.get("name")),
            _text(entry.get("title")),
            _text(entry.get("mimeType")),
            _text(entry.get("size")),
            _first_line(entry.get("description")),
        ]
        for entry in resources
    ]


def prompt_rows(prompts: Iterable[Entry]) -> Rows:
    return [
        [
            _text(prompt.get("name")),
            _text(prompt.get("title")),
            "\n".join(
                _text(argument.get("name")) + ("*" if argument.get("required") else "")
                for argument in map(_object, _list(prompt.get("arguments")))
            ),
            _first_line(prompt.get("description")),
        ]
        for prompt in prompts
    ]


_TABLES: dict[str, tuple[tuple[str, ...], Callable[[Iterable[Entry]], Rows]]] = {
    "tools": (TOOL_COLUMNS, tool_rows),
    "resources": (RESOURCE_COLUMNS, resource_rows),
    "prompts": (PROMPT_COLUMNS, prompt_rows),
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
