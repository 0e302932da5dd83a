"""The task of a holder, told through a pipe by the process that starts it; it has secrets."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from m2m_ssh_client.parameters import Parameters

_PATHS = frozenset({"client_key", "passphrase_file", "known_hosts"})
_NOT_TOLD = frozenset({"passphrase_prompt"})


class Task(NamedTuple):
    """The connection to make, the socket to listen on, and the log; `persist` in seconds."""

    params: Parameters
    socket: Path
    persist: float
    log_file: Path | None
    log_level: str


def written(task: Task) -> bytes:
    names = [field.name for field in fields(Parameters) if field.name not in _NOT_TOLD]
    params = {name: getattr(task.params, name) for name in names}
    return json.dumps({**task._asdict(), "params": params}, default=str).encode()


def read(data: bytes) -> Task:
    """Return the task that was written. Raises ValueError."""
    content = json.loads(data)
    params: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in content["params"].items()
    }
    params |= {name: Path(params[name]) for name in _PATHS if params[name] is not None}
    log_file = content["log_file"]
    return Task(
        Parameters(**params),
        Path(content["socket"]),
        content["persist"],
        None if log_file is None else Path(log_file),
        content["log_level"],
    )
