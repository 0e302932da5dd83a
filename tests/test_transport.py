"""`ssh_client()` as a program uses it: with whichever line of the SDK is installed, against the embedded server."""

from __future__ import annotations

import base64
import importlib.metadata
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
import pytest
from support import echo_server
from support.host import PACKAGE_PARENT
from support.usage import Limit

from m2m_ssh_client import SSHServerParameters, ssh_client
from m2m_ssh_client.demo.ssh_server import SSHServer
from m2m_ssh_client.errors import SSHClientError, UnreachableError
from m2m_ssh_client.ssh.login.key_files import ensure_client_key, load_client_key
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.trust.known_hosts import entry

pytestmark = [pytest.mark.sdk, pytest.mark.anyio]

SDK = int(importlib.metadata.version("mcp").partition(".")[0])
ENOUGH = 20.0  # seconds; the sample server loads the SDK, which takes two on a slow machine
SAMPLE = [sys.executable, "-m", "m2m_ssh_client.demo.sample_server"]


def backends() -> list[str]:
    """SDK 1.x is for asyncio only in places; trio need not be installed."""
    return ["asyncio", "trio"] if SDK >= 2 and _has_trio() else ["asyncio"]


def _has_trio() -> bool:
    try:
        import_module("trio")
    except ImportError:
        return False
    return True


@pytest.fixture(params=backends())
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


class Far:
    def __init__(self, server: SSHServer, params: SSHServerParameters) -> None:
        self.params = params
        self.server = server
        self.run = echo_server.command()
        self.ended = threading.Event()
        """Set when the process of a session has ended."""
        self.log: list[str] = []

    def hear(self, event: str) -> None:
        self.log.append(event)
        if "has ended with status" in event:
            self.ended.set()


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Far]:
    """The embedded server and the parameters that lead there."""
    for name in ("host", "client"):
        ensure_client_key(tmp_path / name)
    host_key = load_client_key(tmp_path / "host", None)
    client = load_client_key(tmp_path / "client", None)
    server = SSHServer(
        host_key,
        lambda _, key: key.asbytes() == client.asbytes(),
        lambda *_: started.run,
        env={**os.environ, "PYTHONPATH": PACKAGE_PARENT},
        events=lambda event: started.hear(event),
    )
    known_hosts = tmp_path / "known_hosts"
    with server:
        key = PublicKey(host_key.get_name(), host_key.asbytes())
        known_hosts.write_text(entry("127.0.0.1", server.port, key))
        params = SSHServerParameters(
            host="127.0.0.1",
            port=server.port,
            client_key=tmp_path / "client",
            known_hosts=known_hosts,
            command=("sample",),
        )
        started = Far(server, params)
        yield started


@asynccontextmanager
async def session(
    params: SSHServerParameters,
    on_failure: Callable[[SSHClientError], object] | None = None,
    **options: Any,
) -> AsyncIterator[Any]:
    """A client of the installed SDK, connected and initialized."""
    transport = ssh_client(params, on_failure=on_failure)
    if SDK >= 2:
        async with import_module("mcp").Client(transport, **options) as client:
            yield client
        return
    async with (
        transport as streams,
        import_module("mcp").ClientSession(*streams, **options) as client,
    ):
        await client.initialize()
        yield client


async def test_a_program_lists_and_calls_the_tools_of_the_remote_server(far: Far) -> None:
    far.run = SAMPLE
    with anyio.fail_after(ENOUGH):
        async with session(far.params) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            assert {"echo", "add", "count_slowly"} <= set(tools)
            result = await client.call_tool("echo", {"text": "grüße ☂\u2028"})
            assert result.content[0].text == "grüße ☂\u2028"


