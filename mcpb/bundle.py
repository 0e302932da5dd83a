"""Build the MCPB bundle: `python mcpb/bundle.py FOLDER`. Its users only need a host with uv.

A bundle is a zip file with a manifest (github.com/modelcontextprotocol/mcpb, MANIFEST.md). For a
server of type `uv`, the host installs the dependencies in pyproject.toml.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date in zip: equal sources give equal bundles


def build(folder: Path) -> Path:
    """Write the bundle into the folder and return its path."""
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    bundle = folder / f"{manifest['name']}-{manifest['version']}.mcpb"
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, HERE / "manifest.json", "manifest.json")
        for path in _sources():
            _add(archive, path, path.relative_to(SOURCE).as_posix())
    return bundle


def _sources() -> Iterator[Path]:
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        yield SOURCE / name
    yield from sorted((SOURCE / "m2m_ssh_client").rglob("*.py"))
    yield SOURCE / "m2m_ssh_client" / "py.typed"


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    print(build(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))  # noqa: T201
