"""The program's entry point. `--version` needs nothing of what the command line loads."""

from __future__ import annotations

import sys

from m2m_ssh_client._version import PROGRAM, __version__


def main() -> int:
    """Run the command of this process and return its exit status."""
    if sys.argv[1:] == ["--version"] and sys.stdout is not None:
        sys.stdout.write(f"{PROGRAM} {__version__}\n")
        return 0
    from m2m_ssh_client import cli

    return cli.main()
