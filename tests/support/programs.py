"""Programs that come from outside: found, or the test that needs them is skipped and says why.

In CI a program that is missing is a failure: there, a skip would hide that nothing was tested.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest
from support.wine import UNDER_WINE

# Taken when pytest starts, before a fixture replaces the home folder: npm and pip want their own.
ORIGINAL_ENVIRONMENT = dict(os.environ)
_ORIGINAL_HOME = Path.home()

# Where Debian keeps daemons, which an ordinary user's PATH leaves out.
_DAEMON_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin")


def unavailable(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI."""
    if ORIGINAL_ENVIRONMENT.get("CI"):
        pytest.fail(f"{reason} (in CI this must be there)", pytrace=False)
    pytest.skip(reason)


def find(name: str) -> Path | None:
    search_path = os.pathsep.join([ORIGINAL_ENVIRONMENT.get("PATH", ""), *_DAEMON_FOLDERS])
    found = shutil.which(name, path=search_path)
    return Path(found) if found else None


def require(name: str) -> Path:
    """The program's absolute path, which `sshd` needs in order to start itself again."""
    if UNDER_WINE:
        pytest.skip(f"Wine: {name} is a program for Linux here")
    return find(name) or unavailable(f"the program {name!r} is not installed")


def cache_folder() -> Path:
    """Where programs that the tests install are kept from one run to the next."""
    base = ORIGINAL_ENVIRONMENT.get("XDG_CACHE_HOME")
    return (Path(base) if base else _ORIGINAL_HOME / ".cache") / "m2m-ssh-client-tests"
