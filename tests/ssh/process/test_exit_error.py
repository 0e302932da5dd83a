from __future__ import annotations

import pytest

from m2m_ssh_client.ssh.process.exit_error import exit_error
from m2m_ssh_client.ssh.settings import Request


@pytest.mark.parametrize(
    ("request_", "advice"),
    [
        (Request("uvx mcp-server-git --repository /srv/repo"), "give the absolute path"),
        (Request("/srv/bin/server --port 1"), "Is there a program at this path?"),
        (
            Request("cd '/srv' && bin/server", inner="bin/server"),
            "Is there a program at this path?",
        ),
        (Request("cd '/srv' && uvx server", inner="uvx server"), "give the absolute path"),
    ],
)
def test_a_program_that_is_not_found_has_advice_for_how_it_was_named(
    request_: Request, advice: str
) -> None:
    assert advice in exit_error(127, None, request_).hint
