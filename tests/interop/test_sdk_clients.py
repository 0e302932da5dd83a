"""The Python SDK's own client, whichever line of it is installed, through our command and our transport.

The SDK is loaded by name and untyped: its lines 1 and 2 differ in names that these tests do not need.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from support import echo_server
from support.host import PACKAGE_PARENT, client_argv
from support.sshd import Sshd

from m2m_ssh_client.api import SSHServerParameters

pytestmark = [pytest.mark.interop, pytest.mark.sdk, pytest.mark.anyio]

SDK_LINE = int(importlib.metadata.version("mcp").partition(".")[0])
LEGACY, MODERN = "legacy", "2026-07-28"
MODES = [LEGACY] if SDK_LINE == 1 else [LEGACY, MODERN, "auto"]

_TIMEOUT = 40.0  # seconds for a whole test

Open = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["command", "transport"])
def open_session(request: pytest.FixtureRequest, sshd: Sshd, tmp_path: Path) -> Open:
    """Opens a session with the echo server: `open_session(mode, *options of the server, **callbacks)`."""

    def streams(command: list[str]) -> Any:
        if request.param == "command":
            return _through_command(sshd, command, tmp_path / "stderr")
        return _through_transport(sshd, command)

    @asynccontextmanager
    async def session(mode: str, *options: str, **callbacks: Any) -> AsyncIterator[Any]:
        mcp: Any = importlib.import_module("mcp")
        transport = streams(echo_server.command(*options))
        with anyio.fail_after(_TIMEOUT):
            if SDK_LINE == 1:
                async with transport as pair, mcp.ClientSession(*pair, **callbacks) as client:
                    await client.initialize()
                    yield client
            else:
                async with mcp.Client(transport, mode=mode, **callbacks) as client:
                    yield client

    return session


@asynccontextmanager
async def _through_command(sshd: Sshd, command: list[str], stderr: Path) -> AsyncIterator[Any]:
    stdio: Any = importlib.import_module("mcp.client.stdio")
    _, *arguments = client_argv(*sshd.client_options(), "--", *command)
    parameters = stdio.StdioServerParameters(
        command=sys.executable, args=arguments, env={"PYTHONPATH": PACKAGE_PARENT}
    )
    with stderr.open("w") as log:
        async with stdio.stdio_client(parameters, errlog=log) as streams:
            yield streams


def _through_transport(sshd: Sshd, command: list[str]) -> AbstractAsyncContextManager[Any]:
    transport: Any = importlib.import_module("m2m_ssh_client")
    opened: AbstractAsyncContextManager[Any] = transport.ssh_client(
        SSHServerParameters(
            host="127.0.0.1",
            port=sshd.port,
            username=sshd.username,
            client_key=sshd.keys.client_key,
            known_hosts=sshd.known_hosts,
            command=tuple(command),
        )
    )
    return opened


def plain(model: Any) -> dict[str, Any]:
    """The model as it stood on the wire."""
    dumped: dict[str, Any] = model.model_dump(by_alias=True, exclude_none=True, mode="json")
    return dumped


async def test_tools_are_listed_and_called(open_session: Open, mode: str) -> None:
    async with open_session(mode) as session:
        listed = plain(await session.list_tools())
        assert "echo" in {tool["name"] for tool in listed["tools"]}
        arguments = {"text": "Grüße \u2028 😀", "big": 2**70, "none": None}
        answer = plain(await session.call_tool("echo", arguments))
        assert answer["structuredContent"]["arguments"] == arguments


async def test_progress_arrives_while_a_call_runs(open_session: Open, mode: str) -> None:
    seen: list[tuple[float, float | None, str | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        seen.append((done, total, message))

    async with open_session(mode) as session:
        await session.call_tool("progress", {"steps": 3}, progress_callback=progress)
    assert seen == [(1.0, 3.0, "№ 1"), (2.0, 3.0, "№ 2"), (3.0, 3.0, "№ 3")]


@pytest.mark.filterwarnings("ignore:.*(deprecated|SEP-2577).*")  # the SDK announces their end
@pytest.mark.parametrize("kind", ["sampling", "elicitation", "roots"])
async def test_the_servers_questions_reach_the_callbacks(
    open_session: Open, mode: str, kind: str
) -> None:
    types: Any = importlib.import_module("mcp.types")

    async def sample(_context: Any, params: Any) -> Any:
        assert plain(params)["messages"][0]["content"]["text"] == "?"
        return types.CreateMessageResult(
            role="assistant", model="m", content=types.TextContent(type="text", text="!")
        )

    async def elicit(_context: Any, params: Any) -> Any:
        assert params.message == "?"
        return types.ElicitResult(action="accept", content={"name": "ü"})

    async def roots(_context: Any) -> Any:
        return types.ListRootsResult(roots=[types.Root(uri="file:///srv", name="home")])

    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    message = {"role": "user", "content": {"type": "text", "text": "?"}}
    questions: dict[str, Any] = {
        "sampling": ("sampling/createMessage", {"messages": [message], "maxTokens": 9}),
        "elicitation": (
            "elicitation/create",
            {"mode": "form", "message": "?", "requestedSchema": schema},
        ),
        "roots": ("roots/list", {}),
    }
    method, params = questions[kind]
    callbacks = {
        "sampling_callback": sample,
        "elicitation_callback": elicit,
        "list_roots_callback": roots,
    }
    async with open_session(mode, **callbacks) as session:
        result = plain(await session.call_tool("ask", {"method": method, "params": params}))
    answer = result["structuredContent"]["answer"]
    expected: dict[str, tuple[str, Any]] = {
        "sampling": ("content", {"type": "text", "text": "!"}),
        "elicitation": ("content", {"name": "ü"}),
        "roots": ("roots", [{"uri": "file:///srv", "name": "home"}]),
    }
    field, value = expected[kind]
    assert answer[field] == value


async def test_log_messages_and_changed_lists_reach_the_session(open_session: Open) -> None:
    logged: list[str] = []
    other: list[str] = []

    async def log(params: Any) -> None:
        logged.append(params.data)

    async def message(received: Any) -> None:
        other.append(getattr(getattr(received, "root", received), "method", ""))

    async with open_session(LEGACY, logging_callback=log, message_handler=message) as session:
        arguments = {
            "method": "notifications/message",
            "params": {"level": "warning", "data": "ü"},
        }
        await session.call_tool("notify", arguments)
        await session.call_tool("notify", {"method": "notifications/tools/list_changed"})
        await session.call_tool("echo", {})
    assert logged == ["ü"]
    assert "notifications/tools/list_changed" in other


if SDK_LINE > 1:  # line 1 does not ask for the era

    @pytest.mark.parametrize(("answer", "version"), [("modern", MODERN), ("unknown", "2025-11-25")])
    async def test_the_client_finds_the_era_of_the_remote_server(
        open_session: Open, answer: str, version: str
    ) -> None:
        async with open_session("auto", "--discover", answer) as session:
            assert session.protocol_version == version
            assert plain(session.server_info)["version"] == "9.8.7"
            assert session.instructions == "Say anything; it comes back."


async def test_the_end_of_the_remote_server_fails_the_call_in_flight_and_no_other(
    open_session: Open,
) -> None:
    mcp: Any = importlib.import_module("mcp")
    failure = mcp.McpError if SDK_LINE == 1 else mcp.MCPError
    async with open_session(LEGACY) as session:
        with pytest.raises(failure, match="3"):
            await session.call_tool("exit", {"status": 3})
        # Also so that nothing is on its way any more when the client leaves: line 1 of the SDK breaks on that.
        assert plain(await session.call_tool("echo", {"text": "again"}))["content"]


async def test_a_large_answer_arrives_whole(open_session: Open, mode: str) -> None:
    async with open_session(mode) as session:
        answer = plain(await session.call_tool("big", {"bytes": 5_000_000}))
    assert len(answer["content"][0]["text"]) == 5_000_000
