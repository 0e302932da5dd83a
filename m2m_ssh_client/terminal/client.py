"""A session with the remote server, through the installed MCP SDK.

Results are the text that the server sent (`answers.py`): the SDK's models need many times the
memory, differ between 1.x and 2.x, and drop unknown fields. A request that is given up, at a signal
or the time limit, is cancelled at the server before the connection ends.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import partial
from importlib import import_module
from typing import Any, TypeVar

import anyio
import msgspec
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import ElicitResult, EmptyResult, Implementation, Notification, Request
from pydantic import ValidationError

from m2m_ssh_client._version import PROGRAM, __version__
from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.flow.remote_stdio import Carrier
from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.proxy.frames.frame import fields
from m2m_ssh_client.proxy.server import SHUTDOWN_TIME
from m2m_ssh_client.relay import ending_signals
from m2m_ssh_client.sdk_lines import Received
from m2m_ssh_client.ssh.opener import Opener, SentAs, unchanged
from m2m_ssh_client.terminal.answers import Answers, result_in
from m2m_ssh_client.terminal.json_text import member, value
from m2m_ssh_client.terminal.limit import Limit
from m2m_ssh_client.terminal.list_pages import Pages
from m2m_ssh_client.terminal.questions import Questions
from m2m_ssh_client.terminal.reports import Reports
from m2m_ssh_client.text import printable, shortened
from m2m_ssh_client.transport import relayed

OnProgress = Callable[[float, "float | None", "str | None"], Awaitable[None]]
"""Called with the progress, the total (None: unknown), and a message."""

_MOST_PAGES = 1000
_MOST_ROUNDS = 100  # of questions before an answer
# Seconds. A command that is given up is gone a second later, whatever the server does.
_CANCEL_TIME = 0.2  # to send the cancellation
_HURRIED_END_TIME = 0.4  # until the server has got SIGKILL
_LOG_LEVEL = "info"  # for 2026-07-28 servers, which log nothing unless asked
_METHOD_NOT_FOUND = -32601
_URL_WANTED = -32042  # MCP 2025-11-25, elicitation: the person must open pages first

T = TypeVar("T")


class Interrupted(Exception):  # noqa: N818 - not an error
    """A signal ended the command; `status` is the exit status for it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


