"""An sshd for the tests that need a real one."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from support import programs

if sys.platform != "win32":
    from support.sshd import Sshd, SshdKeys, make_privilege_separation_folder

    @pytest.fixture(scope="module")
    def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
        make_privilege_separation_folder()
        programs.require("sshd")
        keys = SshdKeys.generate(tmp_path_factory.mktemp("sshd-keys"))
        with Sshd(keys, tmp_path_factory.mktemp("sshd") / "server") as server:
            yield server
