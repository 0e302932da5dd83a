"""The program's entry point. `--version` and `--help` load nothing of the command line."""

from __future__ import annotations

import gc
import sys

from m2m_ssh_client._version import HOLDER, PROGRAM, __version__


def main() -> int:
    """Run the command of this process and return its exit status."""
    # Python looks for garbage after some hundred new objects. In modules there is none, and the
    # search took 4 % of the computing of a start.
    gc.set_threshold(100_000)
    if sys.argv[1:] in (["--version"], ["--help"], ["-h"]) and sys.stdout is not None:
        sys.stdout.write(_asked_for(sys.argv[1]))
        return 0
    if sys.platform != "win32" and sys.argv[1:] == [HOLDER]:
        from m2m_ssh_client.holding import holder

        return holder.main()
    from m2m_ssh_client import cli

    return cli.main()


def _asked_for(option: str) -> str:
    if option == "--version":
        return f"{PROGRAM} {__version__}\n"
    from m2m_ssh_client.help_text import HELP

    return HELP
