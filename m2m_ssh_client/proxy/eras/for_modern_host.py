"""Answers of a legacy server in the terms of the modern era. Sans-I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from m2m_ssh_client.proxy.eras.terms import (
    CACHEABLE,
    CLIENT_CAPABILITIES,
    ENVELOPE,
    INVALID_PARAMS,
    LEGACY_ONLY,
    LEVELS,
    MODERN_VERSION,
    SERVER_INFO,
    UNSUPPORTED_VERSION,
    VERSION,
    members,
    object_text,
    value_in,
)
from m2m_ssh_client.proxy.frames.frame import (
    METHOD_NOT_FOUND,
    Id,
    JSONText,
    Members,
    error_line,
    message_line,
    raw_json,
)

_CACHE = {"ttlMs": raw_json(0), "cacheScope": raw_json("private")}
_COMPLETE = {"resultType": raw_json("complete")}


def discover_result(server: Mapping[str, Any]) -> bytes:
    """Return the answer to a discover, by what the server said to `initialize`."""
    capabilities = server.get("capabilities")
    offered = dict(capabilities) if isinstance(capabilities, dict) else {}
    offered.pop("tasks", None)
    result: dict[str, Any] = {"supportedVersions": [MODERN_VERSION], "capabilities": offered}
    if isinstance(server.get("instructions"), str):
        result["instructions"] = server["instructions"]
    if isinstance(server.get("serverInfo"), dict):
        result["_meta"] = {SERVER_INFO: server["serverInfo"]}
    return object_text({**members(raw_json(result)), **_COMPLETE, **_CACHE})


def modern_result(method: str, result: JSONText) -> bytes:
    """Return a result that says that it is complete. Raise NotJSONRPCError."""
    cache = _CACHE if method in CACHEABLE else {}
    return object_text({**members(result), **_COMPLETE, **cache})


def legacy_capabilities(declared: Any) -> dict[str, Any]:
    return dict(declared) if isinstance(declared, dict) else {}


def without_meta(params: Members, names: Collection[str] = ENVELOPE) -> Members:
    """Return params of which `_meta` lacks these names. Raise NotJSONRPCError."""
    if "_meta" not in params:
        return params
    meta = members(params["_meta"])
    kept = {name: meta[name] for name in meta if name not in names}
    rest = {name: params[name] for name in params if name != "_meta"}
    return {**rest, "_meta": msgspec.Raw(object_text(kept))} if kept else rest


def rank_of(level: str) -> int:
    """Return how severe a log level is; more than all of them for none."""
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def refusal_of(id_: Id, method: str, meta: Members) -> bytes:
    """Return the error for a request of the host that cannot be translated; empty for others."""
    version = value_in(meta, VERSION)
    if method == "initialize" or version not in (None, MODERN_VERSION):
        error = {
            "code": UNSUPPORTED_VERSION,
            "message": "Unsupported protocol version",
            "data": {"supported": [MODERN_VERSION], "requested": version},
        }
        return message_line(id=id_, error=error)
    if method in LEGACY_ONLY or method.startswith("tasks/"):
        return error_line(id_, METHOD_NOT_FOUND, f"Method not found: {method}")
    for name in (VERSION, CLIENT_CAPABILITIES):
        if name not in meta:
            return error_line(id_, INVALID_PARAMS, f"Invalid params: _meta lacks {name}")
    return b""
