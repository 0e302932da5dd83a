"""A host of the legacy era with a server that speaks 2026-07-28 only. Sans-I/O.

To the session this is a modern host: it discovers the server, describes itself in each request, and
listens to what the real host subscribes to. What a modern server asks in a result becomes a request
to the host; its answer goes back with the same call (`rounds.py`).
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from m2m_ssh_client.proxy.eras.era_bridge import EraBridge
from m2m_ssh_client.proxy.eras.for_legacy_host import (
    initialize_result,
    legacy_error,
    legacy_result,
    modern_capabilities,
    without_subscription,
)
from m2m_ssh_client.proxy.eras.legacy_subscriptions import LegacySubscriptions
from m2m_ssh_client.proxy.eras.rounds import Call, Rounds
from m2m_ssh_client.proxy.eras.terms import (
    ASKING,
    CANCELLED,
    CLIENT_CAPABILITIES,
    CLIENT_INFO,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    LEVELS,
    LOG_LEVEL,
    MODERN_ONLY,
    MODERN_VERSION,
    SUBSCRIPTION_ID,
    VERSION,
    error_answer,
    members,
    object_text,
    request_line,
    result_line,
    value_in,
)
from m2m_ssh_client.proxy.frames.frame import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PROXY_ERROR,
    Frame,
    Id,
    Members,
    Message,
    NotJSONRPCError,
    as_id,
    error_line,
    fields,
    message_line,
    raw_json,
)
from m2m_ssh_client.proxy.memory.held_frames import FOR_EVER, HeldFrame
from m2m_ssh_client.proxy.memory.open_requests import NOT_SENT, answerable_under
from m2m_ssh_client.proxy.memory.session import Output

logger = logging.getLogger(__name__)


class LegacyHost(EraBridge):
    """The bridge for a host whose `initialize` a modern server has refused."""

    def __init__(self, prefix: str, hold_time: float, initialize: Frame, refusal: bytes) -> None:
        """`refusal` is the server's answer to `initialize`, which the host has not seen."""
        super().__init__(prefix, hold_time)
        self._keep(HeldFrame(initialize, FOR_EVER, sent=True))
        self._initialize_id = initialize.messages[0].id
        self._refusal = refusal
        self._opened: dict[str, Any] | None = None  # the result, until the host has it
        params = fields(initialize.messages[0].params)
        self._version = params.get("protocolVersion")
        self._capabilities = modern_capabilities(params.get("capabilities"))
        self._envelope: Members = {
            VERSION: raw_json(MODERN_VERSION),
            CLIENT_CAPABILITIES: raw_json(self._capabilities),
        }
        if isinstance(params.get("clientInfo"), dict):
            self._envelope[CLIENT_INFO] = raw_json(params["clientInfo"])
        self._discover_id: Id | None = None
        self._failure: str | None = None
        self._subscriptions: LegacySubscriptions | None = None
        self._rounds = Rounds(self._own_id, self._capabilities, self._send)
        self._calls: dict[Id, Call] = {}  # at the server, by the id that it knows

    def begin(self) -> Output:
        """Ask the server whether it is a modern one."""
        self._discover_id = self._own_id()
        return Output(to_remote=[self._enveloped(self._discover_id, "server/discover", {})])

    @property
    def _due(self) -> float:
        return self._rounds.next_expiry

    def _do_due(self, now: float, output: Output) -> None:
        self._rounds.expire(now, output)

    def failed(self, reason: str) -> Output:
        self._failure = reason
        self._discover_id = None
        output = super().failed(reason)
        self._ready = True
        self._rounds.failed(reason, output)
        if self._subscriptions is not None:
            self._subscriptions.failed(reason, output)
        return output

    # From the host.

    def _request(self, message: Message, output: Output) -> None:
        id_, method = message.id, message.method
        if id_ is None or method is None:
            return
        if method == "ping":
            output.to_host.append(message_line(id=id_, result={}))
        elif method == "logging/setLevel":
            output.to_host.append(self._set_level(id_, fields(message.params).get("level")))
        elif method in ("resources/subscribe", "resources/unsubscribe"):
            self._subscribe(id_, method, fields(message.params).get("uri"), output)
        elif method == "initialize":
            output.to_host.append(self._initialize(id_))
        elif method in MODERN_ONLY or method.startswith("tasks/"):
            text = f"Method not found: {method} (the server speaks {MODERN_VERSION} only)"
            output.to_host.append(error_line(id_, METHOD_NOT_FOUND, text))
        else:
            params = members(message.params)
            params.pop("task", None)
            self._send(Call(id_, method, params, id_), output)

    def _send(self, call: Call, output: Output, **more: msgspec.Raw) -> None:
        """Send a call to the server, or the next round of it with what the host answered."""
        self._calls[call.at_server] = call
        line = self._enveloped(call.at_server, call.method, {**call.params, **more})
        output.to_remote.append(line)

    def _enveloped(self, id_: Id, method: str, params: Members) -> bytes:
        """Return a request that describes the host."""
        meta = self._envelope
        if "_meta" in params:
            meta = {**members(params["_meta"]), **meta}
        return request_line(id_, method, {**params, "_meta": msgspec.Raw(object_text(meta))})

    def _initialize(self, id_: Id) -> bytes:
        """Return the answer to `initialize`: to the first one that has not waited for too long."""
        result, self._opened = self._opened, None
        if result is None:
            return error_line(id_, INVALID_REQUEST, "Invalid Request: already initialized")
        return message_line(id=id_, result=result)

    def _set_level(self, id_: Id, level: Any) -> bytes:
        if level not in LEVELS:
            return error_line(id_, INVALID_PARAMS, "Invalid params: not a log level")
        self._envelope = {**self._envelope, LOG_LEVEL: raw_json(level)}
        return message_line(id=id_, result={})

    def _subscribe(self, id_: Id, method: str, uri: Any, output: Output) -> None:
        if not isinstance(uri, str):
            raise NotJSONRPCError("a uri is needed")
        if self._subscriptions is None:
            text = "The server does not let resources be subscribed to"
            output.to_host.append(error_line(id_, INTERNAL_ERROR, text))
        elif method == "resources/subscribe":
            self._subscriptions.subscribe(id_, uri, output)
        else:
            self._subscriptions.unsubscribe(id_, uri, output)

    def _notification(self, message: Message, frame: Frame, output: Output) -> None:
        if message.method == "notifications/initialized":
            if self._subscriptions is not None:
                self._subscriptions.open(output)
        elif message.method not in ("notifications/progress", "notifications/roots/list_changed"):
            output.to_remote.append(frame.line)  # an extension's

    def _cancel(self, id_: Id, output: Output) -> None:
        if self._subscriptions is not None and self._subscriptions.cancel(id_):
            return
        self._rounds.cancel(id_, output)
        for at_server, call in list(self._calls.items()):
            if call.id == id_:
                del self._calls[at_server]
                self._rounds.ended(call)
                params = {"requestId": at_server}
                line = message_line(method=CANCELLED, params=params)
                output.to_remote.append(line)

    def _host_answer(self, message: Message, output: Output) -> None:
        self._rounds.answered(message, output)

    # From the server.

    def _answer(self, message: Message, frame: Frame, output: Output) -> None:
        id_ = message.id
        if id_ is not None and id_ == self._discover_id:
            self._discovered(message, output)
            return
        if self._subscriptions is not None and self._subscriptions.answered(message, output):
            return
        call = self._call_of(id_)
        if call is None:
            if message.error and not str(id_).startswith(self._prefix):
                output.to_host.append(frame.line)  # the session's, about an invalid line
        elif message.error:
            self._rounds.ended(call)
            output.to_host.append(self._error(call, message.error))
        else:
            try:
                self._result(call, members(message.result), output)
            except (NotJSONRPCError, RecursionError) as exc:
                text = f"The remote server's result cannot be read: {exc}"
                output.to_host.append(error_line(call.id, INTERNAL_ERROR, text))

    def _call_of(self, id_: Id | None) -> Call | None:
        ids = answerable_under(id_) if id_ is not None else ()
        return next((self._calls.pop(each) for each in ids if each in self._calls), None)

    def _discovered(self, message: Message, output: Output) -> None:
        """Give the host an answer to its `initialize`, or the server's refusal."""
        found = fields(message.result)
        versions = found.get("supportedVersions")
        self._discover_id = None
        if not isinstance(versions, list) or MODERN_VERSION not in versions:
            if self._initialize_id is not None and self._held.cancel(self._initialize_id):
                output.to_host.append(self._refusal)
            self._give_up(output)
            return
        logger.info("bridging: the host speaks %s, the server %s", self._version, MODERN_VERSION)
        self._opened = result = initialize_result(found, self._version)
        self._subscriptions = LegacySubscriptions(
            self._own_id, self._enveloped, result["capabilities"]
        )
        self._release(output)

    def _result(self, call: Call, result: Members, output: Output) -> None:
        kind = str(value_in(result, "resultType") or "complete")
        if kind == "input_required" and call.method in ASKING:
            self._rounds.ask(call, result, self._now, output)
        elif kind != "complete":
            text = f"The server gave a result of type {kind[:40]!r}, which this host cannot use"
            output.to_host.append(error_line(call.id, INTERNAL_ERROR, text))
        else:
            self._rounds.ended(call)
            output.to_host.append(result_line(call.id, legacy_result(call.method, result)))

    def _error(self, call: Call, error: msgspec.Raw) -> bytes:
        """Return the error for the host; a later round was not sent, perhaps, but the first was."""
        found = fields(error)
        text = str(found.get("message"))
        not_sent = text.endswith(NOT_SENT) or text == self._failure
        if call.round > 1 and found.get("code") == PROXY_ERROR and not_sent:
            return error_line(call.id, PROXY_ERROR, call.outcome(text))
        return error_answer(call.id, legacy_error(error))

    def _server_request(self, message: Message, output: Output) -> None:
        if message.id is not None:  # the modern era has none
            text = f"Method not found: {message.method}"
            output.to_remote.append(error_line(message.id, METHOD_NOT_FOUND, text))

    def _server_notification(self, message: Message, frame: Frame, output: Output) -> None:
        subscriptions = self._subscriptions
        if message.method == "notifications/subscriptions/acknowledged":
            if subscriptions is not None:
                subscriptions.acknowledged(message, output)
        elif message.method == CANCELLED:
            id_ = as_id(fields(message.params).get("requestId"))
            if subscriptions is not None and id_ is not None:
                subscriptions.ended(id_, output)
        elif message.method == "notifications/progress":
            if self._rounds.rises(message):
                output.to_host.append(frame.line)
        elif SUBSCRIPTION_ID.encode() not in bytes(message.params):
            output.to_host.append(frame.line)
        elif subscriptions is not None and subscriptions.wants(message):
            output.to_host.append(without_subscription(message))
