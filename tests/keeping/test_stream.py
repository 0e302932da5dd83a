"""The stream between a keeper and its client."""

from __future__ import annotations

import pytest

from m2m_ssh_client.keeping.stream import Records, Sent, record


def test_what_is_not_acknowledged_can_be_sent_again() -> None:
    sent = Sent()
    for chunk in (b"abc", b"def", b"ghi"):
        sent.add(chunk)
    sent.acknowledge(4)
    assert (sent.start, sent.end, len(sent)) == (3, 9, 6)
    assert b"".join(sent.since(5)) == b"fghi"
    for offset in (2, 10):
        with pytest.raises(ValueError, match="offset"):
            sent.since(offset)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 100])
def test_records_are_read_in_pieces_of_any_size(size: int) -> None:
    text = record(b"o", b"hello") + record(b"a", bytes(8)) + record(b"o", b"") + record(b"o", b"!")
    records = Records(b"oe")
    found: list[tuple[bytes, bytes]] = []
    for at in range(0, len(text), size):
        found += records.feed(text[at : at + size])
    assert b"".join(data for kind, data in found if kind == b"o") == b"hello!"
    assert [data for kind, data in found if kind == b"a"] == [bytes(8)]


def test_a_piece_within_a_long_record_is_passed_on_as_it_is() -> None:
    records = Records(b"oe")
    head, piece = record(b"o", b"x" * 1000)[:105], b"x" * 500
    assert records.feed(head) == [(b"o", b"x" * 100)]
    ((kind, data),) = records.feed(piece)
    assert kind == b"o"
    assert data is piece
    assert records.feed(b"x" * 400 + record(b"e", b"!")) == [(b"o", b"x" * 400), (b"e", b"!")]
