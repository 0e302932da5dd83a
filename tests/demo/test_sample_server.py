"""The sample MCP server over plain stdio, in raw JSON-RPC lines, as the installed SDK serves it."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from support.host import Host, modern_meta

_SDK_MAJOR = int(importlib.metadata.version("mcp").partition(".")[0])

pytestmark = [
    pytest.mark.sdk,
    pytest.mark.xdist_group("sample-server"),  # all of an era with one server
]


_ARGV = [sys.executable, "-m", "m2m_ssh_client.demo.sample_server"]


# SDK 1.x speaks the legacy era only.
_ERAS = ["legacy", "modern"] if _SDK_MAJOR > 1 else ["legacy"]


@pytest.fixture(scope="module", params=_ERAS)
def era(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(era: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    home = tmp_path_factory.mktemp("home")
    with Host(_ARGV, env={"HOME": str(home), "USERPROFILE": str(home)}, cwd=home) as host:
        if era == "legacy":
            assert host.initialize()["result"]["serverInfo"]["name"] == "m2m-demo"
        yield host


def _result(server: Host, era: str, method: str, **params: Any) -> Any:
    meta = params.pop("_meta", {}) | (modern_meta() if era == "modern" else {})
    response = server.request(method, {**params, **({"_meta": meta} if meta else {})})
    assert "result" in response, response
    return response["result"]


def _text(server: Host, era: str, tool: str, **arguments: object) -> str:
    result = _result(server, era, "tools/call", name=tool, arguments=arguments)
    assert not result.get("isError"), result
    return str(result["content"][0]["text"])


def test_it_lists_its_tools(server: Host, era: str) -> None:
    tools = _result(server, era, "tools/list")["tools"]
    assert {tool["name"] for tool in tools} == {"echo", "add", "where_am_i", "count_slowly"}
    assert all(tool["description"] for tool in tools)


def test_echo_gives_back_any_text(server: Host, era: str) -> None:
    text = 'Grüße \u2028 "quoted" \\ \n\x00 🚀'
    assert _text(server, era, "echo", text=text) == text


def test_add_adds(server: Host, era: str) -> None:
    assert _text(server, era, "add", a=-2, b=44) == "42"


def test_where_am_i_names_the_process(server: Host, era: str) -> None:
    assert f'"pid": {server.pid}' in _text(server, era, "where_am_i")


def test_count_slowly_reports_each_step(server: Host, era: str) -> None:
    server.others.clear()
    arguments = {"steps": 3, "seconds": 0.1}
    meta = {"progressToken": "t"}
    result = _result(
        server, era, "tools/call", name="count_slowly", arguments=arguments, _meta=meta
    )
    assert result["content"][0]["text"] == "counted to 3"
    progress = [m["params"] for m in server.others if m["method"] == "notifications/progress"]
    assert [(p["progressToken"], p["progress"], p["total"]) for p in progress] == [
        ("t", 1, 3),
        ("t", 2, 3),
        ("t", 3, 3),
    ]


@pytest.mark.parametrize(("steps", "seconds"), [(0, 1), (1001, 1), (1, -1), (1, 601)])
def test_count_slowly_does_not_count_for_ever(
    steps: int, seconds: float, server: Host, era: str
) -> None:
    arguments = {"steps": steps, "seconds": seconds}
    result = _result(server, era, "tools/call", name="count_slowly", arguments=arguments)
    assert result["isError"]


def test_the_resource_can_be_found_and_read(server: Host, era: str) -> None:
    (resource,) = _result(server, era, "resources/list")["resources"]
    assert resource["uri"] == "demo://welcome"
    (content,) = _result(server, era, "resources/read", uri="demo://welcome")["contents"]
    assert content["text"].startswith("Welcome to ")


def test_the_prompt_can_be_found_and_filled_in(server: Host, era: str) -> None:
    (prompt,) = _result(server, era, "prompts/list")["prompts"]
    assert prompt["name"] == "greet"
    filled = _result(server, era, "prompts/get", name="greet", arguments={"name": "Ada"})
    assert "Ada" in filled["messages"][0]["content"]["text"]


def test_it_ends_when_its_stdin_does_and_stderr_stays_empty() -> None:
    with Host(_ARGV) as host:
        host.initialize()
        host.close_stdin()
        assert host.wait() == 0
        assert host.stderr == ""
