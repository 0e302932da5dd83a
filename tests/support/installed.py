"""Programs that the tests install themselves, once for a machine, in a cache outside of the sources.

A program is built in a folder of its own and then renamed into place, so that two runs at once disturb
nobody and a run that was cut short leaves nothing half done.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from support import programs

EVERYTHING = ("@modelcontextprotocol/server-everything", "2026.8.31", "dist/index.js")
INSPECTOR = ("@modelcontextprotocol/inspector", "0.15.0", "cli/build/cli.js")
MCPB = ("@anthropic-ai/mcpb", "2.1.2", "dist/cli/cli.js")

_UV = "0.13.9"
_INSTALL_TIMEOUT = 240.0  # seconds; a cold download of a few hundred small packages
_PEER = "m2m-mcp-server-ssh-server"
_PEER_VERSION = "0.1.3"
# What its sdist declares, within the versions that it works with.
_PEER_NEEDS = ("mcp<2", "asyncssh", "aiohttp", "pydantic", "anyio")


def node_argv(package: tuple[str, str, str]) -> list[str]:
    """The argv that runs an npm package's script; installs the package the first time."""
    name, version, script = package
    node = programs.require("node")
    folder = _once(f"npm-{name.rpartition('/')[2]}-{version}", _npm_install(f"{name}@{version}"))
    return [str(node), str(folder / "node_modules" / name / script)]


def host_app_argv(package: str, version: str, program: str) -> list[str]:
    """The argv that runs a program of an npm package; installs the package the first time.

    `program` is a pattern for its file below node_modules. Some are in a package for the platform,
    from where a script would bring them that npm does not run here.
    """
    name = package.replace("/", "-").lstrip("@")
    folder = _once(f"npm-{name}-{version}", _npm_install(f"{package}@{version}"))
    found = sorted((folder / "node_modules").glob(program))
    if not found:
        programs.unavailable(f"{package} {version} has no {program}")
    return [str(found[-1])]


def node_modules(package: str, version: str) -> Path:
    """The folder of this npm package and what it needs."""
    return _once(f"npm-{package}-{version}", _npm_install(f"{package}@{version}")) / "node_modules"


def python_with(package: str, version: str) -> Path:
    """The interpreter of a virtual environment that has this package."""

    def install(folder: Path) -> None:
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(_python_of(folder)), "-m", "pip", "install", "-q", f"{package}=={version}"])

    python_version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return _python_of(_once(f"{package}-{version}-python{python_version}", install))


def uv() -> Path:
    """The uv that a host would bring."""

    def install(folder: Path) -> None:
        _run([sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), f"uv=={_UV}"])

    return _once(f"uv-{_UV}", install) / "bin" / "uv"


def peer_argv(rate_limit_window: float) -> list[str]:
    """The argv that runs the other project's server, in a virtual environment of its own.

    Its key server answers ten requests in each `rate_limit_window` seconds (60 in its own settings).
    """
    python_version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = _once(f"{_PEER}-{_PEER_VERSION}-python{python_version}", _install_peer)
    start = [
        "import sys",
        f"sys.path.insert(0, {str(folder / 'source')!r})",
        "import m2m_mcp_server_ssh_server as peer",
        "import m2m_mcp_server_ssh_server.key_server as keys",
        "limiter = keys.RateLimiter",
        f"keys.RateLimiter = lambda max_requests, **_: limiter(max_requests, {rate_limit_window})",
        "peer.main()",
    ]
    return [str(_python_of(folder / "venv")), "-c", "\n".join(start)]


def _once(name: str, build: Callable[[Path], None]) -> Path:
    cache = programs.cache_folder()
    final = cache / name
    if final.exists():
        return final
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, ignore_cleanup_errors=True) as part:
        whole = Path(part) / "whole"
        whole.mkdir()
        build(whole)
        try:
            whole.rename(final)
        except OSError:
            if not final.exists():  # else another run was faster
                raise
    return final


def _npm_install(spec: str) -> Callable[[Path], None]:
    def install(folder: Path) -> None:
        npm = str(programs.require("npm"))
        quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
        _run([npm, "install", "--prefix", str(folder), *quiet, spec])

    return install


def _install_peer(folder: Path) -> None:
    """From the source distribution, since the wheels on the index are empty."""
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"]
    _run([*pip, "--dest", str(folder), f"{_PEER}=={_PEER_VERSION}"])
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as sdist:
        sdist.extractall(folder, filter="data")
    archive.unlink()
    (unpacked,) = (path for path in folder.iterdir() if path.is_dir())
    unpacked.rename(folder / "source")
    # Renaming the folder later breaks the scripts in `bin`, but not the interpreter.
    _run([sys.executable, "-m", "venv", str(folder / "venv")])
    _run([str(_python_of(folder / "venv")), "-m", "pip", "install", "-q", *_PEER_NEEDS])


def _python_of(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _run(argv: Sequence[str]) -> None:
    """In the environment that pytest started with: proxies, certificates, settings of npm and pip."""
    done = subprocess.run(
        argv,
        env=programs.ORIGINAL_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_INSTALL_TIMEOUT,
    )
    if done.returncode:
        tail = (done.stdout + done.stderr)[-2000:]
        programs.unavailable(f"{shutil.which(argv[0]) or argv[0]} failed: {tail}")
