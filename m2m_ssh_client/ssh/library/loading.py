"""paramiko, loaded without the parts that nothing here uses; only for the command's process."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType


def load_paramiko() -> None:
    """Import paramiko in half the time. Any thread, while no other thread imports.

    Two imports are skipped: `invoke`, which only paramiko's `Match exec` needs and which loads
    asyncio and unittest.mock; and importlib.metadata, by which paramiko finds the version for its
    banner.
    """
    if "paramiko" in sys.modules:
        return
    stand_ins: dict[str, ModuleType | None] = {"invoke": None}  # None makes the import fail
    if "importlib.metadata" not in sys.modules:
        metadata = ModuleType("importlib.metadata")
        metadata.version = _version  # type: ignore[attr-defined]
        stand_ins["importlib.metadata"] = metadata
    kept = {name: sys.modules[name] for name in stand_ins if name in sys.modules}
    sys.modules.update(stand_ins)  # type: ignore[arg-type]
    try:
        import paramiko  # noqa: F401
    finally:
        for name in stand_ins:
            del sys.modules[name]
        sys.modules.update(kept)


def _version(name: str) -> str:
    """Return the version in the name of the folder that installers create beside the package."""
    spec = find_spec(name)
    beside = Path(spec.origin or "").parent.parent if spec else Path()
    folder = next(beside.glob(f"{name}-*.dist-info"), None)
    return folder.stem.partition("-")[2] if folder else "5"
