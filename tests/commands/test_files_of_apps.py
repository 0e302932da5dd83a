"""The file of every application: an entry comes and goes, and all the rest stays as it was."""

from __future__ import annotations

import codecs
import sys
from typing import Any

import pytest
from support.app_configs import OF_APP, SECRET
from support.at_home import LAB, Run, arguments_of, entry_of, everything_in, file_of, put

from m2m_ssh_client.hosts.apps import APPS

pytestmark = pytest.mark.parametrize("app", APPS)

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="a mode, path or shell of POSIX")


def without_key(app: str, text: str) -> Any:
    """The values in a text apart from the servers."""
    node = APPS[app].format.parse(text)
    return {key: value for key, value in node.value.items() if key != APPS[app].key} if node else {}


def servers_in(app: str, text: str) -> dict[str, Any]:
    node = APPS[app].format.parse(text)
    found: dict[str, Any] = node.value.get(APPS[app].key, {}) if node else {}
    return found


def has_servers(app: str) -> bool:
    """Zed's sample has no list of servers; once made, an empty one stays."""
    return APPS[app].key in OF_APP[app]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_line_of_a_file_stays_and_the_entry_has_its_line_ends(
    run: Run, app: str, end: str
) -> None:
    before = end.join(OF_APP[app].splitlines()) + end
    file = put(app, before)
    assert run("install", app, "lab", "--yes", *LAB).status == 0
    after = file.read_bytes().decode()
    assert after.count("\n") == after.count(end)
    assert servers_in(app, after) == servers_in(app, before) | {"lab": entry_of(app)}
    assert without_key(app, after) == without_key(app, before)
    comments = [line.strip() for line in before.splitlines() if line.strip()[:1] in ("#", "/")]
    assert [line for line in comments if line not in after] == []
    assert run("uninstall", app, "lab", "--yes").status == 0
    if has_servers(app):
        assert file.read_bytes().decode() == before


def test_an_entry_that_is_installed_again_takes_the_place_of_the_old_one(
    run: Run, app: str
) -> None:
    file = put(app, OF_APP[app])
    run("install", app, "lab", "--yes", *LAB)
    once = file.read_bytes()
    assert run("install", app, "lab", "--yes", "--host", "other").status == 0
    assert arguments_of(app)[-2:] == ["--host", "other"]
    assert run("install", app, "lab", "--yes", *LAB).status == 0
    assert file.read_bytes() == once
    assert "is already up to date" in run("install", app, "lab", *LAB).out


def test_the_entry_may_stand_between_others(run: Run, app: str) -> None:
    put(app, OF_APP[app])
    run("install", app, "lab", "--yes", *LAB)
    middle = file_of(app).read_bytes()
    run("install", app, "after", "--yes", "--host", "other")
    assert run("uninstall", app, "lab", "--yes").status == 0
    assert entry_of(app, "lab") is None
    assert entry_of(app, "after")
    run("uninstall", app, "after", "--yes")
    run("install", app, "lab", "--yes", *LAB)
    assert file_of(app).read_bytes() == middle


def test_a_byte_order_mark_is_left_out(run: Run, app: str) -> None:
    file = put(app, codecs.BOM_UTF8 + OF_APP[app].encode())
    assert run("install", app, "lab", "--yes", *LAB).status == 0
    assert not file.read_bytes().startswith(codecs.BOM_UTF8)
    backup = file.with_name(f"{file.name}.bak")
    assert backup.read_bytes() == codecs.BOM_UTF8 + OF_APP[app].encode()


@posix_only
def test_a_link_stays_one(run: Run, app: str) -> None:
    link = put(app, "")
    target = link.with_name("dotfile")
    link.unlink()
    target.write_text(OF_APP[app])
    link.symlink_to(target)
    assert run("install", app, "lab", "--yes", *LAB).status == 0
    assert link.is_symlink()
    assert "ada@lab" in target.read_text()


def test_a_read_only_file_is_left(run: Run, app: str) -> None:
    file = put(app, OF_APP[app])
    before = everything_in(file.parent)
    file.chmod(0o444)
    done = run("install", app, "lab", "--yes", *LAB)
    file.chmod(0o644)
    assert done.status == 1
    assert "is read-only" in done.err
    assert "ada@lab" in done.out
    assert everything_in(file.parent) == before


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_a_broken_file_is_left_and_the_entry_printed(run: Run, app: str, command: str) -> None:
    broken = OF_APP[app].replace(APPS[app].key, f'"{APPS[app].key}', 1) + '"{lab'
    file = put(app, broken)
    before = everything_in(file.parent)
    done = run(command, app, "lab", "--yes", *(LAB if command == "install" else ()))
    assert done.status == 1
    assert "line " in done.err
    assert "edit it by hand" in done.err
    assert SECRET not in done.out + done.err
    assert everything_in(file.parent) == before
    assert ("ada@lab" in done.out) == (command == "install")
    assert run("list").status == 1


def test_a_list_of_servers_in_another_shape_is_left(run: Run, app: str) -> None:
    text = APPS[app].format.rendered([APPS[app].key], 7)
    file = put(app, text)
    done = run("install", app, "lab", "--yes", *LAB)
    assert done.status == 1
    assert f"{APPS[app].key} is not an object" in done.err
    assert file.read_text() == text


def test_other_servers_are_listed_without_their_secrets(run: Run, app: str) -> None:
    put(app, OF_APP[app])
    shown = run("install", app, "lab", "--yes", *LAB).out
    done = run("list", "--all")
    assert done.status == 0, done.err
    for name in servers_in(app, OF_APP[app]):
        assert f"{app}  {name}\n" in done.out
    assert SECRET not in done.out + shown
