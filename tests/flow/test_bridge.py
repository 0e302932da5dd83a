"""The bridge, with pipes for a carrier."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import anyio
import pytest
from support.carriers import PipeCarrier

from m2m_ssh_client.errors import MessageTooLongError, RemoteExitError
from m2m_ssh_client.flow.bridge import opened
from m2m_ssh_client.flow.hand_over import FromThread, run_in_thread
from m2m_ssh_client.flow.splitting import Intake, LineSplitter

pytestmark = pytest.mark.anyio


def intake(limit: int = 1000) -> Intake:
    """Lines up to this limit, of which none takes the shortcut."""
    return Intake(LineSplitter(limit), lambda _: False)


@pytest.fixture
def carrier() -> Iterator[PipeCarrier]:
    carrier = PipeCarrier()
    yield carrier
    carrier.release()


async def _receive_all(inbound: FromThread) -> list[bytes]:
    with anyio.fail_after(5):
        return [line async for lines in inbound for line in lines]


async def test_lines_come_whole_however_the_carrier_cuts_them(carrier: PipeCarrier) -> None:
    async with opened(carrier, intake()) as bridge:
        for piece in (b'{"a":"\xc3', b'\xbc"}\n\n', b"second\nhalf"):
            carrier.say(piece)
        carrier.die()
        assert await _receive_all(bridge.inbound) == ['{"a":"ü"}'.encode(), b"second"]


async def test_half_a_line_at_the_end_can_be_had_then(carrier: PipeCarrier) -> None:
    async with opened(carrier, intake()) as bridge:
        carrier.say(b"half")
        carrier.die()
        assert await _receive_all(bridge.inbound) == []
        assert bridge.begun_line() == b"half"
        assert bridge.begun_line() == b""


async def test_what_is_sent_arrives_and_then_the_end_of_file(carrier: PipeCarrier) -> None:
    async with opened(carrier, intake()) as bridge:
        bridge.outbound.put([b"one", b"two"])
        assert await run_in_thread("test", lambda: carrier.heard_lines(2)) == [b"one", b"two"]
        ended = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bridge.shut_down, ended, anyio.current_time() + 5)
            assert await run_in_thread("test", carrier.heard) == b""
            ended.set()
    assert carrier.signals == []
    assert carrier.closed.is_set()


@pytest.mark.parametrize(("dies_of", "signals"), [("TERM", ["TERM"]), ("KILL", ["TERM", "KILL"])])
async def test_a_far_side_that_ignores_the_end_of_file_is_sent_signals(
    carrier: PipeCarrier, dies_of: str, signals: list[str]
) -> None:
    carrier.dies_of = dies_of
    async with opened(carrier, intake()) as bridge, anyio.create_task_group() as tasks:
        ended = anyio.Event()

        async def read() -> None:
            await _receive_all(bridge.inbound)
            ended.set()

        tasks.start_soon(read)
        await bridge.shut_down(ended, anyio.current_time() + 0.5)
    assert carrier.signals == signals


async def test_a_far_side_that_cannot_be_ended_is_given_up_at_the_deadline(
    carrier: PipeCarrier,
) -> None:
    async with opened(carrier, intake()) as bridge:
        with anyio.fail_after(2):
            await bridge.shut_down(anyio.Event(), anyio.current_time() + 0.5)
    assert carrier.closed.is_set()


async def test_a_line_over_the_limit_ends_the_stream_and_is_the_reason(
    carrier: PipeCarrier,
) -> None:
    async with opened(carrier, intake()) as bridge:
        carrier.say(b"ok\n" + b"x" * 1500)
        assert await _receive_all(bridge.inbound) in ([b"ok"], [])
        assert isinstance(await bridge.ending(), MessageTooLongError)


async def test_the_last_lines_of_stderr_are_there_when_the_far_side_ended(
    carrier: PipeCarrier, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(carrier, intake()) as bridge:
        carrier.complain(
            b"first\nTraceback\x1b[31m\r\n\xff" + b"y" * 20_000 + b"\nlast without end"
        )
        carrier.die()
        assert await _receive_all(bridge.inbound) == []
        assert isinstance(await bridge.ending(), RemoteExitError)
        tail = bridge.stderr_tail
    assert tail[:2] == ["first", "Traceback\\x1b[31m"]
    assert tail[-1] == "last without end"
    assert all(len(line) <= 4000 for line in tail)
    remote = [record for record in caplog.records if record.name == "m2m_ssh_client.remote"]
    assert sum(len(record.getMessage().strip("\\xf")) for record in remote) > 20_000
    assert all(record.levelno == logging.WARNING for record in remote)


_NODE = b"""\
node:internal/modules/cjs/loader:1210
  throw err;
  ^

