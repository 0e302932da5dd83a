"""What loads what: start-up is part of the product, and the layers know each other in one direction."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Container, Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from support.host import PACKAGE_PARENT
from support.paramiko_contract import FOR_THE_LIBRARY_ALONE

import m2m_ssh_client
from m2m_ssh_client._version import PROGRAM, __version__
from m2m_ssh_client.help_text import HELP

PACKAGE = Path(m2m_ssh_client.__file__).parent
HEAVY = {
    *("ada_url", "anyio", "asyncio", "mcp", "mcp_types", "msgspec", "paramiko", "pydantic"),
    *("requests", "rich", "ruamel", "shtab", "tomlkit"),
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
        ("import m2m_ssh_client.commands.log_lines", set()),
        ("import m2m_ssh_client.status.reporter", set()),
        ("import m2m_ssh_client.ssh.config", set()),
        ("import m2m_ssh_client.terminal.pages", set()),
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


@pytest.mark.parametrize(
    ("option", "text"),
    [("--version", f"{PROGRAM} {__version__}\n"), ("--help", HELP), ("-h", HELP)],
)
def test_version_and_help_need_nothing_of_the_command_line(option: str, text: str) -> None:
    program = (
        f"import sys; from m2m_ssh_client import program; sys.argv[1:] = [{option!r}]; "
        "assert program.main() == 0; "
        "print(sorted({'argparse', 'logging', 'typing', 'm2m_ssh_client.cli'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={**os.environ, "PYTHONPATH": PACKAGE_PARENT},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == f"{text}[]\n"


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


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def imports_of(path: Path) -> set[str]:
    """Every module that the file names in an import, also inside a function."""
    found: set[str] = set()
    for node in nodes_of(path):
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
LEAVES = (
    "errors",
    "text",
    "masking",
    "user_only_files",
    "descriptors",
    "threads",
    "file_lock",
    "windows/access",
    "windows/calls",
    "ssh/settings",
    "ssh/wire",
)
ABOVE = ("cli", "relay", "transport", "commands", "demo", "doctor", "terminal", "keeping")
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
    "ssh/library/*.py": tuple(
        f"{OURS}.ssh.{name}"
        for name in (
            *("algorithms", "connection", "destination", "opener", "public_key", "settings"),
            *("config", "login", "process", "trust", "way"),
        )
    ),
    "ssh/process/*.py": tuple(
        f"{OURS}.ssh.{name}"
        for name in ("connection", "destination", "opener", "config", "login", "trust", "way")
    ),
    # Sent to the remote machine, which has the standard library alone.
    "keeping/stream.py": ("m2m_ssh_client",),
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


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules_behind(path: Path, known: Container[str]) -> Iterator[str]:
    """The modules of ours that the file imports: for types alone, too, and within functions."""
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module in known:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in known else node.module


def test_no_imports_go_round_in_a_circle() -> None:
    paths = {name_of(path): path for path in modules("**/*.py")}
    graph = {name: set(modules_behind(path, paths)) for name, path in paths.items()}
    tuple(TopologicalSorter(graph).static_order())  # a CycleError names the modules


@pytest.mark.parametrize("name", LEAVES)
def test_a_leaf_knows_the_standard_library_only(name: str) -> None:
    (path,) = modules(f"{name}.py")
    windows = {f"{OURS}.windows", f"{OURS}.windows.access", f"{OURS}.windows.calls"}
    known = imports_of(path) - windows  # as good as POSIX's
    assert {module.partition(".")[0] for module in known} <= sys.stdlib_module_names


def test_only_what_is_for_a_terminal_knows_rich() -> None:
    knowing = {
        path.relative_to(PACKAGE).as_posix()
        for path in modules("**/*.py")
        if "rich" in {name.partition(".")[0] for name in imports_of(path)}
    }
    assert knowing == {
        "doctor/showing.py",
        "terminal/output.py",
        "terminal/reports.py",
        "terminal/running.py",
    }


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


# paramiko's private parts: ssh/library/ alone knows them, and tests/ssh/library/test_contract.py what they have to be.

PROMISED_BY_PARAMIKO = {"paramiko", "paramiko.common", "paramiko.ssh_exception"}
OF_NAMED_TUPLES = {"_asdict", "_replace"}


def outside_of_the_library() -> list[Path]:
    """The modules that may hold an object of paramiko's."""
    found = modules("ssh/**/*.py", "doctor/*.py", "demo/*.py")
    return [path for path in found if path.parent != PACKAGE / "ssh/library"]


def attributes_of(path: Path) -> Iterator[ast.Attribute]:
    return (node for node in nodes_of(path) if isinstance(node, ast.Attribute))


def shown(path: Path, node: ast.Attribute) -> str:
    return f"{path.relative_to(PACKAGE)}:{node.lineno}: {ast.unparse(node)}"


def private_names_of(path: Path) -> set[str]:
    """The private names that the module itself gives to functions, classes and attributes of `self`."""
    names = {node.attr for node in attributes_of(path) if isinstance(node.ctx, ast.Store)}
    for node in nodes_of(path):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
    return names


def test_only_the_library_imports_what_paramiko_does_not_promise() -> None:
    for path in outside_of_the_library():
        for node in nodes_of(path):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("paramiko"):
                assert node.module in PROMISED_BY_PARAMIKO, path
            if isinstance(node, ast.Import):
                named = {alias.name for alias in node.names if alias.name.startswith("paramiko")}
                assert named <= PROMISED_BY_PARAMIKO, path


def test_only_the_library_uses_names_that_paramiko_does_not_promise() -> None:
    for path in outside_of_the_library():
        for node in attributes_of(path):
            assert node.attr not in FOR_THE_LIBRARY_ALONE, shown(path, node)


def test_only_the_library_reaches_into_private_parts_of_others() -> None:
    for path in outside_of_the_library():
        own = private_names_of(path) | OF_NAMED_TUPLES
        for node in attributes_of(path):
            is_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            is_private = node.attr.startswith("_") and not node.attr.endswith("__")
            assert is_self or not is_private or node.attr in own, shown(path, node)


def test_only_the_library_changes_what_a_class_of_paramiko_does() -> None:
    for path in outside_of_the_library():
        for node in nodes_of(path):
            if isinstance(node, ast.ClassDef):
                bases = {ast.unparse(base) for base in node.bases}
                theirs = {base for base in bases if base.startswith("paramiko.")}
                assert theirs <= {"paramiko.ServerInterface"}, f"{path}: {node.name}"


def test_only_the_key_server_client_knows_requests() -> None:
    knowing = {
        path.relative_to(PACKAGE).as_posix()
        for path in modules("**/*.py")
        if "requests" in {name.partition(".")[0] for name in imports_of(path)}
    }
    assert knowing == {"ssh/trust/closable_session.py", "ssh/trust/key_server.py"}


def test_no_two_modules_have_the_same_name() -> None:
    names = [path.name for path in modules("**/*.py") if path.name != "__init__.py"]
    assert {name for name in names if names.count(name) > 1} == set()
