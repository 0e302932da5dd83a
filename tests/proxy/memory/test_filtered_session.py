"""A session that offers a part of the server's tools."""

from __future__ import annotations

import json
from typing import Any

import pytest

from m2m_ssh_client.proxy.frames.frame import parse
from m2m_ssh_client.proxy.memory.filtered_session import FilteredSession
from m2m_ssh_client.proxy.memory.session import Session, State

CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%b}'
LIST = b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}'
TOOLS = b'[{"name":"git_log", "x":[1.50]},{"name":"rm"},{"inputSchema":{},"name":"git_push"}]'


def filtered(
    *tools: str, ignore: tuple[str, ...] = (), to_shell: bool = False, **options: Any
) -> FilteredSession:
    session = FilteredSession(may_be_shell=to_shell, tools=tools, ignore_tools=ignore, **options)
    session.connected()
    return session


def passes(line: bytes, session: Session) -> bool:
    """Whether the remote gets a line, unchanged; else it is answered, once, with an error."""
    output = session.from_host([line], 0)
    if output.to_remote:
        assert (output.to_remote, output.to_host) == ([line], [])
        return True
    (answer,) = map(json.loads, output.to_host)
    assert (answer["id"], answer["error"]["code"]) == (1, -32602)
    return False


def listed(answer: bytes, session: Session) -> bytes:
    """The answer to a request for tools as the host gets it."""
    session.from_host([LIST], 0)
    (line,) = session.from_remote([answer]).to_host
    return line


@pytest.mark.parametrize(
    ("tools", "ignore", "name", "shown"),
    [
        (("git_*",), (), "git_log", True),
        (("git_*",), (), "Git_log", False),
        (("git_*", "a"), (), "a", True),
        (("git_*",), ("*_push",), "git_push", False),
        ((), ("rm",), "rm", False),
        ((), ("rm",), "rmdir", True),
        (("[ab]?",), (), "ac", True),
    ],
)
def test_a_tool_is_shown_by_its_patterns(
    tools: tuple[str, ...], ignore: tuple[str, ...], name: str, shown: bool
) -> None:
    session = filtered(*tools, ignore=ignore)
    tool = json.dumps({"name": name}).encode()
    answer = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[%b]}}'
    assert listed(answer % tool, session) == answer % (tool if shown else b"")
    assert passes(CALL % tool, session) is shown


def test_a_list_keeps_all_but_the_hidden_tools_byte_for_byte() -> None:
    result = b'{"a" : 1,"tools":%b,"nextCursor":"\\u0031","_meta":{"b": [2]}}'
    line = listed(b'{"jsonrpc":"2.0","id":1,"result":%b}' % (result % TOOLS), filtered("git_*"))
    assert line.endswith(b',"nextCursor":"\\u0031","_meta":{"b": [2]}}}')
    tools = b'[{"name":"git_log", "x":[1.50]},{"inputSchema":{},"name":"git_push"}]'
    assert b'"tools":' + tools in line
    assert json.loads(line)["result"]["a"] == 1


@pytest.mark.parametrize(
    "answer",
    [
        b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"tools"}}',
        b'{"jsonrpc":"2.0","id":"other","result":{"tools":[{"name":"rm"}]}}',
    ],
)
def test_other_answers_pass_unchanged(answer: bytes) -> None:
    session = filtered("git_*")
    session.from_host([LIST, LIST.replace(b'"id":1', b'"id":"other"').replace(b"list", b"x")], 0)
    assert session.from_remote([answer]).to_host == [answer]


@pytest.mark.parametrize(
    "params",
    [
        b'{"name":"git_log","name":"rm"}',
        b'{"name":"rm","name":"git_log"}',
        b'{"name":"git_log","Name":"rm"}',
        b'{"n\\u0061me":"rm"}',
        b'{"name":"r\\u006d","arguments":{"name":"git_log"}}',
        b'{"name":["git_log"]}',
        b'["git_log"]',
        b"{}",
        b'{"name":"rm","task":{"ttl":1}}',
        b'{"name":"git_log"},"params":{"name":"rm"}',
        b'{"name":"git_log"},"PARAMS":{"name":"rm"}',
        b'{"name":"git_log"},"METHOD":"tools/call"',
    ],
)
def test_a_call_that_may_be_of_another_tool_is_refused(params: bytes) -> None:
    assert not passes(CALL % params, filtered("git_*"))


@pytest.mark.parametrize("method", [b"tools\\/call", b"\\u0074ools/call"])
def test_a_call_in_escapes_is_a_call(method: bytes) -> None:
    call = (CALL % b'{"name":"rm"}').replace(b"tools/call", method)
    assert not passes(call, filtered("git_*"))


