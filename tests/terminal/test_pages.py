"""Which page a browser would open, and which addresses are not shown as one."""

from __future__ import annotations

import pytest

from m2m_ssh_client.terminal.pages import Page, WrongPageError, page

# The address, and the host and the address that are shown and opened.
READ = {
    "plain": ("https://a.example/x?y#z", "a.example", "https://a.example/x?y#z"),
    "capitals": ("HTTPS://A.Example/X", "a.example", "https://a.example/X"),
    "an own port": ("http://a.example:443", "a.example:443", "http://a.example:443/"),
    "the port of its scheme": ("https://a.example:443/", "a.example", "https://a.example/"),
    "IPv4": ("http://127.0.0.1:80/", "127.0.0.1", "http://127.0.0.1/"),
    "IPv6": ("http://[::1]:8000/", "[::1]:8000", "http://[::1]:8000/"),
    "an at behind the host": ("https://a.example/?@b#@c", "a.example", "https://a.example/?@b#@c"),
    # Letters that IDNA 2003 maps to others, and browsers do not.
    "ß": ("https://straße.example/ß", *["xn--strae-oqa.example", "https://xn--strae-oqa.example/%C3%9F"]),
    "ς": ("https://ς.example/", "xn--3xa.example", "https://xn--3xa.example/"),
    "a capital umlaut": ("https://MÜ.example/", "xn--m-eha.example", "https://xn--m-eha.example/"),
    "Cyrillic а": ("https://exаmple.com/", "xn--exmple-4nf.com", "https://xn--exmple-4nf.com/"),  # noqa: RUF001
}  # fmt: skip

REFUSED = {
    "a backslash before an at": (r"https://good.example\@evil.example/", "backslash"),
    "a backslash in the host": (r"https://good.example\.evil.example/", "backslash"),
    "a zero-width joiner": ("https://a\u200db.example/", "invisible"),
    "a soft hyphen": ("https://a\u00adb.example/", "invisible"),
    "an override of direction": ("https://a.example/\u202ex", "invisible"),
    "a line feed": ("https://a.example\n.evil.example/", "blanks"),
    "a tab in the scheme": ("ht\ttps://a.example/", "blanks"),
    "a blank": ("https://a.example/ https://b.example/", "blanks"),
    "an escape": ("https://a.example/\x1b[2J", "invisible"),
    "half a character": ("https://a.example/\ud800", "invisible"),
    "a user": ("https://good.example@evil.example/", "user name"),
    "an empty user": ("https://@evil.example/", "user name"),
    "a percent in the host": ("https://ex%61mple.com/", "not agree"),
    "a percent that cuts the host": ("https://good.example%2F.evil.example/", "not"),
    "a full stop of another script": ("https://a。evil.example/", "not agree"),
    "a wide slash": ("https://good.example／.evil.example/", "not"),  # noqa: RUF001
    "wide letters": ("https://ｅvil.example/", "not agree"),  # noqa: RUF001
    "IPv4 in hexadecimal": ("http://0x7f.1/", "not agree"),
    "IPv4 as a number": ("http://2130706433/", "not agree"),
    "no slashes": ("https:evil.example", "not agree"),
    "three slashes": ("https:///evil.example", "not agree"),
    "no scheme": ("//evil.example/", "not a web page"),
    "no host": ("https://", "not a web page"),
    "a port beyond all ports": ("https://a.example:99999/", "not a web page"),
    "a script": ("javascript:alert(1)", "not a web page"),
    "a file": ("file:///etc/passwd", "not a web page"),
    "nothing": ("", "not a web page"),
    "too much": (f"https://a.example/{'x' * 4000}", "longer than 4000"),
}


@pytest.mark.parametrize(("text", "host", "url"), READ.values(), ids=READ.keys())
def test_a_page_is_read_as_browsers_do_and_shown_in_ascii(text: str, host: str, url: str) -> None:
    assert page(text) == Page(host, url)
    assert page(url) == Page(host, url)
    assert url.isascii()


@pytest.mark.parametrize(("text", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_an_address_that_could_be_read_in_two_ways_is_refused(text: str, why: str) -> None:
    with pytest.raises(WrongPageError, match=why):
        page(text)
