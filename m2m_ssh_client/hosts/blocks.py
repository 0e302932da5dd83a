"""Set or remove one server in a YAML document in block style, as a member or as a named item.

ruamel.yaml finds the places in the text. Nothing is dumped, because that would change quotes,
indentation and line breaks of the rest: lines are cut and inserted, and the result is used only if
ruamel.yaml reads from it what it should.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from m2m_ssh_client.hosts.nodes import FormatError, Member, Node, line_end, with_value
from m2m_ssh_client.text import safe_in_quotes

YAMLNode: TypeAlias = Any  # the types of ruamel.yaml lack what the kinds of nodes differ in

_STEP = "  "
# In YAML 1.1 or 1.2, of the names that an entry can have.
_NO_PLAIN_KEY = re.compile(r"[\d_-].*|y|n|yes|no|on|off|true|false|null", re.IGNORECASE)
_OTHER_STYLE = "the servers are not written in block style, one below the other"


class _Lines(NamedTuple):
    """A server's lines, `text[start:end]`."""

    name: str
    start: int
    end: int


def parse(text: str) -> Node | None:
    """Return the document; None without a value. Raises FormatError.

    Items of a list that have names are members under these, as are those that Continue takes from
    elsewhere (`uses`). Nothing is an empty mapping. An alias is a value of its own that says
    nothing.
    """
    return _located(text, _composed(text))


def with_member(text: str, path: Sequence[str], value: Any, *, items: bool = False) -> str:
    """Return the text with `value` at `path`: in place of the old one, or behind the last.

    With `items`, the servers are a list, in which each has its name. Raises FormatError.
    """
    key, name = path
    value = {"name": name, **value} if items else value
    root, old_value = _read(text)
    wanted = with_value(old_value, path, value)
    if wanted == old_value:
        return text
    newline = line_end(text)
    found = _pair(root, key)
    if found is None:
        before = text + (newline if text and not text.endswith("\n") else "")
        return _checked(before + _in_lines(rendered(path, value, items=items), newline), wanted)
    servers = found[1]
    is_empty = servers.id == "scalar" or not servers.value
    column = found[0].start_mark.column + len(_STEP) if is_empty else servers.start_mark.column
    new = _in_lines(_server(name, value, items=items, indent=" " * column), newline)
    if not is_empty and (servers.id == "sequence") != items:
        raise FormatError(_OTHER_STYLE)
    if is_empty:
        return _checked(_with_first(text, *found, new), wanted)
    lines = list(_servers(text, servers))
    old = [each for each in lines if each.name == name]
    if old:
        return _checked(text[: old[0].start] + new + text[old[0].end :], wanted)
    at = _behind_comments(text, lines[-1].end, column)
    before = text[:at] + ("" if text[:at].endswith("\n") else newline)
    return _checked(before + new + text[at:], wanted)


def _with_first(text: str, key: YAMLNode, empty: YAMLNode, new: str) -> str:
    """Replace an empty value by the lines of a server; a comment behind it stays."""
    start, end = _colon(text, key), empty.end_mark.index
    if empty.start_mark.index == end:  # nothing at all, whose place is that of the next key
        end = start
    rest = text.find("\n", end) + 1 or len(text)
    line = text[:start] + text[end:rest]
    return line + ("" if line.endswith("\n") else line_end(text)) + new + text[rest:]


def without_member(text: str, path: Sequence[str]) -> str:
    """Return the text without the server at `path`, if it is there. Raises FormatError."""
    key, name = path
    root, old_value = _read(text)
    wanted = with_value(old_value, path, None)
    found = _pair(root, key)
    if found is None or wanted == old_value:
        return text
    lines = list(_servers(text, found[1]))
    old, *others = [each for each in lines if each.name == name]
    if others:
        raise FormatError(f"{key} has {name!r} more than once")
    after = text[: old.start] + text[old.end :]
    if len(lines) == 1:
        colon = _colon(text, found[0])
        empty = " []" if found[1].id == "sequence" else " {}"
        after = after[:colon] + empty + after[colon:]
    return _checked(after, wanted)


def rendered(path: Sequence[str], value: Any, *, items: bool = False) -> str:
    """Return a document that has only this value."""
    *keys, name = path
    if not keys:
        return f"{name}: {_scalar(value)}\n"
    return f"{keys[0]}:\n{_server(name, value, items=items, indent=_STEP)}"


def _server(name: str, value: Any, *, items: bool, indent: str) -> str:
    """Return the lines of a server. Strings are quoted, so that each reader takes them as such."""
    if not items:
        return "".join(_lines({_key(name): value}, indent))
    first, *rest = _lines({"name": name, **value}, indent + _STEP)
    return "".join([f"{indent}- {first.lstrip()}", *rest])


def _lines(value: Any, indent: str) -> Iterator[str]:
    for each in value.items() if isinstance(value, dict) else enumerate(value):
        key, inner = each
        start = f"{indent}{key}:" if isinstance(value, dict) else f"{indent}-"
        if inner and isinstance(inner, (dict, list)):
            yield f"{start}\n"
            yield from _lines(inner, indent + _STEP)
        else:
            yield f"{start} {_scalar(inner)}\n"


def _key(key: str) -> str:
    """Return a key, in quotes if a reader could take it for a number, a boolean or null."""
    return _scalar(key) if _NO_PLAIN_KEY.fullmatch(key) else key


def _scalar(value: Any) -> str:
    return safe_in_quotes(json.dumps(value, ensure_ascii=False))


