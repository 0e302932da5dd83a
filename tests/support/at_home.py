"""Commands run as a person does, in a home with the configuration files of applications."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from m2m_ssh_client.hosts.apps import APPS, Machine
from m2m_ssh_client.hosts.entries import argv_of

LAB = ["--host", "ada@lab", "--port", "22", "--", "uvx", "serve", "--repo", "/srv/my repo"]


class Terminal(io.StringIO):
    """A terminal with typed answers."""

    def isatty(self) -> bool:
        return True


class Shown:
    """A command's output and exit status."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


Run = Callable[..., Shown]


def file_of(app: str) -> Path:
    (file,) = APPS[app].files(Machine.this())
    return file


def put(app: str, content: str | bytes) -> Path:
    file = file_of(app)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def entry_of(app: str, name: str = "lab") -> Any:
    node = APPS[app].format.parse(file_of(app).read_bytes().decode("utf-8-sig"))
    return node.value.get(APPS[app].key, {}).get(name) if node else None


def arguments_of(app: str, name: str = "lab") -> list[str]:
    return argv_of(entry_of(app, name))[-len(LAB) :]


def everything_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
