"""Questions of the server (MCP elicitation): asked on the terminal, or declined without one.

They are forms and web pages. Nothing else is offered to a server: a terminal has no model to sample
from, and no roots to list.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import BufferedReader
from typing import Any, cast

import anyio

from m2m_ssh_client import threads
from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.flow.hand_over import loop_caller
from m2m_ssh_client.terminal.fields import Field, NoForm, WrongAnswer, fields_of
from m2m_ssh_client.terminal.output import write_text
from m2m_ssh_client.terminal.pages import WrongPageError, page
from m2m_ssh_client.terminal.reports import Reports
from m2m_ssh_client.text import printable, shortened

Result = dict[str, Any]

_ELICITATION = "elicitation/create"
_SAMPLING = "sampling/createMessage"
_PAUSE = 0.2  # seconds until a server without a question or an answer is asked again
_MOST_CHARACTERS = 4000
_MOST_PAGES = 5  # that an error shows
_LINE = 4096  # bytes; the most that a terminal delivers at once
_LEAVE = f"{'Ctrl-Z and Enter' if sys.platform == 'win32' else 'Ctrl-D'}: leave it open"


class Questions:
    """Asks one question at a time; `clock` stops meanwhile."""

    def __init__(self, reports: Reports, clock: anyio.CancelScope) -> None:
        self._reports = reports
        self._clock = clock
        self._one = anyio.Lock()
        self._can_ask = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
        self._keyboard = _Keyboard()

    async def answer(self, params: dict[str, Any]) -> Result:
        """Return the result of `elicitation/create` for these params."""
        message = _text(params.get("message"))
        if not self._can_ask:
            said = shortened(printable(message))
            self._reports.say(f'the server asks "{said}": declined without a terminal')
            return {"action": "decline"}
        async with self._one:
            with self._reports.paused(), _standing_still(self._clock):
                try:
                    return await self._ask(message, params)
                except EOFError:
                    return {"action": "cancel"}

    async def input_for(self, result: Result) -> Result:
        """Answer a request for input (MCP 2026-07-28); return params to repeat the request with.

        Raises an SSHClientError if it requires something that is not offered.
        """
        requests = result.get("inputRequests")
        responses = {}
        for key, request in (requests if isinstance(requests, dict) else {}).items():
            method = request.get("method") if isinstance(request, dict) else None
            if method != _ELICITATION:
                self.note(method)
                raise SSHClientError(f"The server cannot go on without {printable(str(method))}")
            params = request.get("params")
            responses[key] = await self.answer(params if isinstance(params, dict) else {})
        if not responses:
            await anyio.sleep(_PAUSE)
        answered = {"inputResponses": responses} if responses else {}
        state = {"requestState": result["requestState"]} if "requestState" in result else {}
        return {**answered, **state}

    def pages(self, data: Any) -> str:
        """Show the pages that an error names as its data (-32042); return a hint to open them."""
        listed = data.get("elicitations") if isinstance(data, dict) else None
        asked = (
            [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        )
        with self._reports.paused():
            shown = [_show_page(_text(each.get("url"))) for each in asked[:_MOST_PAGES]]
            if more := len(asked) - len(shown):
                _say(f"{more} more page{' is' if more == 1 else 's are'} not shown.")
        return (
            "Open what is shown above if you trust its host, then try again." if any(shown) else ""
        )

    def note(self, method: object) -> None:
        """Report a request that is refused."""
        if method == _SAMPLING:
            self._reports.say("the server requests sampling: refused, a terminal has no model")

    async def _ask(self, message: str, params: dict[str, Any]) -> Result:
        _quote(
            f"The server asks{':' if message else ' something.'}",
            shortened(message, _MOST_CHARACTERS),
        )
        if params.get("mode") == "url":
            return await self._page(_text(params.get("url")))
        try:
            return await self._form(fields_of(params.get("requestedSchema")))
        except NoForm as exc:
            _say(f"Declined: a terminal cannot ask for {exc}.")
            return {"action": "decline"}

    async def _page(self, url: str) -> Result:
        if not _show_page(url):
            return {"action": "decline"}
        accepted = await self._agreed(f"Will you open it (yes/no; {_LEAVE})? ")
        return {"action": "accept" if accepted else "decline"}

    async def _form(self, fields: list[Field]) -> Result:
        names = ", ".join(f"{each.label}{'*' if each.required else ''}" for each in fields)
        if fields:
            _say(f"Fields: {shortened(names, 500)}")
        if not await self._agreed(f"Answer (yes/no; {_LEAVE})? "):
            return {"action": "decline"}
        typed: dict[str, str] = {}
        while True:
            content = {}
            for each in fields:
                default = typed.get(each.name, each.default)
                text, value = await self._filled(each, default)
                if text:
                    typed[each.name], content[each.name] = text, value
            if len(fields) < 2 or await self._agreed("Send this (yes; no: change it)? "):
                return {"action": "accept", "content": content}

    async def _filled(self, field: Field, default: str | None) -> tuple[str, Any]:
        """Return the typed text and its value; no text if the field is left out."""
        for line in field.about():
            _say(f"  {line}")
        while True:
            text = await self._line(field.prompt(default)) or default or ""
            try:
                if text:
                    return text, field.value(text)
                if not field.required:
                    return "", None
                _say("This field is required.")
            except WrongAnswer as exc:
                _say(str(exc))

    async def _agreed(self, question: str) -> bool:
        while True:
            answer = (await self._line(question)).lower()
            if answer in ("yes", "no"):
                return answer == "yes"

    async def _line(self, prompt: str) -> str:
        """Read a line. Raises EOFError at Ctrl-D."""
        sys.stderr.write(prompt)
        sys.stderr.flush()
        try:
            return await self._keyboard.line()
        except (EOFError, anyio.get_cancelled_exc_class()):
            sys.stderr.write("\n")
            raise


class _Keyboard:
    """Reads lines in a thread. A caller that stops waiting leaves the thread to the next caller."""

    def __init__(self) -> None:
        self._call_soon = loop_caller()
        self._typed: anyio.Event | None = None  # while a thread reads
        self._line = b""

    async def line(self) -> str:
        """Return a line without surrounding blanks. Raises EOFError."""
        if self._typed is None:
            self._typed = anyio.Event()
            threads.start("keyboard", partial(self._read, self._typed))
        await self._typed.wait()
        self._typed = None
        if not self._line:
            raise EOFError
        return self._line.decode(sys.stdin.encoding or "utf-8", "replace").strip()

    def _read(self, typed: anyio.Event) -> None:
        self._line = b""
        with suppress(OSError):  # the terminal is gone
            # Raw, because on exit Python would wait for the lock of a buffer being read.
            self._line = cast(BufferedReader, sys.stdin.buffer).raw.read(_LINE) or b""
        self._call_soon(typed.set)


@contextmanager
def _standing_still(clock: anyio.CancelScope) -> Iterator[None]:
    left = clock.deadline - anyio.current_time()
    clock.deadline = math.inf
    try:
        yield
    finally:
        clock.deadline = anyio.current_time() + left


def _show_page(url: str) -> bool:
    """Show a page with its host, or why it is refused; return whether it may be opened."""
    try:
        asked = page(url)
    except WrongPageError as exc:
        _quote(f"Declined: {exc}.", shortened(url, _MOST_CHARACTERS))
        return False
    _quote(f"It asks you to open a page at {asked.host}:", asked.url)
    return True


def _quote(heading: str, text: str) -> None:
    """Print the server's text behind bars, so that it cannot pass for ours."""
    _say("\n".join([heading, *(f"  | {line}" for line in text.split("\n") if text)]))


def _say(text: str) -> None:
    write_text(text, sys.stderr)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
