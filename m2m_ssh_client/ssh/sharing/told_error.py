"""Our errors as text, for another process of ours."""

from __future__ import annotations

import json

from m2m_ssh_client import errors
from m2m_ssh_client.errors import SSHClientError

_KINDS: dict[str, type[SSHClientError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, SSHClientError)
}


def told(error: SSHClientError) -> str:
    """Return the error as one line of text."""
    names = (each.__name__ for each in type(error).__mro__)
    kind = next(name for name in names if name in _KINDS)
    return json.dumps({"kind": kind, **vars(error)})


def heard(text: str) -> SSHClientError:
    """Return the error of a text. Raises ValueError for what is none."""
    content: dict[str, object] = json.loads(text)
    kind = _KINDS.get(str(content.pop("kind", "")))
    if kind is None:
        raise ValueError("it is no error of ours")
    error = kind(str(content.get("message")))
    vars(error).update(content)
    return error
