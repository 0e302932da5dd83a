"""An MCP host's part, for `demo` and `list --check`: start a client as a child and talk to it."""

from __future__ import annotations

import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from m2m_ssh_client.conversation import Conversation, EndedError, RefusedError
from m2m_ssh_client.errors import NotMCPError
from m2m_ssh_client.flow.remote_stdio import Receiver
from m2m_ssh_client.text import printable

_PATIENCE = 60.0  # seconds for each answer
_END_TIME = 5.0  # seconds until a client that stays is signalled, and for each thread to end
_LONGEST_LINE = 1024 * 1024  # bytes
_CHUNK = 64 * 1024  # bytes
_STDERR_LINES = 50


class StepFailedError(Exception):
    """A step of the demo went wrong; the text says which, and how."""


class Host:
    """A context manager: starts the child, and ends it as a host would, all bounded in time."""

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        notified: Callable[[Mapping[str, Any]], None] = lambda _: None,
        *,
        patience: float = _PATIENCE,
    ) -> None:
        self.notifications: list[Mapping[str, Any]] = []
        self._patience = patience
        self._notified = notified
        self._client = _Client(argv, env)

    @property
    def stderr(self) -> Sequence[str]:
        """The last lines that the client wrote there."""
        return self._client.stderr_lines

    @property
    def status(self) -> int | None:
        """The client's exit status, once it has ended."""
        return self._client.child.returncode

    def __enter__(self) -> Host:
        self._conversation = Conversation(
            self._client,
            self._patience,
            guarded=False,
            longest=_LONGEST_LINE,
            farewell=_END_TIME,
            notified=self._note,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._conversation.end()

    def request(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result. Raises StepFailedError for an error, an end or a timeout."""
        try:
            return self._conversation.ask(method, params)
        except RefusedError as exc:
            raise StepFailedError(f"{method}: {exc}") from exc
        except EndedError as exc:
            raise StepFailedError(f"{method}: the client has ended") from exc
        except NotMCPError as exc:
            raise StepFailedError(f"{method}: {exc.message}") from exc

    def notify(self, method: str) -> None:
        with suppress(EndedError):  # the next request says so
            self._conversation.tell(method)

    def _note(self, message: Mapping[str, Any]) -> None:
        self.notifications.append(message)
        self._notified(message)


class _Client:
    """The child process as a `Peer`; its stderr is kept here, not handed to the conversation."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self.stderr_lines: deque[str] = deque(maxlen=_STDERR_LINES)
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(  # noqa: S603 - our own client
            list(argv), stdin=pipe, stdout=pipe, stderr=pipe, env=dict(env), bufsize=0
        )
        self._readers: list[threading.Thread] = []

    def start(self, receiver: Receiver) -> None:
        self._readers = [
            threading.Thread(target=self._read_stdout, args=(receiver,), daemon=True),
            threading.Thread(target=self._read_stderr, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def grant(self, size: int) -> None:
        """Nothing to do: pipes have no window."""

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[_pipe(self.child.stdin).write(rest) :]

    def close_write(self) -> None:
        with suppress(OSError):
            _pipe(self.child.stdin).close()

    def signal(self, name: str) -> None:
        if name == "KILL":
            self.child.kill()
        else:
            self.child.terminate()

    def close(self) -> None:
        try:
            self.child.wait(_END_TIME)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait(_END_TIME)
        for reader in self._readers:
            reader.join(_END_TIME)
        _pipe(self.child.stdout).close()
        _pipe(self.child.stderr).close()

    def _read_stdout(self, receiver: Receiver) -> None:
        while data := _pipe(self.child.stdout).read(_CHUNK):
            receiver.stdout(data)
        receiver.ended()

    def _read_stderr(self) -> None:
        for line in _pipe(self.child.stderr):
            self.stderr_lines.append(printable(line.rstrip()))


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101 - it was asked for
    return stream
