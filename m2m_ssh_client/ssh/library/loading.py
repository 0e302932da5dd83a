"""paramiko, loaded without what only parts of it need that nothing here uses. For a process of our own: the command."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType


def load_paramiko() -> None:
    """Import paramiko in half the time. Any thread, while no other one imports.

    Left out: `invoke`, for `Match exec` in paramiko's reader of configurations, which brings asyncio and unittest.mock;
    and importlib.metadata, by which paramiko asks for its own version, for the version of its banner.
    """
    if "paramiko" in sys.modules:
        return
    stand_ins: dict[str, ModuleType | None] = {"invoke": None}  # None: its import fails
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
    """From the name of the folder that an installer makes beside the package."""
    spec = find_spec(name)
    beside = Path(spec.origin or "").parent.parent if spec else Path()
    folder = next(beside.glob(f"{name}-*.dist-info"), None)
    return folder.stem.partition("-")[2] if folder else "5"
