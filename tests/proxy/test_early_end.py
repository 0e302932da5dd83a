"""What the words of a process say that ended before its first message."""

from __future__ import annotations

import pytest

from m2m_ssh_client.proxy.early_end import hint, may_be_about_discover

# The first is what webclaw 0.6.19 prints, which is built on rmcp; the next two are rmcp's other
# texts for the same error, and for a request that it cannot read.
OLD_SERVERS = [
    'Error: ExpectedInitializeRequest(Some(Request(JsonRpcRequest { method: "server/discover" })))',
    "Error: expect initialized request, but received: Some(Request(…))",
    "Error: connection closed: initialize request",
    "RuntimeError: Received request before initialization was complete",
]
BROKEN_COMMANDS = [
    "ModuleNotFoundError: No module named 'mcp_server_git'",
    "/usr/bin/python3: No module named mcp_server_git",
    "Error: Cannot find module '/srv/dist/index.js'",
    "error: unexpected argument '--repo' found",
    "panicked at src/main.rs: failed to initialize the database",
    "sh: 1: /srv/serve: Permission denied",
]


@pytest.mark.parametrize("words", OLD_SERVERS)
def test_a_server_that_names_the_request_may_have_ended_on_it(words: str) -> None:
    assert may_be_about_discover(1, [], ["starting, version 1.2", words])


@pytest.mark.parametrize("words", BROKEN_COMMANDS)
def test_a_command_that_fails_in_other_words_did_not_end_on_the_request(words: str) -> None:
    assert not may_be_about_discover(1, [], [words])
    assert not may_be_about_discover(1, [words], [])


def test_silence_leaves_it_open() -> None:
    assert may_be_about_discover(1, [], [])
    assert may_be_about_discover(None, [], [])


@pytest.mark.parametrize("status", [126, 127])
def test_a_command_that_never_ran_did_not_end_on_the_request(status: int) -> None:
    assert not may_be_about_discover(status, [], [])


def test_a_server_that_ends_without_an_error_may_log_what_it_likes() -> None:
    assert may_be_about_discover(0, [], ["ready on stdio", "bye"])
    assert not may_be_about_discover(0, ["hello"], [])


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ([], "nologin or false"),
        (["**Error** syntax error before: x"], "A server in Erlang"),
        (["Prohibited."], "A server in Erlang"),
        (["rbash: line 1: cd: restricted"], "restricted shell"),
        (
            ["rbash: /bin/serve: restricted: cannot specify `/' in command names"],
            "restricted shell",
        ),
        (["uvx: Command not found."], "absolute path"),
        (["/bin/sh: No such file or directory"], "ChrootDirectory"),
        (["/bin/zsh: Permission denied"], "ChrootDirectory"),
        (["AttributeError: 'Server' object has no attribute 'list_tools'"], "mcp<2"),
        (["ImportError: cannot import name 'McpError' from 'mcp' (/srv/mcp/__init__.py)"], "mcp<2"),
        (["ImportError: cannot import name 'a_client' from 'mcp.client.a' (/srv/a.py)"], "mcp<2"),
    ],
)
def test_what_is_no_fault_of_the_command_has_its_hint(stderr: list[str], words: str) -> None:
    assert words in hint(1, stderr)


@pytest.mark.parametrize("words", [*OLD_SERVERS, *BROKEN_COMMANDS])
def test_a_command_that_says_what_is_wrong_needs_no_hint(words: str) -> None:
    assert not hint(1, [words])
    assert not hint(1, ["starting", words])
    assert not hint(None, [])
