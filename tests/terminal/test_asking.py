from __future__ import annotations

import getpass
import signal
from contextlib import nullcontext

import pytest

from m2m_ssh_client.terminal import asking
from m2m_ssh_client.threads import Background


def test_ctrl_c_at_a_passphrase_ends_the_program_and_not_only_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On Windows, getpass reads it as a key, and raises it in its own thread."""

    def interrupted(_: str) -> str:
        raise KeyboardInterrupt

    received: list[int] = []
    monkeypatch.setattr(getpass, "getpass", interrupted)
    monkeypatch.setattr(asking, "_echo_restored", nullcontext)
    before = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        assert Background("asks", lambda: asking._passphrase("?")).result() is None
    finally:
        signal.signal(signal.SIGINT, before)
    assert received == [signal.SIGINT]


@pytest.mark.parametrize(
    ("typed", "text"), [("\ud83d\ude00 ü", "\U0001f600 ü"), ("\ud83d", "\ufffd"), ("é日", "é日")]
)
def test_halves_of_characters_are_joined(typed: str, text: str) -> None:
    assert asking.whole_characters(typed) == text
