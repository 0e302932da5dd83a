"""Names of the two protocol eras, and the shapes of their messages.

The legacy era (2024-11-05 to 2025-11-25) opens a session with `initialize`. In the modern one
(2026-07-28) each request describes its sender in `params._meta` (modelcontextprotocol.io,
"Versioning").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from m2m_ssh_client.proxy.frames.frame import (
    INVALID_REQUEST,
    LONGEST_OBJECTS,
    METHOD_NOT_FOUND,
    PROXY_ERROR,
    Id,
    JSONText,
    Members,
    Message,
    NotJSONError,
    NotJSONRPCError,
    fields,
    members_of,
    raw_json,
)
from m2m_ssh_client.proxy.memory.open_requests import is_repeatable

MODERN_VERSION = "2026-07-28"
LEGACY_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")

VERSION = "io.modelcontextprotocol/protocolVersion"
CLIENT_INFO = "io.modelcontextprotocol/clientInfo"
CLIENT_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
LOG_LEVEL = "io.modelcontextprotocol/logLevel"
SERVER_INFO = "io.modelcontextprotocol/serverInfo"
SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId"
ENVELOPE = (VERSION, CLIENT_INFO, CLIENT_CAPABILITIES, LOG_LEVEL)
"""The members of `_meta` in a modern request that describe its sender."""

INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
NOT_FOUND = -32002
"""A legacy server's code for a resource that it does not have."""
URL_NEEDED = -32042
"""A legacy server's code for a request that needs a page to be opened first (2025-11-25)."""
CAPABILITY_NEEDED = -32021
UNSUPPORTED_VERSION = -32022
MODERN_ERRORS = range(-32022, -32019)
"""The codes that only a modern server uses."""

ASKING = frozenset({"tools/call", "prompts/get", "resources/read"})
"""The requests during which a server may ask the host something."""
QUESTIONS = frozenset({"elicitation/create", "roots/list", "sampling/createMessage"})
"""The requests in which a legacy server asks; a modern one makes none."""
CACHEABLE = frozenset(
    {
        "prompts/list",
        "resources/list",
        "resources/read",
        "resources/templates/list",
        "server/discover",
        "tools/list",
    }
)
"""The modern requests whose results must say how long they may be kept."""
LEGACY_ONLY = frozenset(
    {"logging/setLevel", "ping", "resources/subscribe", "resources/unsubscribe"}
)
CANCELLED = "notifications/cancelled"
MODERN_ONLY = frozenset({"server/discover", "subscriptions/listen"})
LISTS = ("tools", "prompts", "resources")
LIST_CHANGED = {f"notifications/{name}/list_changed": name for name in LISTS}
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


def members(text: JSONText) -> Members:
    """Return the members of a JSON object; none if there is no text.

    Raise NotJSONRPCError for any other value, or one that cannot be read.
    """
    data = bytes(text)
    if not data:
        return {}
    try:
        found = members_of(data)
    except (NotJSONError, RecursionError) as exc:
        raise NotJSONRPCError(str(exc)) from exc
    if isinstance(found, list):
        raise NotJSONRPCError("not an object")
    return found


def value_in(found: Members, name: str) -> Any:
    """Return a member as a value; None if it is absent or longer than a mebibyte."""
    text = found.get(name)
    if text is None or len(memoryview(text)) > LONGEST_OBJECTS:
        return None
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):  # one of JSON's rarer forms
        return fields(b'{"value":%b}' % bytes(text)).get("value")


def meta_of(message: Message) -> dict[str, Any]:
    """Return the `_meta` of a message; empty if it has none that can be read."""
    try:
        return fields(members(message.params).get("_meta", b""))
    except NotJSONRPCError:
        return {}


def is_enveloped(message: Message) -> bool:
    """Return whether a request describes its sender as modern ones do."""
    return VERSION in meta_of(message)


def is_modern_answer(message: Message) -> bool:
    """Return whether only a modern server answers so."""
    if message.error:
        return fields(message.error).get("code") in MODERN_ERRORS
    try:
        return "resultType" in members(message.result)
    except NotJSONRPCError:
        return False


def is_own_error(message: Message) -> bool:
    """Return whether the session, rather than the server, may have given this error."""
    return bool(message.error) and fields(message.error).get("code") == PROXY_ERROR


def says_not_understood(error: msgspec.Raw, method: str | None) -> bool:
    """Return whether a legacy server that answers so can be asked again.

    Before `initialize`, servers answer with any of several codes. A tool may fail with others.
    """
    codes = (INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, NOT_FOUND)
    harmless = method is not None and is_repeatable(method)
    return harmless or fields(error).get("code") in codes


def object_text(found: Members) -> bytes:
    """Return an object as JSON text."""
    return _encoded(found)


def request_line(id_: Id, method: str, params: Members) -> bytes:
    """Return a request, with the params as they are."""
    return _encoded({"jsonrpc": "2.0", "id": id_, "method": method, "params": _raw(params)})


def notification_line(method: str, params: Members) -> bytes:
    """Return a notification, with the params as they are."""
    return _encoded({"jsonrpc": "2.0", "method": method, "params": _raw(params)})


def result_line(id_: Id, result: bytes) -> bytes:
    """Return an answer with this result."""
    return _encoded({"jsonrpc": "2.0", "id": id_, "result": msgspec.Raw(result)})


def error_answer(id_: Id, error: bytes) -> bytes:
    """Return an answer with this error object."""
    return _encoded({"jsonrpc": "2.0", "id": id_, "error": msgspec.Raw(error)})


def _raw(found: Members) -> msgspec.Raw:
    return msgspec.Raw(_encoded(found))


def _encoded(found: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(found)
    except UnicodeEncodeError:  # a lone surrogate, which only `json` writes
        pairs = (_slowly(name) + b":" + _slowly(value) for name, value in found.items())
        return b"{" + b",".join(pairs) + b"}"


def _slowly(value: object) -> bytes:
    return bytes(value) if isinstance(value, msgspec.Raw) else bytes(raw_json(value))
