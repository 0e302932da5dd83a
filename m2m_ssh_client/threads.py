"""Daemon threads, which cannot hold up the end of the program if the system does not return."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


def start(name: str, function: Callable[[], object]) -> threading.Thread:
    """Run the function in a new thread called `m2m-NAME`; return that thread."""
    thread = threading.Thread(target=function, name=f"m2m-{name}", daemon=True)
    thread.start()
    return thread


class Background(Generic[T]):
    """A call in a thread of its own, whose result can be waited for."""

    def __init__(self, name: str, function: Callable[[], T]) -> None:
        """Begin the call; `name` as for `start`."""
        self._function = function
        self._results: list[T] = []
        self._failure: BaseException | None = None
        self._thread = start(name, self._run)

    def wait(self, timeout: float) -> bool:
        """Wait that many seconds at most; return whether the call has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def result(self) -> T:
        """Wait for the end of the call, then return what it returned or raise what it raised."""
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._results[0]

    def _run(self) -> None:
        try:
            self._results.append(self._function())
        except BaseException as exc:  # noqa: BLE001 - raised again in `result`
            self._failure = exc
