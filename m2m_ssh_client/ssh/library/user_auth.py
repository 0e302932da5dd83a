"""The messages of an authentication (RFC 4252): requests one after the other, and their answers.

paramiko's own handler cannot offer a key without a signature, reads message 60 as a password
prompt, and asks for the service again with each key. `UserAuth` takes its place in the transport.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from typing import Any, NamedTuple

import paramiko
from paramiko.auth_handler import AuthHandler
from paramiko.common import (
    MSG_SERVICE_ACCEPT,
    MSG_SERVICE_REQUEST,
    MSG_USERAUTH_BANNER,
    MSG_USERAUTH_FAILURE,
    MSG_USERAUTH_INFO_REQUEST,
    MSG_USERAUTH_INFO_RESPONSE,
    MSG_USERAUTH_REQUEST,
    MSG_USERAUTH_SUCCESS,
)

from m2m_ssh_client.ssh.library.ssh_transport import Transport
from m2m_ssh_client.ssh.wire import strings
from m2m_ssh_client.text import printable, shortened

logger = logging.getLogger(__name__)

_POLL = 0.1  # seconds until the silent end of a transport is noticed
_MOST_METHODS = 20  # servers have a handful
_MOST_PROMPTS = 5  # shown; sshd sends one at a time
_MOST_LINES = 100  # that a server may show in one login
_MOST_ANSWERS = 100  # waiting; each of our requests has one, and waits for it
_MOST_ROUNDS = 100  # of keyboard-interactive; a server that waits for a person may poll


class Verdict(Enum):
    """The server's word on a request."""

    SUCCESS = "success"
    FAILURE = "failure"
    SIGN = "sign"  # it would take the key that was offered
    ASK = "ask"  # keyboard-interactive: it asks `prompts`, or nothing


class Answer(NamedTuple):
    """A server's message; `methods` and `partial` are a failure's, `prompts` a question's."""

    verdict: Verdict
    methods: Sequence[str] = ()
    partial: bool = False
    prompts: Sequence[str] = ()


class HungUpError(Exception):
    """The transport ended before the answer."""


