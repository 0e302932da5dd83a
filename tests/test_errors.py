"""What the system says of a failure, in the words that a person reads."""

from __future__ import annotations

import re
import socket
from contextlib import closing

import pytest

from m2m_ssh_client.errors import reason


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (10051, "Network is unreachable"),
        (10054, "Connection reset by peer"),
        (10060, "Connection timed out"),
        (10061, "Connection refused"),
        (10065, "No route to host"),
    ],
)
def test_numbers_of_windows_for_sockets_are_said_in_the_words_of_linux(
    number: int, words: str
) -> None:
    # As `os.strerror` makes it there, and as Windows in German does.
    assert reason(OSError(number, "Unknown error")) == words
    assert reason(OSError(number, "Es konnte keine Verbindung hergestellt werden")) == words


def test_the_number_of_windows_counts_where_python_translated_it() -> None:
    """For these, Python sets `errno` to the number of C: 13 for 10013."""

    class TranslatedError(PermissionError):
        winerror = 10013

    exc = TranslatedError(13, "An attempt was made to access a socket in a way forbidden")
    assert reason(exc) == "Permission denied"


def test_a_name_that_windows_does_not_find_is_said_as_on_linux() -> None:
    exc = socket.gaierror(11001, "getaddrinfo failed")
    assert reason(exc) == "Name or service not known"


def test_a_real_refusal_is_said_without_a_number() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        address = listener.getsockname()
    with socket.socket() as sock, pytest.raises(ConnectionRefusedError) as caught:
        sock.connect(address)
    assert reason(caught.value) == "Connection refused"


def test_a_file_that_is_missing_is_said_without_a_number() -> None:
    with pytest.raises(OSError, match=r"\[") as caught:
        open("nowhere/at-all")  # noqa: PTH123, SIM115 - it fails
    assert not re.search(r"\[|\d", reason(caught.value))


@pytest.mark.parametrize(
    ("exc", "words"),
    [(ValueError("not one line"), "not one line"), (EOFError(), "EOFError"), (OSError("x"), "x")],
)
def test_other_exceptions_say_it_themselves(exc: Exception, words: str) -> None:
    assert reason(exc) == words