async def test_progress_reaches_the_program_in_order(far: Far) -> None:
    far.run = SAMPLE
    heard: list[tuple[float, float | None, str | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        heard.append((done, total, message))

    with anyio.fail_after(ENOUGH):
        async with session(far.params) as client:
            result = await client.call_tool(
                "count_slowly", {"steps": 3, "seconds": 0.3}, progress_callback=progress
            )
            assert result.content[0].text == "counted to 3"
    assert heard == [(n, 3, f"step {n} of 3") for n in (1, 2, 3)]


async def test_resources_and_prompts_are_there_too(far: Far) -> None:
    far.run = SAMPLE
    with anyio.fail_after(ENOUGH):
        async with session(far.params) as client:
            resources = await client.list_resources()
            assert [str(resource.uri) for resource in resources.resources] == ["demo://welcome"]
            prompt = await client.get_prompt("greet", {"name": "Ada"})
            assert "Ada" in prompt.messages[0].content.text


async def test_a_megabyte_makes_the_round_trip(far: Far) -> None:
    text = "x☂" * 250_000
    far.run = SAMPLE
    with anyio.fail_after(ENOUGH):
        async with session(far.params) as client:
            result = await client.call_tool("echo", {"text": text})
            assert result.content[0].text == text


async def test_many_calls_at_once_each_get_their_own_answer(far: Far) -> None:
    far.run = SAMPLE

    async def add(number: int) -> None:
        result = await client.call_tool("add", {"a": number, "b": 1000})
        answers[number] = result.content[0].text

    answers: dict[int, str] = {}
    with anyio.fail_after(ENOUGH):
        async with session(far.params) as client, anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(add, number)
    assert answers == {number: str(number + 1000) for number in range(50)}


async def test_leaving_ends_the_remote_process_within_two_seconds(far: Far) -> None:
    with anyio.fail_after(ENOUGH):
        async with session(far.params):
            assert not far.ended.is_set()
            left = time.monotonic()
    assert far.ended.wait(max(0.0, left + 2.0 - time.monotonic()))


async def test_leaving_ends_a_stubborn_remote_process_within_two_seconds(far: Far) -> None:
    far.run = echo_server.command("--stubborn")
    with anyio.fail_after(ENOUGH):
        async with session(far.params):
            limit = Limit(2.0, os.getpid())
    assert limit.left > 0


async def test_an_exception_in_the_program_ends_the_remote_process_too(far: Far) -> None:
    async def fail() -> None:
        async with session(far.params):
            raise ZeroDivisionError("the program's own")

    assert "the program's own" in await told_by(fail)
    assert far.ended.wait(2.0)


async def test_cancelling_the_program_ends_the_remote_process_too(far: Far) -> None:
    with anyio.fail_after(ENOUGH), anyio.CancelScope() as scope:
        async with session(far.params):
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert far.ended.wait(2.0)


async def test_half_a_character_in_an_answer_is_replaced(far: Far) -> None:
    content = r'{"type":"text","text":"cut \ud83d, whole \ud83d\ude00, spelt \\ud83d"}'
    rest = f'"result":{{"resultType":"complete","content":[{content}]}}'
    with anyio.fail_after(ENOUGH):
        async with session(far.params) as client:
            result = await client.call_tool("spell", {"rest": rest})
            assert result.content[0].text == "cut \ufffd, whole \U0001f600, spelt \\ud83d"


async def test_half_a_character_in_a_request_is_replaced(far: Far) -> None:
    with anyio.fail_after(ENOUGH):
        async with session(far.params) as client:
            result = await client.call_tool("echo", {"text": "cut \ud83d"})
            assert result.content[0].text == '{"text": "cut \ufffd"}'


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ('"error":"gone"', 'error: Input should be an object ("gone")'),
        ('"result":[]', "result: Input should be an object"),
        ('"result":' + '{"a":' * 300 + "0" + "}" * 300, "recursion limit exceeded"),
    ],
    ids=["an error that is a text", "a result that is a list", "deep nesting"],
)
async def test_an_answer_that_the_sdk_cannot_read_is_an_error(
    far: Far, rest: str, reason: str
) -> None:
    async def call() -> None:
        async with session(far.params) as client:
            await client.call_tool("spell", {"rest": rest})

    told = await told_by(call)
    assert "answer cannot be read" in told
    assert reason in told


async def test_a_request_that_the_sdk_cannot_read_is_answered(far: Far) -> None:
    request = b'{"jsonrpc":"2.0","id":"q","method":"ping","params":[]}'
    told: list[Any] = []
    heard = anyio.Event()

    async def on_log(params: Any) -> None:
        told.append(params.data)
        heard.set()

    with anyio.fail_after(ENOUGH):
        async with session(far.params, logging_callback=on_log) as client:
            await client.call_tool("raw", {"lines": [base64.b64encode(request).decode()]})
            await heard.wait()
    (answer,) = told
    assert (answer["id"], answer["error"]["code"]) == ("q", -32600)
    assert answer["error"]["message"] == "params: Input should be an object"


