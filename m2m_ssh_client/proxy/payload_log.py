"""Messages in the log, for `--log-payloads`: what each side is sent, shortened."""

from __future__ import annotations

import logging

from m2m_ssh_client import logs
from m2m_ssh_client.flow.splitting import Lines
from m2m_ssh_client.proxy.memory.session import Output
from m2m_ssh_client.text import printable, shortened

logger = logging.getLogger(logs.PAYLOADS)

_MOST = 500  # characters of a message


def log_payloads(output: Output) -> None:
    """Log the lines of a step, including the proxy's own messages."""
    _log("remote", output.to_remote)
    _log("host", output.to_host)


def _log(side: str, lines: Lines) -> None:
    for line in lines:
        text = shortened(printable(line[: 4 * _MOST]), _MOST)
        logger.debug("to the %s, %d bytes: %s", side, len(line), text)