def _in_lines(text: str, newline: str) -> str:
    return text.replace("\n", newline)


def _composed(text: str) -> YAMLNode | None:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an anchor may be given anew (YAML 1.2, 3.2.2.2)
            # The type for round trips would leave marks in folded strings.
            return YAML(typ="safe", pure=True).compose(text)
    except RecursionError:
        raise FormatError("it is nested too deeply") from None
    except MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise FormatError(f"{where}{exc.problem}") from exc
    except (YAMLError, ValueError, NotImplementedError) as exc:  # the last for some comments
        raise FormatError(f"this is not YAML: {exc}") from exc


def _located(text: str, root: YAMLNode | None) -> Node | None:
    """Return the node for the document that ruamel.yaml has found in the text."""
    try:
        return None if root is None else _converted(text, root, set())
    except RecursionError:
        raise FormatError("it is nested too deeply") from None


def _read(text: str) -> tuple[YAMLNode | None, dict[str, Any]]:
    """Return the document as ruamel.yaml has it, and its value. Raises FormatError."""
    root = _composed(text)
    node = _located(text, root)
    value = node.value if node else {}
    if not isinstance(value, dict):
        raise FormatError("the document is not an object")
    return root, value


def _checked(after: str, wanted: dict[str, Any]) -> str:
    try:
        is_good = _read(after)[1] == wanted
    except FormatError:
        is_good = False
    if not is_good:
        raise FormatError(_OTHER_STYLE)
    return after


def _converted(text: str, node: YAMLNode, seen: set[int]) -> Node:
    start, end = node.start_mark.index, node.end_mark.index
    if id(node) in seen:
        return Node(None, start, start)
    seen.add(id(node))
    end = start + len(text[start:end].rstrip())
    if node.id == "scalar":
        return Node(_plain(node), start, end)
    if node.id == "sequence":
        items = tuple(_converted(text, item, seen) for item in node.value)
        names = [name for item in node.value if (name := _item_name(item))]
        if len(names) < len(items):
            return Node([item.value for item in items], start, end, items=items)
        pairs = list(zip(names, items, strict=True))
    else:
        pairs = [(_spelt(text, key), _converted(text, value, seen)) for key, value in node.value]
    members = tuple(Member(key, value.start, value, None) for key, value in pairs)
    return Node({each.key: each.node.value for each in members}, start, end, members)


def _item_name(item: YAMLNode) -> str:
    """Return the name of a list's item, or what it `uses`; empty without either."""
    pairs = item.value if item.id == "mapping" else ()
    scalars = [pair for pair in pairs if pair[0].id == pair[1].id == "scalar"]
    texts = {key.value: value.value for key, value in scalars}
    return texts.get("name") or texts.get("uses") or ""


def _spelt(text: str, key: YAMLNode) -> str:
    """Return a key; one that is a list or a mapping, which no host has, as it is written."""
    written = text[key.start_mark.index : key.end_mark.index].rstrip()
    return str(key.value) if key.id == "scalar" else written


def _plain(node: YAMLNode) -> Any:
    """Return the value of a scalar, as far as entries need it; else its text."""
    kind = str(node.tag).rpartition(":")[2]
    if kind == "null":
        return {}
    if kind == "bool":
        return node.value.lower() == "true"
    return int(node.value) if kind == "int" and node.value.isdecimal() else node.value


def _pair(root: YAMLNode | None, key: str) -> tuple[YAMLNode, YAMLNode] | None:
    """Return the nodes of the key and of its value, at the top. Raises FormatError."""
    given = root.value if root is not None and root.id == "mapping" else []
    pairs = [pair for pair in given if pair[0].value == key]
    if len(pairs) > 1:
        raise FormatError(f"the document has {key!r} more than once")
    return pairs[0] if pairs else None


def _colon(text: str, key: YAMLNode) -> int:
    """Return the position behind the colon of a key."""
    return text.index(":", key.end_mark.index) + 1


def _servers(text: str, node: YAMLNode) -> Iterator[_Lines]:
    """Yield the lines of each server in a block. Raises FormatError for other styles."""
    at = 0
    for each in node.value:
        key, value = each if node.id == "mapping" else (each, each)
        start = text.rfind("\n", 0, key.start_mark.index) + 1
        if node.id == "sequence":
            name = _item_name(each)
            before = text[start : key.start_mark.index].strip()
        else:
            name, before = _spelt(text, key), text[start : key.start_mark.index].strip() + "-"
        if node.flow_style or before != "-" or start < at:
            raise FormatError(_OTHER_STYLE)
        at = text.find("\n", _end(text, key, value)) + 1 or len(text)
        yield _Lines(name, start, at)


def _end(text: str, key: YAMLNode, value: YAMLNode) -> int:
    """Return the end of a value's text; for ruamel.yaml, a block includes what follows it."""
    start, end = value.start_mark.index, value.end_mark.index
    if start == end or start < key.start_mark.index:  # nothing, or an alias: on the line of the key
        return int(key.end_mark.index)
    if value.id == "scalar" or value.flow_style or not value.value:
        return int(start + len(text[start:end].rstrip()))
    last = value.value[-1]
    return _end(text, *last) if value.id == "mapping" else _end(text, last, last)


def _behind_comments(text: str, at: int, column: int) -> int:
    """Return the position behind comments that are indented like the servers."""
    for line in text[at:].splitlines(keepends=True):
        if not line.lstrip(" ").startswith("#") or len(line) - len(line.lstrip(" ")) < column:
            break
        at += len(line)
    return at