Error: Cannot find module '/srv/server.js'
    at Module._load (node:internal/modules/cjs/loader:1038:27)
    at node:internal/main/run_main_module:28:49 {
  code: 'MODULE_NOT_FOUND',
  requireStack: []
}

Node.js v20.20.2
"""
_JAVA = b"""\
Exception in thread "main" java.lang.IllegalStateException: no database
\tat server.Store.open(Store.java:12)
\tat server.Main.start(Main.java:40)
\tat server.Main.run(Main.java:31)
\tat server.Main.call(Main.java:22)
\tat server.Main.main(Main.java:7)
"""
_PYTHON = b"""\
Traceback (most recent call last):
  File "/srv/bin/server", line 5, in <module>
    from server import main
  File "/srv/server.py", line 20, in <module>
    @app.list_tools()
     ^^^^^^^^^^^^^^
AttributeError: 'Server' object has no attribute 'list_tools'
"""


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (_PYTHON, '  File "/srv/bin/server", line 5, in <module>'),
        (_NODE, "Error: Cannot find module '/srv/server.js'"),
        (_JAVA, 'Exception in thread "main" java.lang.IllegalStateException: no database'),
    ],
    ids=["Python", "Node.js", "Java"],
)
async def test_the_last_lines_say_what_happened_and_where_there_is_a_stack(
    carrier: PipeCarrier, said: bytes, reason: str
) -> None:
    async with opened(carrier, intake()) as bridge:
        carrier.complain(said)
        carrier.die()
        assert await _receive_all(bridge.inbound) == []
        await bridge.ending()
        assert bridge.stderr_tail[0] == reason


async def test_a_chatty_stderr_does_not_hold_up_stdout(carrier: PipeCarrier) -> None:
    def chatter() -> None:
        for _ in range(50):
            carrier.complain(b"noise " * 1000 + b"\n")
        carrier.say(b"answer\n")
        carrier.die()

    async with opened(carrier, intake()) as bridge:
        with anyio.fail_after(10):
            await run_in_thread("test", chatter)
        assert await _receive_all(bridge.inbound) == [b"answer"]


async def test_an_unread_bridge_makes_the_far_side_wait_and_memory_stay(
    carrier: PipeCarrier,
) -> None:
    said = 0

    def talk() -> None:
        nonlocal said
        for _ in range(400):
            carrier.say(b"x" * 9_999 + b"\n")
            said += 1

    async with opened(carrier, intake(100_000)) as bridge, anyio.create_task_group() as tasks:
        tasks.start_soon(run_in_thread, "test", talk)
        with anyio.move_on_after(0.3):
            await anyio.sleep_forever()
        assert said < 100
        with anyio.fail_after(10):
            count = 0
            async for lines in bridge.inbound:
                count += len(lines)
                if count == 400:
                    break


async def test_a_failing_write_is_told_and_holds_up_nobody(carrier: PipeCarrier) -> None:
    carrier.stop_reading_stdin()
    async with opened(carrier, intake()) as bridge:
        bridge.outbound.put([b"x"])
        with anyio.fail_after(5):
            await bridge.outbound.failed.wait()
            await bridge.outbound.room()
        assert not bridge.outbound.has_room