class UserAuth(AuthHandler):
    """The requests of one login and their answers, one after the other.

    A transport passes this protocol's messages to its `auth_handler`, in its own thread, through
    `_client_handler_table`, and calls `abort` when the server has ended the connection. Of
    paramiko's own methods only `_parse_userauth_success` is used: it starts delayed compression,
    which must happen in that thread.
    """

    def __init__(self, transport: Transport, user: str, said: list[str]) -> None:
        """Start; the lines that the server shows meanwhile go to `said`, and to the log at once."""
        super().__init__(transport)
        self._acknowledge = transport.acknowledge
        self._user = user  # paramiko clears `username` when an attempt fails
        self._said = said
        self._answers: queue.Queue[Answer | None] = queue.Queue(_MOST_ANSWERS)

    def begin(self) -> None:
        """Ask for the service, and try without authentication; the answer comes later."""
        self.transport.auth_handler = self
        self._send(bytes([MSG_SERVICE_REQUEST]) + strings(b"ssh-userauth"))
        self._send(self._request("none"))

    def offer(self, key: bytes, algorithm: str) -> Answer:
        """Ask whether the server would take this public key."""
        self._send(self._request("publickey") + b"\0" + strings(algorithm.encode(), key))
        return self.answer()

    def prove(self, key: bytes, algorithm: str, sign: Callable[[bytes], bytes]) -> Answer:
        """Log in with this public key, and a signature over the data that `sign` gets."""
        request = self._request("publickey") + b"\1" + strings(algorithm.encode(), key)
        signature = sign(strings(self.transport.session_id or b"") + request)
        self._send(request + strings(signature))
        answer = self.answer()
        if answer.verdict is Verdict.SIGN:
            raise paramiko.SSHException("The server answers a signature with a question")
        return answer

    def interact(self) -> Answer:
        """Log in by keyboard-interactive, as far as the server asks nothing.

        A request without prompts is answered with none (RFC 4256 section 3.4). The result is a
        success, a failure, or the first question with prompts, which is left unanswered.
        """
        self._send(self._request("keyboard-interactive") + strings(b"", b""))
        for _ in range(_MOST_ROUNDS):
            answer = self.answer()
            if answer.verdict is not Verdict.ASK or answer.prompts:
                return answer
            self._send(bytes([MSG_USERAUTH_INFO_RESPONSE]) + bytes(4))
        raise paramiko.SSHException("The server does not finish the login")

    def answer(self) -> Answer:
        """Wait for the next answer. Raises HungUpError."""
        while True:
            try:
                answer = self._answers.get(timeout=_POLL)
            except queue.Empty:
                if self.transport.is_active():
                    continue
                answer = None
            if answer is None:
                raise HungUpError
            return answer

    # paramiko calls the rest, in the transport's thread.

    def abort(self) -> None:
        with suppress(queue.Full):  # the waiting thread polls, too
            self._answers.put_nowait(None)

    @property
    def _client_handler_table(self) -> dict[int, Callable[[paramiko.Message], None]]:
        return {
            # The answer to `none` follows.
            MSG_SERVICE_ACCEPT: lambda _: self._acknowledge(),
            MSG_USERAUTH_SUCCESS: self._succeeded,
            MSG_USERAUTH_FAILURE: self._failed,
            MSG_USERAUTH_BANNER: lambda message: self._show(message.get_string()),
            # The meaning of this number depends on the method.
            MSG_USERAUTH_INFO_REQUEST: self._asked,
        }

    def _succeeded(self, message: paramiko.Message) -> None:
        self._parse_userauth_success(message)  # type: ignore[attr-defined]  # not in the stubs
        self._answered(Answer(Verdict.SUCCESS))

    def _failed(self, message: paramiko.Message) -> None:
        names = message.get_list()[:_MOST_METHODS]
        methods = [shortened(printable(name), 80) for name in names if name]
        self._answered(Answer(Verdict.FAILURE, methods, message.get_boolean()))

    def _asked(self, message: paramiko.Message) -> None:
        """Handle SSH_MSG_USERAUTH_INFO_REQUEST (RFC 4256 section 3.2), or _PK_OK."""
        if self.auth_method != "keyboard-interactive":
            self._answered(Answer(Verdict.SIGN))
            return
        for text in (message.get_string(), message.get_string()):  # the name, the instruction
            self._show(text)
        message.get_string()  # the language
        prompts = []
        for _ in range(min(message.get_int(), _MOST_PROMPTS)):
            prompts.append(shortened(printable(message.get_string().strip()), 80))
            message.get_boolean()  # whether to echo what is typed
        self._answered(Answer(Verdict.ASK, prompts=prompts))

    def _answered(self, answer: Answer) -> None:
        try:
            self._answers.put_nowait(answer)
        except queue.Full:  # in the transport's thread, which ends with it
            raise paramiko.SSHException("The server answers without being asked") from None

    def _show(self, said: bytes) -> None:
        for line in said.splitlines()[: _MOST_LINES - len(self._said)]:
            text = shortened(printable(line))
            self._said.append(text)
            # A person may have to act on it while the login waits: open a page, confirm a push.
            logger.warning("the server says: %s", text)

    def _request(self, method: str) -> bytes:
        self.auth_method = method
        self.username = self._user
        fields = strings(self._user.encode(), b"ssh-connection", method.encode())
        return bytes([MSG_USERAUTH_REQUEST]) + fields

    def _send(self, message: bytes) -> None:
        # Waits while keys are exchanged; a transport that has ended drops it.
        transport: Any = self.transport  # the stubs leave the method out
        try:
            transport._send_user_message(paramiko.Message(message))
        except EOFError:
            if not transport.heard_out():
                raise
