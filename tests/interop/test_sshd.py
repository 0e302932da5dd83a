"""Through an ordinary OpenSSH server: the ways to open a remote server, and the ways that fail."""

from __future__ import annotations

import base64
import os
import re
import shlex
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support import echo_server
from support.host import Host, Message, client_argv, modern_meta
from support.sshd import Sshd
from support.usage import Limit
from support.waiting import wait_until

if sys.platform == "win32":
    pytest.skip("sshd with POSIX shells behind it", allow_module_level=True)

pytestmark = pytest.mark.interop

StartSshd = Callable[..., Sshd]

GONE_WITHIN = 2.0  # seconds: what a person may wait for everything to have ended

# Legal JSON that a proxy which decodes and encodes again would change.
_ECHO = '{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"echo","arguments":%s}}'
UNUSUAL_LINES = [
    b'{"id":1,"method":"ping","jsonrpc":"2.0"}',
    b'  { "jsonrpc" : "2.0" ,\t"id" : "1" , "method" : "ping" }  ',
    (_ECHO % (2, '{"float":1.0e5,"big":1208925819614629174706176,"z":1,"a":2,"a":3}')).encode(),
    (_ECHO % (3, '{"escaped":"\\u00e9\\/\\ud83d\\ude00\\u2028"}')).encode(),
    (_ECHO % (4, '{"raw":"\u2028\u2029\u0085 é 😀"}')).encode(),
    b'{"jsonrpc":"2.0","id":"\\u0069d","method":"no/such/method","params":{"x":[1,2,{"y":null}]}}',
    b'{"jsonrpc":"2.0","id":-7,"method":"ping","unknown":"field","method ":"x"}\r',
]


def through_ssh(sshd: Sshd, *command: str, options: Sequence[str] = ()) -> list[str]:
    tail = ["--", *command] if command else []
    return client_argv(*sshd.client_options(), *options, *tail)


def legacy_session(host: Host) -> None:
    """A session that meets requests, notifications both ways, and questions of the server."""
    assert "result" in host.initialize()
    host.request("tools/list")
    host.call("echo", {"text": "\u2028 Grüße \U0001f600", "n": 2**80})
    host.request("resources/templates/list", {"cursor": "c"})
    host.request(
        "tools/call", {"name": "progress", "arguments": {}, "_meta": {"progressToken": "p-1"}}
    )
    host.call("notify", {"method": "notifications/tools/list_changed"})
    host.notify("notifications/roots/list_changed")
    host.receive_until(lambda m: m.get("method") == "notifications/message")
    for method in ("sampling/createMessage", "roots/list", "elicitation/create", "ping"):
        question = {"method": method, "params": {"x": method}}
        host.send(call(f"ask {method}", "ask", question))
        asked = host.receive_until(lambda m: "id" in m and "method" in m)
        host.answer(asked, {"for": asked["method"], "n": 1})
        host.receive_until(lambda m: "result" in m)


def modern_session(host: Host) -> None:
    """2026-07-28: no handshake, the answer to a question rides on the next request."""
    host.request("server/discover", {"_meta": modern_meta()})
    host.request("tools/list", {"_meta": modern_meta()})
    wanted = {"toolsListChanged": True}
    host.send(request("listen", "subscriptions/listen", {"notifications": wanted}))
    host.receive_until(lambda m: str(m.get("method")).endswith("acknowledged"))
    ask = {"name": "ask", "arguments": {"method": "elicitation/create", "params": {"message": "?"}}}
    answer = host.request("tools/call", {**ask, "_meta": modern_meta()})
    assert answer["result"]["resultType"] == "input_required"
    host.request(
        "tools/call",
        {
            **ask,
            "inputResponses": {"q": {"action": "accept"}},
            "requestState": answer["result"]["requestState"],
            "_meta": modern_meta(),
        },
    )
    host.notify("notifications/cancelled", {"requestId": "listen"})


def request(request_id: object, method: str, params: Message) -> Message:
    params = {**params, "_meta": modern_meta()}
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def call(request_id: object, tool: str, arguments: Message) -> Message:
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}


@pytest.mark.parametrize("session", [legacy_session, modern_session])
def test_a_session_through_the_proxy_gives_the_lines_of_a_direct_one(
    sshd: Sshd, session: Callable[[Host], None]
) -> None:
    command = echo_server.command()
    with Host(command) as direct, Host(through_ssh(sshd, *command)) as proxied:
        for host in (direct, proxied):
            session(host)
            host.close_stdin()
            assert host.wait() == 0
    assert proxied.lines == direct.lines