class _RequestError(SSHClientError):
    """The error that answered a request; `code` and `data` are JSON-RPC's."""

    def __init__(self, message: str, code: int, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class Session:
    """A session for `use`; made by `run`."""

    def __init__(
        self, sdk: Any, questions: Questions, most: int, outgoing: _Outgoing | None = None
    ) -> None:
        """`most` is the number of bytes that all pages of a list may have."""
        self._sdk = sdk
        self._questions = questions
        self._most = most
        self._outgoing = outgoing

    async def request(
        self, method: str, params: dict[str, Any], on_progress: OnProgress | None = None
    ) -> msgspec.Raw:
        """Return the result of a request.

        Questions that the server asks first are answered (MCP 2026-07-28: input_required). Raises
        an SSHClientError with the server's or the proxy's text if the answer is an error.
        """
        more: dict[str, Any] = {}
        for _ in range(_MOST_ROUNDS):
            result = await self._round(method, {**params, **more}, on_progress)
            if value(member(result, "resultType")) != "input_required":
                return result
            more = await self._questions.input_for(fields(result))
        raise SSHClientError(f"The server keeps asking and never answers {method}")

    async def _round(
        self, method: str, params: dict[str, Any], on_progress: OnProgress | None
    ) -> msgspec.Raw:
        request = Request[Any, str](method=method, params=params)
        try:
            await self._sdk.send_request(request, EmptyResult, progress_callback=on_progress)
        except anyio.get_cancelled_exc_class():
            await self._cancel()
            raise
        except Exception as exc:
            result = result_in(exc)
            if result is not None:
                return result
            explained = _explained(exc)
            if isinstance(explained, _RequestError) and explained.code == _URL_WANTED:
                explained.hint = self._questions.pages(explained.data)
            raise explained from exc
        raise AssertionError("the SDK has got a result")

    async def pages(self, method: str, name: str) -> Pages:
        """Return all pages of a list, which is the member `name`; none if the method is unknown."""
        found = Pages(method, self._most)
        params: dict[str, Any] = {}
        for _ in range(_MOST_PAGES):
            try:
                page = await self.request(method, params)
            except _RequestError as exc:
                if exc.code == _METHOD_NOT_FOUND and not params:
                    return found
                raise
            found.add(member(page, name))
            cursor = value(member(page, "nextCursor"))
            if not cursor:  # some servers end with an empty one
                return found
            if cursor == params.get("cursor"):
                break
            params = {"cursor": cursor}
        raise SSHClientError(f"The server's {method} never ends: more than {_MOST_PAGES} pages")

    async def _cancel(self) -> None:
        """Cancel the last request with SDK 1.x; 2.x has done so already."""
        if self._outgoing is None:
            return
        params = {"requestId": self._outgoing.last_id, "reason": "given up"}
        with anyio.move_on_after(_CANCEL_TIME, shield=True):
            await self._sdk.send_notification(
                Notification[Any, str](method="notifications/cancelled", params=params)
            )


class _Remote(Opener):
    """The remote server; reports that it is reached."""

    def __init__(self, params: Parameters, reports: Reports) -> None:
        super().__init__(params)
        self._reports = reports

    def open(self, sent_as: SentAs = unchanged) -> Carrier:
        carrier = super().open(sent_as)
        self._reports.waiting("waiting for the server")
        return carrier


class _Incoming(ObjectReceiveStream[Received]):
    """The SDK's incoming messages; notes requests that the SDK silently refuses."""

    def __init__(self, stream: ObjectReceiveStream[Received], questions: Questions) -> None:
        self._stream = stream
        self._questions = questions

    async def receive(self) -> Received:
        item = await self._stream.receive()
        message: Any = getattr(item, "message", None)
        message = getattr(message, "root", message)
        if hasattr(message, "id"):
            self._questions.note(getattr(message, "method", None))
        return item

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Outgoing(ObjectSendStream[SessionMessage]):
    """The outgoing messages; keeps the id of the last request, which SDK 1.x hides."""

    def __init__(self, stream: ObjectSendStream[SessionMessage], answers: Answers) -> None:
        self._stream = stream
        self._answers = answers
        self.last_id: str | int | None = None

    async def send(self, item: SessionMessage) -> None:
        message: Any = item.message
        message = getattr(message, "root", message)
        if hasattr(message, "method") and hasattr(message, "id"):
            self.last_id = message.id
            self._answers.note(message.id, message.method)
        await self._stream.send(item)

    async def aclose(self) -> None:
        await self._stream.aclose()


def run(
    params: Parameters, limit: Limit, use: Callable[[Session], Awaitable[T]], reports: Reports
) -> T:
    """Connect, and return the result of `use`. Main thread only.

    `limit` holds for everything except the time that a person takes to answer. Raises an
    SSHClientError or Interrupted.
    """
    return anyio.run(partial(_run, params, limit, use, reports))


async def _run(
    params: Parameters, limit: Limit, use: Callable[[Session], Awaitable[T]], reports: Reports
) -> T:
    received: list[int] = []
    results: list[T] = []
    failures: list[SSHClientError] = []
    # The inner scope ends first, while the connection can still carry a cancellation.
    connecting = anyio.CancelScope(deadline=anyio.current_time() + limit.left)
    using = anyio.CancelScope(deadline=connecting.deadline)
    scopes = [connecting]
    answers = Answers()

    def time_to_end() -> float:
        given_up = any(scope.cancel_called for scope in scopes)
        return _HURRIED_END_TIME if given_up else SHUTDOWN_TIME

    relaying = relayed(_Remote(params, reports), failures.append, answers.read, time_to_end)
    with _said_once(), ending_signals(lambda: scopes[-1].cancel(), received):
        try:
            with connecting:
                async with (
                    relaying as streams,
                    _opened(
                        streams,
                        reports,
                        Questions(reports, using),
                        answers,
                        params.max_message_size,
                    ) as session,
                ):
                    reports.opened()
                    connecting.deadline = float("inf")
                    scopes.append(using)
                    with using:
                        results.append(await use(session))
                    limit.left = using.deadline - anyio.current_time()
        except Exception as exc:
            raise _in_two_parts(_explained(exc), failures) from exc
    if received:
        raise Interrupted(received[0])
    if not results:
        raise limit.error("No answer within")
    return results[0]


@asynccontextmanager
async def _opened(
    streams: tuple[Any, Any], reports: Reports, questions: Questions, answers: Answers, most: int
) -> AsyncIterator[Session]:
    async def elicited(_context: Any, params: Any) -> Any:
        answer = await questions.answer(params.model_dump(by_alias=True, mode="json"))
        return ElicitResult.model_validate(answer)

    mcp: Any = import_module("mcp")  # not `from mcp import`: mypy knows only one of its versions
    reading, writing = _Incoming(streams[0], questions), _Outgoing(streams[1], answers)
    options: dict[str, Any] = {
        "client_info": Implementation(name=PROGRAM, version=__version__),
        "elicitation_callback": elicited,
        "logging_callback": reports.on_log,
    }
    if hasattr(mcp, "Client"):
        async with mcp.Client(
            nullcontext((reading, writing)), log_level=_LOG_LEVEL, **options
        ) as client:
            yield Session(client.session, questions, most)
    else:
        async with mcp.ClientSession(reading, writing, **options) as sdk:
            await sdk.initialize()
            yield Session(sdk, questions, most, writing)


@contextmanager
def _said_once() -> Iterator[None]:
    """Keep the log from repeating on stderr the failure that also answers the request.

    The SDK's own warnings about messages are dropped as well.
    """

    def lower(record: logging.LogRecord) -> bool:
        if record.levelno == logging.ERROR:
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True

    logger, root = logging.getLogger("m2m_ssh_client.proxy.server"), logging.getLogger()
    nowhere = logging.NullHandler()
    logger.addFilter(lower)
    root.addHandler(nowhere)
    try:
        yield
    finally:
        root.removeHandler(nowhere)
        logger.removeFilter(lower)


def _explained(exc: BaseException) -> BaseException:
    """Return the SDK's error in words for a person; other exceptions stay, without their groups."""
    while inner := getattr(exc, "exceptions", None):
        exc = inner[0]
    if isinstance(exc, ValidationError):
        first = exc.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        return SSHClientError(printable(f"The server's answer is not MCP: {place}: {first['msg']}"))
    error: Any = getattr(exc, "error", None)
    if hasattr(error, "code") and hasattr(error, "message"):
        if error.code == _URL_WANTED:
            return _RequestError(printable(error.message), error.code, error.data)
        more = shortened(json.dumps(error.data, ensure_ascii=False, default=str))
        data = f" ({more})" if error.data is not None else ""
        return _RequestError(printable(f"{error.message}{data}"), error.code)
    if type(exc) is RuntimeError:  # the SDK's: no protocol version in common
        return SSHClientError(printable(str(exc)))
    return exc


def _in_two_parts(exc: BaseException, failures: Sequence[SSHClientError]) -> BaseException:
    """Return the proxy's answer as the failure that it is made of, whose hint is apart.

    The answer may name the log file after that.
    """
    for failure in failures:
        message, hint = printable(failure.message), printable(failure.hint)
        said, _, more = str(exc).partition(printable(str(failure)))
        if isinstance(exc, _RequestError) and not said:
            return SSHClientError(message, f"{hint}{more}" if hint else more.lstrip(". "))
    return exc
