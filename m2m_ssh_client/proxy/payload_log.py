"""Messages in the log, for `--log-payloads`: what each side is sent, cut. Loaded only where somebody asked for it."""

from __future__ import annotations

import logging

from m2m_ssh_client import logs
from m2m_ssh_client.flow.hand_over import Lines
from m2m_ssh_client.proxy.memory.session import Output
from m2m_ssh_client.proxy.server import Proxy
from m2m_ssh_client.text import printable, shortened

logger = logging.getLogger(logs.PAYLOADS)

_MOST = 500  # characters of a message


class LoggingProxy(Proxy):
    """A proxy that logs what it hands on, its own messages too."""

    cuts_through = False  # which is not handed on at once

    def _hand_on(self, output: Output) -> None:
        _log("remote", output.to_remote)
        _log("host", output.to_host)
        super()._hand_on(output)


def _log(side: str, lines: Lines) -> None:
    for line in lines:
        text = shortened(printable(line[: 4 * _MOST]), _MOST)
        logger.debug("to the %s, %d bytes: %s", side, len(line), text)
