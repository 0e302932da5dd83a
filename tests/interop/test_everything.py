"""The reference server of the MCP project, behind sshd: through the proxy it says what it says directly."""

from __future__ import annotations

import shlex

import pytest
from support import installed
from support.host import Host, Message, client_argv
from support.sshd import Sshd

pytestmark = pytest.mark.interop

COMPLETION = {
    "ref": {"type": "ref/prompt", "name": "completable-prompt"},
    "argument": {"name": "name", "value": ""},
    "context": {"arguments": {"department": "Sales"}},
}

# Each is answered before the next is sent. Left out: what carries a clock time or a random value.
REQUESTS: list[tuple[str, Message | None]] = [
    ("ping", None),
    ("tools/list", {}),
    ("prompts/list", {}),
    ("resources/list", {}),
    ("resources/templates/list", {}),
    ("logging/setLevel", {"level": "debug"}),
    ("completion/complete", COMPLETION),
    ("prompts/get", {"name": "simple-prompt"}),
    ("prompts/get", {"name": "args-prompt", "arguments": {"city": "Zürich", "state": "\u2028"}}),
    ("prompts/get", {"name": "no-such-prompt"}),
    ("resources/read", {"uri": "demo://resource/static/document/features.md"}),
    ("resources/read", {"uri": "demo://resource/no-such"}),
    ("resources/subscribe", {"uri": "demo://resource/dynamic/text/1"}),
    ("resources/unsubscribe", {"uri": "demo://resource/dynamic/text/1"}),
    ("tools/call", {"name": "echo", "arguments": {"message": "\u2028 \u0085 Grüße 😀 \\u0041"}}),
    ("tools/call", {"name": "get-sum", "arguments": {"a": 1e308, "b": -0.5}}),
    ("tools/call", {"name": "get-sum", "arguments": {"a": "not a number"}}),
    ("tools/call", {"name": "get-tiny-image", "arguments": {}}),
    ("tools/call", {"name": "get-structured-content", "arguments": {"location": "Chicago"}}),
    ("tools/call", {"name": "get-annotated-message", "arguments": {"messageType": "error"}}),
    ("tools/call", {"name": "get-resource-links", "arguments": {"count": 3}}),
    ("tools/call", {"name": "get-roots-list", "arguments": {}}),
    ("tools/call", {"name": "no-such-tool", "arguments": {}}),
    ("no/such/method", {"x": 1}),
]


def converse(host: Host) -> None:
    host.initialize()
    # The server asks for the roots a moment after the handshake, and logs what it got.
    roots = host.receive_until(lambda m: m.get("method") == "roots/list")
    host.answer(roots, {"roots": [{"uri": "file:///srv/ü", "name": "home"}]})
    host.receive_until(lambda m: m.get("method") == "notifications/message")
    for method, params in REQUESTS:
        host.request(method, params)
    progress(host)
    ask(host, "trigger-sampling-request", {"prompt": "Say ü", "maxTokens": 9}, SAMPLED)
    ask(host, "trigger-elicitation-request", {}, {"action": "decline"})
    cancel(host)


SAMPLED = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "ü \u2029"}}


def progress(host: Host) -> None:
    arguments = {"duration": 0.3, "steps": 3}
    name = "trigger-long-running-operation"
    meta = {"progressToken": "p-1"}
    host.request("tools/call", {"name": name, "arguments": arguments, "_meta": meta})
    assert sum(m.get("method") == "notifications/progress" for m in host.others) == 3


def ask(host: Host, tool: str, arguments: Message, answer: Message) -> None:
    """A tool that asks the host something before it answers."""
    params = {"name": tool, "arguments": arguments}
    host.send({"jsonrpc": "2.0", "id": tool, "method": "tools/call", "params": params})
    question = host.receive_until(lambda m: "id" in m and "method" in m)
    host.answer(question, answer)
    host.receive_until(lambda m: m.get("id") == tool)


def cancel(host: Host) -> None:
    params = {
        "name": "trigger-long-running-operation",
        "arguments": {"duration": 0.2, "steps": 1},
    }
    host.send({"jsonrpc": "2.0", "id": "long", "method": "tools/call", "params": params})
    host.notify("notifications/cancelled", {"requestId": "long", "reason": "enough"})
    host.request("tools/call", {**params, "arguments": {"duration": 0.4, "steps": 1}})
    assert not [message for message in host.others if message.get("id") == "long"]


@pytest.mark.timeout(300)  # the first run installs the package
def test_every_kind_of_message_is_the_same_line_through_the_proxy_as_directly(sshd: Sshd) -> None:
    command = [*installed.node_argv(installed.EVERYTHING), "stdio"]
    through_proxy = client_argv(*sshd.client_options(), "--", shlex.join(command))
    with Host(command) as direct, Host(through_proxy) as proxied:
        for host in (direct, proxied):
            converse(host)
            host.close_stdin()
        assert proxied.wait() == 0
    assert len(direct.lines) > len(REQUESTS)
    assert proxied.lines == direct.lines
