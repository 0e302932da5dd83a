"""Answers of a modern server in the terms of the legacy era. Sans-I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from m2m_ssh_client.proxy.eras.terms import (
    INTERNAL_ERROR,
    LEGACY_VERSIONS,
    SERVER_INFO,
    SUBSCRIPTION_ID,
    UNSUPPORTED_VERSION,
    members,
    notification_line,
    object_text,
)
from m2m_ssh_client.proxy.frames.frame import (
    LONGEST_OBJECTS,
    Members,
    Message,
    fields,
    items_of,
    member,
    raw_json,
)


def initialize_result(found: Mapping[str, Any], version: Any) -> dict[str, Any]:
    """Return the answer to a host that asked for this version, by the server's discover result."""
    capabilities = found.get("capabilities")
    offered = dict(capabilities) if isinstance(capabilities, dict) else {}
    offered.pop("extensions", None)
    info = member(found, "_meta", SERVER_INFO)
    result: dict[str, Any] = {
        "protocolVersion": version if version in LEGACY_VERSIONS else LEGACY_VERSIONS[-1],
        "capabilities": offered,
        "serverInfo": info if isinstance(info, dict) else {"name": "remote", "version": ""},
    }
    if isinstance(found.get("instructions"), str):
        result["instructions"] = found["instructions"]
    return result


def modern_capabilities(declared: Any) -> dict[str, Any]:
    """Return a legacy host's capabilities without what the modern era does not have."""
    capabilities = dict(declared) if isinstance(declared, dict) else {}
    capabilities.pop("tasks", None)
    if isinstance(capabilities.get("roots"), dict):
        capabilities["roots"] = {}
    return capabilities


def legacy_error(error: msgspec.Raw) -> bytes:
    found = fields(error)
    if found.get("code") != UNSUPPORTED_VERSION:
        return bytes(error)
    text = str(found.get("message") or "The server does not support this protocol version")
    return bytes(raw_json({"code": INTERNAL_ERROR, "message": text}))


def legacy_result(method: str, result: Members) -> bytes:
    """Return a result without what only the modern era has, and without what legacy SDKs refuse.

    The 1.x SDKs for Python and TypeScript refuse a whole answer for an output schema or structured
    content that is not an object; by the specification the content says the same as text.
    """
    for name in ("resultType", "ttlMs", "cacheScope"):
        result.pop(name, None)
    if "_meta" in result:
        meta = members(result["_meta"])
        if meta.pop(SERVER_INFO, None) is not None:
            del result["_meta"]
            if meta:
                result["_meta"] = msgspec.Raw(object_text(meta))
    if method == "tools/call" and not _is_object(result.get("structuredContent")):
        result.pop("structuredContent", None)
    elif method == "tools/list" and "tools" in result:
        tools = items_of(bytes(result["tools"]))
        result["tools"] = msgspec.Raw(b"[" + b",".join(map(_legacy_tool, tools)) + b"]")
    return object_text(result)


def _legacy_tool(tool: msgspec.Raw) -> bytes:
    if b'"outputSchema"' not in bytes(tool):
        return bytes(tool)
    found = members(tool)
    schema = found.get("outputSchema")
    if schema is None or len(memoryview(schema)) > LONGEST_OBJECTS:
        return bytes(tool)
    if fields(schema).get("type") == "object":
        return bytes(tool)
    del found["outputSchema"]
    return object_text(found)


def _is_object(text: msgspec.Raw | None) -> bool:
    return text is not None and bytes(memoryview(text)[:1]) == b"{"


def without_subscription(message: Message) -> bytes:
    params = members(message.params)
    meta = members(params.pop("_meta", msgspec.Raw()))
    meta.pop(SUBSCRIPTION_ID, None)
    if meta:
        params["_meta"] = msgspec.Raw(object_text(meta))
    return notification_line(str(message.method), params)
