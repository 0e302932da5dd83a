"""The frame of both bridges: lines in, lines out, and each message to its method.

A bridge stands between the host and the session, and speaks the host's era to the one and the
server's era to the other. So the session remembers, repeats and restores what it would for any host
of the server's era. Sans-I/O; times are in seconds on any steady clock.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable

from m2m_ssh_client.proxy.eras.crossing import Between
from m2m_ssh_client.proxy.eras.terms import CANCELLED, INVALID_PARAMS
from m2m_ssh_client.proxy.frames.frame import (
    PROXY_ERROR,
    Frame,
    Id,
    Message,
    NotJSONError,
    NotJSONRPCError,
    as_id,
    error_line,
    fields,
    parse,
    parts,
    unusable_ids,
)
from m2m_ssh_client.proxy.frames.too_long import Reply
from m2m_ssh_client.proxy.memory.held_frames import FOR_EVER, HeldFrame, HeldFrames
from m2m_ssh_client.proxy.memory.session import HOLD_LIMIT, Output

logger = logging.getLogger(__name__)


class EraBridge(ABC):
    """Translates between a host and the session.

    In each `Output`, `to_host` is for the host and `to_remote` for the session.
    """

    def __init__(self, prefix: str, hold_time: float) -> None:
        """`prefix` begins all ids that the bridge makes; neither side may use it.

        `hold_time`: seconds for which a request waits here once the connection is lost.
        """
        self.next: Between | None = self
        self._prefix = prefix
        self._count = 0
        self._now = 0.0
        self._ready = False  # the two sides have met
        self._held = HeldFrames(hold_time)  # of the host, until then
        self._away = False  # the connection was lost before then

    @property
    def next_expiry(self) -> float:
        """The time at which `expire` must be called; infinite if there is none."""
        return min(self._held.next_expiry, self._due)

    @property
    def is_awaited(self) -> bool:
        """Return whether a request of the host waits here for a connection."""
        return self._held.next_expiry < FOR_EVER

    def from_host(self, lines: Iterable[bytes], now: float) -> Output:
        """Take lines of the host."""
        self._now = now
        output = Output()
        for line in lines:
            if isinstance(line, Reply):
                output.to_host.append(line)
                continue
            try:
                frame = parse(line)
            except (NotJSONError, NotJSONRPCError):
                output.to_remote.append(line)  # the session refuses it
                continue
            for part in parts(frame):
                self._from_host(part, output)
        return output

    def from_session(self, lines: Iterable[bytes], now: float) -> Output:
        """Take lines that the session has for the host."""
        self._now = now
        output = Output()
        for line in lines:
            for part in parts(parse(line)):
                self._from_session(part, output)
        return output

    def sent(self, now: float) -> None:
        """Note that the server was sent something."""
        self._now = now

    def lost(self, now: float) -> None:
        """Note that the connection is lost: from now on, what is held waits for that."""
        if not self._ready:
            self._away = True
            for item in self._held.take_all():
                self._keep(item._replace(since=min(item.since, now)))

    def expire(self, now: float, reason: str) -> Output:
        """Answer the requests that were held for too long, and do what else is due."""
        output = Output()
        for item in self._held.take_expired(now):
            id_ = item.frame.messages[0].id
            if id_ is not None:
                output.to_host.append(error_line(id_, PROXY_ERROR, item.expired(reason)))
        self._do_due(now, output)
        return output

    @property
    @abstractmethod
    def _due(self) -> float:
        """The time at which `_do_due` must be called; infinite if there is none."""

    @abstractmethod
    def _do_due(self, now: float, output: Output) -> None:
        """Do what is due, if anything is."""

    def failed(self, reason: str) -> Output:
        """Answer whatever waits for the host here: there will be no server."""
        output = Output()
        for item in self._held.take_all():
            message = item.frame.messages[0]
            if message.is_request and message.id is not None:
                output.to_host.append(error_line(message.id, PROXY_ERROR, reason))
        return output

    def _from_host(self, frame: Frame, output: Output) -> None:
        message = frame.messages[0]
        if len(frame.messages) > 1:
            for each in frame.messages:
                if each.is_request and each.id is not None:
                    text = "Invalid params: nested too deeply"
                    output.to_host.append(error_line(each.id, INVALID_PARAMS, text))
        elif message.method is not None and message.id is None and any(unusable_ids(frame)):
            output.to_remote.append(frame.line)  # as above
        elif message.method == CANCELLED and message.id is None:
            self._cancelled(message, output)
        elif not self._ready:
            self._hold(frame, output)
        elif message.method is None:
            self._host_answer(message, output)
        elif message.id is not None:
            try:
                self._request(message, output)
            except (NotJSONRPCError, RecursionError) as exc:
                text = f"Invalid params: {exc}"
                output.to_host.append(error_line(message.id, INVALID_PARAMS, text))
        else:
            self._notification(message, frame, output)

    def _from_session(self, frame: Frame, output: Output) -> None:
        message = frame.messages[0]
        try:
            if len(frame.messages) > 1:  # nested so deeply that it cannot be taken apart
                self._unreadable(frame, output)
            elif message.method is None:
                self._answer(message, frame, output)
            elif message.id is not None:
                self._server_request(message, output)
            elif not any(unusable_ids(frame)):
                self._server_notification(message, frame, output)
        except (NotJSONRPCError, RecursionError) as exc:
            logger.debug("a message of the server cannot be translated: %s", exc)
            self._unreadable(frame, output)

    def _hold(self, frame: Frame, output: Output) -> None:
        message = frame.messages[0]
        if self._held.size + len(frame.line) <= HOLD_LIMIT:
            self._keep(HeldFrame(frame, self._now))
        elif message.is_request and message.id is not None:
            text = "Too much was sent before the server had answered for the first time"
            output.to_host.append(error_line(message.id, PROXY_ERROR, text))

    def _keep(self, item: HeldFrame) -> None:
        """Hold a frame, with the limit that the session has: see `Session.lost`."""
        message = item.frame.messages[0]
        waits = self._away and message.is_request and message.method != "subscriptions/listen"
        self._held.add(item if waits else item._replace(since=FOR_EVER))

    def _keep_first(self, frame: Frame) -> None:
        """Hold what has been sent in vain before what the host has said since."""
        items = [*self._held.take_all(), HeldFrame(frame, self._now, sent=True)]
        for item in sorted(items, key=lambda item: not item.sent):
            self._keep(item)

    def _cancelled(self, message: Message, output: Output) -> None:
        """Forget the request that the host cancels, at once: a fresh server must not get it."""
        id_ = as_id(fields(message.params).get("requestId"))
        opens = any(
            (each.method, each.id) == ("initialize", id_)
            for item in self._held
            for each in item.frame.messages
        )
        if id_ is None or opens:  # which cannot be cancelled
            return
        if not self._held.cancel(id_):
            self._cancel(id_, output)

    def _release(self, output: Output) -> None:
        """Take the frames that were held, now that the two sides have met."""
        self._ready = True
        for item in self._held.take_all():
            self._from_host(item.frame, output)

    def _give_up(self, output: Output) -> None:
        """Pass on what was held, as it is: the two sides cannot be bridged, or need not be."""
        self.next = None
        output.to_remote += [item.frame.line for item in self._held.take_all()]

    def _own_id(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count}"

    def _unreadable(self, frame: Frame, output: Output) -> None:
        """Answer the requests whose answers cannot be translated, and whatever the server asks."""
        text = "The remote server's message cannot be translated"
        for message in frame.messages:
            if message.is_request and message.id is not None:
                output.to_remote.append(error_line(message.id, INVALID_PARAMS, text))
            if message.method is None and message.id is not None:
                error = parse(error_line(message.id, PROXY_ERROR, text))
                self._answer(error.messages[0], error, output)

    @abstractmethod
    def _request(self, message: Message, output: Output) -> None:
        """Take a request of the host. May raise NotJSONRPCError for its params."""

    @abstractmethod
    def _cancel(self, id_: Id, output: Output) -> None:
        """Cancel a request of the host that the server may have."""

    @abstractmethod
    def _notification(self, message: Message, frame: Frame, output: Output) -> None:
        """Take any other notification of the host."""

    @abstractmethod
    def _host_answer(self, message: Message, output: Output) -> None:
        """Take an answer of the host."""

    @abstractmethod
    def _answer(self, message: Message, frame: Frame, output: Output) -> None:
        """Take an answer of the server, or of the session in its place."""

    @abstractmethod
    def _server_request(self, message: Message, output: Output) -> None:
        """Take a request of the server."""

    @abstractmethod
    def _server_notification(self, message: Message, frame: Frame, output: Output) -> None:
        """Take a notification of the server, or of the session."""