def test_a_method_that_is_there_twice_is_no_way_around() -> None:
    line = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"rm"},"method":"ping"}'
    assert not passes(line, filtered("git_*"))


@pytest.mark.parametrize(
    "line",
    [
        CALL % b'{"name":"git_log","arguments":{"name":"rm","tools/call":"\\n"},"task":{}}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"tools/call\\n"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"rm","a":"\\n"}}',
    ],
)
def test_what_is_no_call_of_a_hidden_tool_passes_unchanged(line: bytes) -> None:
    assert passes(line, filtered("git_*"))


def test_a_batch_loses_its_hidden_calls_alone() -> None:
    session = filtered("git_*")
    ping = b'{"jsonrpc":"2.0","id":2,"method":"ping"}'
    output = session.from_host([b"[%b,%b]" % (CALL % b'{"name":"rm"}', ping)], 0)
    assert output.to_remote == [b"[" + ping + b"]"]
    (answer,) = map(json.loads, output.to_host)
    assert answer["error"] == {"code": -32602, "message": "Unknown tool: rm"}


def test_lists_in_a_batch_are_filtered() -> None:
    other = b'{"jsonrpc":"2.0","method":"notifications/x"}'
    answer = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"rm"}]}}'
    line = listed(b"[%b,%b]" % (other, answer), filtered("git_*"))
    empty = answer.replace(b'{"name":"rm"}', b"")
    assert line == b"[%b,%b]" % (other, empty)


@pytest.mark.parametrize("id_", [b"1", b'"1"', b"1.0"])
def test_an_answer_under_another_spelling_of_the_id_is_filtered(id_: bytes) -> None:
    answer = b'{"jsonrpc":"2.0","id":%b,"result":{"tools":[{"name":"rm"}]}}' % id_
    assert json.loads(listed(answer, filtered("git_*")))["result"] == {"tools": []}


def test_an_id_that_is_used_again_too_early_is_no_way_around() -> None:
    session = filtered("git_*")
    session.from_host([LIST, b'{"jsonrpc":"2.0","id":1,"method":"ping"}'], 0)
    answer = b'{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"rm"}]}}'
    assert b"rm" not in b"".join(session.from_remote([answer]).to_host)


@pytest.mark.parametrize(
    "tools",
    [
        b'[{"name":"git_log","name":"rm"}]',
        b'[{"name":"git_log","NAME":"rm"}]',
        b'[{"title":"rm"}]',
        b'["rm",5,null,[]]',
        b'[],"Tools":[{"name":"rm"}]',
        b'[{"name":"rm"}],"tools":[]',
        b'[{"name":"r\\u006d"}]',
        b'{"name":"rm"}',
        b'[{"name":"git_rm","description":"' + b"x" * (1 << 20) + b'"}]',
    ],
)
def test_a_list_hides_what_could_be_read_as_a_hidden_tool(tools: bytes) -> None:
    answer = b'{"jsonrpc":"2.0","id":1,"result":{"tools":%b}}' % tools
    shown = json.loads(listed(answer, filtered("git_*")))
    assert "error" in shown or "rm" not in json.dumps(shown)


@pytest.mark.parametrize("tools", [TOOLS, b'[{"name":"git_log","x":"\\ud800"},{"name":"rm"}]'])
def test_a_list_is_filtered_when_it_was_asked_for_again(tools: bytes) -> None:
    session = filtered("git_*")
    session.from_host([LIST], 0)
    session.lost("gone", [], 1)
    assert session.connected().to_remote == [LIST]
    answer = b'{"jsonrpc":"2.0","id":1,"result":{"tools":%b}}' % tools
    (line,) = session.from_remote([answer]).to_host
    assert b"git_log" in line
    assert b'"rm"' not in line


def test_a_hidden_call_is_refused_before_there_is_a_connection() -> None:
    session = FilteredSession(tools=["git_*"], ignore_tools=[])
    assert session.state is State.CONNECTING
    assert not passes(CALL % b'{"name":"rm"}', session)
    assert session.connected().to_remote == []


def test_to_a_shell_a_shown_call_goes_in_safe_spelling() -> None:
    session = filtered("git_*", to_shell=True)
    output = session.from_host([CALL % b'{"name":"git_log"}'], 0)
    (line,) = output.to_remote
    assert json.loads(line)["params"] == {"name": "git_log"}
    assert not passes(CALL % b'{"name":"rm"}', session)


def test_no_call_begins_before_its_name_is_known() -> None:
    session = filtered("git_*")
    (call,) = parse(CALL % b'{"name":"git_log"}').messages
    assert not session.may_begin_request(call)
