"""What a remote server says where a person looks: the doctor's questions to it, and results that become files."""

from __future__ import annotations

import io
import json
from typing import cast
from urllib.parse import urlsplit

from fuzz.target import folder, is_showable
from urllib3.util import parse_url

from m2m_ssh_client.doctor import mcp_server
from m2m_ssh_client.doctor.showing import Page, document
from m2m_ssh_client.errors import RemoteExitError, SSHClientError
from m2m_ssh_client.flow.remote_stdio import Receiver
from m2m_ssh_client.ssh.connection import Connection
from m2m_ssh_client.ssh.settings import Request
from m2m_ssh_client.terminal.pages import WrongPageError, page
from m2m_ssh_client.terminal.saving import save


class _Far:
    """A connection and its carrier, over which a server says all that it has to say at once, and ends."""

    def __init__(self, stdout: bytes, stderr: bytes) -> None:
        self._said = stdout, stderr
        self._receiver: Receiver | None = None

    def channel(self, _: Request) -> _Far:
        return self

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        stdout, stderr = self._said
        receiver.stderr(stderr)
        receiver.stdout(stdout)
        receiver.ended()

    def grant(self, size: int) -> None: ...

    def write(self, data: bytes) -> None:
        assert data.endswith(b"\n")
        assert json.loads(data)["jsonrpc"] == "2.0"

    def write_now(self, data: bytes) -> bool:
        self.write(data)
        return True

    def write_some(self, data: bytes) -> int:
        self.write(data)
        return len(data)

    def close_write(self) -> None:
        if self._receiver is not None:
            self._receiver.ended()

    def signal(self, name: str) -> None: ...

    def ending(self) -> SSHClientError:
        return RemoteExitError("The remote server ended with exit status 1", status=1)

    def close(self) -> None: ...


def check_doctor(data: bytes) -> None:
    """Lines of stdout, and of stderr behind a `!`; the doctor numbers its questions from 1."""
    lines = data.split(b"\n")
    stderr = b"".join(line[1:] + b"\n" for line in lines if line.startswith(b"!"))
    stdout = b"\n".join(line for line in lines if not line.startswith(b"!"))
    for request in (Request(command="server"), Request()):
        connection = cast(Connection, _Far(stdout, stderr))
        steps = list(
            mcp_server.steps(
                connection, request, 1.0, 4096, may_use_login_shell=True, bridge="auto"
            )
        )
        assert [step.name for step in steps[:3]] == ["request", "noise", "mcp"]
        screen = io.StringIO()
        page = Page(screen)
        for step in steps:
            page.show(step)
        is_showable(screen.getvalue())
        assert len(json.loads(document(steps))) == len(steps)


def check_saved_file(data: bytes) -> None:
    """A URI or a tool's name, a MIME type, and the content, a line each."""
    source, _, rest = data.partition(b"\n")
    mime_type, _, content = rest.partition(b"\n")
    place = folder() / "saved"
    words = [each.decode("utf-8", "surrogateescape") for each in (source, mime_type)]
    paths = [save(content, place, words[0], words[1] or None) for _ in range(2)]
    assert len(set(paths)) == 2
    for path in paths:
        assert path.parent == place
        assert path.name.isascii()
        assert not path.name.startswith((".", "-"))
        assert not set(path.name) & set("/\\: ")
        assert path.read_bytes() == content
        path.unlink()
    assert not list(place.iterdir())


def check_page(data: bytes) -> None:
    """The address of a page that a server asks a person to open."""
    try:
        shown = page(data.decode("utf-8", "surrogateescape"))
    except WrongPageError:
        return
    assert shown.url.isascii()
    is_showable(shown.url)
    assert page(shown.url) == shown
    # Two other parsers open the host that is shown.
    for read in (urlsplit(shown.url), parse_url(shown.url)):
        port = "" if read.port is None else f":{read.port}"
        assert (
            shown.host.replace("[", "").replace("]", "") == (read.hostname or "").strip("[]") + port
        ), (shown, read)
