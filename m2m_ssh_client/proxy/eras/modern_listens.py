"""A modern host's `subscriptions/listen` requests at a legacy server. Sans-I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from m2m_ssh_client.proxy.eras.terms import (
    LIST_CHANGED,
    LISTS,
    SUBSCRIPTION_ID,
    members,
    notification_line,
    object_text,
)
from m2m_ssh_client.proxy.frames.frame import (
    PROXY_ERROR,
    Id,
    Message,
    error_line,
    fields,
    member,
    message_line,
    raw_json,
)
from m2m_ssh_client.proxy.memory.session import Output

_UPDATED = "notifications/resources/updated"


class ModernListens:
    """The open listens by the host's id, and how many of them want each resource."""

    def __init__(self, own_id: Callable[[], Id], capabilities: Any) -> None:
        """`capabilities` are the server's."""
        self._own_id = own_id
        self._capabilities = capabilities
        self._granted: dict[Id, dict[str, Any]] = {}
        self._uris: Counter[str] = Counter()

    def open(self, id_: Id, notifications: Any, output: Output) -> None:
        """Acknowledge what the server can send, and subscribe to the resources."""
        self.close(id_, output)
        granted: dict[str, Any] = {
            f"{name}ListChanged": True
            for name in LISTS
            if member(notifications, f"{name}ListChanged") is True
            and member(self._capabilities, name, "listChanged") is True
        }
        uris = member(notifications, "resourceSubscriptions")
        if isinstance(uris, list) and member(self._capabilities, "resources", "subscribe") is True:
            granted["resourceSubscriptions"] = [uri for uri in uris if isinstance(uri, str)]
        self._granted[id_] = granted
        params = {"_meta": {SUBSCRIPTION_ID: id_}, "notifications": granted}
        method = "notifications/subscriptions/acknowledged"
        output.to_host.append(message_line(method=method, params=params))
        for uri in self._uris_of(granted):
            self._uris[uri] += 1
            if self._uris[uri] == 1:
                output.to_remote.append(self._request("resources/subscribe", uri))

    def close(self, id_: Id, output: Output) -> bool:
        """End a listen that the host cancels; return whether there was one."""
        granted = self._granted.pop(id_, None)
        if granted is None:
            return False
        for uri in self._uris_of(granted):
            self._uris[uri] -= 1
            if not self._uris[uri]:
                del self._uris[uri]
                output.to_remote.append(self._request("resources/unsubscribe", uri))
        return True

    def pass_on(self, message: Message, output: Output) -> None:
        """Give a notification to each listen that wants it."""
        params = members(message.params)
        meta = members(params.get("_meta", b""))
        for id_, granted in self._granted.items():
            if _wants(granted, message):
                params["_meta"] = msgspec.Raw(object_text({**meta, SUBSCRIPTION_ID: raw_json(id_)}))
                output.to_host.append(notification_line(str(message.method), params))

    def failed(self, reason: str, output: Output) -> None:
        """Answer all listens: there will be no server."""
        output.to_host += [error_line(id_, PROXY_ERROR, reason) for id_ in self._granted]
        self._granted.clear()

    def _request(self, method: str, uri: str) -> bytes:
        return message_line(id=self._own_id(), method=method, params={"uri": uri})

    def _uris_of(self, granted: dict[str, Any]) -> set[str]:
        return set(granted.get("resourceSubscriptions", ()))


def _wants(granted: dict[str, Any], message: Message) -> bool:
    if message.method == _UPDATED:
        uri, wanted = fields(message.params).get("uri"), granted.get("resourceSubscriptions", ())
        # The server may name one below a URI that was subscribed to.
        return isinstance(uri, str) and any(uri.startswith(each) for each in wanted)
    return granted.get(f"{LIST_CHANGED[str(message.method)]}ListChanged") is True
