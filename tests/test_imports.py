"""What loads what: start-up is part of the product, and the layers know each other in one direction."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.host import PACKAGE_PARENT

import m2m_ssh_client

PACKAGE = Path(m2m_ssh_client.__file__).parent
HEAVY = {
    *("anyio", "asyncio", "mcp", "mcp_types", "msgspec", "paramiko", "pydantic", "requests"),
    *("rich", "shtab"),
}
USING = ("call", "prompt", "prompts", "read", "resources", "tools")

_TELL = "import json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"


def loaded_by(*statements: str) -> set[str]:
    """The heavy packages that a clean interpreter has loaded after these statements."""
    done = subprocess.run(
        [sys.executable, "-c", "; ".join([*statements, _TELL])],
        env={**os.environ, "PYTHONPATH": PACKAGE_PARENT},
        cwd=PACKAGE_PARENT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    names: list[str] = json.loads(done.stdout.splitlines()[-1])
    return HEAVY & set(names)


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import m2m_ssh_client", set()),
        ("from m2m_ssh_client import SSHClientError", set()),
        ("from m2m_ssh_client import SSHServerParameters", {"pydantic"}),
        ("import m2m_ssh_client.parameters, m2m_ssh_client.options", set()),
        ("import m2m_ssh_client.cli", set()),
        ("import m2m_ssh_client.errors, m2m_ssh_client.text, m2m_ssh_client.logs", set()),
        ("import m2m_ssh_client.proxy.frames.frame", {"msgspec"}),
        ("import m2m_ssh_client.proxy.memory.session", {"msgspec"}),
        # What stands between a host and its first answer. The SDK takes 0.7 s to load on a slow machine.
        ("import m2m_ssh_client.relay", {"anyio", "asyncio", "msgspec"}),
        ("import m2m_ssh_client.ssh.opener", set()),
        ("import m2m_ssh_client.ssh.trust.known_hosts", set()),
        ("import m2m_ssh_client.commands.install, m2m_ssh_client.commands.uninstall", set()),
        ("import m2m_ssh_client.commands.list", set()),
        ("import m2m_ssh_client.ssh.config", set()),
        ("import m2m_ssh_client.ssh.destination", set()),
        ("import m2m_ssh_client.ssh.way.sockets", set()),
        ("import m2m_ssh_client.commands.doctor", set()),
        ("import m2m_ssh_client.ssh.login.key_files", {"paramiko"}),
        ("import m2m_ssh_client.ssh.connection", {"paramiko"}),
    ],
)
def test_a_module_loads_no_more_than_it_needs(statement: str, allowed: set[str]) -> None:
    # What pydantic and paramiko drag in themselves is not ours to count.
    dragged = {"asyncio"} if allowed & {"pydantic", "paramiko"} else set()
    assert loaded_by(statement) <= allowed | dragged


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["doctor", "--help"]])
def test_help_and_version_load_nothing_heavy(arguments: list[str]) -> None:
    assert not loaded_by(
        "import contextlib",
        "from m2m_ssh_client import cli",
        f"run = lambda: cli.main({arguments!r})",
        "exec('with contextlib.suppress(SystemExit): run()')",
    )


@pytest.mark.parametrize("command", USING)
def test_the_help_of_a_command_loads_nothing_heavy(command: str) -> None:
    assert not loaded_by(
        "import contextlib",
        "from m2m_ssh_client import cli",
        f"run = lambda: cli.main([{command!r}, '--help'])",
        "exec('with contextlib.suppress(SystemExit): run()')",
    )


def test_the_public_names_are_there_and_no_other() -> None:
    names = ["SSHClientError", "SSHServerParameters", "__version__", "ssh_client"]
    assert sorted(m2m_ssh_client.__all__) == names
    assert all(hasattr(m2m_ssh_client, name) for name in names)
    assert not hasattr(m2m_ssh_client, "nonsense")


def imports_of(path: Path) -> set[str]:
    """Every module that the file names in an import, also inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            module = node.module or ""
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return found


