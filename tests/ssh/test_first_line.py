"""The host's `initialize` goes out behind the request for a process, before the server's reply to that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import anyio
import anyio.to_thread
import paramiko
import pytest
from paramiko.common import MSG_CHANNEL_DATA, MSG_CHANNEL_REQUEST
from support.odd_ssh import ENOUGH, Keys, Odd, odd_server, public
from support.waiting import wait_until

from m2m_ssh_client.api import SSHServerParameters
from m2m_ssh_client.errors import ChannelRefusedError, SSHClientError, UnreachableError
from m2m_ssh_client.flow.hand_over import FromThread
from m2m_ssh_client.flow.host_stdio import HostStreams
from m2m_ssh_client.relay import proxy_for
from m2m_ssh_client.ssh.opener import Opener

LINE = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}'
NOTE = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
ANSWER = b'{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25"}}'
SENT = LINE + b"\n"


class Slow(Odd):
    """Does not reply to the request for a command until a line has come."""

    def __init__(self, reaction: str, freeze: str = "") -> None:
        super().__init__(freeze)
        self.got = b""
        self._reaction = reaction
        self._request: paramiko.Message | None = None

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:  # noqa: ARG002
        return self._reaction == "grants"

    def configure(self, transport: paramiko.Transport) -> None:
        its: Any = transport
        its._channel_handler_table = {
            **its._channel_handler_table,
            MSG_CHANNEL_REQUEST: self._keep,
            MSG_CHANNEL_DATA: self._take,
        }

    def _keep(self, _channel: paramiko.Channel, message: paramiko.Message) -> None:
        self._request = message

    def _take(self, channel: Any, message: paramiko.Message) -> None:
        self.got += message.get_binary()
        request, self._request = self._request, None
        if request is None or self._reaction == "says nothing":
            return
        if self._reaction == "closes":
            channel.close()
            return
        channel._handle_request(request)
        if self._reaction == "grants":
            channel.sendall(ANSWER + b"\n")


class Narrow(Odd):
    """Has no window for a line until the process runs, as OpenSSH."""

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:  # noqa: ARG002
        return True

    def configure(self, transport: paramiko.Transport) -> None:
        its: Any = transport
        its.default_window_size = len(SENT) - 1


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@contextmanager
def remote(server: Odd, keys: Keys, seconds: float = ENOUGH) -> Iterator[Opener]:
    """What would be started on that server, which has nothing but the command."""
    with odd_server(server, keys["ed25519 host"]) as port:
        params = SSHServerParameters(
            host="127.0.0.1",
            port=port,
            ssh_config="none",
            client_key=keys.path(keys["ed25519"]),
            host_key=public(keys["ed25519 host"]).fingerprint,
            command=["serve"],
            connect_timeout=seconds,
        )
        with closing(Opener(params)) as opener:
            opener.first_words = lambda: SENT
            yield opener


def test_it_is_sent_before_the_reply(keys: Keys) -> None:
    server = Slow("grants")
    with remote(server, keys) as far:
        far.open()
        assert far.sent_ahead == server.got == SENT


@pytest.mark.parametrize(
    ("reaction", "kind", "words"),
    [
        ("refuses", ChannelRefusedError, "refused to run the command 'serve'"),
        ("closes", ChannelRefusedError, "refused to run the command 'serve'"),
        ("says nothing", UnreachableError, "Timed out after 1.5 s while opening the session"),
    ],
)
def test_a_request_that_is_not_granted_fails_as_without_it(
    reaction: str, kind: type[SSHClientError], words: str, keys: Keys
) -> None:
    server = Slow(reaction)
    with remote(server, keys, 1.5) as far, pytest.raises(kind, match=words):
        far.open()
    assert server.got == SENT
    assert far.sent_ahead == b""


def test_it_waits_for_a_window_that_takes_all_of_it(keys: Keys) -> None:
    with remote(Narrow(), keys) as far:
        far.open()
        assert far.sent_ahead == b""


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("reaction", "said", "got"),
    [
        ("grants", '"protocolVersion":"2025-11-25"', SENT + NOTE + b"\n"),
        ("refuses", "The server refused to run the command 'serve'", SENT),
    ],
)
async def test_the_host_gets_one_answer_and_the_server_one_initialize(
    reaction: str, said: str, got: bytes, keys: Keys
) -> None:
    server = Slow(reaction, freeze="authentication")
    with remote(server, keys) as far, anyio.fail_after(ENOUGH), ExitStack() as stack:
        async with proxy_for(far) as proxy, anyio.create_task_group() as tasks:
            from_host = stack.enter_context(closing(FromThread(proxy.intake.shortcut)))
            to_host = stack.enter_context(closing(FromThread()))
            tasks.start_soon(proxy.run, HostStreams(from_host, to_host))
            from_host.put([LINE])
            await anyio.to_thread.run_sync(wait_until, lambda: proxy.facts.pending == 1, ENOUGH)
            server.thaw.set()
            answers = aiter(to_host)
            (answer,) = await anext(answers)
            assert said in answer.decode()
            assert "may have run" not in answer.decode()
            assert json.loads(answer)["id"] == 1
            from_host.put([NOTE])
            await anyio.to_thread.run_sync(wait_until, lambda: server.got == got, ENOUGH)
            proxy.stop()
            from_host.end()
    assert server.got == got