def test_unusual_json_arrives_byte_for_byte_in_both_directions(sshd: Sshd, tmp_path: Path) -> None:
    received = tmp_path / "received"
    command = echo_server.command("--record", str(received))
    with Host(echo_server.command()) as direct, Host(through_ssh(sshd, *command)) as proxied:
        for host in (direct, proxied):
            for line in UNUSUAL_LINES:
                host.send(line + b"\n")
                host.receive_line()
    assert proxied.lines == direct.lines
    assert received.read_bytes().split(b"\n")[:-1] == UNUSUAL_LINES


def test_lines_of_the_server_arrive_byte_for_byte(sshd: Sshd) -> None:
    lines = [
        b'{ "method":"notifications/x","params":{"f":1.0e5,"i":18446744073709551617},"jsonrpc":"2.0"}',
        '{"method":"notifications/ü","params":{"s":"\u2028\u2029\u0085"},"jsonrpc":"2.0"}'.encode(),
        b'[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","method":"b"}]',
        b'{"jsonrpc":"2.0","id":"s\\u0031","method":"roots/list"}\r',
    ]
    with Host(through_ssh(sshd, *echo_server.command())) as host:
        host.initialize()
        encoded = [base64.b64encode(line).decode() for line in lines]
        host.send(call("raw", "raw", {"lines": encoded}))
        assert [host.receive_line() for _ in lines] == lines
        assert host.receive()["id"] == "raw"


def test_one_argument_is_a_command_line_for_the_remote_shell(sshd: Sshd) -> None:
    python = shlex.join(echo_server.command())
    line = f"F='of shell'; for i in 1; do {python} --record \"$HOME/$(echo one) $F\"; done"
    with Host(through_ssh(sshd, line)) as host:
        assert "result" in host.initialize()
        host.close_stdin()
        assert host.wait() == 0
    assert (sshd.home / "one of shell").exists()


def test_several_arguments_arrive_as_they_are(sshd: Sshd) -> None:
    name = 'it\'s $(touch pwned) "quoted" `touch pwned`; * ü \\ $HOME #'
    command = echo_server.command("--record", str(sshd.home / name))
    with Host(through_ssh(sshd, *command)) as host:
        assert "result" in host.initialize()
    assert (sshd.home / name).exists()
    assert not list(sshd.home.glob("pwned"))


def test_a_subsystem_is_requested_by_name(sshd: Sshd) -> None:
    with Host(through_ssh(sshd, options=["--subsystem", "mcp"])) as host:
        legacy_session(host)
        host.close_stdin()
        assert host.wait() == 0


def test_a_subsystem_that_the_server_lacks_is_named_in_the_error(sshd: Sshd) -> None:
    with Host(through_ssh(sshd, options=["--subsystem", "no-such"])) as host:
        assert "no-such" in first_error(host)
        assert host.wait() == 1


def test_a_login_shell_that_is_an_mcp_server_is_served(start_sshd: StartSshd) -> None:
    sshd = start_sshd("ForceCommand " + " ".join(echo_server.command()))
    with Host(echo_server.command()) as direct, Host(through_ssh(sshd)) as proxied:
        for host in (direct, proxied):
            legacy_session(host)
            host.close_stdin()
            assert host.wait() == 0
    assert proxied.lines == direct.lines


def test_a_login_shell_that_is_a_modern_mcp_server_is_served(start_sshd: StartSshd) -> None:
    sshd = start_sshd("ForceCommand " + " ".join(echo_server.command()))
    with Host(echo_server.command()) as direct, Host(through_ssh(sshd)) as proxied:
        for host in (direct, proxied):
            modern_session(host)
            host.close_stdin()
            assert host.wait() == 0
    assert proxied.lines == direct.lines


