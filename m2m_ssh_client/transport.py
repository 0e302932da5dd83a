"""`ssh_client()`: the remote server as an MCP SDK transport, for Python programs.

It runs the same proxy as the command, with memory streams in place of the host's pipes, so a
program gets the same lines as a host. It works with `mcp` 1.x (`ClientSession(*streams)`) and 2.x
(`Client(ssh_client(…))`).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.flow.hand_over import FromThread
from m2m_ssh_client.flow.host_stdio import HostStreams
from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.proxy.server import SHUTDOWN_TIME, Proxy
from m2m_ssh_client.relay import proxy_for
from m2m_ssh_client.sdk_lines import Received, from_line, to_line
from m2m_ssh_client.ssh.opener import Opener

# Without a handler, Python prints warnings and errors to the program's stderr.
logging.getLogger("m2m_ssh_client").addHandler(logging.NullHandler())

Streams = tuple[MemoryObjectReceiveStream[Received], MemoryObjectSendStream[SessionMessage]]


OnFailure = Callable[[SSHClientError], object]
Read = Callable[[bytes], tuple[list[Received], list[bytes]]]
"""Converts a line of the remote, as `from_line`."""


def ssh_client(
    params: Parameters, *, on_failure: OnFailure | None = None
) -> AbstractAsyncContextManager[Streams]:
    """Connect to a remote MCP server and yield the two streams for an SDK client session.

    If the connection fails, this does not raise: as for any host, the first request (`initialize`)
    is answered with a JSON-RPC error that says what happened and what to do. `on_failure` is called
    with what ended the connection for good, in the event loop, before the context ends. On exit,
    the remote server is stopped within two seconds, as by the command.
    """
    return relayed(Opener(params), on_failure)


@asynccontextmanager
async def relayed(
    remote: Opener,
    on_failure: OnFailure | None = None,
    read: Read = from_line,
    time_to_end: Callable[[], float] = lambda: SHUTDOWN_TIME,
) -> AsyncIterator[Streams]:
    """Yield the streams to this remote server.

    `read` converts its lines. `time_to_end` says on exit how many seconds the server has to end.
    """
    to_program, read_stream = anyio.create_memory_object_stream[Received](0)
    write_stream, from_program = anyio.create_memory_object_stream[SessionMessage](0)
    ended = anyio.Event()

    async def carry_to_proxy() -> None:
        with from_program:
            async for message in from_program:
                to_proxy.put([to_line(message)])
                await to_proxy.room()
        to_proxy.end()

    async def carry_to_program() -> None:
        with to_program, suppress(anyio.BrokenResourceError):
            async for lines in from_proxy:
                for line in lines:
                    received, refused = read(line)
                    if refused:
                        to_proxy.put(refused)
                    for each in received:
                        await to_program.send(each)
        from_proxy.close()

    async def relay(proxy: Proxy) -> None:
        # Shielded, so that the remote server also gets an orderly end if the program is cancelled.
        # `stop` ends this task.
        with anyio.CancelScope(shield=True):
            try:
                failure = await proxy.run(HostStreams(to_proxy, from_proxy))
                if failure is not None and on_failure is not None:
                    on_failure(failure)
            finally:
                to_proxy.close()
                from_proxy.end()
                ended.set()

    async with proxy_for(remote) as proxy, anyio.create_task_group() as tasks:
        to_proxy, from_proxy = FromThread(proxy.intake.shortcut), FromThread()
        tasks.start_soon(carry_to_proxy)
        tasks.start_soon(carry_to_program)
        tasks.start_soon(relay, proxy)
        try:
            yield read_stream, write_stream
        finally:
            read_stream.close()
            write_stream.close()
            proxy.stop(time_to_end())
            with anyio.CancelScope(shield=True):
                await ended.wait()  # bounded by the proxy's own shutdown
            from_proxy.close()
            tasks.cancel_scope.cancel()
