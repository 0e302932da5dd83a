"""One `subscriptions/listen` at a modern server for all that a legacy host subscribes to.

Sans-I/O.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from m2m_ssh_client.proxy.eras.terms import (
    CANCELLED,
    INTERNAL_ERROR,
    LISTS,
    SUBSCRIPTION_ID,
    error_answer,
)
from m2m_ssh_client.proxy.frames.frame import (
    Id,
    Members,
    Message,
    error_line,
    fields,
    member,
    message_line,
    raw_json,
)
from m2m_ssh_client.proxy.memory.session import Output

logger = logging.getLogger(__name__)

_MOST_RENEWALS = 10
_LISTEN = "subscriptions/listen"


class _Listen(NamedTuple):
    id: Id
    uris: frozenset[str]


class LegacySubscriptions:
    """The present listen, and the next one that will replace it.

    The next one is acknowledged before the present one is cancelled, so no notification is missed;
    those of the one that is not the present one are dropped, so none comes twice.
    """

    def __init__(
        self,
        own_id: Callable[[], Id],
        request: Callable[[Id, str, Members], bytes],
        capabilities: Any,
    ) -> None:
        """`request` returns a line with the envelope; `capabilities` are the server's."""
        self._own_id = own_id
        self._request = request
        self._lists = [
            f"{name}ListChanged"
            for name in LISTS
            if member(capabilities, name, "listChanged") is True
        ]
        self._uris: dict[str, None] = {}
        self._present: _Listen | None = None
        self._next: _Listen | None = None
        self._waiting: dict[Id, str] = {}  # the host's subscribe requests, with their URIs
        self._renewals = 0

    def open(self, output: Output) -> None:
        """Listen to what the host wants, if that differs from what is listened to."""
        wanted = frozenset(self._uris)
        if self._next is not None:
            return  # its acknowledgement comes back here
        if self._present is not None and self._present.uris == wanted:
            self._settle(output)
            return
        if not wanted and not self._lists:
            self._end_present(output)
            return
        notifications: dict[str, Any] = dict.fromkeys(self._lists, True)
        if wanted:
            notifications["resourceSubscriptions"] = sorted(wanted)
        self._next = _Listen(self._own_id(), wanted)
        params = {"notifications": raw_json(notifications)}
        output.to_remote.append(self._request(self._next.id, _LISTEN, params))

    def subscribe(self, id_: Id, uri: str, output: Output) -> None:
        """Answer the host once the server has acknowledged this URI."""
        self._uris[uri] = None
        self._waiting[id_] = uri
        self.open(output)

    def unsubscribe(self, id_: Id, uri: str, output: Output) -> None:
        """Answer the host, and listen to less."""
        self._uris.pop(uri, None)
        for each in [*(id_ for id_, waits in self._waiting.items() if waits == uri), id_]:
            self._waiting.pop(each, None)  # nobody listens to what this would have begun
            output.to_host.append(message_line(id=each, result={}))
        self.open(output)

    def cancel(self, id_: Id) -> bool:
        """Forget a subscribe request that the host cancels; return whether it was one."""
        return self._waiting.pop(id_, None) is not None

    def acknowledged(self, message: Message, output: Output) -> None:
        """Note the acknowledgement of the next listen, which becomes the present one."""
        params = fields(message.params)
        if self._next is None or member(params, "_meta", SUBSCRIPTION_ID) != self._next.id:
            return
        self._end_present(output)
        self._present, self._next = self._next, None
        granted = member(params, "notifications", "resourceSubscriptions")
        refused = self._present.uris.difference(granted if isinstance(granted, list) else ())
        for uri in refused:
            self._uris.pop(uri, None)
        self._present = self._present._replace(uris=self._present.uris - refused)
        self._refuse(refused, "The server does not let this resource be subscribed to", output)
        self._settle(output)
        self.open(output)

    def answered(self, message: Message, output: Output) -> bool:
        """Note the end of a listen; return whether this answer is one."""
        if self._next is not None and message.id == self._next.id:
            refused, self._next = self._next.uris, None
            for id_, uri in list(self._waiting.items()):
                if uri in refused:
                    del self._waiting[id_]
                    self._uris.pop(uri, None)
                    output.to_host.append(_refusal(id_, message))
            if self._waiting:
                self.open(output)
            return True
        if self._present is not None and message.id == self._present.id:
            self._present = None
            self._renew(output)
            return True
        return False

    def ended(self, id_: Id, output: Output) -> None:
        """Note that the server cancels a listen."""
        if self._present is not None and id_ == self._present.id:
            self._end_present(output)
            self._renew(output)

    def wants(self, message: Message) -> bool:
        """Return whether a notification of a subscription is for the host."""
        params = fields(message.params)
        present = self._present
        if present is None or member(params, "_meta", SUBSCRIPTION_ID) != present.id:
            return False
        if message.method != "notifications/resources/updated":
            return True
        uri = params.get("uri")  # or one below a URI that was subscribed to
        return bool(self._uris) and (uri in self._uris or uri not in present.uris)

    def failed(self, reason: str, output: Output) -> None:
        """Answer the requests that wait for an acknowledgement."""
        self._refuse(frozenset(self._waiting.values()), reason, output)

    def _renew(self, output: Output) -> None:
        """Listen again after the server has ended the present listen; not for ever."""
        self._renewals += 1
        if self._renewals <= _MOST_RENEWALS:
            self.open(output)
        else:
            logger.warning("the remote server has ended its subscriptions too often")

    def _end_present(self, output: Output) -> None:
        if self._present is not None:
            params = {"requestId": self._present.id}
            output.to_remote.append(message_line(method=CANCELLED, params=params))
            self._present = None

    def _settle(self, output: Output) -> None:
        """Answer the subscribe requests for what is listened to."""
        for id_, uri in list(self._waiting.items()):
            if self._present is not None and uri in self._present.uris:
                del self._waiting[id_]
                output.to_host.append(message_line(id=id_, result={}))

    def _refuse(self, uris: frozenset[str], reason: str, output: Output) -> None:
        for id_, uri in list(self._waiting.items()):
            if uri in uris:
                del self._waiting[id_]
                output.to_host.append(error_line(id_, INTERNAL_ERROR, f"{reason}: {uri}"))


def _refusal(id_: Id, message: Message) -> bytes:
    if message.error:
        return error_answer(id_, bytes(message.error))
    return error_line(id_, INTERNAL_ERROR, "The server does not let resources be subscribed to")
