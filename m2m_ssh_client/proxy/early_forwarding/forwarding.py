"""Early forwarding: a long tool call, or its answer, is forwarded while it still comes.

Only within one long string, whose bytes are checked as they come; the rest of such a line is parsed
like any other. So a line that was begun can always be completed to valid JSON: if the connection is
lost in the middle of an answer, the host gets the result of a failed call. Requests that can be
repeated, and answers to these, are not forwarded early, because the host must not see anything of
an answer that is asked for again.
"""

from __future__ import annotations

from m2m_ssh_client.flow.hand_over import ToThread
from m2m_ssh_client.flow.splitting import Lines
from m2m_ssh_client.proxy.early_forwarding.early_line import EarlyLine
from m2m_ssh_client.proxy.early_forwarding.line_prefix import LinePrefix
from m2m_ssh_client.proxy.frames.frame import parse
from m2m_ssh_client.proxy.frames.too_long import StandIn
from m2m_ssh_client.proxy.memory.session import Output, Session


class EarlyForwarding:
    """A session whose lines may have been forwarded early, in part.

    It has the session's methods that take lines, and knows for each direction the line that was
    begun. The caller's lock makes each call one step of the session.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._request: EarlyLine | None = None
        self._answer: EarlyLine | None = None

    def begin_request(self, prefix: LinePrefix, remote: ToThread) -> EarlyLine | None:
        """Begin the host's next line, if it may be forwarded early."""
        if not self._session.may_begin_request(prefix.message) or not remote.begin():
            return None
        self._request = EarlyLine(prefix, remote, keep=True)
        return self._request

    def begin_answer(self, prefix: LinePrefix, host: ToThread) -> EarlyLine | None:
        """Begin the remote's next line, if it may be forwarded early."""
        can_fail = prefix.path[:3] == (b"result", b"content", None)
        if not can_fail or not self._session.may_begin_answer(prefix.message) or not host.begin():
            return None
        self._answer = EarlyLine(prefix, host, keep=False)
        return self._answer

    def from_host(self, lines: Lines, now: float, remote: ToThread | None) -> Output:
        """Take lines of the host, as `Session.from_host`. Requests go to `remote` now."""
        early, self._request = self._request, None
        if early is None:
            return self._session.from_host(lines, now)
        if isinstance(lines[0], StandIn):
            if early.sink is remote:
                early.complete(b"")  # within a string: no server can take it for a message
            return self._session.from_host(lines, now)
        end, others = lines[0][1:], lines[1:]
        if early.sink is not remote:
            return self._session.from_host([early.whole_line(end), *others], now)
        line = early.prefix.line + end
        output = self._session.from_host([line], now)
        early.complete(end)
        output.to_remote = [each for each in output.to_remote if each is not line]
        return output + self._session.from_host(others, now)

    def from_remote(self, lines: Lines) -> Output:
        """Take lines of the remote, as `Session.from_remote`."""
        early = self._answer
        if early is None:
            return self._session.from_remote(lines)
        if isinstance(lines[0], StandIn):
            self._fail_answer(lines[0].why)
            return self._session.from_remote(lines[1:])
        end, others = lines[0][1:], lines[1:]
        return self._end_answer(early, end) + self._session.from_remote(others)

    def lost(self, reason: str, unsent: Lines, now: float, *, ended: bool) -> Output:
        """Note the loss of the connection, as `Session.lost`."""
        self._fail_answer(reason)
        return self._session.lost(reason, unsent, now, ended=ended)

    def failed(self, reason: str) -> Output:
        """Note that no connection will come, as `Session.failed`."""
        self._fail_answer(reason)
        return self._session.failed(reason)

    def _end_answer(self, early: EarlyLine, end: bytes) -> Output:
        """Complete the answer that was begun: with its end, or as a failed call.

        It fails if the line is not valid JSON-RPC, if its end makes it another request's answer, or
        if the host has cancelled its request. The line may hold answers for others besides.
        """
        begun, id_ = early.prefix.line + early.brace, early.prefix.message.id
        output = self._session.from_remote([begun + end])
        whole = next((each for each in output.to_host if each.startswith(begun)), None)
        if whole is not None:
            self._answer = None
            early.complete(whole.removeprefix(begun))
            output.to_host.remove(whole)
        else:
            self._fail_answer("The remote server's answer is not valid JSON-RPC")
            output.to_host = [each for each in output.to_host if parse(each).messages[0].id != id_]
        return output

    def _fail_answer(self, reason: str) -> None:
        early, self._answer = self._answer, None
        if early is not None and early.prefix.message.id is not None:
            said = self._session.break_off(early.prefix.message.id, reason)
            early.complete(early.prefix.failing(said))
