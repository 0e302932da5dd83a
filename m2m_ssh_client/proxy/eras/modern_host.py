"""A host that speaks 2026-07-28 with a server of the legacy era. Sans-I/O.

To the session this is a legacy host: it opens a session with `initialize`, subscribes to resources
and sets the log level of the connection. What a legacy server asks becomes the result of the call
in which it asks (`parked.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from m2m_ssh_client.proxy.eras.capabilities import missing_capability
from m2m_ssh_client.proxy.eras.era_bridge import EraBridge
from m2m_ssh_client.proxy.eras.for_modern_host import (
    discover_result,
    legacy_capabilities,
    modern_result,
    rank_of,
    refusal_of,
    without_meta,
)
from m2m_ssh_client.proxy.eras.legacy_calls import LegacyCall, LegacyCalls, Question, digest
from m2m_ssh_client.proxy.eras.modern_listens import ModernListens
from m2m_ssh_client.proxy.eras.parked import KEY, Parked, pages_of
from m2m_ssh_client.proxy.eras.terms import (
    ASKING,
    CANCELLED,
    CAPABILITY_NEEDED,
    CLIENT_CAPABILITIES,
    CLIENT_INFO,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    LEGACY_VERSIONS,
    LEVELS,
    LIST_CHANGED,
    LOG_LEVEL,
    MODERN_VERSION,
    NOT_FOUND,
    QUESTIONS,
    URL_NEEDED,
    error_answer,
    is_own_error,
    members,
    meta_of,
    notification_line,
    object_text,
    request_line,
    result_line,
    says_not_understood,
    value_in,
)
from m2m_ssh_client.proxy.frames.frame import (
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
    is_id,
    member,
    message_line,
    raw_json,
)
from m2m_ssh_client.proxy.memory.held_frames import FOR_EVER, HeldFrame
from m2m_ssh_client.proxy.memory.session import Output

logger = logging.getLogger(__name__)

_MOST_QUESTIONS = 100  # open at once in one call
_SWALLOWED = frozenset(
    {
        "notifications/elicitation/complete",
        "notifications/initialized",
        "notifications/progress",
        "notifications/roots/list_changed",
        "notifications/tasks/status",
    }
)


class ModernHost(EraBridge):
    """The bridge for a host whose first request a legacy server has not understood."""

    def __init__(self, prefix: str, hold_time: float, first: Message) -> None:
        """`first` is the host's first request, which says who the host is."""
        super().__init__(prefix, hold_time)
        meta = meta_of(first)
        self._client = {
            "protocolVersion": LEGACY_VERSIONS[-1],
            "capabilities": legacy_capabilities(meta.get(CLIENT_CAPABILITIES)),
            "clientInfo": meta.get(CLIENT_INFO) or {"name": "host", "version": ""},
        }
        self._initialize_id: Id | None = None
        self._refusals: dict[Id | None, bytes] = {}
        self._server: dict[str, Any] = {}
        self._listens: ModernListens | None = None
        self._level = ""  # of the connection
        self._parked = Parked()
        self._calls = LegacyCalls()

    def begin(self, sent: Iterable[Frame], again: Sequence[tuple[Frame, bytes]] = ()) -> Output:
        """Open a session.

        `sent` are the host's requests that the server has, and has not answered. `again` are those
        that it did not understand, with its answers, or on which it was silent.
        """
        output = Output()
        for frame in sent:
            self._note_sent(frame)
        for frame, answer in again:
            id_ = frame.messages[0].id
            self._keep(HeldFrame(frame, FOR_EVER, sent=True))
            self._refusals[id_] = answer
            if not answer:  # one that still comes would be a second one
                output.to_remote.append(message_line(method=CANCELLED, params={"requestId": id_}))
        self._initialize_id = self._own_id()
        line = message_line(id=self._initialize_id, method="initialize", params=self._client)
        output.to_remote.append(line)
        return output

    @property
    def _due(self) -> float:
        return self._parked.next_expiry

    def _do_due(self, now: float, output: Output) -> None:
        for call in self._parked.expired(now):
            self._abandon(call, "The host has not answered in time", output)

    def failed(self, reason: str) -> Output:
        self._initialize_id = None
        output = super().failed(reason)
        self._ready = True
        if self._listens is not None:
            self._listens.failed(reason, output)
        return output

    # From the host.

    def _request(self, message: Message, output: Output) -> None:
        id_, method = message.id, message.method
        if id_ is None or method is None:
            return
        params = members(message.params)
        meta = members(params["_meta"]) if "_meta" in params else {}
        refusal = refusal_of(id_, method, meta)
        if refusal:
            output.to_host.append(refusal)
        elif method == "server/discover":
            output.to_host.append(result_line(id_, discover_result(self._server)))
        elif method == "subscriptions/listen":
            if self._listens is not None:
                self._listens.open(id_, value_in(params, "notifications"), output)
        elif "requestState" in params or "inputResponses" in params:
            self._retry(message, params, meta, output)
        else:
            call = LegacyCall(id_, method, b"", b"", id_, [])
            self._set_round(call, id_, meta)
            self._send(call, params, output)

    def _send(self, call: LegacyCall, params: Members, output: Output) -> None:
        """Send a call to the server, after the log level that its host wants."""
        if call.method in ASKING:
            call.digest = digest(params)
        self._want_level(call.level, output)
        self._calls.add(call)
        line = request_line(call.at_server, call.method, without_meta(params))
        output.to_remote.append(line)

    def _want_level(self, level: str, output: Output) -> None:
        """Set the log level of the connection, if it shows less than a request wants."""
        is_finer = rank_of(level) < rank_of(self._level)
        if is_finer and member(self._server, "capabilities", "logging") is not None:
            self._level = level
            id_, params = self._own_id(), {"level": level}
            output.to_remote.append(message_line(id=id_, method="logging/setLevel", params=params))

    def _set_round(self, call: LegacyCall, id_: Id, meta: Members) -> None:
        call.at_host = id_
        call.ids.append(id_)
        call.capabilities = meta.get(CLIENT_CAPABILITIES, b"")
        level, token = value_in(meta, LOG_LEVEL), value_in(meta, "progressToken")
        call.level = level if level in LEVELS else ""
        call.host_token = token if is_id(token) else None

    def _note_sent(self, frame: Frame) -> None:
        """Note a request that was sent before it was known that the server is a legacy one."""
        message = frame.messages[0]
        if message.id is not None and message.method is not None:
            call = LegacyCall(message.id, message.method, b"", b"", message.id, [])
            call.doubtful = frame
            params = members(message.params)
            call.digest = digest(params)
            self._set_round(call, message.id, members(params.get("_meta", b"")))
            self._calls.add(call)

    def _retry(self, message: Message, params: Members, meta: Members, output: Output) -> None:
        """Answer the server's question with what the host says in the next round of its call."""
        id_, method = message.id, message.method
        if id_ is None or method is None:
            return
        call = self._parked.take(value_in(params, "requestState"), method, digest(params))
        if call is None:
            text = "Invalid params: this requestState is unknown, was used, or has expired"
            output.to_host.append(error_line(id_, INVALID_PARAMS, text))
            return
        self._set_round(call, id_, meta)
        responses = members(params.get("inputResponses", b""))
        if call.again:
            for name in ("requestState", "inputResponses"):
                params.pop(name, None)
            call.at_server, call.again = id_, False
            self._send(call, params, output)
        elif call.ending is not None:
            # The server may have asked in another call, and still wait.
            self._settles(call, responses, output)
            questions, call.questions = call.questions, []
            for question in questions:
                self._put_question(question, output)
            self._end(call, call.ending, output)
        elif self._settles(call, responses, output):
            if call.questions:
                self._ask(call, output)
        else:
            self._ask(call, output)  # the answer is missing

    def _settles(self, call: LegacyCall, responses: Members, output: Output) -> bool:
        """Give the host's answer to the server; return False if it is missing."""
        question = call.questions[0]
        if question.id is not None:
            answer = responses.get(KEY)
            if answer is None:
                return False
            output.to_remote.append(result_line(question.id, bytes(answer)))
        del call.questions[0]
        return True

    def _notification(self, message: Message, frame: Frame, output: Output) -> None:
        if message.method not in _SWALLOWED:
            output.to_remote.append(frame.line)  # an extension's

    def _cancel(self, id_: Id, output: Output) -> None:
        if self._listens is not None and self._listens.close(id_, output):
            return
        call = self._parked.cancel(id_)
        if call is None:
            call = self._calls.of_host(id_)
        if call is not None:
            self._abandon(call, "The host has cancelled the request", output)

    def _abandon(self, call: LegacyCall, reason: str, output: Output) -> None:
        """Cancel a call at the server, and its questions."""
        if self._calls.remove(call):
            params = {"requestId": call.at_server, "reason": reason}
            output.to_remote.append(message_line(method=CANCELLED, params=params))
        for question in call.questions:
            if question.id is not None:
                output.to_remote.append(error_line(question.id, PROXY_ERROR, reason))

    def _host_answer(self, message: Message, output: Output) -> None:
        """Drop it: the host is asked nothing."""

    # From the server.

    def _answer(self, message: Message, frame: Frame, output: Output) -> None:
        id_ = message.id
        if id_ is not None and id_ == self._initialize_id:
            self._initialized(message, output)
            return
        call = self._calls.answered_by(id_)
        if call is None:
            if message.error and not str(id_).startswith(self._prefix):
                output.to_host.append(frame.line)  # the session's, about an invalid line
            return
        if call.doubtful is not None and self._is_late(call, message, output):
            return
        self._calls.remove(call)
        if call.at_host is None:
            call.ending = message
        else:
            self._end(call, message, output)

    def _is_late(self, call: LegacyCall, message: Message, output: Output) -> bool:
        """Judge the answer to a request that was sent before the server's era was known.

        Return True if it is taken care of.
        """
        sent, call.doubtful = call.doubtful, None
        if sent is None or not message.error or is_own_error(message):
            return False
        if call.method == "server/discover" or says_not_understood(message.error, call.method):
            self._calls.remove(call)
            if self._ready:
                self._from_host(sent, output)
            else:
                self._keep_first(sent)
            return True
        return False

    def _initialized(self, message: Message, output: Output) -> None:
        """Take the server's answer to `initialize`, and the host's requests after that."""
        self._initialize_id = None
        if message.error:  # perhaps a slow modern server
            for item in self._held.take_all():
                refusal = self._refusals.get(item.frame.messages[0].id)
                if refusal:
                    output.to_host.append(refusal)
                else:
                    self._held.add(item)
            self._give_up(output)
            return
        self._server = fields(message.result)
        version = self._server.get("protocolVersion")
        logger.info("bridging: the host speaks %s, the server %s", MODERN_VERSION, version)
        output.to_remote.append(message_line(method="notifications/initialized"))
        self._want_level(self._calls.finest_level, output)  # of those that it has already
        self._listens = ModernListens(self._own_id, self._server.get("capabilities"))
        self._release(output)

    def _end(self, call: LegacyCall, message: Message, output: Output) -> None:
        """Give the host the server's answer to a call."""
        if call.at_host is None:
            return
        if message.error:
            output.to_host.append(self._error(call, message.error))
            return
        try:
            result = modern_result(call.method, message.result)
        except (NotJSONRPCError, RecursionError) as exc:
            text = f"The remote server's result cannot be read: {exc}"
            output.to_host.append(error_line(call.at_host, INTERNAL_ERROR, text))
            return
        output.to_host.append(result_line(call.at_host, result))

    def _error(self, call: LegacyCall, error: msgspec.Raw) -> bytes:
        id_ = call.at_host
        found = fields(error)
        if id_ is None:
            return b""
        if found.get("code") == URL_NEEDED and call.method in ASKING:
            if member(fields(call.capabilities), "elicitation", "url") is None:
                needed: dict[str, Any] = {"requiredCapabilities": {"elicitation": {"url": {}}}}
                text = str(found.get("message"))
                error_ = {"code": CAPABILITY_NEEDED, "message": text, "data": needed}
                return message_line(id=id_, error=error_)
            if questions := pages_of(error):
                call.again = True
                return result_line(id_, self._parked.park_with(call, questions, self._now))
        if found.get("code") == NOT_FOUND:
            return error_answer(
                id_, object_text({**members(error), "code": raw_json(INVALID_PARAMS)})
            )
        return error_answer(id_, bytes(error))

    def _server_request(self, message: Message, output: Output) -> None:
        id_, method = message.id, str(message.method)
        if id_ is None:
            return
        if method == "ping":
            output.to_remote.append(message_line(id=id_, result={}))
            return
        # The host reports no progress on what it is asked in a result.
        params = without_meta(members(message.params), ["progressToken"])
        self._put_question(Question(id_, method, params), output)

    def _put_question(self, question: Question, output: Output) -> None:
        """Ask the host in one of its calls, or refuse."""
        id_, method = question.id, question.method
        if id_ is None:
            return
        call = self._calls.asking() if method in QUESTIONS else None
        if call is None or missing_capability(fields(call.capabilities), method, question.params):
            text = f"The host does not offer {method}, or has no call in which to be asked"
            output.to_remote.append(error_line(id_, METHOD_NOT_FOUND, text))
            return
        if len(call.questions) >= _MOST_QUESTIONS:
            text = "There are too many open questions in this call"
            output.to_remote.append(error_line(id_, PROXY_ERROR, text))
            return
        call.questions.append(question)
        if call.at_host is not None:
            self._ask(call, output)

    def _ask(self, call: LegacyCall, output: Output) -> None:
        if call.at_host is not None:
            id_ = call.at_host
            output.to_host.append(result_line(id_, self._parked.park(call, self._now)))

    def _server_notification(self, message: Message, frame: Frame, output: Output) -> None:
        method = str(message.method)
        if method == "notifications/progress":
            self._progress(message, output)
        elif method == "notifications/message":
            if self._calls.want_log(fields(message.params).get("level")):
                output.to_host.append(frame.line)
        elif method == CANCELLED:
            self._calls.question_cancelled(as_id(fields(message.params).get("requestId")))
        elif method in LIST_CHANGED or method == "notifications/resources/updated":
            if self._listens is not None:
                self._listens.pass_on(message, output)
        elif method not in _SWALLOWED:
            output.to_host.append(frame.line)

    def _progress(self, message: Message, output: Output) -> None:
        """Pass progress on under the token of the present round; a parked call has none."""
        params = members(message.params)
        call = self._calls.with_token(as_id(value_in(params, "progressToken")))
        if call is not None and call.at_host is not None and call.host_token is not None:
            params["progressToken"] = raw_json(call.host_token)
            output.to_host.append(notification_line("notifications/progress", params))