def modules(*patterns: str) -> list[Path]:
    found = [path for pattern in patterns for path in sorted(PACKAGE.glob(pattern))]
    assert found, f"nothing is called {patterns}"
    return found


OURS = "m2m_ssh_client"
LEAVES = ("errors", "text", "masking", "user_only_files", "descriptors")
ABOVE = ("cli", "relay", "transport", "commands", "demo", "doctor", "terminal")
IO = ("anyio", "asyncio", "threading", "time", "os", "socket")

RULES = {
    "flow/*.py": ("paramiko", "mcp", "requests", f"{OURS}.ssh", f"{OURS}.proxy"),
    "proxy/**/*.py": ("paramiko", "mcp", "mcp_types", "requests", f"{OURS}.ssh"),
    "proxy/frames/*.py": (*IO, f"{OURS}.flow", f"{OURS}.proxy.memory", f"{OURS}.proxy.server"),
    "proxy/memory/*.py": (*IO, f"{OURS}.flow", f"{OURS}.proxy.server"),
    "ssh/**/*.py": (
        *("anyio", "asyncio", "mcp", "mcp_types", "msgspec"),
        *(f"{OURS}.{name}" for name in ("proxy", "flow.bridge", "flow.hand_over")),
    ),
    "hosts/*.py": (
        *("paramiko", "anyio", "mcp", "requests"),
        *(f"{OURS}.{name}" for name in ("ssh", "proxy", "flow")),
    ),
    "parameters.py": ("paramiko", "anyio", "mcp", f"{OURS}.ssh", f"{OURS}.proxy"),
}


@pytest.mark.parametrize("place", RULES)
def test_a_layer_does_not_know_what_stands_above_it_or_beside_it(place: str) -> None:
    forbidden = RULES[place] + tuple(f"{OURS}.{name}" for name in ABOVE)
    for path in modules(place):
        known = imports_of(path)
        wrong = [n for n in known if any(n == f or n.startswith(f"{f}.") for f in forbidden)]
        assert not wrong, f"{path.relative_to(PACKAGE)} imports {wrong}"


@pytest.mark.parametrize("name", LEAVES)
def test_a_leaf_knows_the_standard_library_only(name: str) -> None:
    (path,) = modules(f"{name}.py")
    assert {module.partition(".")[0] for module in imports_of(path)} <= sys.stdlib_module_names


def test_only_what_is_for_a_terminal_knows_rich() -> None:
    knowing = {
        path.relative_to(PACKAGE).as_posix()
        for path in modules("**/*.py")
        if "rich" in {name.partition(".")[0] for name in imports_of(path)}
    }
    assert knowing == {"doctor/showing.py", "terminal/output.py", "terminal/reports.py"}


def test_only_the_python_api_the_terminal_and_the_sample_server_know_the_sdk() -> None:
    knowing = {
        path.relative_to(PACKAGE).as_posix()
        for path in modules("**/*.py")
        if {name.partition(".")[0] for name in imports_of(path)} & {"mcp", "mcp_types"}
    }
    assert knowing == {
        "sdk_lines.py",
        "transport.py",
        "terminal/client.py",
        "demo/sample_server.py",
    }


def test_only_the_far_side_and_the_demo_know_paramiko() -> None:
    knowing = {
        path.relative_to(PACKAGE).as_posix()
        for path in modules("**/*.py")
        if "paramiko" in {name.partition(".")[0] for name in imports_of(path)}
    }
    assert all(place.startswith(("ssh/", "demo/")) for place in knowing)


def test_only_the_key_server_client_knows_requests() -> None:
    knowing = {
        path.relative_to(PACKAGE).as_posix()
        for path in modules("**/*.py")
        if "requests" in {name.partition(".")[0] for name in imports_of(path)}
    }
    assert knowing == {"ssh/trust/key_server.py"}