@pytest.mark.parametrize(
    ("shell", "command"),
    [
        ("", []),
        ("exec bash --login", []),
        ("exec sh", []),
        ("exec bash -i", []),
        ("", ["bash"]),
        ("", ["exec /bin/sh"]),
    ],
)
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_login_shell_is_never_fed_the_words_of_the_host(
    start_sshd: StartSshd, shell: str, command: list[str], era: str
) -> None:
    sshd = start_sshd(*([f"ForceCommand {shell}"] if shell else []))
    traps = [sshd.home / f"trap-{i}" for i in range(6)]
    injected = (
        f"$(touch {traps[0]})`touch {traps[1]}`;touch {traps[2]};"
        f"'\ntouch {traps[3]}\n'\"; touch {traps[4]}\n#&&touch {traps[5]}|"
    )
    with Host(through_ssh(sshd, *command)) as host:
        info = {"name": injected, "version": injected}
        if era == "legacy":
            method, params = "initialize", {"protocolVersion": "2025-11-25", "clientInfo": info}
        else:
            meta = {**modern_meta(), "io.modelcontextprotocol/clientInfo": info}
            method, params = "server/discover", {"_meta": meta}
        host.send({"jsonrpc": "2.0", "id": injected, "method": method, "params": params})
        # Whatever else a host may send before it has an answer must not reach the shell either.
        host.notify("notifications/x", {"a": injected})
        error = host.receive(timeout=45)
        assert error["id"] == injected
        assert " -- " in error["error"]["message"]
        assert host.wait() == 1
    assert [trap for trap in traps if trap.exists()] == []
    assert "Traceback" not in host.stderr


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_a_command_that_sends_back_what_it_gets_is_called_so(sshd: Sshd, era: str) -> None:
    with Host(through_ssh(sshd, "cat")) as host:
        modern = {"_meta": modern_meta()}
        error = host.initialize() if era == "legacy" else host.request("server/discover", modern)
        assert "sends back what it gets" in error["error"]["message"]
        assert host.wait() == 1


def test_a_shell_that_is_reached_by_another_command_is_called_so(sshd: Sshd) -> None:
    with Host(through_ssh(sshd, "cd / && exec bash")) as host:
        assert "looks like a login shell" in host.initialize()["error"]["message"]
        assert host.wait() == 1


def test_noise_of_start_up_files_is_skipped(start_sshd: StartSshd) -> None:
    sshd = start_sshd(
        "ForceCommand echo 'Welcome!'; printf '\\n\\377\\n[1,2]\\nnull\\n{\"a\":1}\\n';"
        ' eval "$SSH_ORIGINAL_COMMAND"'
    )
    command = echo_server.command("--noise", "more noise", "--noise-between", "[later] noise")
    with Host(echo_server.command()) as direct, Host(through_ssh(sshd, *command)) as proxied:
        for host in (direct, proxied):
            legacy_session(host)
    assert proxied.lines == direct.lines


def test_an_unknown_command_is_explained_with_its_status(sshd: Sshd) -> None:
    with Host(through_ssh(sshd, "no-such-program-here", "--flag")) as host:
        message = first_error(host)
        assert "127" in message
        assert "no-such-program-here" in message
        host.wait_for_stderr("m2m-mcp-server-ssh-client: error: ")
        assert host.wait() == 1


@pytest.mark.parametrize("options", [["--no-reconnect"], []])
def test_the_remote_exit_status_and_its_last_words_answer_a_call_in_flight(
    sshd: Sshd, options: list[str]
) -> None:
    with Host(through_ssh(sshd, *echo_server.command(), options=options)) as host:
        host.initialize()
        message = host.call("exit", {"status": 3})["error"]["message"]
        assert "3" in message
        assert "last words" in message
        if options:
            assert host.wait() == 1
        else:
            assert "result" in host.call("echo", {})  # of the next process


