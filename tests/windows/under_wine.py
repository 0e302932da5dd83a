"""Run pytest in a Windows CPython under Wine, with a Linux sshd for its sessions.

On Windows this is pytest alone.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
sys.path.insert(0, str(PROJECT / "tests"))

from windows.far_side import far_side  # noqa: E402
from windows.lay_out import LOADER, environment, laid_out  # noqa: E402

LINGER = 60  # seconds that Wine's server waits for another process before it ends


def main(arguments: list[str]) -> int:
    if sys.platform == "win32":
        return subprocess.run([sys.executable, "-m", "pytest", *arguments]).returncode
    place = laid_out()
    with far_side() as variables:
        return run(place, ["-m", "pytest", *arguments], variables)


def run(place: Path, arguments: list[str], variables: dict[str, str]) -> int:
    """Run Python there and pass its output on: Wine takes a pipe as a handle, but not every file."""
    known = {**environment(place), **variables}
    # Started here, as it would otherwise inherit the pipe, and hold it open.
    subprocess.run(
        [LOADER.with_name("wineserver"), f"-p{LINGER}"], env=known, stdout=subprocess.DEVNULL
    )
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
