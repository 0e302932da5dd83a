from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from m2m_ssh_client.ssh.trust import known_hosts_writing as module
from m2m_ssh_client.ssh.trust.known_hosts_writing import appending


def test_lines_are_added_whole_and_after_a_whole_line(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b"
    for before in (b"", b"x\n", b"x"):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(before)
        with appending(file) as append:
            append("1\n")
            append("2\n")
        assert file.read_bytes() == (before and b"x\n") + b"1\n2\n"


def test_the_second_waits_for_the_first(tmp_path: Path) -> None:
    file = tmp_path / "file"
    inside, order = threading.Event(), list[str]()

    def second() -> None:
        inside.wait(10)
        with appending(file) as append:
            order.append("second")
            append("2\n")

    thread = threading.Thread(target=second)
    thread.start()
    with appending(file) as append:
        inside.set()
        thread.join(0.2)  # it has every chance to be wrong
        order.append("first")
        append("1\n")
    thread.join(10)
    assert order == ["first", "second"]
    assert file.read_text() == "1\n2\n"


def test_waiting_for_another_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    file = tmp_path / "file"
    with appending(file), pytest.raises(TimeoutError), appending(file):
        pass
    with appending(file) as append:  # and it is free again
        append("x\n")


def test_readers_do_not_wait(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with appending(file) as append:
        append("x\n")
        assert file.read_text() == "x\n"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit to set")
def test_where_the_disk_is_full_no_half_line_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("x\n")
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    with pytest.raises(OSError, match="space"), appending(file) as append:
        append("12345\n")
    assert file.read_text() == "x\n"
