"""A server of one era only, `era_server.py legacy|modern`, that answers each call with a short text."""

from __future__ import annotations

import json
import sys
from typing import Any

MODERN = "2026-07-28"
VERSION = "io.modelcontextprotocol/protocolVersion"
INITIALIZED = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "benchmark", "version": "1"},
}
DISCOVERED = {
    "resultType": "complete",
    "supportedVersions": [MODERN],
    "capabilities": {"tools": {}},
    "ttlMs": 0,
    "cacheScope": "private",
}
CALLED = {"content": [{"type": "text", "text": "x" * 20}]}


def legacy(method: str, *, enveloped: bool) -> dict[str, Any]:
    if enveloped:
        return {"error": {"code": -32602, "message": "Invalid request parameters"}}
    return {"result": INITIALIZED if method == "initialize" else CALLED}


def modern(method: str, *, enveloped: bool) -> dict[str, Any]:
    if not enveloped:
        return {
            "error": {"code": -32022, "message": "Unsupported", "data": {"supported": [MODERN]}}
        }
    found = DISCOVERED if method == "server/discover" else {**CALLED, "resultType": "complete"}
    return {"result": found}


def main() -> None:
    answer = {"legacy": legacy, "modern": modern}[sys.argv[1]]
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "id" in message and "method" in message:
            meta = (message.get("params") or {}).get("_meta") or {}
            said = answer(message["method"], enveloped=VERSION in meta)
            text = json.dumps({"jsonrpc": "2.0", "id": message["id"], **said})
            sys.stdout.write(text + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
