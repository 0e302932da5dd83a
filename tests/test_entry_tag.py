from __future__ import annotations

import re
import stat
import sys

from m2m_ssh_client import entry_tag
from m2m_ssh_client.log_file import default_path

ARGUMENTS = ["--host", "lab", "--", "./serve", "s3cret"]


def test_the_same_arguments_have_the_same_tag_and_others_have_another() -> None:
    tag = entry_tag.tag(ARGUMENTS)
    assert re.fullmatch("[0-9a-f]{6}", tag)
    assert entry_tag.tag(tuple(ARGUMENTS)) == tag
    assert entry_tag.tag([*ARGUMENTS, ""]) != tag
    assert entry_tag.tag(["--host lab", *ARGUMENTS[2:]]) != tag


def test_a_tag_confirms_no_guess_to_whoever_lacks_the_key() -> None:
    tag = entry_tag.tag(ARGUMENTS)
    key = default_path().with_name("tag.key")
    if sys.platform != "win32":
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    key.unlink()
    assert entry_tag.tag(ARGUMENTS) != tag


def test_without_a_key_there_is_no_tag() -> None:
    key = default_path().with_name("tag.key")
    key.parent.mkdir(parents=True)
    key.write_bytes(b"half")  # of another process, which is about to write it
    assert entry_tag.tag(ARGUMENTS) == ""
    key.unlink()
    key.mkdir()
    assert entry_tag.tag(ARGUMENTS) == ""
