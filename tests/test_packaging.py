"""The package's metadata: the same everywhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path
from typing import Any

import paramiko
import pytest

from m2m_ssh_client._version import __version__

SOURCE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SOURCE / "mcpb"))

import bundle  # noqa: E402 - the folder comes first

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

NAME = "m2m-mcp-server-ssh-client"


def read(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((SOURCE / name).read_text(encoding="utf-8"))
    return value


def test_the_versions_agree() -> None:
    registry = read("server.json")
    (package,) = registry["packages"]
    manifest = read("mcpb/manifest.json")
    assert {registry["version"], package["version"], manifest["version"]} == {__version__}
    assert f"## {__version__}" in (SOURCE / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_registry_finds_the_package_and_its_owner() -> None:
    registry = read("server.json")
    assert f"<!-- mcp-name: {registry['name']} -->" in (SOURCE / "README.md").read_text("utf-8")
    assert len(registry["description"]) <= 100
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    # Hosts compose `uvx IDENTIFIER ARGUMENTS`, so the package and a script of it have one name.
    assert registry["packages"][0]["identifier"] == project["name"] == NAME
    assert NAME in project["scripts"]
    assert registry["description"] == project["description"]


def test_a_secret_is_marked_as_one() -> None:
    manifest = read("mcpb/manifest.json")
    assert manifest["user_config"]["passphrase"]["sensitive"] is True
    assert not any("passphrase" in word for word in manifest["server"]["mcp_config"]["args"])
    (variable,) = read("server.json")["packages"][0]["environmentVariables"]
    assert variable["isSecret"] is True


def test_the_bundle_has_the_package_and_is_the_same_each_time(tmp_path: Path) -> None:
    one, two = bundle.build(tmp_path / "one"), bundle.build(tmp_path / "two")
    assert one.name == f"{NAME}-{__version__}.mcpb"
    assert one.read_bytes() == two.read_bytes()
    names = zipfile.ZipFile(one).namelist()
    assert {"manifest.json", "pyproject.toml", "README.md", "LICENSE"} <= set(names)
    assert "m2m_ssh_client/py.typed" in names
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests/")]
    entry = read("mcpb/manifest.json")["server"]["entry_point"]
    assert entry in names


def _built(tree: Path, out: Path) -> list[Path]:
    """Build what is published, in the tree, as pip and tox do without their own environments."""
    code = (
        "import sys; from hatchling import build; "
        "build.build_sdist(sys.argv[1]); build.build_wheel(sys.argv[1])"
    )
    out.mkdir()
    subprocess.run([sys.executable, "-c", code, str(out)], cwd=tree, check=True, timeout=50)
    return sorted(out.iterdir())


def _copied(tree: Path, to: Path, mode: int, time: int) -> Path:
    """Copy what a build sees, as another person's checkout at another time."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("m2m_ssh_client", "docs"):
        shutil.copytree(tree / name, to / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md"):
        shutil.copy(tree / name, to / name)
    for path in to.rglob("*"):
        os.utime(path, (time, time))
        path.chmod(mode | 0o111 if path.is_dir() else mode)
    return to


def test_two_builds_of_one_source_are_the_same(tmp_path: Path) -> None:
    one = _built(_copied(SOURCE, tmp_path / "a", 0o644, 1_000_000_000), tmp_path / "one")
    two = _built(_copied(SOURCE, tmp_path / "b", 0o600, 1_700_000_000), tmp_path / "two")
    assert [path.name for path in one] == [
        f"{NAME.replace('-', '_')}-{__version__}-py3-none-any.whl",
        f"{NAME.replace('-', '_')}-{__version__}.tar.gz",
    ]
    assert [path.name for path in two] == [path.name for path in one]
    assert [path.read_bytes() for path in two] == [path.read_bytes() for path in one]

    # And the wheel that pip builds from the sdist is the one that is published.
    shutil.unpack_archive(one[1], tmp_path / "c", filter="data")
    (tree,) = (tmp_path / "c").iterdir()
    assert _built(tree, tmp_path / "three")[0].read_bytes() == one[0].read_bytes()


def test_what_is_published_is_the_package_and_its_documentation(tmp_path: Path) -> None:
    wheel, sdist = _built(_copied(SOURCE, tmp_path / "a", 0o644, 1_000_000_000), tmp_path / "out")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"m2m_ssh_client/py.typed", "m2m_ssh_client/cli.py"} <= names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {
        "m2m_ssh_client",
        NAME.replace("-", "_"),
    }
    with tarfile.open(sdist) as archive:
        inner = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "docs/security.md"} <= inner
    assert not [name for name in inner if name.startswith("tests")]


def test_the_next_major_versions_of_what_breaks_are_excluded() -> None:
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = {re.split(r"[<>=]", each)[0]: each for each in project["dependencies"]}
    for name, tested in (("paramiko", paramiko.__version__), ("mcp", metadata.version("mcp"))):
        (least_excluded,) = re.findall(r"<(\d+)$", bounds[name])
        assert int(tested.partition(".")[0]) < int(least_excluded)
        assert ">=" in bounds[name]


@pytest.mark.parametrize(
    ("file", "tools"),
    [("requirements", {"tox"}), ("checks", {"bandit", "mypy", "pip-licenses", "ruff"})],
)
def test_what_ci_installs_for_itself_is_pinned_by_hashes(file: str, tools: set[str]) -> None:
    text = (SOURCE / ".ci" / f"{file}.txt").read_text(encoding="utf-8")
    entries = text.replace("\\\n", "").splitlines()
    assert tools <= {entry.partition("==")[0] for entry in entries}
    for entry in entries:
        assert re.fullmatch(
            r"[\w-]+==[\w.]+( ; [\w.<>=!' ]+)?( +--hash=sha256:[0-9a-f]{64})+", entry
        )


def test_every_test_of_the_sdk_runs_with_its_older_line() -> None:
    tox = ConfigParser(interpolation=None)
    tox.read(SOURCE / "tox.ini", encoding="utf-8")
    _, _, paths = tox["testenv:sdk1"]["commands"].partition("{posargs:")
    tests = SOURCE / "tests"
    marked = [
        path.relative_to(SOURCE).as_posix()
        for path in tests.rglob("test_*.py")
        if re.search(r"\bpytest\.mark\.sdk\b", path.read_text(encoding="utf-8"))
    ]
    assert len(marked) > 5
    run = tuple(paths.rstrip("}").split())
    assert [path for path in marked if not path.startswith(run)] == []


def test_ci_and_the_checks_install_nothing_else() -> None:
    tox = ConfigParser(interpolation=None)
    tox.read(SOURCE / "tox.ini", encoding="utf-8")
    for name in ("lint", "audit"):
        assert tox[f"testenv:{name}"]["deps"] == "-r .ci/checks.txt"
    run = (SOURCE / ".ci" / "run").read_text(encoding="utf-8")
    installing = [line for line in run.splitlines() if "/pip" in line]
    assert installing
    assert all("--require-hashes" in line for line in installing)