def test_a_changed_host_key_is_refused_before_anything_is_sent(sshd: Sshd, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    other = sshd.keys.stranger_key.with_suffix(".pub").read_text()
    known_hosts.write_text(f"[127.0.0.1]:{sshd.port} {other}")
    message = refused(sshd, "--known-hosts", str(known_hosts))
    assert "Host key verification failed" in message
    assert "SHA256:" in message
    assert "ssh-ed25519" in message.lower() or "ed25519" in message.lower()


@pytest.mark.parametrize("content", [None, "", "# nobody\nelsewhere ssh-ed25519 AAAA\n"])
def test_an_unknown_host_key_is_refused_with_its_fingerprint(
    sshd: Sshd, tmp_path: Path, content: str | None
) -> None:
    known_hosts = tmp_path / "known_hosts"
    if content is not None:
        known_hosts.write_text(content)
    message = refused(sshd, "--known-hosts", str(known_hosts))
    assert "Host key verification failed" in message
    assert "SHA256:" in message


def test_a_server_with_several_keys_shows_the_one_on_file(sshd: Sshd, tmp_path: Path) -> None:
    for kind in ("rsa", "ecdsa", "ed25519"):
        known_hosts = tmp_path / kind
        sshd.write_known_hosts(known_hosts, [kind])
        options = ["--known-hosts", str(known_hosts)]
        argv = client_argv(*sshd.client_options(), *options, "--", *echo_server.command())
        with Host(argv) as host:
            assert "result" in host.initialize(), kind


def test_a_client_key_that_is_not_authorized_is_refused(sshd: Sshd) -> None:
    message = refused(sshd, "--client-key", str(sshd.keys.stranger_key))
    assert "Authentication failed" in message


def test_a_closed_port_answers_both_first_requests_of_a_host_of_two_eras(sshd: Sshd) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = str(reserved.getsockname()[1])  # bound, not listening: refused, and nobody else's
        with Host(client_argv(*sshd.client_options(), "--port", port)) as host:
            for method in ("server/discover", "initialize", "tools/list"):
                message = host.request(method, {})["error"]["message"]
                assert "Connection refused" in message
            host.wait_for_stderr("m2m-mcp-server-ssh-client: error: Connection refused")
            host.close_stdin()
            assert host.wait() == 1
    assert "Traceback" not in host.stderr


def test_what_the_server_says_during_the_login_is_shown_and_in_the_error(
    start_sshd: StartSshd, tmp_path: Path
) -> None:
    banner = tmp_path / "banner"
    banner.write_text("Approve this login at https://sso.example/x\nor ask Ada.\n")
    sshd = start_sshd(f"Banner {banner}")
    options = sshd.client_options()
    options[options.index("--client-key") + 1] = str(sshd.keys.stranger_key)
    with Host(client_argv(*options, "--", "true")) as host:
        message = host.initialize()["error"]["message"]
        host.wait_for_stderr("the server says: or ask Ada.")
    assert 'it said "Approve this login at https://sso.example/x or ask Ada."' in message


def test_a_server_with_too_many_logins_in_progress_is_asked_again(start_sshd: StartSshd) -> None:
    """As when a host starts several servers on one machine at the same moment."""
    sshd = start_sshd("MaxStartups 1:100:1", "LoginGraceTime 60")
    with sshd.login_in_progress() as other, Host(through_ssh(sshd, *echo_server.command())) as host:
        host.send({"jsonrpc": "2.0", "id": 1, "method": "ping"})
        wait_until(lambda: "has too many logins in progress" in host.stderr, 20)
        other.close()
        assert host.receive()["id"] == 1


def test_the_remote_stderr_comes_out_on_ours_without_control_characters(sshd: Sshd) -> None:
    noise = "printf 'remote says \\033[31mred\\007\\n' >&2; exec "
    with Host(through_ssh(sshd, noise + shlex.join(echo_server.command()))) as host:
        host.initialize()
        host.wait_for_stderr("remote says ")
    assert "\x1b" not in host.stderr
    assert "\x07" not in host.stderr


def test_a_megabyte_on_stderr_stalls_nothing(sshd: Sshd) -> None:
    with Host(through_ssh(sshd, *echo_server.command("--chatter", "1000000"))) as host:
        host.initialize()
        assert "result" in host.call("stderr", {"bytes": 4_000_000}, timeout=30)
        host.close_stdin()
        assert host.wait() == 0
    written = host.stderr.count("chatter end")
    dropped = re.findall(r"warning: (\d+) log lines were dropped", host.stderr)
    assert written + sum(map(int, dropped)) == 50_000


def test_sixteen_megabytes_arrive_whole_both_ways(sshd: Sshd) -> None:
    size = 16_000_000
    with Host(through_ssh(sshd, *echo_server.command())) as host:
        host.initialize()
        answer = host.call("big", {"bytes": size}, timeout=40)
        assert len(answer["result"]["content"][0]["text"]) == size
        text = "é" * (size // 2)
        answer = host.call("echo", {"text": text}, timeout=40)
        assert answer["result"]["structuredContent"]["arguments"]["text"] == text


def test_a_thousand_requests_at_once_are_all_answered_in_order(sshd: Sshd) -> None:
    with Host(through_ssh(sshd, *echo_server.command())) as host:
        host.initialize()
        for number in range(1000):
            host.send({"jsonrpc": "2.0", "id": f"n{number}", "method": "ping"})
        assert [host.receive()["id"] for _ in range(1000)] == [f"n{n}" for n in range(1000)]


def stop_by_closing_stdin(host: Host) -> None:
    host.close_stdin()


def stop_by_sigterm(host: Host) -> None:
    host.signal(signal.SIGTERM)


def stop_by_sigint(host: Host) -> None:
    host.signal(signal.SIGINT)


def stop_by_sighup(host: Host) -> None:
    host.signal(signal.SIGHUP)


def stop_by_sigkill(host: Host) -> None:
    host.signal(signal.SIGKILL)


def is_running(pid: int) -> bool:
    """A zombie has ended, although it still has a number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def remote_pid(tmp_path: Path) -> Any:
    """A file for the server's pid; what it names is killed at the end, whatever the test saw."""
    file = tmp_path / "pid"
    yield file
    if file.exists() and is_running(int(file.read_text())):
        os.kill(int(file.read_text()), signal.SIGKILL)


def assert_gone(pid: int, limit: Limit) -> None:
    while is_running(pid):
        assert limit.left > 0, "the remote process is still there"
        time.sleep(0.02)


STOPS = [stop_by_closing_stdin, stop_by_sigterm, stop_by_sigint, stop_by_sighup]


@pytest.mark.parametrize("stop", [*STOPS, stop_by_sigkill])
def test_the_remote_process_is_gone_within_two_seconds(
    sshd: Sshd, remote_pid: Path, stop: Callable[[Host], None]
) -> None:
    command = echo_server.command("--pid-file", str(remote_pid))
    with Host(through_ssh(sshd, *command)) as host:
        host.initialize()
        host.send(call("hanging", "hang", {}))
        pid = int(remote_pid.read_text())
        limit = Limit(GONE_WITHIN, host.pid, pid)
        stop(host)
        host.wait(limit)
        assert_gone(pid, limit)
    assert "Traceback" not in host.stderr


# An MCP server, as far as the first answer goes, that any account can run.
STUBBORN = """
trap '' TERM HUP INT PIPE
echo $$ > "$HOME/pid.part" && mv "$HOME/pid.part" "$HOME/pid"
read -r request
echo '{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{}}}'
while :; do sleep 1; done
"""


@pytest.mark.parametrize("stop", STOPS)
def test_a_remote_process_that_ignores_every_hint_is_gone_within_two_seconds(
    ordinary_sshd: Sshd, stop: Callable[[Host], None]
) -> None:
    with Host(through_ssh(ordinary_sshd, STUBBORN)) as host:
        assert "result" in host.initialize()
        pid = int((ordinary_sshd.home / "pid").read_text())
        limit = Limit(GONE_WITHIN, host.pid, pid)
        try:
            stop(host)
            host.wait(limit)
            assert_gone(pid, limit)
        finally:
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)
    assert "Traceback" not in host.stderr


def test_our_side_ends_in_time_where_the_server_sends_no_signals(
    start_sshd: StartSshd, remote_pid: Path
) -> None:
    """OpenSSH sends none to subsystems, forced commands and root's sessions: nobody can help that."""
    stubborn = shlex.join(echo_server.command("--stubborn", "--pid-file", str(remote_pid)))
    sshd = start_sshd(f"Subsystem stubborn {stubborn}")
    with Host(through_ssh(sshd, options=["--subsystem", "stubborn"])) as host:
        host.initialize()
        host.close_stdin()
        host.wait(GONE_WITHIN)


def test_a_host_that_closes_its_end_of_stdout_ends_everything(sshd: Sshd, remote_pid: Path) -> None:
    command = echo_server.command("--pid-file", str(remote_pid))
    with Host(through_ssh(sshd, *command), reading=False) as host:
        host.close_stdout()
        host.send({"jsonrpc": "2.0", "id": 1, "method": "ping"})
        host.wait()
        pid = int(remote_pid.read_text())
        assert_gone(pid, Limit(GONE_WITHIN, pid))
    assert "Traceback" not in host.stderr


@pytest.mark.parametrize("stop", STOPS)
def test_everything_ends_within_two_seconds_while_still_connecting(
    stop: Callable[[Host], None], sshd: Sshd
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never says a word
        silent.settimeout(10)
        port = str(silent.getsockname()[1])
        with Host(client_argv(*sshd.client_options(), "--port", port)) as host:
            connection, _ = silent.accept()
            with connection:
                stop(host)
                host.wait(GONE_WITHIN)
    assert "Traceback" not in host.stderr


def test_an_answer_in_flight_when_stdin_closes_still_arrives(sshd: Sshd) -> None:
    """What `printf REQUESTS | client` relies on."""
    with Host(through_ssh(sshd, *echo_server.command())) as host:
        host.send(call(1, "echo", {"text": "last"}))
        host.close_stdin()
        assert host.receive()["id"] == 1
        assert host.wait() == 0


def test_half_a_line_before_the_end_is_answered_as_what_it_is(sshd: Sshd, tmp_path: Path) -> None:
    received = tmp_path / "received"
    command = echo_server.command("--record", str(received))
    with Host(through_ssh(sshd, *command)) as host:
        host.request("ping")
        host.send(b'{"jsonrpc":"2.0","id":2,"met')
        host.close_stdin()
        answer = host.receive()
        assert (answer["id"], answer["error"]["code"]) == (None, -32700)
        assert host.wait() == 0
    assert received.read_bytes().count(b"\n") == 1
    assert b'"met' not in received.read_bytes().splitlines()[-1][-6:]


def test_a_line_that_is_not_json_is_answered_and_the_connection_goes_on(sshd: Sshd) -> None:
    with Host(through_ssh(sshd, *echo_server.command())) as host:
        host.request("ping")
        host.send(b"hello?\n")
        answer = host.receive()
        assert (answer["id"], answer["error"]["code"]) == (None, -32700)
        assert "result" in host.request("ping")


LIMITED = ["--max-message-size", "65536"]


def test_an_answer_over_the_limit_is_that_requests_error_and_the_session_goes_on(
    sshd: Sshd,
) -> None:
    with Host(through_ssh(sshd, *echo_server.command(), options=LIMITED)) as host:
        host.initialize()
        for size in (70_000, 200_000, 3_000_000):
            answer = host.call("big", {"bytes": size})
            # On Linux a part of it was with the host by then, and became a failed call.
            assert "longer than 65536 bytes" in str(answer)
            assert "error" in answer or answer["result"]["isError"]
            assert "result" in host.request("ping")
        host.close_stdin()
        assert host.wait() == 0


@pytest.mark.parametrize("names", [["id", "method", "params"], ["method", "params", "id"]])
@pytest.mark.parametrize("size", [70_000, 3_000_000])
def test_a_request_over_the_limit_is_answered_with_an_error_and_the_session_goes_on(
    names: list[str], size: int, sshd: Sshd
) -> None:
    long = call("long", "echo", {"text": "x" * size})
    with Host(through_ssh(sshd, *echo_server.command(), options=LIMITED)) as host:
        host.initialize()
        host.send(call("hang", "hang", {}))
        host.send({"jsonrpc": "2.0", **{name: long[name] for name in names}})
        answer = host.receive_until(lambda m: m.get("id") == "long")
        assert "longer than 65536 bytes" in answer["error"]["message"]
        host.send(call("next", "echo", {"text": "next"}))
        assert "result" in host.receive_until(lambda m: m.get("id") == "next")
        host.close_stdin()
        assert host.wait() == 0


def test_openssh_reaches_the_same_server_with_the_same_files(sshd: Sshd) -> None:
    """Holds the ground of these tests: what fails above and works here is ours."""
    command = shlex.join(echo_server.command())
    with Host(sshd.openssh_argv(command)) as host:
        legacy_session(host)
        host.close_stdin()
        assert host.wait() == 0


def first_error(host: Host) -> str:
    return str(host.initialize(timeout=30)["error"]["message"])


def refused(sshd: Sshd, *options: str) -> str:
    """The message that the host gets; the command must not have been started."""
    trap = sshd.home / "started"
    argv = client_argv(*sshd.client_options(), *options, "--", f"touch {trap}")
    with Host(argv) as host:
        message = first_error(host)
        host.wait_for_stderr("m2m-mcp-server-ssh-client: error: ")
        assert host.wait() == 1
    assert "Traceback" not in host.stderr
    assert not trap.exists()
    return message
