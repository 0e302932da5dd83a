"""`ssh_client()`: the remote server as an MCP SDK transport, for Python programs.

The same proxy as the command's, with memory streams for its host, so that a program gets what a
host gets. Works with `mcp` 1.x (`ClientSession(*streams)`) and 2.x (`Client(ssh_client(…))`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from m2m_ssh_client.flow.hand_over import FromThread
from m2m_ssh_client.flow.host_stdio import HostStreams
from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.proxy.server import Proxy
from m2m_ssh_client.relay import proxy_for
from m2m_ssh_client.sdk_lines import Received, from_line, to_line
from m2m_ssh_client.ssh.opener import Remote


@asynccontextmanager
async def ssh_client(
    params: Parameters,
) -> AsyncIterator[
    tuple[MemoryObjectReceiveStream[Received], MemoryObjectSendStream[SessionMessage]]
]:
    """The streams of a remote MCP server, for an SDK client session.

    Does not raise for a connection that fails: as with any host, the first request (`initialize`)
    is answered with a JSON-RPC error that says what happened and what to do. On leaving, the remote
    server is ended as the command ends it, within two seconds.
    """
    to_program, read_stream = anyio.create_memory_object_stream[Received](0)
    write_stream, from_program = anyio.create_memory_object_stream[SessionMessage](0)
    relayed = anyio.Event()

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
                    received, refused = from_line(line)
                    if refused:
                        to_proxy.put(refused)
                    for each in received:
                        await to_program.send(each)
        from_proxy.close()

    async def relay(proxy: Proxy) -> None:
        # Shielded, so that a program that is cancelled ends the remote server orderly too: `stop`
        # ends this.
        with anyio.CancelScope(shield=True):
            try:
                await proxy.run(HostStreams(to_proxy, from_proxy))
            finally:
                to_proxy.close()
                from_proxy.end()
                relayed.set()

    async with proxy_for(Remote(params)) as proxy, anyio.create_task_group() as tasks:
        to_proxy, from_proxy = FromThread(proxy.intake.shortcut), FromThread()
        tasks.start_soon(carry_to_proxy)
        tasks.start_soon(carry_to_program)
        tasks.start_soon(relay, proxy)
        try:
            yield read_stream, write_stream
        finally:
            read_stream.close()
            write_stream.close()
            proxy.stop()
            with anyio.CancelScope(shield=True):
                await relayed.wait()  # bounded: the proxy's own shutdown is
            from_proxy.close()
            tasks.cancel_scope.cancel()
