from __future__ import annotations

from pathlib import Path

import pytest

from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.terminal.saving import save


@pytest.mark.parametrize(
    ("source", "mime_type", "name"),
    [
        ("screenshot", "image/png", "screenshot.png"),
        ("screenshot", "IMAGE/PNG; q=1", "screenshot.png"),
        ("speak", "audio/mpeg", "speak.mp3"),
        ("photo", "image/webp", "photo.webp"),
        ("tool", None, "tool.bin"),
        ("tool", "application/x-nobody-knows", "tool.bin"),
        ("file:///srv/data/report.pdf", "application/pdf", "report.pdf"),
        ("file:///srv/data/report.pdf", None, "report.pdf"),
        ("file:///srv/Photo.PNG", "image/png", "Photo.PNG"),
        ("file:///srv/photo.jpeg", "image/jpeg", "photo.jpeg"),
        ("file:///srv/report.exe", "image/png", "report.exe.png"),
        ("file:///disk.img", "application/octet-stream", "disk.img"),
        ("show://host", None, "host.bin"),
        ("show:///a%2Fb%00c", None, "b-c.bin"),
        ("file:///x/../../etc/passwd", None, "passwd.bin"),
        ("../../.bashrc", None, "bashrc.bin"),
        ("a\\..\\b:stream", None, "a-..-b-stream.bin"),
        ("x\x1b[31m", "image/png", "x-31m.png"),
        ("..", "image/png", "result.png"),
        ("", None, "result.bin"),
        ("nul", "image/png", "_nul.png"),
        ("COM1.txt", None, "_COM1.txt"),
        ("n" * 500, "image/png", "n" * 80 + ".png"),
        ("http://[broken", None, "http-broken.bin"),
    ],
)
def test_a_file_is_named_after_where_it_is_from_and_what_it_is(
    tmp_path: Path, source: str, mime_type: str | None, name: str
) -> None:
    path = save(b"data", tmp_path, source, mime_type)
    assert path == tmp_path / name
    assert path.read_bytes() == b"data"


@pytest.mark.parametrize(
    ("source", "mime_type", "name"),
    [
        ("file:///x/conftest.py", "text/x-python", "conftest.py.bin"),
        ("file:///x/anyio.py", None, "anyio.py.bin"),
        ("file:///x/a.desktop", None, "a.desktop.bin"),
        ("file:///x/up.SH", "application/octet-stream", "up.SH.bin"),
        ("file:///x/package.json", "application/json", "package.json.bin"),
        ("file:///x/CMakeLists.txt", "text/plain", "CMakeLists.txt.bin"),
        ("file:///x/setup.exe", "image/png", "setup.exe.png"),
        ("drawing", "image/svg+xml", "drawing.svg.bin"),
        ("page", "text/html", "page.html.bin"),
        ("Makefile", None, "Makefile.bin"),
        ("file:///x/Photo.PNG", "image/png", "Photo.PNG"),
        ("speak", "audio/mpeg", "speak.mp3"),
        ("file:///x/report.pdf", None, "report.pdf"),
    ],
)
def test_in_the_current_folder_no_name_is_one_that_a_program_acts_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    mime_type: str | None,
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert save(b"data", None, source, mime_type) == Path(name)
    assert (tmp_path / name).read_bytes() == b"data"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    names = [save(bytes([n]), tmp_path, "shot", "image/png").name for n in range(3)]
    assert names == ["shot.png", "shot-2.png", "shot-3.png"]
    assert [(tmp_path / name).read_bytes() for name in names] == [b"\0", b"\1", b"\2"]


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    try:
        (tmp_path / "folder" / "shot.png").symlink_to(tmp_path / "elsewhere")
    except OSError:
        pytest.skip("links need a privilege here")
    if not (tmp_path / "folder" / "shot.png").is_symlink():
        pytest.skip("Wine 8 reports success and makes no link")
    assert save(b"", tmp_path / "folder", "shot", "image/png").name == "shot-2.png"
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_is_made_and_what_is_none_is_an_error(tmp_path: Path) -> None:
    assert save(b"", tmp_path / "a" / "b", "x", None).exists()
    (tmp_path / "file").touch()
    with pytest.raises(SSHClientError, match="Cannot save to"):
        save(b"", tmp_path / "file", "x", None)
