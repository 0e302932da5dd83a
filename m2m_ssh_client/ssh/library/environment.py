"""Requests for environment variables (RFC 4254 section 6.4), and the names that the server refused.

Like `ssh`, paramiko asks for no reply, and on a refusal it would close the channel. So the replies
are kept from it here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import paramiko
from paramiko.common import MSG_CHANNEL_FAILURE, MSG_CHANNEL_SUCCESS, cMSG_CHANNEL_REQUEST

_Handler = Callable[[paramiko.Channel, paramiko.Message], None]


@contextmanager
def asked_for(
    channel: paramiko.Channel, variables: Sequence[tuple[str, str]]
) -> Iterator[list[str]]:
    """Request these variables; within the context, make one request that waits for its reply.

    Replies come in the order of the requests (RFC 4254 section 5.4), so this costs no round trip.
    The list holds the refused names, and is complete once that request has its reply.
    """
    refused: list[str] = []
    if not variables:
        yield refused
        return
    transport: Any = channel.transport
    waiting = deque(name for name, _ in variables)
    handlers: dict[int, _Handler] = transport._channel_handler_table

    def listen(kind: int) -> _Handler:
        def handle(replied: paramiko.Channel, message: paramiko.Message) -> None:
            if replied is not channel or not waiting:
                handlers[kind](replied, message)
                return
            name = waiting.popleft()
            if kind == MSG_CHANNEL_FAILURE:
                refused.append(name)

        return handle

    kinds = (MSG_CHANNEL_SUCCESS, MSG_CHANNEL_FAILURE)
    transport._channel_handler_table = {**handlers, **{kind: listen(kind) for kind in kinds}}
    try:
        for name, value in variables:
            message = paramiko.Message()
            message.add_byte(cMSG_CHANNEL_REQUEST)
            message.add_int(channel.remote_chanid)
            message.add_string("env")
            message.add_boolean(True)
            message.add_string(name)
            message.add_string(value)
            transport._send_user_message(message)
        yield refused
    finally:
        transport._channel_handler_table = handlers
