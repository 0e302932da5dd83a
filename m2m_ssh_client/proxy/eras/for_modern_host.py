"""Answers of a legacy server in the terms of the modern era. Sans-I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from m2m_ssh_client.proxy.eras.terms import (
    CACHEABLE,
    ENVELOPE,
    LEVELS,
    MODERN_VERSION,
    SERVER_INFO,
    members,
    object_text,
)
from m2m_ssh_client.proxy.frames.frame import JSONText, Members, raw_json

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


def without_envelope(params: Members) -> Members:
    if "_meta" not in params:
        return params
    meta = members(params["_meta"])
    kept = {name: meta[name] for name in meta if name not in ENVELOPE}
    rest = {name: params[name] for name in params if name != "_meta"}
    return {**rest, "_meta": msgspec.Raw(object_text(kept))} if kept else rest


def rank_of(level: str) -> int:
    """Return how severe a log level is; more than all of them for none."""
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)
