"""What the command keeps from being loaded, and that everything else finds what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from m2m_ssh_client.lean_imports import Placeholder, left_out


def test_a_placeholder_has_every_name_as_a_class_of_its_own() -> None:
    module = Placeholder("absent")
    derived = type("Derived", (module.Base,), {})
    assert issubclass(derived, module.Base)
    assert module.Base is not module.Other
    with pytest.raises(AttributeError):
        _ = module.__path__


def test_left_out_modules_are_found_by_the_next_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("left_out_once", "refused_once"):
        (tmp_path / f"{name}.py").write_text("value = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    absent = ModuleType("absent_once")
    with left_out(["left_out_once"], {"absent_once": absent, "refused_once": None}):
        assert isinstance(import_module("left_out_once"), Placeholder)
        assert import_module("absent_once") is absent
        with pytest.raises(ImportError):
            import_module("refused_once")
    assert import_module("left_out_once").value == 7
    assert import_module("refused_once").value == 7
    assert "absent_once" not in sys.modules


def test_what_is_loaded_stays() -> None:
    with left_out(["subprocess"], {}):
        assert sys.modules["subprocess"] is subprocess
    assert sys.modules["subprocess"] is subprocess


def loaded_by_the_command(home: Path, *options: str) -> set[str]:
    """The modules that the command has loaded once it has told its host that nothing listens."""
    arguments = [
        "--host",
        "127.0.0.1",
        "--port",
        "1",
        "--log-file",
        "none",
        *options,
        "--",
        "serve",
    ]
    program = (
        "import sys; from m2m_ssh_client import cli; status = cli.main(sys.argv[1:]); "
        "print(*sys.modules, file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        input='{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}\n',
        env={**os.environ, "HOME": str(home), "USERPROFILE": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    assert '"error"' in done.stdout
    return set(done.stderr.splitlines()[-1].split())


def test_the_relay_does_not_load_the_openssl_of_python(tmp_path: Path) -> None:
    loaded = loaded_by_the_command(tmp_path)
    assert {"anyio", "hashlib"} <= loaded
    assert not {"_hashlib", "_ssl"} & loaded


def test_a_key_server_is_asked_with_the_openssl_of_python(tmp_path: Path) -> None:
    url = "https://127.0.0.1:1"
    assert {"_hashlib", "_ssl"} <= loaded_by_the_command(tmp_path, "--key-server-url", url)
