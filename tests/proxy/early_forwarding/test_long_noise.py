"""Long lines of a remote that are no messages: an excerpt is kept, and every message that follows."""

from __future__ import annotations

import pytest

from m2m_ssh_client.errors import MessageTooLongError
from m2m_ssh_client.proxy.early_forwarding.splitter import LongLineSplitter

LIMIT = 1 << 20
CHUNK = b"x" * 50_000
ANSWER = b'{"jsonrpc":"2.0","id":1,"result":{}}'


def splitter(*, from_host: bool = False) -> LongLineSplitter:
    return LongLineSplitter(LIMIT, None, from_host=from_host)


def after(*chunks: bytes, of: LongLineSplitter) -> list[bytes]:
    return [line for chunk in chunks for line in of.feed(chunk)]


def test_of_a_long_line_of_noise_an_excerpt_is_returned() -> None:
    lines = after(*[CHUNK] * 10, b"the end\n", ANSWER + b"\n", of=splitter())
    assert len(lines[0]) < 5000
    assert lines[0].startswith(b"xxx")
    assert lines[0].endswith(b"the end")
    assert lines[1:] == [ANSWER]


@pytest.mark.parametrize("cut", range(len(ANSWER)))
def test_a_message_behind_noise_is_kept_wherever_it_is_cut(cut: int) -> None:
    chunks = [*[CHUNK] * 5, CHUNK + ANSWER[:cut], ANSWER[cut:], b"\n" + ANSWER + b"\n"]
    lines = after(*chunks, of=splitter())
    assert lines[0].endswith(b"x" + ANSWER)
    assert lines[1:] == [ANSWER]


def test_a_long_message_behind_noise_is_kept_whole() -> None:
    message = ANSWER[:-1] + b',"more":"' + CHUNK * 5 + b'"}'
    (line,) = after(*[CHUNK] * 5, message[:70_000], message[70_000:] + b"\n", of=splitter())
    assert line.endswith(b"x" + message)


@pytest.mark.parametrize("begin", [b"{", b"[", b" \t{", b"\xef\xbb\xbf{", b"", ANSWER])
def test_what_may_be_a_message_is_kept_whole(begin: bytes) -> None:
    whole = begin + b" " * 200_000 + b"0"
    assert after(whole[:90_000], whole[90_000:], b"\n", of=splitter()) == [whole]


def test_a_host_gets_its_error_for_the_whole_line() -> None:
    assert after(CHUNK, CHUNK, b"\n", of=splitter(from_host=True)) == [CHUNK + CHUNK]


def test_noise_counts_towards_the_limit() -> None:
    cut = splitter()
    with pytest.raises(MessageTooLongError):
        after(*[CHUNK] * (LIMIT // len(CHUNK) + 1), of=cut)


def test_noise_whose_end_does_not_come_is_a_line_that_has_begun() -> None:
    cut = splitter()
    assert not after(*[CHUNK] * 5, b"last words", of=cut)
    assert cut.pending
    assert cut.take_begun().endswith(b"last words")
    assert not cut.pending
    assert after(ANSWER + b"\n", of=cut) == [ANSWER]
