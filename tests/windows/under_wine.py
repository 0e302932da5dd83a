"""Run pytest in a Windows CPython under Wine, with a Linux sshd for its sessions.

Without arguments, it runs all that Wine can run in the time that there is; CONTRIBUTING.md says what
is left out. On Windows this is pytest alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).parents[2]
sys.path.insert(0, str(PROJECT / "tests"))

from windows.far_side import far_side  # noqa: E402
from windows.lay_out import LOADER, environment, laid_out  # noqa: E402

# Patient: there, the end of a test's time is the end of the run.
PYTEST = ["-m", "pytest", "-m", "not interop", "--timeout", "150"]
LINGER = 10  # seconds that Wine's server waits for another process before it ends

# One process, as a session is held to the two seconds that its end may take.
SESSIONS = ["tests/windows"]
ROOMS = [
    *("tests/hosts", "tests/terminal", "tests/status", "tests/proxy/memory", "tests/proxy/frames"),
    *("tests/proxy/eras", "tests/proxy/early_forwarding"),
    *("tests/ssh", "tests/commands"),
    *("tests/test_entry_tag.py", "tests/test_errors.py", "tests/test_file_lock.py"),
    *("tests/test_log_file.py", "tests/test_masking.py", "tests/test_parameters.py"),
    *("tests/test_text.py", "tests/test_threads.py"),
    *("--ignore=tests/ssh/test_connection.py", "--ignore=tests/ssh/test_opener.py"),
    *("--ignore=tests/commands/test_use.py", "--ignore=tests/commands/test_questions.py"),
]
WORKERS = ["-n", os.environ.get("WORKERS", "2"), "--dist", "loadgroup"]
# There, half of what a short test takes is to put stdout and stderr aside, and to set the second
# limit of its time, although the first one ends the process too.
BRIEF = ["--capture=sys", "-o", "faulthandler_timeout=0"]


def main(arguments: list[str]) -> int:
    runs = [arguments] if arguments else [SESSIONS, [*WORKERS, *BRIEF, *ROOMS]]
    if sys.platform == "win32":
        return max(subprocess.run([sys.executable, *PYTEST, *each]).returncode for each in runs)
    if not arguments:
        runs[-1] += ["-p", "windows.left_out"]
    os.umask(0o077)  # which is what Wine makes of and shows as access control lists
    place = laid_out()
    with far_side() as variables, share(place) as name:
        known = {**variables, "M2M_TESTS_SHARE": name, "EXAMPLES": "25"}
        return max(run(place, [*PYTEST, *each], known) for each in runs)


@contextmanager
def share(place: Path) -> Iterator[str]:
    """Let Wine have a folder on another machine; yields its name there."""
    with tempfile.TemporaryDirectory() as folder:
        link = place / "prefix/dosdevices/unc/server" / Path(folder).name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(folder)
        try:
            yield f"\\\\server\\{link.name}"
        finally:
            link.unlink()


def run(place: Path, arguments: list[str], variables: dict[str, str]) -> int:
    """Run Python there and pass its output on: Wine takes a pipe as a handle, but not every file."""
    known = {**environment(place), **variables}
    # Wine's server and services start here: they would otherwise inherit the pipe, and hold it.
    for words in (["wineserver", f"-p{LINGER}"], [LOADER.name, "cmd", "/c", "exit"]):
        argv = [str(LOADER.with_name(words[0])), *words[1:]]
        subprocess.run(argv, env=known, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    process = subprocess.Popen(
        [LOADER, place / "python/python.exe", *arguments],
        cwd=PROJECT,
        env=known,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    for line in process.stdout:
        sys.stdout.write(line.decode("utf-8", "replace").replace("\r\n", "\n"))
        sys.stdout.flush()
    return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
