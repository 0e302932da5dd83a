"""Web pages that a server asks a person to open: read as browsers do, shown in ASCII, or refused.

A browser follows the WHATWG's URL standard and UTS 46 (https://url.spec.whatwg.org). Whoever shows
another reading of a URL names another host than the one that is opened.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
_MOST_CHARACTERS = 4000


class WrongPageError(ValueError):
    """No page to show to a person; the text completes "Declined: …"."""


@dataclass(frozen=True)
class Page:
    """A page to open; `host` includes a port other than the scheme's own. Both are ASCII."""

    host: str
    url: str


def page(text: str) -> Page:
    """Return the page that a browser would open. Raises WrongPageError."""
    from ada_url import URL, idna  # only when a server asks for a page

    if len(text) > _MOST_CHARACTERS:
        raise WrongPageError(f"the address is longer than {_MOST_CHARACTERS} characters")
    if any(unicodedata.category(each)[0] in "CZ" for each in text):
        raise WrongPageError("there are blanks or invisible characters in the address")
    if "\\" in text:
        raise WrongPageError("there is a backslash in the address")
    try:
        read = URL(text)
        plain = urlsplit(text)
        seen = (plain.scheme, plain.hostname, plain.port or _PORTS.get(plain.scheme))
    except ValueError:
        raise WrongPageError("this is not a web page") from None
    scheme = read.protocol.removesuffix(":")
    if scheme not in _PORTS or not read.hostname:
        raise WrongPageError("this is not a web page")
    if "@" in plain.netloc:
        raise WrongPageError("there is a user name before the host, which passes for a host")
    port = int(read.port or _PORTS[scheme])
    host = read.hostname.strip("[]")
    if seen not in ((scheme, host, port), (scheme, idna.decode(host), port)):
        raise WrongPageError("programs would not agree on the host of this address")
    return Page(read.host, read.href)
