"""A pane of tmux: a real terminal, whose screen can be looked at while a program uses it."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from support import programs
from support.waiting import wait_until

_PATIENCE = 40.0  # seconds


class Pane:
    """Runs `argv` in a tmux server of its own, in which no configuration plays a part; a context manager."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        columns: int = 100,
        lines: int = 40,
    ) -> None:
        # A socket's path may have about a hundred characters, which pytest's folders use up.
        self._folder = tempfile.TemporaryDirectory(prefix="tmux-")
        tmux = str(programs.require("tmux"))
        self._tmux = [tmux, "-u", "-S", f"{self._folder.name}/socket", "-f", os.devnull]
        size = ["-x", str(columns), "-y", str(lines)]
        # The screen stays when the program has ended. With which status, tmux 3.3 forgets now and then.
        keep = ["set-option", "-g", "remain-on-exit", "on", ";"]
        self._status = Path(self._folder.name, "status")
        script = f"trap : INT; {shlex.join(argv)}; echo $? >{self._status}"
        start = ["new-session", "-d", *size, script]
        # tox says how wide it would have its lines; here the pane is the measure.
        env = {name: value for name, value in env.items() if name not in ("COLUMNS", "LINES")}
        self._do("start-server", ";", *keep, *start, env=env, cwd=cwd)

    def __enter__(self) -> Pane:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._do("kill-server")
        self._folder.cleanup()

    def screen(self) -> str:
        """What a person sees, without blanks at the ends of lines."""
        return self._shown()

    def everything(self) -> str:
        """What has scrolled away too; lines that the terminal has broken are whole again."""
        return self._shown("-J", "-S", "-")

    def wait_for(self, seen: Callable[[str], bool], patience: float = _PATIENCE) -> str:
        """The screen, once it is what is wanted."""
        screen = ""

        def is_there() -> bool:
            nonlocal screen
            ended, screen = self._has_ended(), self.screen()
            return seen(screen) or ended

        with suppress(AssertionError):
            wait_until(is_there, patience)
        assert seen(screen), f"never seen; the screen is:\n{screen}"
        return screen

    def press(self, *keys: str) -> None:
        """Keys by tmux's names: `Enter`, `Tab`, `C-c`."""
        self._do("send-keys", *keys)

    def type(self, text: str) -> None:
        self._do("send-keys", "-l", "--", text)

    def status(self) -> int:
        """The program's exit status, once it has ended."""
        wait_until(self._has_ended, _PATIENCE)
        return int(self._status.read_text())

    def _has_ended(self) -> bool:
        return self._status.exists() and self._status.read_text() != ""

    def _shown(self, *options: str) -> str:
        text = self._do("capture-pane", "-p", *options)
        lines = [line.rstrip() for line in text.splitlines()]
        # tmux's own words about a program that has ended.
        return "\n".join(line for line in lines if not line.startswith("Pane is dead")).rstrip()

    def _do(
        self, *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> str:
        done = subprocess.run(
            [*self._tmux, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=_PATIENCE,
            env=env,
            cwd=cwd,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
