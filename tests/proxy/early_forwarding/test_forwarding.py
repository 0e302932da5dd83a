"""Long calls and answers go on while they come: a proxy between pipes."""

from __future__ import annotations

import json
import os
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from support.carriers import PipeCarrier

from m2m_ssh_client.errors import ConnectionLostError
from m2m_ssh_client.flow.bridge import Bridge, opened
from m2m_ssh_client.flow.hand_over import FromThread, ToThread, run_in_thread
from m2m_ssh_client.flow.host_stdio import stdio
from m2m_ssh_client.flow.splitting import Intake, Lines
from m2m_ssh_client.proxy.early_forwarding.early_line import EarlyLine
from m2m_ssh_client.proxy.early_forwarding.line_prefix import LinePrefix, read_prefix
from m2m_ssh_client.proxy.early_forwarding.splitter import EarlyExit, LongLineSplitter
from m2m_ssh_client.proxy.frames.too_long import Reply
from m2m_ssh_client.proxy.locked_session import Watch
from m2m_ssh_client.proxy.payload_log import log_payloads
from m2m_ssh_client.proxy.server import Proxy, Settings

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux writes in parts to a host"),
]

LONG = 400_000
_PIPE = 60_000  # bytes, which an empty pipe has room for
INITIALIZE = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {}}


def call(id_: int = 1, text: str = "x" * LONG, method: str = "tools/call") -> dict[str, Any]:
    """As the SDKs write it: what tells the answer's address comes last."""
    params = {"name": "echo", "arguments": {"text": text}}
    return {"method": method, "params": params, "jsonrpc": "2.0", "id": id_}


def answer(id_: int = 1, text: str = "y" * LONG) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "result": {"content": [{"type": "text", "text": text}]}}


