"""Run the command line: `python -m m2m_ssh_client`."""

import sys

from m2m_ssh_client.cli import main

sys.exit(main())
