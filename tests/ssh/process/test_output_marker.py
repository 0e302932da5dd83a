"""Where a remote command's output begins."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2m_ssh_client.ssh.process.output_marker import BehindMarker

MARKER = "m2m-start-0123456789abcdef"
NOISE = b"Welcome!\r\nLast login: \x1b[31mnever\n$ "


@given(st.lists(st.integers(1, 30)), st.binary(max_size=40), st.integers(0, 3))
def test_only_what_follows_the_marker_is_passed_on_however_it_is_cut(
    cuts: list[int], output: bytes, returns: int
) -> None:
    end = b"\r" * returns + b"\n"  # two: a terminal behind a terminal
    stream = NOISE + MARKER.encode() + end + output
    passed: list[bytes] = []
    dropped: list[int] = []
    behind = BehindMarker(MARKER, passed.append, dropped.append)
    for size in [*cuts, len(stream)]:
        piece, stream = stream[:size], stream[size:]
        if piece:
            behind(piece)
    assert b"".join(passed) == output
    assert all(passed)
    assert sum(dropped) == len(NOISE) + len(MARKER) + len(end)


def test_without_the_marker_the_last_words_are_passed_on_at_the_end() -> None:
    passed: list[bytes] = []
    behind = BehindMarker(MARKER, passed.append, lambda _: None)
    behind(b"x" * 5000 + b"\nThis account is ")
    behind(b"closed.\n")
    behind.end()
    assert b"".join(passed).endswith(b"\nThis account is closed.\n")
    assert len(b"".join(passed)) == 2048
    behind = BehindMarker(MARKER, passed.append, lambda _: None)
    behind(NOISE + MARKER.encode() + b"\n")
    passed.clear()
    behind.end()
    assert not passed


def test_what_came_before_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    BehindMarker(MARKER, lambda _: None, lambda _: None)(NOISE + MARKER.encode() + b"\n")
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "Welcome!",
        "Last login: \\x1b[31mnever",
    ]


def test_a_line_without_an_end_is_not_kept() -> None:
    behind = BehindMarker(MARKER, lambda _: None, lambda _: None)
    for _ in range(100):
        behind(b"x" * 10_000)
    assert len(behind._rest) <= len(MARKER) + 1
    passed: list[bytes] = []
    behind._pass_on = passed.append
    behind(MARKER.encode() + b"\nout")
    assert passed == [b"out"]
