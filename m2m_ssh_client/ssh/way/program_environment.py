"""The environment of a program on the way to a machine: a ProxyCommand, or that of `--via`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from m2m_ssh_client import user_only_files

logger = logging.getLogger(__name__)


def environment() -> dict[str, str]:
    """Return our environment, without the passphrase, and with an agent that `ssh` can use.

    Where SSH_AUTH_SOCK is not set, or names a socket that is gone, it names the first agent with a
    key at a usual place. Looking for one takes three seconds at most, and usually none.
    """
    variables = user_only_files.environment()
    given = variables.get("SSH_AUTH_SOCK")
    is_wanted = given is None or (given and not Path(given).exists())  # empty: no agent
    if is_wanted and sys.platform != "win32":  # where ssh knows its agent's fixed place
        from m2m_ssh_client.ssh.login import agent_places

        if agent := agent_places.first_with_keys(lambda: False):
            agent.close()
            logger.info("the program gets an agent: %s at %s", agent.found, agent.path)
            variables["SSH_AUTH_SOCK"] = agent.path
    return variables
