"""The unified diff of an edit, without secrets.

These files hold tokens and keys of other servers, and a diff shows lines around the change. So all
strings outside the entry are hidden, as are the entry's own environment and headers.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Sequence

from m2m_ssh_client.hosts.editing import Edit
from m2m_ssh_client.hosts.entries import COMMANDS, TRANSPORT, argv_of, is_ours
from m2m_ssh_client.hosts.nodes import Node, find
from m2m_ssh_client.masking import HIDDEN, masked_argv
from m2m_ssh_client.text import printable, shortened

_PRIVATE = ("env", "environment", "envs", "headers", "http_headers", "bearer_token")
_LONGEST_LINE = 300

_Parse = Callable[[str], "Node | None"]


def difference(edit: Edit, path: Sequence[str], parse: _Parse) -> list[str]:
    """Return the lines of the diff, safe to show; `path` leads to the entry."""
    name = printable(str(edit.file))
    before, after = (_lines(text, path, parse) for text in (edit.before, edit.after))
    if edit.content is None:
        before = []
    diff = difflib.unified_diff(before, after, name, name, lineterm="")
    return [shortened(line, _LONGEST_LINE) for line in diff]


def _lines(text: str, path: Sequence[str], parse: _Parse) -> list[str]:
    root = parse(text)
    hidden = sorted(_hidden(root, find(root, path))) if root else []
    at, parts = 0, []
    for start, end in hidden:
        parts += [text[at:start], json.dumps(HIDDEN, ensure_ascii=False)]
        at = end
    shown = "".join([*parts, text[at:]])
    return [printable(line.removesuffix("\r")) for line in shown.removesuffix("\n").split("\n")]


def _hidden(node: Node, entry: Node | None, hide: bool = True) -> Iterator[tuple[int, int]]:
    """Yield the positions of the strings to hide."""
    if node is entry:
        hide = False
        yield from _secret_arguments(node)
    if hide and isinstance(node.value, str):
        yield node.start, node.end
    for member in node.members:
        yield from _hidden(member.node, entry, hide or member.key in _PRIVATE)
    for item in node.items:
        yield from _hidden(item, entry, hide)


def _secret_arguments(entry: Node) -> Iterator[tuple[int, int]]:
    """Yield the positions of the arguments to hide; `command` may be a list of them, too."""
    inner = [member.node for member in entry.members if member.key == TRANSPORT]
    entries = [entry, *inner]
    command = [each.node for node in entries for each in node.members if each.key in COMMANDS]
    items = [item for node in command for item in node.items]
    members = [member for node in (*entries, *command) for member in node.members]
    items += [item for member in members if member.key == "args" for item in member.node.items]
    argv = argv_of(entry.value)
    shown = masked_argv(argv, ours=is_ours(argv))
    for item, word in zip(items, shown[len(shown) - len(items) :], strict=False):
        if item.value != word and isinstance(item.value, str):
            yield item.start, item.end
