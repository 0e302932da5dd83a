"""The host's open `subscriptions/listen` requests (2026-07-28), which a fresh server has to get again.

Each stays open under the host's own id. The server acknowledges it before anything else comes; the acknowledgement of
a repeated one is swallowed, as the host had its own (modelcontextprotocol.io, "Subscriptions").

Sans-I/O.
"""

from __future__ import annotations

from m2m_ssh_client.proxy.frames.frame import Id, Message, fields, is_id, member, message_line

_ID = "io.modelcontextprotocol/subscriptionId"
_LISTS = ("tools", "prompts", "resources")


class Subscriptions:
    """What the host listens to, by the id of its request."""

    def __init__(self) -> None:
        self._filters: dict[Id, object] = {}
        self._acknowledged: set[Id] = set()

    def see_request(self, message: Message) -> None:
        """A request of the host passes, perhaps for the second time."""
        if message.method == "subscriptions/listen" and message.id is not None:
            self._filters[message.id] = member(fields(message.params), "notifications")

    def ended(self, id_: Id) -> None:
        """The server answered it, or the host called it back."""
        self._filters.pop(id_, None)
        self._acknowledged.discard(id_)

    def repeats(self, message: Message) -> bool:
        """Whether this notification acknowledges what the host knows to be acknowledged."""
        if message.method != "notifications/subscriptions/acknowledged":
            return False
        id_ = member(fields(message.params), "_meta", _ID)
        if not is_id(id_):
            return False
        again = id_ in self._acknowledged
        if id_ in self._filters:
            self._acknowledged.add(id_)
        return again

    def announcements(self) -> list[bytes]:
        """What the host is to know after a fresh server took over: lists that it listens to may have changed."""
        return [
            message_line(method=f"notifications/{name}/list_changed", params={"_meta": {_ID: id_}})
            for id_, wanted in self._filters.items()
            if id_ in self._acknowledged
            for name in _LISTS
            if member(wanted, f"{name}ListChanged") is True
        ]
