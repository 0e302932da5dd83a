"""Configurations of MCP hosts: read, and edited by text. The oracle is Python's json."""

from __future__ import annotations

import codecs
import json
import re
from functools import partial
from typing import Any, NoReturn

from fuzz.target import folder, is_showable

from m2m_ssh_client.errors import AppConfigError
from m2m_ssh_client.hosts.difference import difference
from m2m_ssh_client.hosts.editing import Edit, planned
from m2m_ssh_client.hosts.entries import argv_of, is_ours
from m2m_ssh_client.hosts.jsonc import parse
from m2m_ssh_client.hosts.members import with_member, without_member
from m2m_ssh_client.hosts.nodes import FormatError, Node, find
from m2m_ssh_client.masking import masked_argv

_PATH = ("mcpServers", "lab")
_ENTRY = {"command": "/bin/x", "args": ["--host", "h"]}
_SECRET = "S3CRET"
_MOST_NESTED = 200


def check_json(data: bytes) -> None:
    """Without comments it is JSON, no more and no less."""
    text = data.decode("utf-8", "replace")
    if text.count("[") + text.count("{") > _MOST_NESTED or re.search(r"\d{4000}", text):
        _parsed(text, comments=True)
        return
    try:
        expected = json.loads(text, parse_constant=_refuse)
    except ValueError:
        assert not text.strip(" \t\r\n") or _parsed(text, comments=False) is None
        return
    for comments in (True, False):
        node = _parsed(text, comments=comments)
        assert node is not None
        assert _same(node.value, expected)
        assert text[node.start : node.end] == text.strip(" \t\r\n")
        for scalar in node.scalars():
            assert _same(scalar.value, json.loads(text[scalar.start : scalar.end]))


def check_edit(content: bytes) -> None:
    """A file, with comments allowed and not: an entry is set and removed, and nothing else changes."""
    for comments in (True, False):
        path = folder() / "mcp.json"
        path.write_bytes(content)
        try:
            edit = planned(path, partial(with_member, path=_PATH, value=_ENTRY, comments=comments))
        except AppConfigError as exc:
            is_showable(exc)
            _is_refused_with_reason(content, comments)
        else:
            _is_set(edit, comments)
            for line in difference(edit, _PATH, parse):
                is_showable(line)
                assert _SECRET not in line or not _is_hidden(edit.before)
            if edit.changes:
                _is_written(edit, content)
        _is_removed(content, comments)


def _is_set(edit: Edit, comments: bool) -> None:
    before, after = edit.before, edit.after
    old, new = parse(before, comments=comments), parse(after, comments=comments)
    value: dict[str, Any] = old.value if old else {}
    servers = {**value.get("mcpServers", {}), "lab": _ENTRY}
    assert new is not None
    assert _same(new.value, {**value, "mcpServers": servers})
    existing, entry = find(old, _PATH), find(new, _PATH)
    assert entry is not None
    if existing is not None:
        assert before[: existing.start] == after[: entry.start]
        assert before[existing.end :] == after[entry.end :]
    else:
        _is_within(before, after)
    assert with_member(after, _PATH, _ENTRY, comments=comments) == after
    back = parse(without_member(after, _PATH, comments=comments), comments=comments)
    servers.pop("lab")
    assert back is not None
    assert _same(back.value, {**value, "mcpServers": servers})
    argv = argv_of(entry.value)
    assert not is_ours(argv)
    assert masked_argv(argv, ours=False) == ["/bin/x", "--host", "h"]


def _is_removed(content: bytes, comments: bool) -> None:
    try:
        before = content.removeprefix(codecs.BOM_UTF8).decode()
        after = without_member(before, _PATH, comments=comments)
    except (UnicodeDecodeError, FormatError):
        return
    root = parse(before, comments=comments)
    if find(root, _PATH) is None:
        assert after == before
        return
    assert root is not None
    servers = dict(root.value["mcpServers"])
    lab = argv_of(servers.pop("lab"))
    masked_argv(lab, ours=is_ours(lab))
    new = parse(after, comments=comments)
    assert new is not None
    assert _same(new.value, {**root.value, "mcpServers": servers})
    _is_within(after, before)


def _is_within(less: str, more: str) -> None:
    """Comments, keys and values of the one are a beginning and an end of the other; commas and blanks come and go."""
    less, more = (re.sub(r"[\s,]", "", text) for text in (less, more))
    most = len(less)
    head = next((i for i in range(most) if less[i] != more[i]), most)
    tail = next((i for i in range(most - head) if less[-1 - i] != more[-1 - i]), most - head)
    assert head + tail == most


def _is_refused_with_reason(content: bytes, comments: bool) -> None:
    """It was left as it is, and could not have been edited."""
    path = folder() / "mcp.json"
    assert path.read_bytes() == content
    try:
        text = content.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError:
        return
    root = _parsed(text, comments=comments)
    value = root.value if root else None
    if isinstance(value, dict) and isinstance(value.get("mcpServers", {}), dict):
        assert text.count("mcpServers") + text.count("lab") > 1 or "\\u" in text


def _is_written(edit: Edit, content: bytes) -> None:
    backup = edit.write()
    assert edit.file.read_bytes() == edit.after.encode()
    assert backup is not None
    assert backup.read_bytes() == content
    backup.unlink()


def _is_hidden(text: str) -> bool:
    """Whether the secret is only where it must be hidden: in strings that are not of the entry."""
    root = parse(text)
    if root is None:
        return False
    entry = find(root, _PATH)
    inside = entry.scalars() if entry else ()
    hidden = set(root.scalars()) - set(inside) if _is_hashable(root) else set()
    return text.count(_SECRET) == sum(
        text[n.start : n.end].count(_SECRET) for n in hidden if isinstance(n.value, str)
    )


def _is_hashable(root: Node) -> bool:
    return all(isinstance(scalar.value, (str, int, float, type(None))) for scalar in root.scalars())


def _parsed(text: str, *, comments: bool) -> Node | None:
    try:
        return parse(text, comments=comments)
    except FormatError:
        return None


def _same(one: Any, other: Any) -> bool:
    """Equal, and of the same types and order: 1 is not true, nor is it 1.0."""
    return json.dumps(one) == json.dumps(other)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
