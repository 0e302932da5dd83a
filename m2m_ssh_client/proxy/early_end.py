"""The end of a remote process before its first message: whether its words say what ended it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from m2m_ssh_client.errors import COMMAND_NOT_FOUND

# Servers built on rmcp before 3.0 print `Error: ExpectedInitializeRequest(Some(…"server/discover"…`
# or "expect initialized request" on stderr; those that cannot read the request, "connection closed:
# initialize request".
_ABOUT_DISCOVER = re.compile(
    r"server/discover|init\w*[ _]?request|before init|not (yet )?initiali[sz]ed", re.IGNORECASE
)

_NEVER_RAN = (126, COMMAND_NOT_FOUND)  # POSIX, Shell Command Language, 2.8.2


def may_be_about_discover(status: int | None, stdout: Sequence[str], stderr: Sequence[str]) -> bool:
    """Return whether `server/discover` may have ended the process, so that a fresh one may live.

    A command that fails by itself says so in other words, or on stdout; it is not run twice. An
    exit status of 0 says that nothing failed, whatever the server has logged.
    """
    if status in _NEVER_RAN:
        return False
    words = [*stdout, *stderr] if status else stdout
    return not words or any(map(_ABOUT_DISCOVER.search, words))
