"""Imports without what nothing here uses: placeholders instead of modules that others import.

Only for the command's own process, and before anything else has loaded those modules; what is
loaded already stays. docs/performance.md says what each brings.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

_OWN_HASHES = ("_md5", "_sha1", "_sha3", "_blake2")


class Placeholder(ModuleType):
    """Has every name that is imported from it: an empty class, which can be derived from."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {})
        setattr(self, name, made)
        return made


@contextmanager
def left_out(names: Iterable[str], instead: Mapping[str, ModuleType | None]) -> Iterator[None]:
    """Let imports find placeholders instead of the named modules, within the context.

    `instead` has other stand-ins; None makes an import fail. No other thread may import meanwhile.
    """
    stand_ins = {name: Placeholder(name) for name in names} | dict(instead)
    added = {name: module for name, module in stand_ins.items() if name not in sys.modules}
    sys.modules.update(added)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in added:
            del sys.modules[name]


def look_for_garbage() -> None:
    """Collect garbage from now on, which `program.main` has put off: what is loaded stays."""
    gc.freeze()
    gc.set_threshold(2_000)


def leave_out_openssl() -> None:
    """Keep Python from loading its OpenSSL, because cryptography brings one of its own.

    hashlib has code of its own for what SSH needs, and nothing but a key server is asked over TLS.
    Call it before anything else is loaded, and not if a key server will be asked.
    """
    if not {"hashlib", "_hashlib", "ssl"}.isdisjoint(sys.modules):
        return
    try:
        for name in _OWN_HASHES:
            import_module(name)
        with left_out((), {"_hashlib": None}):
            import_module("hmac")  # and hashlib
    except ImportError:  # a Python whose hashes are OpenSSL's alone
        return
    sys.modules["ssl"] = Placeholder("ssl")  # asyncio and anyio name its classes
