"""What is written as SSH's strings and numbers is read again, and nothing that ends early."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2m_ssh_client.ssh.wire import Reader, strings


@given(st.lists(st.binary(max_size=9), max_size=5), st.binary(max_size=3))
def test_strings_are_read_as_they_were_written(fields: list[bytes], rest: bytes) -> None:
    data = strings(*fields)
    assert Reader(data).strings() == fields
    reader = Reader(data + rest)
    assert reader.strings(len(fields)) == fields
    assert reader.rest == rest


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=5), st.integers(1, 4))
def test_what_ends_early_is_refused(fields: list[bytes], missing: int) -> None:
    data = strings(*fields)[:-missing]
    with pytest.raises(ValueError, match="it ends early"):
        Reader(data).strings(len(fields))


def test_a_number_has_as_many_bytes_as_it_is_said_to_have() -> None:
    reader = Reader(b"\0\0\0\1\xff" + bytes(8))
    assert (reader.number(4), reader.number(1), reader.number(8)) == (1, 255, 0)
    with pytest.raises(ValueError, match="it ends early"):
        reader.number(1)
