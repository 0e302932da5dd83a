from __future__ import annotations

import pytest

from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.terminal.answers import Answers


def test_an_answer_of_more_levels_than_there_is_stack_for_is_an_error_for_a_person() -> None:
    deep = b"[" * 20_000 + b"]" * 20_000
    with pytest.raises(SSHClientError, match="cannot be read"):
        Answers().read(b'{"jsonrpc":"2.0","id":1,"result":%b}' % deep)
