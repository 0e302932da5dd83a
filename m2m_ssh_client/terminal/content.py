"""Show contents of results (MCP content blocks and resource contents): print text, save bytes."""

from __future__ import annotations

import base64
import binascii
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.proxy.frames.frame import JSONText
from m2m_ssh_client.terminal.json_text import items, member, value
from m2m_ssh_client.terminal.limit import Limit
from m2m_ssh_client.terminal.output import NO_LIMIT, write_json_as_text, write_text
from m2m_ssh_client.terminal.saving import save

Block = dict[str, Any]


@dataclass
class Shown:
    """Sends text to `stream`, files to `folder` (None: the current one), within the time limit.

    Files without a URI are named after `source`. Contents come as JSON text.
    """

    source: str
    folder: Path | None
    stream: TextIO
    limit: Limit = NO_LIMIT

    def tool_result(self, result: JSONText) -> None:
        has_text = False
        for text in self._blocks(member(result, "content")):
            has_text |= self.block(text) == "text"
        structured = member(result, "structuredContent")
        if not has_text and structured and bytes(memoryview(structured)[:5]) != b"null":
            self._json(structured)

    def prompt(self, result: JSONText) -> None:
        description = value(member(result, "description"))
        if description:
            self._text(f"# {description}")
        for text in self._blocks(member(result, "messages")):
            self._text(f"[{value(member(text, 'role'))}]")
            for block in self._blocks(member(text, "content")):
                self.block(block)

    def resource(self, result: JSONText) -> None:
        for text in self._blocks(member(result, "contents")):
            self._contents(_object(text))

    def block(self, text: JSONText) -> object:
        """Show a block; return its type."""
        block = _object(text)
        kind = block.get("type")
        if kind == "text":
            self._text(str(block.get("text", "")))
        elif kind in ("image", "audio"):
            self._save(block.get("data"), self.source, block.get("mimeType"))
        elif kind == "resource" and isinstance(block.get("resource"), dict):
            self._contents(block["resource"])
        elif kind == "resource_link":
            about = [block.get("title") or block.get("name"), block.get("description")]
            words = [f"link: {block.get('uri')}", *(str(word) for word in about if word)]
            self._text(" - ".join(words))
        else:
            self._json(text)
        return kind

    def _contents(self, contents: Block) -> None:
        if "blob" in contents:
            uri = str(contents.get("uri") or self.source)
            self._save(contents["blob"], uri, contents.get("mimeType"))
        else:
            self._text(str(contents.get("text", "")))

    def _save(self, encoded: Any, source: str, mime_type: Any) -> None:
        try:
            data = base64.b64decode(encoded, validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise SSHClientError(
                "The server's bytes are not valid base64, as MCP requires"
            ) from None
        path = save(data, self.folder, source, mime_type if isinstance(mime_type, str) else None)
        # The path always goes to stdout, where a script reads it.
        write_text(f"{path} ({mime_type or 'unknown type'}, {len(data)} bytes)", sys.stdout)

    def _text(self, text: str) -> None:
        write_text(text, self.stream, self.limit)

    def _json(self, text: JSONText) -> None:
        write_json_as_text(text, self.stream, self.limit)

    def _blocks(self, text: JSONText) -> Iterator[JSONText]:
        """Yield the objects of a list; a single one, as in prompts, is a list of itself."""
        start = bytes(memoryview(text)[:1])
        for item in [text] if start == b"{" else items(text, self.limit.check):
            if bytes(memoryview(item)[:1]) == b"{":
                yield item


def _object(text: JSONText) -> Block:
    found = value(text)
    return found if isinstance(found, dict) else {}
