"""Show contents of results (MCP content blocks and resource contents): print text, save bytes."""

from __future__ import annotations

import base64
import binascii
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.terminal.output import write_text
from m2m_ssh_client.terminal.saving import save

Block = dict[str, Any]


@dataclass
class Shown:
    """Sends text to `stream`, files to `folder` (None: the current one).

    Files without a URI are named after `source`.
    """

    source: str
    folder: Path | None
    stream: TextIO

    def tool_result(self, result: dict[str, Any]) -> None:
        blocks = _blocks(result.get("content"))
        for block in blocks:
            self.block(block)
        structured = result.get("structuredContent")
        if structured is not None and not any(block.get("type") == "text" for block in blocks):
            self._json(structured)

    def prompt(self, result: dict[str, Any]) -> None:
        if result.get("description"):
            self._text(f"# {result['description']}")
        for message in _blocks(result.get("messages")):
            self._text(f"[{message.get('role')}]")
            for block in _blocks(message.get("content")):
                self.block(block)

    def resource(self, result: dict[str, Any]) -> None:
        for contents in _blocks(result.get("contents")):
            self._contents(contents)

    def block(self, block: Block) -> None:
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
            self._json(block)

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
        write_text(text, self.stream)

    def _json(self, value: Any) -> None:
        self._text(json.dumps(value, ensure_ascii=False, indent=2))


def _blocks(value: Any) -> list[Block]:
    """Return a list of the objects; a single one, as in prompts, becomes a list."""
    found = value if isinstance(value, list) else [value]
    return [block for block in found if isinstance(block, dict)]