def flat(error: BaseException) -> str:
    inner = getattr(error, "exceptions", ())
    return " ".join([str(error), *map(flat, inner)])


async def told_by(program: Callable[[], Awaitable[None]]) -> str:
    """What it fails with, groups of exceptions unwrapped."""
    with anyio.fail_after(ENOUGH):
        try:
            await program()
        except Exception as exc:  # noqa: BLE001 - the SDK's own, of either line
            return flat(exc)
    raise AssertionError("it did not fail")


async def failure(
    params: SSHServerParameters, on_failure: Callable[[SSHClientError], object] | None = None
) -> str:
    """What connecting fails with."""

    async def connect() -> None:
        async with session(params, on_failure):
            pass

    return await told_by(connect)


async def test_nobody_listening_is_told_to_the_first_request(far: Far) -> None:
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        text = await failure(replace(far.params, port=port))
    assert "Connection refused (tried " in text
    assert f"127.0.0.1 port {port}" in text


async def test_a_program_gets_the_failure_itself_if_it_wants_to(far: Far) -> None:
    failures: list[SSHClientError] = []
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        text = await failure(replace(far.params, port=port), failures.append)
    assert [type(each) for each in failures] == [UnreachableError]
    assert str(failures[0]) in text


async def test_a_session_that_ends_well_has_no_failure(far: Far) -> None:
    failures: list[SSHClientError] = []
    async with session(far.params, failures.append) as client:
        await client.list_tools()
    assert failures == []


async def test_an_unknown_host_key_is_told_to_the_first_request(far: Far) -> None:
    assert far.params.known_hosts is not None
    far.params.known_hosts.write_text("")
    assert "Host key verification failed" in await failure(far.params)


async def test_a_remote_that_ends_at_once_is_told_with_its_last_words(far: Far) -> None:
    code = "import os, sys; print('no such module', file=sys.stderr, flush=True); os._exit(3)"
    far.run = [sys.executable, "-S", "-E", "-c", code]
    text = await failure(far.params)
    assert "exit status 3" in text
    assert "no such module" in text


async def test_the_loss_of_the_connection_answers_the_call_in_flight(
    far: Far, tmp_path: Path
) -> None:
    record = tmp_path / "record"
    far.run = echo_server.command("--record", str(record))

    async def cut() -> None:
        while not (record.exists() and b'"hang"' in record.read_bytes()):  # noqa: ASYNC110
            await anyio.sleep(0.02)
        await anyio.to_thread.run_sync(far.server.close_connections)

    async def call() -> None:
        async with session(far.params) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(cut)
            await client.call_tool("hang", {})

    assert "may or may not have run" in await told_by(call)


# What a program sees of a failure


def ran(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """A program that sets up no logging."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": PACKAGE_PARENT},
        cwd=tmp_path,
    )


def refused() -> str:
    """The address of a port where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{taken.getsockname()[1]}"


if SDK >= 2 and sys.version_info >= (3, 11):  # for `except*`

    def test_the_example_of_a_failure_prints_the_reason_and_nothing_else(tmp_path: Path) -> None:
        page = Path(__file__).parents[1].joinpath("docs/python.md").read_text(encoding="utf-8")
        (example,) = (
            code for code in re.findall(r"```python\n(.*?)```", page, re.S) if "except*" in code
        )
        done = ran(
            example.replace('host="lab"', f'ssh_config="none", host="{refused()}"'), tmp_path
        )
        assert (done.returncode, done.stderr) == (0, "")
        (line,) = done.stdout.splitlines()
        assert line.startswith("lab: Connection refused (tried ")
        assert "Nothing listens there" in line


async def test_a_failure_to_connect_arrives_in_groups() -> None:
    params = SSHServerParameters(host=refused(), ssh_config="none", command="serve")
    failure: Any = None
    try:
        async with session(params):
            pass
    except Exception as exc:  # noqa: BLE001 - Python 3.10 has no name for it
        failure = exc
    depth = 0
    while inner := getattr(failure, "exceptions", None):
        (failure,) = inner
        depth += 1
    assert depth == 2
    assert type(failure).__name__ in ("MCPError", "McpError")
    assert "Nothing listens there" in str(failure)