def line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def halves(message: dict[str, Any]) -> tuple[bytes, bytes]:
    data = line(message)
    return data[: len(data) // 2], data[len(data) // 2 :]


class Reading:
    """What comes through a pipe, read by a thread all the time."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._data = b""
        self._more = threading.Condition()
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while data := self._read():
            with self._more:
                self._data += data
                self._more.notify_all()

    async def comes(self, beginning: bytes) -> None:
        """Wait for some of this. (What the pipe has no room for waits for the next piece.)"""
        await self._wait_for(lambda: len(self._data) >= _PIPE)
        assert beginning.startswith(self._data)

    async def lines(self, count: int = 1) -> list[Any]:
        """The next ones, which have to be JSON."""
        await self._wait_for(lambda: self._data.count(b"\n") >= count)
        with self._more:
            *lines, self._data = self._data.split(b"\n", count)
        return [json.loads(each) for each in lines]

    async def raw_line(self) -> bytes:
        await self._wait_for(lambda: b"\n" in self._data)
        with self._more:
            first, end, self._data = self._data.partition(b"\n")
        return first + end

    async def _wait_for(self, ready: Callable[[], bool]) -> None:
        def wait() -> bool:
            with self._more:
                return self._more.wait_for(ready, 5)

        assert await run_in_thread("test", wait), self._data[-200:]


class Case:
    def __init__(self, carriers: int) -> None:
        self.stdin, self.host_writes = os.pipe()
        self.host_reads, self.stdout = os.pipe()
        lost = ConnectionLostError("The connection was lost")
        self.carriers = [PipeCarrier(lost) for _ in range(carriers)]
        self.remote_hears = [Reading(carrier.heard) for carrier in self.carriers]
        self.host_hears = Reading(lambda: os.read(self.host_reads, 65536))
        self.next = iter(self.carriers)

    @asynccontextmanager
    async def dial(self, intake: Intake) -> AsyncIterator[Bridge]:
        async with opened(next(self.next), intake) as bridge:
            yield bridge

    async def host_says(self, *pieces: bytes) -> None:
        await run_in_thread("test", lambda: _write(self.host_writes, b"".join(pieces)))

    async def remote_says(self, *pieces: bytes, carrier: int = 0) -> None:
        await run_in_thread("test", lambda: self.carriers[carrier].say(b"".join(pieces)))

    async def initialize(self, carrier: int = 0) -> None:
        (asked,) = await self.remote_hears[carrier].lines()
        reply = {"jsonrpc": "2.0", "id": asked["id"], "result": {"capabilities": {}}}
        await self.remote_says(line(reply), carrier=carrier)

    async def begin(self) -> None:
        await self.host_says(line(INITIALIZE))
        await self.initialize()
        await self.host_hears.lines()

    async def ask(self, method: str = "tools/call") -> None:
        await self.host_says(line(call(text="short", method=method)))
        await self.remote_hears[0].lines()


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@asynccontextmanager
async def running(
    carriers: int = 1, watch: Watch | None = None, **settings: Any
) -> AsyncIterator[Case]:
    case = Case(carriers)
    proxy = Proxy(case.dial, Settings(max_message_size=1_000_000, **settings), watch)
    async with (
        stdio(proxy.intake, case.stdin, case.stdout) as host,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(proxy.run, host)
        try:
            await case.begin()
            yield case
        finally:
            os.close(case.host_writes)
            tasks.cancel_scope.cancel()
    for carrier in case.carriers:
        carrier.release()
    for descriptor in (case.stdin, case.stdout):
        os.close(descriptor)


async def test_an_answer_is_with_the_host_before_its_end_is_here() -> None:
    async with running() as case:
        await case.ask()
        first, second = halves(answer())
        await case.remote_says(first)
        await case.host_hears.comes(first)
        await case.remote_says(
            second, line(answer(2, "for nobody")), line({"jsonrpc": "2.0", "method": "next"})
        )
        assert await case.host_hears.lines(2) == [answer(), {"jsonrpc": "2.0", "method": "next"}]


async def test_a_call_is_with_the_remote_before_its_end_is_here() -> None:
    async with running() as case:
        first, second = halves(call())
        await case.host_says(first)
        await case.remote_hears[0].comes(first)
        await case.host_says(second, line(call(2, "next")))
        assert await case.remote_hears[0].lines(2) == [call(), call(2, "next")]
        await case.remote_says(line(answer(2, "b")), line(answer(1, "a")))
        assert await case.host_hears.lines(2) == [answer(2, "b"), answer(1, "a")]


async def test_an_answer_that_is_lost_on_its_way_is_a_failed_call_and_the_next_one_works() -> None:
    async with running(carriers=2) as case:
        await case.ask()
        first, _ = halves(answer())
        await case.remote_says(first)
        await case.host_hears.comes(first)
        case.carriers[0].die()
        (lost,) = await case.host_hears.lines()
        text, reason = lost["result"]["content"]
        assert lost["id"] == 1
        assert lost["result"]["isError"] is True
        assert set(text["text"]) == {"y"}
        assert "may or may not have run" in reason["text"]
        assert reason["text"].startswith("The connection was lost. ")
        await case.host_says(line(call(2, "again")))
        await case.initialize(carrier=1)
        assert await case.remote_hears[1].lines() == [call(2, "again")]
        await case.remote_says(line(answer(2)), carrier=1)
        assert await case.host_hears.lines() == [answer(2)]


async def test_a_call_whose_end_comes_after_the_connection_is_lost_goes_to_the_next_one() -> None:
    async with running(carriers=2) as case:
        first, second = halves(call(text="☂" * (LONG // 3)))
        await case.host_says(first)
        await case.remote_hears[0].comes(first)
        case.carriers[0].die()
        await case.initialize(carrier=1)
        await case.host_says(second)
        assert await case.remote_hears[1].lines() == [call(text="☂" * (LONG // 3))]


async def test_the_host_is_told_of_the_end_though_no_connection_comes_any_more() -> None:
    async with running(reconnect=False) as case:
        await case.ask()
        first, _ = halves(answer())
        await case.remote_says(first)
        await case.host_hears.comes(first)
        case.carriers[0].die()
        (lost,) = await case.host_hears.lines()
        assert lost["result"]["isError"] is True


async def test_an_answer_that_can_be_asked_for_again_waits_for_its_end() -> None:
    async with running(carriers=2) as case:
        await case.ask("resources/read")
        first, _ = halves(answer())
        await case.remote_says(first, b"")
        case.carriers[0].die()
        await case.initialize(carrier=1)
        assert await case.remote_hears[1].lines() == [call(text="short", method="resources/read")]
        await case.remote_says(line(answer()), carrier=1)
        assert await case.host_hears.lines() == [answer()]


async def test_an_answer_that_is_long_elsewhere_than_in_its_content_waits_for_its_end() -> None:
    message = answer(text="short")
    message["result"] = {"structuredContent": {"a": ["y" * LONG]}, **message["result"]}
    first, _ = halves(message)
    async with running(reconnect=False) as case:
        await case.ask()
        await case.remote_says(first)
        case.carriers[0].die()
        (lost,) = await case.host_hears.lines()
        assert "error" in lost


@pytest.mark.parametrize("rest", [b'y"}]}', b'y"}],"isError":NaN}}', b"y"])
async def test_an_answer_that_turns_out_to_be_none_is_a_failed_call(rest: bytes) -> None:
    async with running() as case:
        await case.ask()
        first, _ = halves(answer())
        await case.remote_says(first, rest, b"\n", line(answer(1, "too late")))
        (broken,) = await case.host_hears.lines()
        assert broken["id"] == 1
        assert broken["result"]["isError"] is True
        assert "not valid JSON-RPC" in broken["result"]["content"][-1]["text"]
        await case.host_says(line(call(2, "again")))
        await case.remote_hears[0].lines()
        await case.remote_says(line(answer(2, "ok")))
        assert await case.host_hears.lines() == [answer(2, "ok")]


@pytest.mark.parametrize(("rest", "whole"), [(b'"}]}}} 100 % done', ""), (b'\xff"}]}}', "\ufffd")])
async def test_of_a_long_answer_that_is_nearly_one_the_host_gets_what_it_says(
    rest: bytes, whole: str
) -> None:
    async with running() as case:
        await case.ask()
        first, _ = halves(answer())
        await case.remote_says(first)
        await case.host_hears.comes(first)
        await case.remote_says(rest + b"\n")
        said = first.partition(b'"text": "')[2].decode()
        assert await case.host_hears.lines() == [answer(text=said + whole)]


@pytest.mark.parametrize("torn", [b"", b"\\", b'"}]'])
async def test_a_long_answer_that_is_torn_leaves_nobody_waiting_whose_answer_is_in_its_line(
    torn: bytes,
) -> None:
    async with running() as case:
        await case.ask()
        await case.host_says(line(call(2, "again")))
        await case.remote_hears[0].lines()
        first, _ = halves(answer())
        await case.remote_says(first)
        await case.host_hears.comes(first)
        await case.remote_says(torn + line(answer(2, "ok")))
        broken, other = await case.host_hears.lines(2)
        assert (broken["id"], broken["result"]["isError"]) == (1, True)
        assert other["id"] == 2


async def test_a_long_answer_that_is_another_requests_by_its_end_leaves_neither_waiting() -> None:
    async with running() as case:
        await case.ask()
        await case.host_says(line(call(2, "again")))
        await case.remote_hears[0].lines()
        first, _ = halves(answer())
        await case.remote_says(first, b'y"}],"isError":NaN},"id":2}\n')
        answers = await case.host_hears.lines(2)
        assert {each["id"] for each in answers} == {1, 2}


async def test_an_answer_that_is_too_long_is_a_failed_call() -> None:
    async with running(reconnect=False) as case:
        await case.ask()
        await case.remote_says(line(answer(text="y" * 1_000_001)))
        (broken,) = await case.host_hears.lines()
        assert broken["result"]["isError"] is True
        assert "longer than 1000000 bytes" in broken["result"]["content"][-1]["text"]


async def test_what_the_proxy_says_itself_waits_for_the_end_of_an_answer() -> None:
    async with running() as case:
        await case.ask()
        first, second = halves(answer())
        await case.remote_says(first)
        await case.host_hears.comes(first)
        await case.host_says(b"no JSON\n", line(call(2, "x")))
        await case.remote_hears[0].lines()
        await case.remote_says(second)
        whole, error = await case.host_hears.lines(2)
        assert whole == answer()
        assert error["error"]["code"] == -32700


async def test_with_payloads_in_the_log_every_line_is_whole_first() -> None:
    async with running(watch=log_payloads, reconnect=False) as case:
        await case.ask()
        first, _ = halves(answer())
        await case.remote_says(first)
        case.carriers[0].die()
        (lost,) = await case.host_hears.lines()
        assert "error" in lost


async def learn_that_it_is_harmless(case: Case) -> None:
    await case.host_says(line({"jsonrpc": "2.0", "id": 9, "method": "tools/list"}))
    await case.remote_hears[0].lines()
    tools = [{"name": "echo", "annotations": {"readOnlyHint": True}}]
    await case.remote_says(line({"jsonrpc": "2.0", "id": 9, "result": {"tools": tools}}))
    await case.host_hears.lines()


async def test_a_call_that_may_be_repeated_and_its_answer_go_on_whole() -> None:
    async with running(carriers=2, retry_tool_calls=True) as case:
        await learn_that_it_is_harmless(case)
        await case.host_says(*halves(call()))
        assert await case.remote_hears[0].lines() == [call()]
        first, _ = halves(answer())
        await case.remote_says(first)
        case.carriers[0].die()
        await case.initialize(carrier=1)
        assert await case.remote_hears[1].lines() == [call()]
        await case.remote_says(line(answer()), carrier=1)
        assert await case.host_hears.lines() == [answer()]


async def test_a_request_that_is_repeated_unseen_goes_on_whole() -> None:
    prompt = call(method="prompts/get")
    async with running(carriers=2) as case:
        await case.host_says(*halves(prompt))
        assert await case.remote_hears[0].lines() == [prompt]
        case.carriers[0].die()
        await case.initialize(carrier=1)
        assert await case.remote_hears[1].lines() == [prompt]


async def test_a_call_that_comes_before_a_fresh_server_is_ready_goes_on_whole() -> None:
    async with running(carriers=2) as case:
        case.carriers[0].die()
        (asked,) = await case.remote_hears[1].lines()
        await case.host_says(*halves(call()), b"no JSON\n")
        await case.host_hears.lines()  # by now it was taken
        reply = {"jsonrpc": "2.0", "id": asked["id"], "result": {"capabilities": {}}}
        await case.remote_says(line(reply), carrier=1)
        await case.host_says(line(call(2, "next")))
        assert await case.remote_hears[1].lines(2) == [call(), call(2, "next")]


async def test_what_is_spelt_otherwise_for_a_shell_goes_on_whole() -> None:
    text = "\u2028" * (LONG // 3)
    data = json.dumps(call(text=text), ensure_ascii=False).encode() + b"\n"
    async with running(may_be_shell=True) as case:
        await case.host_says(data)
        assert await case.remote_hears[0].raw_line() == line(call(text=text))


@asynccontextmanager
async def cutting(
    limit: int, write_some: Callable[[bytes], int] = len, *, waiting: Lines | None = None
) -> AsyncIterator[LongLineSplitter]:
    """A splitter whose long lines all go on, to nowhere. `waiting`: what the loop has not taken yet."""
    lines = FromThread()
    sink = ToThread("test", lambda _: None, write_some=write_some)

    def begin(prefix: LinePrefix) -> EarlyLine | None:
        return EarlyLine(prefix, sink, keep=True) if sink.begin() else None

    splitter = LongLineSplitter(limit, EarlyExit(lines.is_idle, begin), from_host=True)
    if waiting is not None:
        lines.put(waiting)
    yield splitter
    lines.close()
    sink.close()
    await sink.finished.wait()


def pieces(data: bytes) -> list[bytes]:
    return [data[at : at + 30_000] for at in range(0, len(data), 30_000)]


async def test_every_byte_of_a_long_line_counts_once_against_the_limit() -> None:
    data = line(call(text="☂" * 50_000))  # of which escapes are cut in two
    async with cutting(len(data) - 1) as splitter:
        assert sum(map(len, map(splitter.feed, pieces(data)))) == 1
        assert splitter.pending == 0
    async with cutting(len(data) - 2) as splitter:
        (found,) = [each for piece in pieces(data) for each in splitter.feed(piece)]
        assert isinstance(found, Reply)


async def test_a_long_line_that_never_ends_is_refused_at_the_limit() -> None:
    first, _ = halves(call())
    async with cutting(len(first) - 1) as splitter:
        *most, last = pieces(first)
        assert not any(map(splitter.feed, most))
        assert splitter.pending == len(first) - len(last)
        assert splitter.feed(last) == []  # whose it is, its end will tell
        assert splitter.pending == 1


async def test_a_long_line_that_comes_in_crumbs_takes_no_more_memory_than_its_bytes() -> None:
    first, _ = halves(call())
    async with cutting(1_000_000, write_some=lambda _: 0) as splitter:
        splitter.feed(first)
        tracemalloc.start()
        try:
            for _ in range(50_000):
                splitter.feed(b"x")
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert taken < 6 * 50_000  # a pointer to each would take 16


async def test_a_long_line_behind_others_that_wait_goes_on_whole() -> None:
    first, second = halves(call())
    async with cutting(1_000_000, waiting=[b"x"]) as splitter:
        assert splitter.feed(first) == []
        assert splitter.feed(second) == [line(call())[:-1]]


async def test_nothing_of_a_line_goes_on_behind_its_end() -> None:
    found = read_prefix(line(answer())[:5000])
    assert found is not None
    written: list[bytes | memoryview] = []

    def write_some(data: bytes) -> int:
        written.append(data)
        return len(data)

    sink = ToThread("test", written.append, write_some=write_some)
    assert sink.begin()
    through = EarlyLine(found[0], sink, keep=False)
    through.add(b"yy")
    through.complete(b"...")
    through.add(b"late")
    sink.end()
    await sink.finished.wait()
    assert b"".join(written) == found[0].line + b"yy...\n"
