"""The proxy between a host in memory and a remote over pipes."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from support.carriers import STDOUT_THREAD, PipeCarrier

from m2m_ssh_client import threads
from m2m_ssh_client.errors import (
    ConnectionLostError,
    HostKeyError,
    NotMCPError,
    RemoteExitError,
    SSHClientError,
    UnreachableError,
)
from m2m_ssh_client.flow.bridge import Bridge, opened
from m2m_ssh_client.flow.hand_over import FromThread, loop_caller, run_in_thread
from m2m_ssh_client.flow.host_stdio import HostStreams
from m2m_ssh_client.flow.splitting import Intake, Lines
from m2m_ssh_client.proxy import first_answer, recovery, server
from m2m_ssh_client.proxy.memory.session import State
from m2m_ssh_client.proxy.server import Proxy, Settings

pytestmark = pytest.mark.anyio

INITIALIZE = b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"name":"$(x)"}}'
ANSWER = b'{"jsonrpc":"2.0","id":0,"result":{}}'
CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}'
NOTE = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'


class Case:
    """A proxy that runs: the host's two ends, the far side's carrier, and what `run` returned."""

    def __init__(
        self,
        *,
        carriers: int = 1,
        kind: Callable[[], PipeCarrier] = PipeCarrier,
        **settings: Any,
    ) -> None:
        self.carriers = [kind() for _ in range(carriers)]
        self._next = iter(self.carriers)
        self.carrier = self.carriers[0]
        self.proxy = Proxy(
            self._dial,
            Settings(**{"answer_timeout": 5, "reconnect": False} | settings),
        )
        self.to_proxy = FromThread(self.proxy.intake.shortcut)
        self.from_proxy = FromThread(self._note_answer)
        self.answered_in: list[str] = []
        """The threads that brought the host something, while nothing was queued for it."""
        self.on_answer: Callable[[], object] = lambda: None
        self.host = HostStreams(self.to_proxy, self.from_proxy)
        self.reachable = anyio.Event()
        self.dial_fails_with: SSHClientError | None = None
        self.failure: SSHClientError | None = None
        self.ended = anyio.Event()

    @asynccontextmanager
    async def _dial(self, intake: Intake) -> AsyncIterator[Bridge]:
        await self.reachable.wait()
        if self.dial_fails_with is not None:
            raise self.dial_fails_with
        async with opened(next(self._next), intake) as bridge:
            yield bridge

    def _note_answer(self, _lines: Lines) -> bool:
        self.answered_in.append(threading.current_thread().name)
        self.on_answer()
        return False

    async def run(self) -> None:
        self.failure = await self.proxy.run(self.host)
        self.ended.set()

    async def say(self, *lines: bytes) -> None:
        with anyio.fail_after(5):
            self.to_proxy.put(list(lines))
            await self.to_proxy.room()

    async def hear(self, count: int = 1) -> list[bytes]:
        lines: list[bytes] = []
        with anyio.fail_after(8):
            while len(lines) < count:
                lines += await anext(self.from_proxy)
        return lines

    async def hear_error(self) -> tuple[Any, str]:
        (line,) = await self.hear()
        value = json.loads(line)
        return value["id"], value["error"]["message"]

    async def remote_heard(self, count: int = 1) -> list[bytes]:
        with anyio.fail_after(5):
            return await run_in_thread("test", lambda: self.carrier.heard_lines(count))

    def close(self) -> None:
        self.to_proxy.close()
        self.from_proxy.close()
        for carrier in self.carriers:
            carrier.release()


class AtOnce(PipeCarrier):
    """Writes at once, when it may, and knows in which threads that was."""

    def __init__(self) -> None:
        super().__init__()
        self.written_in: list[str] = []
        self.writes = threading.Event()
        self.may_write = threading.Event()
        self.may_write.set()

    def write_now(self, data: bytes) -> bool:
        self.written_in.append(threading.current_thread().name)
        self.writes.set()
        assert self.may_write.wait(5)
        self.write(data)
        return True


@asynccontextmanager
async def running(*, reachable: bool = True, **options: Any) -> AsyncIterator[Case]:
    case = Case(**options)
    if reachable:
        case.reachable.set()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(case.run)
        try:
            yield case
        finally:
            tasks.cancel_scope.cancel()
    case.close()


async def ended(case: Case, within: float) -> SSHClientError | None:
    with anyio.fail_after(within):
        await case.ended.wait()
    return case.failure


async def test_lines_pass_both_ways_and_the_hosts_end_ends_all_orderly() -> None:
    async with running() as case:
        await case.say(INITIALIZE, NOTE)
        assert await case.remote_heard(2) == [INITIALIZE, NOTE]
        case.carrier.say(ANSWER + b"\n")
        assert await case.hear() == [ANSWER]
        case.to_proxy.end()
        assert await run_in_thread("test", case.carrier.heard) == b""
        case.carrier.die()
        assert await ended(case, 2) is None
        assert case.carrier.signals == []
        assert case.carrier.closed.is_set()


async def test_answers_that_come_after_the_hosts_end_of_file_are_still_delivered() -> None:
    async with running() as case:
        await case.say(INITIALIZE)
        await case.remote_heard()
        case.to_proxy.end()
        assert await run_in_thread("test", case.carrier.heard) == b""
        case.carrier.say(ANSWER + b"\n")
        case.carrier.die()
        assert await case.hear() == [ANSWER]
        assert await ended(case, 2) is None


async def test_what_the_host_sent_while_connecting_goes_out_first_and_in_order() -> None:
    async with running(reachable=False) as case:
        await case.say(INITIALIZE)
        await case.say(NOTE, b"nonsense")
        assert await case.hear_error() == (
            None,
            "Parse error: Expecting value: line 1 column 1 (char 0)",
        )
        case.reachable.set()
        assert await case.remote_heard(2) == [INITIALIZE, NOTE]


@pytest.mark.parametrize("end", ["end of file", "gone", "stop"])
async def test_the_hosts_end_while_connecting_ends_the_proxy_in_time(end: str) -> None:
    async with running(reachable=False) as case:
        await case.say(INITIALIZE)
        if end == "end of file":
            case.to_proxy.end()
        elif end == "gone":
            case.host.gone.set()
        else:
            case.proxy.stop()
        assert (await case.hear_error())[0] == 0
        assert await ended(case, 2) is None


@pytest.mark.parametrize("end", ["end of file", "gone", "stop"])
async def test_a_remote_that_ignores_the_end_is_gone_in_time(end: str) -> None:
    async with running() as case:
        await case.say(INITIALIZE)
        await case.remote_heard()
        if end == "end of file":
            case.to_proxy.end()
        elif end == "gone":
            case.host.gone.set()
        else:
            case.proxy.stop()
        assert (await case.hear_error())[0] == 0
        assert await ended(case, 2) is None
        assert case.carrier.signals == ["TERM", "KILL"]


async def test_a_failed_connection_answers_discover_and_the_initialize_behind_it() -> None:
    async with running(reachable=False) as case:
        case.dial_fails_with = UnreachableError("Connection refused", "Start it.")
        case.reachable.set()
        reason = "Connection refused. Start it."
        for id_, method in enumerate(["server/discover", "initialize", "tools/list"]):
            await case.say(b'{"jsonrpc":"2.0","id":%d,"method":"%s"}' % (id_, method.encode()))
            assert await case.hear_error() == (id_, reason)
        case.to_proxy.end()
        assert await ended(case, 1) is case.dial_fails_with


async def test_a_failed_proxy_does_not_stay_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_LINGER_TIME", 0.1)
    async with running(reachable=False) as case:
        case.dial_fails_with = UnreachableError("no")
        case.reachable.set()
        assert await ended(case, 2) is case.dial_fails_with


async def test_a_remote_that_ends_early_is_reported_with_all_that_it_said() -> None:
    async with running() as case:
        case.carrier.reason = RemoteExitError(
            "The remote server ended with exit status 3", "Look.", 3
        )
        await case.say(INITIALIZE)
        case.carrier.say(b"This account is currently not available.\n")
        case.carrier.complain(b"boo\nhoo\n")
        case.carrier.die()
        id_, message = await case.hear_error()
        assert id_ == 0
        assert message == (
            "The remote server ended with exit status 3 before it answered; it printed: This account is "
            "currently not available.; its stderr: boo | hoo. Look."
        )
        case.to_proxy.end()
        assert isinstance(await ended(case, 1), RemoteExitError)


async def test_a_remote_that_ends_later_leaves_no_request_unanswered_and_the_proxy_ends() -> None:
    async with running() as case:
        case.carrier.reason = ConnectionLostError("The SSH connection was lost")
        await case.say(INITIALIZE)
        await case.remote_heard()
        case.carrier.say(ANSWER + b"\n")
        await case.hear()
        await case.say(CALL)
        await case.remote_heard()
        case.carrier.die()
        id_, message = await case.hear_error()
        assert id_ == 1
        assert message.startswith("The SSH connection was lost. ")
        assert "may or may not have run" in message
        assert isinstance(await ended(case, 1), ConnectionLostError)


@pytest.mark.parametrize(
    "complaint",
    [
        b"-bash: line 1: jsonrpc:2.0: command not found\n",
        b"-sh: 1: {jsonrpc:2.0,%s}: not found\n" % (b"x" * 1000),
        b"zsh: command not found: jsonrpc:2.0\n",
        b"fish: Unknown command: jsonrpc:2.0\n",
        b"{jsonrpc: Command not found.\n",
        b"sh: 1: {jsonrpc:2.0,id:0,%s}: File name too long\n" % (b"x" * 5000),
        b'\'{"jsonrpc":"2.0"\' is not recognized as an internal or external command,\n',
    ],
    ids=["bash", "dash", "zsh", "fish", "csh", "dash, long", "cmd"],
)
async def test_a_login_shell_gets_harmless_lines_and_the_host_is_told_what_to_do(
    complaint: bytes,
) -> None:
    async with running(may_be_shell=True) as case:
        await case.say(NOTE, INITIALIZE, CALL)
        lines = await case.remote_heard(3)
        assert list(map(json.loads, lines)) == list(map(json.loads, [NOTE, INITIALIZE, CALL]))
        assert b"$" not in b"".join(lines)
        case.carrier.complain(complaint)
        replies = [json.loads(line) for line in await case.hear(2)]
        assert [reply["id"] for reply in replies] == [0, 1]
        assert all("after `--`" in reply["error"]["message"] for reply in replies)
        case.to_proxy.end()
        assert isinstance(await ended(case, 3), NotMCPError)


async def test_a_shell_that_greets_and_does_not_answer_is_given_up_in_time() -> None:
    async with running(may_be_shell=True, answer_timeout=0.3) as case:
        case.carrier.say(b"Welcome to the router\n> \n")
        await case.say(INITIALIZE)
        assert "after `--`" in (await case.hear_error())[1]
        case.to_proxy.end()
        assert isinstance(await ended(case, 3), NotMCPError)


async def test_silence_is_no_shell_and_a_slow_server_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(first_answer, "_POLL", 0.02)
    async with running(may_be_shell=True, answer_timeout=0.05) as case:
        await case.say(INITIALIZE)
        await case.remote_heard()
        await anyio.sleep(0.2)  # more than the answer may take
        assert "no answer from the remote server within 0.05 s" in caplog.text
        case.carrier.say(ANSWER + b"\n")
        assert await case.hear() == [ANSWER]


async def test_a_server_that_started_slowly_may_do_so_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(first_answer, "_POLL", 0.02)
    async with running(carriers=2, reconnect=True, answer_timeout=0.05) as case:
        case.carrier.reason = ConnectionLostError("lost")
        await case.say(INITIALIZE)
        await case.remote_heard()
        await anyio.sleep(0.5)  # as long as it takes to start
        case.carrier.say(HELLO % b"0" + b"\n")
        await case.hear()
        await anyio.sleep(0.1)  # the wait for it is over, too
        await die(case)
        case.carrier = case.carriers[1]
        await case.remote_heard()
        with pytest.raises(TimeoutError):
            await ended(case, 0.3)
        assert not case.carrier.closed.is_set()


async def test_a_host_that_has_not_asked_yet_has_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(first_answer, "_POLL", 0.02)
    async with running(may_be_shell=True, answer_timeout=0.05) as case:
        with pytest.raises(TimeoutError):
            await ended(case, 0.4)
        await case.say(INITIALIZE)
        await case.remote_heard()
        case.carrier.say(ANSWER + b"\n")
        assert await case.hear() == [ANSWER]
        await case.say(CALL)
        assert await case.remote_heard() == [CALL]


async def test_a_host_that_does_not_read_makes_the_remote_wait() -> None:
    async with running() as case:
        said = 0

        def talk() -> None:
            nonlocal said
            for _ in range(2000):
                case.carrier.say(b'{"jsonrpc":"2.0","method":"%s"}\n' % (b"n" * 9_000))
                said += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_in_thread, "test", talk)
            with anyio.move_on_after(0.3):
                await anyio.sleep_forever()
            assert said < 200
            assert len(await case.hear(2000)) == 2000


async def test_a_remote_that_does_not_read_makes_the_host_wait() -> None:
    async with running() as case:
        line = b'{"jsonrpc":"2.0","method":"%s"}' % (b"n" * 100_000)
        sent = 0

        async def talk() -> None:
            nonlocal sent
            while sent < 60:
                case.to_proxy.put([line])
                await case.to_proxy.room()
                sent += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(talk)
            with anyio.move_on_after(0.3):
                await anyio.sleep_forever()
            assert sent < 30
            assert await case.remote_heard(60) == [line] * 60


@pytest.mark.parametrize("answered", [True, False])
async def test_a_host_that_does_not_read_cannot_hold_up_the_end(answered: bool) -> None:
    async with running() as case:
        await case.say(INITIALIZE, CALL)
        await case.remote_heard(2)
        if answered:
            case.carrier.say(ANSWER + b"\n")
        case.proxy.stop()
        assert await ended(case, 2) is None


async def test_a_remote_that_does_not_read_what_was_held_cannot_hold_up_the_end() -> None:
    async with running(reachable=False) as case:
        await case.say(*[b'{"jsonrpc":"2.0","method":"%s"}' % (b"n" * 1_000_000)] * 4)
        case.reachable.set()
        case.proxy.stop()
        assert await ended(case, 2) is None


# Reconnecting

HELLO = (
    b'{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25",'
    b'"capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"s"}}}'
)
LIST = b'{"jsonrpc":"2.0","id":2,"method":"tools/list"}'


async def handshake(case: Case) -> None:
    await case.say(INITIALIZE)
    await case.remote_heard()
    case.carrier.say(HELLO % b"0" + b"\n")
    await case.hear()
    await case.say(NOTE)
    assert await case.remote_heard() == [NOTE]


async def die(case: Case) -> None:
    """The far side ends, and the proxy has noticed."""
    case.carrier.die()
    with anyio.fail_after(5):
        while case.proxy._session.state is State.OPEN:
            await anyio.wait_all_tasks_blocked()


async def take_over(case: Case, number: int, count: int = 1) -> list[bytes]:
    """The fresh server answers the repeated initialize; the `count` lines that it hears behind that."""
    case.carrier = case.carriers[number]
    (initialize,) = await case.remote_heard()
    id_ = json.dumps(json.loads(initialize)["id"]).encode()
    case.carrier.say(HELLO % id_ + b"\n")
    heard: list[bytes] = []
    while len(heard) < count:
        heard += await case.remote_heard()
    return heard


async def test_a_lost_connection_is_made_again_and_the_host_sees_no_disconnect() -> None:
    async with running(carriers=2, reconnect=True) as case:
        case.carrier.reason = ConnectionLostError("The SSH connection was lost")
        await handshake(case)
        await case.say(CALL, LIST)
        await case.remote_heard(2)
        case.carrier.die()
        id_, message = await case.hear_error()
        assert id_ == 1
        assert "may or may not have run" in message
        assert await take_over(case, 1, 2) == [NOTE, LIST]
        (changed,) = await case.hear()
        assert json.loads(changed)["method"] == "notifications/tools/list_changed"
        case.to_proxy.end()
        assert await run_in_thread("test", case.carrier.heard) == b""
        case.carrier.die()
        assert await ended(case, 2) is None


async def test_a_remote_process_that_ends_is_started_again() -> None:
    async with running(carriers=2, reconnect=True) as case:
        await handshake(case)
        case.carrier.die()
        assert await take_over(case, 1) == [NOTE]


async def test_a_process_that_cannot_be_started_again_is_reported_to_whoever_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recovery, "_EARLY_END_TIME", 0.0)
    async with running(carriers=2, reconnect=True) as case:
        await handshake(case)
        case.carriers[1].reason = RemoteExitError(
            "The remote server ended with exit status 9", status=9
        )
        case.carriers[1].die()
        await die(case)
        await case.say(CALL)
        assert (await case.hear_error())[1].startswith("The remote server ended with exit status 9")
        case.to_proxy.end()
        assert isinstance(await ended(case, 2), RemoteExitError)


async def test_a_server_that_ends_on_discover_is_replaced_for_the_initialize() -> None:
    async with running(carriers=2, reconnect=True) as case:
        await case.say(b'{"jsonrpc":"2.0","id":9,"method":"server/discover"}')
        await case.remote_heard()
        case.carrier.die()
        (reply,) = await case.hear()
        assert json.loads(reply)["error"]["code"] == -32601
        case.carrier = case.carriers[1]
        await case.say(INITIALIZE)
        assert await case.remote_heard() == [INITIALIZE]


async def test_a_command_that_fails_in_its_own_words_is_not_run_again_for_a_discover() -> None:
    async with running(carriers=2, reconnect=True) as case:
        case.carrier.reason = RemoteExitError(
            "The remote server ended with exit status 1", status=1
        )
        await case.say(b'{"jsonrpc":"2.0","id":9,"method":"server/discover"}')
        await case.remote_heard()
        case.carrier.complain(b"No module named 'serve'\n")
        case.carrier.die()
        id_, message = await case.hear_error()
        assert id_ == 9
        assert "its stderr: No module named 'serve'" in message
        case.to_proxy.end()
        assert isinstance(await ended(case, 1), RemoteExitError)


async def test_a_fatal_cause_ends_the_reconnecting_with_its_reason() -> None:
    async with running(reconnect=True) as case:
        case.carrier.reason = ConnectionLostError("lost")
        await handshake(case)
        case.dial_fails_with = HostKeyError("Host key verification failed: it changed")
        await die(case)
        await case.say(CALL)
        assert (await case.hear_error())[1].startswith("Host key verification failed")
        case.to_proxy.end()
        assert await ended(case, 2) is case.dial_fails_with


async def test_requests_wait_for_the_reconnect_and_are_answered_when_it_takes_too_long() -> None:
    async with running(reconnect=True, hold_timeout=0.3) as case:
        case.carrier.reason = ConnectionLostError("lost")
        await handshake(case)
        case.dial_fails_with = UnreachableError("Connection refused")
        await die(case)
        await case.say(CALL)
        id_, message = await case.hear_error()
        assert id_ == 1
        assert "made again" in message
        assert "not sent" in message
        assert not case.ended.is_set()
        case.to_proxy.end()
        assert await ended(case, 2) is None


async def test_the_hosts_end_during_a_back_off_ends_all_in_time() -> None:
    async with running(reconnect=True) as case:
        case.carrier.reason = ConnectionLostError("lost")
        await handshake(case)
        case.dial_fails_with = UnreachableError("Connection refused")
        await die(case)
        await case.say(CALL)
        case.to_proxy.end()
        assert await ended(case, 2) is None


async def test_a_fresh_server_that_stays_silent_is_given_up_and_another_one_tried() -> None:
    async with running(carriers=3, reconnect=True, answer_timeout=0.3) as case:
        for carrier in case.carriers:
            carrier.reason = ConnectionLostError("lost")
        await handshake(case)
        case.carrier.die()
        case.carrier = case.carriers[1]
        await case.remote_heard()
        assert await take_over(case, 2) == [NOTE]


async def test_a_question_of_the_remote_is_cancelled_when_the_connection_is_lost() -> None:
    async with running(carriers=2, reconnect=True) as case:
        case.carrier.reason = ConnectionLostError("lost")
        await handshake(case)
        case.carrier.say(b'{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage"}\n')
        await case.hear()
        case.carrier.die()
        (cancelled,) = await case.hear()
        assert json.loads(cancelled)["params"]["requestId"] == 1
        await case.say(b'{"jsonrpc":"2.0","id":1,"result":{}}')
        assert await take_over(case, 1) == [NOTE]


async def test_a_request_during_a_long_pause_brings_the_next_attempt_forward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recovery, "_FIRST_DELAY", 1000.0)
    monkeypatch.setattr(recovery, "_LONGEST_DELAY", 1000.0)
    monkeypatch.setattr(recovery, "_FIRST_HURRY", 0.05)
    async with running(carriers=2, reconnect=True) as case:
        case.carrier.reason = ConnectionLostError("lost")
        await handshake(case)
        case.dial_fails_with = UnreachableError("Connection refused")
        await die(case)
        await anyio.wait_all_tasks_blocked()
        case.dial_fails_with = None
        await case.say(LIST)
        assert await take_over(case, 1, 2) == [NOTE, LIST]


async def test_a_first_request_is_answered_in_time_however_long_connecting_takes() -> None:
    async with running(reachable=False, reconnect=True, answer_timeout=0.3) as case:
        await case.say(INITIALIZE)
        assert (await case.hear_error())[1].startswith("No connection within 0.3 s")
        case.to_proxy.end()
        assert isinstance(await ended(case, 2), UnreachableError)


async def test_a_first_connection_waits_for_the_network_to_come() -> None:
    async with running(reconnect=True) as case:
        case.dial_fails_with = UnreachableError("no network", network_down=True)
        await case.say(INITIALIZE)
        await anyio.wait_all_tasks_blocked()
        case.dial_fails_with = None
        assert await case.remote_heard() == [INITIALIZE]


async def test_a_connection_that_fails_after_the_hosts_end_of_file_is_still_told() -> None:
    async with running(reachable=False) as case:
        case.dial_fails_with = UnreachableError("Connection refused")
        await case.say(INITIALIZE)
        case.to_proxy.end()
        await anyio.wait_all_tasks_blocked()
        case.reachable.set()
        assert (await case.hear_error())[1] == "Connection refused"
        assert await ended(case, 2) is case.dial_fails_with


# Every buffer full, in both directions at once

LONG = b"x" * 3_000_000
LONG_CALL = b'{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"x":"%s"}}' % (LONG * 2)


class Flooding:
    """A far side that writes long answers before it reads what is sent to it, as a server with one thread does."""

    def __init__(self, carrier: PipeCarrier) -> None:
        self.carrier = carrier

    def serve(self) -> None:
        rest = b""
        with suppress(OSError):  # the test is over
            while data := self.carrier.heard():
                *lines, rest = (rest + data).split(b"\n")
                for value in map(json.loads, lines):
                    if "id" in value:
                        text = LONG.decode() if value["method"] == "resources/read" else ""
                        result = {"protocolVersion": "2025-11-25", "text": text}
                        self.say({"jsonrpc": "2.0", "id": value["id"], "result": result})

    def say(self, value: Any) -> None:
        data = json.dumps(value).encode() + b"\n"
        for at in range(0, len(data), 65536):
            self.carrier.say(data[at : at + 65536])


def read(id_: int) -> bytes:
    return b'{"jsonrpc":"2.0","id":%d,"method":"resources/read"}' % id_


@pytest.mark.parametrize("state", ["connecting", "shell", "open", "lost", "lost to a shell"])
async def test_whatever_waits_on_both_sides_nothing_is_stuck(state: str) -> None:
    shell = "shell" in state
    first = [b'{"jsonrpc":"2.0","id":0,"method":"server/discover"}'] if shell else [INITIALIZE]
    async with running(
        carriers=2, reconnect=True, may_be_shell=shell, reachable=state == "open"
    ) as case:
        flooding = [Flooding(carrier) for carrier in case.carriers]
        for each in flooding:
            threads.start("test-far", each.serve)
        if "lost" in state:
            case.carrier.reason = ConnectionLostError("lost")
            case.reachable.set()
            await case.say(*first)
            await case.hear()
            case.reachable = anyio.Event()
            await die(case)
        elif state == "open":
            await case.say(*first)
            await case.hear()
        questions = [read(id_) for id_ in (1, 2, 3)] + [LONG_CALL]
        await case.say(*(questions if "lost" in state or state == "open" else first + questions))
        case.reachable.set()
        ids: set[Any] = set()
        with anyio.fail_after(20):
            while not {1, 2, 3, 9} <= ids:
                ids |= {json.loads(line).get("id") for line in await case.hear()}


# Straight through, without the loop


async def open_session(case: Case) -> None:
    """The remote has answered, so nothing holds anything up."""
    await case.say(INITIALIZE)
    await case.remote_heard()
    case.carrier.say(ANSWER + b"\n")
    assert await case.hear() == [ANSWER]
    with anyio.move_on_after(0):
        await anext(case.from_proxy)  # so the answer is dealt with


async def test_a_call_and_its_answer_cross_no_thread_where_nothing_waits() -> None:
    async with running(kind=AtOnce) as case:
        await open_session(case)
        carrier = case.carrier
        assert isinstance(carrier, AtOnce)
        carrier.written_in.clear()
        threads.start("test-host", lambda: case.to_proxy.put([CALL]))
        assert await case.remote_heard() == [CALL]
        assert carrier.written_in == ["m2m-test-host"]

        answered = anyio.Event()
        call_soon = loop_caller()
        case.answered_in.clear()
        case.on_answer = lambda: call_soon(answered.set)
        carrier.say(b'{"jsonrpc":"2.0","id":1,"result":{}}\n')
        with anyio.fail_after(5):
            await answered.wait()
        assert case.answered_in == [STDOUT_THREAD]


async def test_lines_keep_their_order_while_the_way_straight_through_opens_and_closes() -> None:
    count = 3000
    lines = [b'{"jsonrpc":"2.0","method":"n%d"}' % i for i in range(count)]
    async with running(reachable=False, kind=AtOnce) as case:

        def talk() -> None:
            for line in lines:
                case.to_proxy.put([line])
                case.to_proxy.wait_for_room()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_in_thread, "test-host", talk)
            await anyio.lowlevel.checkpoint()
            case.reachable.set()
            assert await case.remote_heard(count) == lines


async def test_a_write_that_waits_for_the_remote_does_not_keep_it_from_being_heard() -> None:
    """As while keys are exchanged: the thread that brings answers is the one that the write waits for."""
    async with running(kind=AtOnce) as case:
        await open_session(case)
        carrier = case.carrier
        assert isinstance(carrier, AtOnce)
        carrier.may_write.clear()
        carrier.writes.clear()
        carrier.on_received = carrier.may_write.set
        threads.start("test-host", lambda: case.to_proxy.put([CALL]))
        assert await run_in_thread("test", lambda: carrier.writes.wait(5))
        note = b'{"jsonrpc":"2.0","method":"notifications/message"}'
        carrier.say(note + b"\n")
        assert await case.hear() == [note]
        assert await case.remote_heard() == [CALL]
