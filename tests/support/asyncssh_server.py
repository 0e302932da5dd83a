"""The least SSH server with asyncssh that runs commands: PORT HOST_KEY AUTHORIZED_KEYS.

It wants new keys after each megabyte.
"""

import asyncio
import signal
import sys
from contextlib import suppress
from typing import Any

import asyncssh  # type: ignore[import-not-found]  # in a virtual environment of its own


async def copy(reader: Any, writer: Any) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


async def run(process: Any) -> None:
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_shell(
        process.command, stdin=pipe, stdout=pipe, stderr=pipe
    )

    async def carry_in() -> None:
        await copy(process.stdin, child.stdin)
        child.stdin.close()  # type: ignore[union-attr]  # it was asked for

    task = asyncio.create_task(carry_in())
    await asyncio.gather(copy(child.stdout, process.stdout), copy(child.stderr, process.stderr))
    status = await child.wait()
    task.cancel()
    if status < 0:
        process.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
    else:
        process.exit(status)


async def main() -> None:
    port, host_key, authorized = sys.argv[1:]
    server = await asyncssh.listen(
        "127.0.0.1",
        int(port),
        server_host_keys=[host_key],
        authorized_client_keys=authorized,
        process_factory=run,
        encoding=None,
        rekey_bytes=1 << 20,
    )
    await server.wait_closed()


asyncio.run(main())
