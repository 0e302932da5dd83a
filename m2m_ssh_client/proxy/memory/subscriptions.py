"""The host's open `subscriptions/listen` requests (2026-07-28), to repeat on a fresh server.

Sans-I/O.
"""

from __future__ import annotations

from m2m_ssh_client.proxy.frames.frame import Id, Message, fields, is_id, member, message_line
from m2m_ssh_client.proxy.memory.open_requests import answerable_under

_ID = "io.modelcontextprotocol/subscriptionId"
_LISTS = ("tools", "prompts", "resources")


class Subscriptions:
    """The open subscriptions, by the id of the host's request.

    A subscription keeps the host's id when it is sent to a fresh server. Each server acknowledges
    it before it sends anything else for it (modelcontextprotocol.io, "Subscriptions"). The host
    gets the first acknowledgement; the session drops the later ones, and those that come after the
    subscription has ended.
    """

    def __init__(self) -> None:
        self._filters: dict[Id, object] = {}
        self._acknowledged: set[Id] = set()

    def see_request(self, message: Message) -> None:
        """Note a request of the host, which may be sent for the second time."""
        if message.method == "subscriptions/listen" and message.id is not None:
            self._filters[message.id] = member(fields(message.params), "notifications")

    def ended(self, id_: Id) -> None:
        """Forget a subscription that the server answered or the host cancelled."""
        self._filters.pop(id_, None)
        self._acknowledged.discard(id_)

    def is_needless(self, message: Message) -> bool:
        """Note a notification; return whether the host does not need this acknowledgement."""
        if message.method != "notifications/subscriptions/acknowledged":
            return False
        id_ = member(fields(message.params), "_meta", _ID)
        if not is_id(id_):
            return False
        for each in answerable_under(id_):
            if each in self._filters and each not in self._acknowledged:
                self._acknowledged.add(each)
                return False
        return True

    def announcements(self) -> list[bytes]:
        """Return notifications for the host after a fresh server has taken over.

        They say that the lists to which the host has subscribed may have changed.
        """
        return [
            message_line(method=f"notifications/{name}/list_changed", params={"_meta": {_ID: id_}})
            for id_, wanted in self._filters.items()
            if id_ in self._acknowledged
            for name in _LISTS
            if member(wanted, f"{name}ListChanged") is True
        ]
