"""Run the command line: `python …/m2m_ssh_client/__main__.py`, or `python -m m2m_ssh_client`.

`-m` first imports from the current folder, whatever is there; so what we start ourselves, and the
entries that we write, name this file instead. (`-P` would do the same since Python 3.11.)
"""

import os
import sys

if not __package__:  # started by its path: Python put the package's own folder first
    _here = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120
    sys.path[:] = [each for each in sys.path if os.path.realpath(each or ".") != _here]
    sys.path.append(os.path.dirname(_here))  # noqa: PTH120 - last, so that it hides nothing

from m2m_ssh_client.program import main

sys.exit(main())
