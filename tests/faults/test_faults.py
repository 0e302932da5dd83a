"""Every fault of the network and of sshd, at every moment of a session.

Left out, because it would test nothing more: sshd's child killed during the connect (there is none yet); delay and
trickle at later moments of the start (they last, and so cover the moments behind the one where they begin); trickle in
16 MB (it would take minutes); delay in 16 MB, with a held question and in the replay (as in flight).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from faults.conftest import StartPlay
from faults.play import PATIENT, Play, keys, tally, text_of
from support.fault_proxy import TO_CLIENT, TO_SERVER, Link

pytestmark = pytest.mark.interop

MAY_HAVE_RUN = "may or may not have run"

# So that a silent network is noticed soon; where it is only slow, later.
QUICK = ("--keepalive", "0.5", "--keepalive-count", "2", "--connect-timeout", "10")
CALM = ("--keepalive", "0.5", "--keepalive-count", "20")
OPTIONS = ("--retry-tool-calls",)


@dataclass(frozen=True)
class Fault:
    """`harmful`: a connection does not survive it. `lazy`: it comes with the client's next packet."""

    name: str
    begin: Callable[[Play], object]
    harmful: bool = True
    lazy: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        return (*OPTIONS, *(QUICK if self.harmful else CALM))


def cut_and_refuse(play: Play) -> None:
    play.network.refuse(1.0)
    play.network.cut()


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("cut", lambda play: play.network.cut()),
        Fault("freeze", lambda play: play.network.freeze()),
        Fault("refuse", cut_and_refuse),
        Fault("delay", lambda play: play.network.delay(0.1), harmful=False),
        Fault("trickle", lambda play: play.network.trickle(50), harmful=False),
        Fault("corrupt-to-client", lambda play: play.network.corrupt(TO_CLIENT)),
        Fault("corrupt-to-server", lambda play: play.network.corrupt(TO_SERVER), lazy=True),
        Fault("corrupt-length", lambda play: play.network.corrupt(TO_CLIENT, at=0)),
        Fault("child-killed", lambda play: play.sshd.kill_sessions()),
        Fault("sshd-restarted", lambda play: play.sshd.restart()),
    )
}


def during(*names: str, leave_out: str = "") -> pytest.MarkDecorator:
    chosen = names or [name for name in FAULTS if name not in leave_out.split()]
    return pytest.mark.parametrize("fault", [FAULTS[name] for name in chosen], ids=chosen)


# While it starts: the first request is answered, with a result or with an error in words.


def assert_start_is_answered(play: Play, fault: Fault) -> None:
    (answer,) = play.host.answers_to([1])
    if "result" in answer:
        play.host.notify("notifications/initialized")
        play.assert_usable()
        play.end()
        return
    assert fault.harmful
    assert len(answer["error"]["message"].split()) > 3
    play.end(status=1)


def start_and_break(play: Play, fault: Fault, moment: Callable[[Link], bool]) -> None:
    broken = play.network.when(moment, lambda: fault.begin(play))
    play.host.send(INITIALIZE)
    assert_start_is_answered(play, fault)
    assert broken.is_set()


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "h"}},
}
SHORT_OF_TIME = ("--connect-timeout", "4")


@during(leave_out="child-killed corrupt-length")
def test_during_the_connect(play: StartPlay, fault: Fault) -> None:
    start_and_break(play(*fault.options, *SHORT_OF_TIME), fault, lambda _link: True)


@during(leave_out="delay trickle")
def test_during_the_key_exchange(play: StartPlay, fault: Fault) -> None:
    start_and_break(play(*fault.options, *SHORT_OF_TIME), fault, Link.exchanges_keys)


@during(leave_out="delay trickle")
def test_during_authentication(play: StartPlay, fault: Fault) -> None:
    start_and_break(play(*fault.options, *SHORT_OF_TIME), fault, Link.is_encrypted)


@during(leave_out="delay trickle")
def test_during_initialize(play: StartPlay, fault: Fault) -> None:
    stage = play(*fault.options, server=("--hold", "initialize@1"))
    stage.host.send(INITIALIZE)
    stage.books.wait_until_told(1, "initialize")
    fault.begin(stage)
    stage.books.open_gate()
    stage.host.answers_to([1])
    if fault.lazy and "result" in stage.host.answers[1][0]:
        stage.network.wait_for_connection(2, PATIENT)
    assert_start_is_answered(stage, fault)


# Afterwards: the host sees nothing but slow answers, and an error for a call that cannot be repeated.


@during()
def test_while_idle(play: StartPlay, fault: Fault) -> None:
    stage = play(*fault.options)
    stage.begin()
    fault.begin(stage)
    if fault.harmful:
        stage.network.wait_for_connection(2, PATIENT)
        stage.books.wait_until_told(2, "notifications/initialized", PATIENT)
    stage.assert_usable()
    stage.end()


@during()
def test_with_fifty_requests_in_flight(play: StartPlay, fault: Fault) -> None:
    """Of the calls half have run, without an answer yet; the others wait in the server's stdin."""
    stage = play(*fault.options)
    host = stage.host
    stage.begin()
    unsafe, safe = keys("count", 20), keys("safe", 20)
    for key in unsafe[:10] + safe[:10]:
        host.ask_tool(key.partition("-")[0], key, later=1)
    host.ask_tool("hold", "hold")
    for key in unsafe[10:] + safe[10:]:
        host.ask_tool(key.partition("-")[0], key)
    reads = [host.ask(f"list-{n}", "tools/list") for n in range(5)]
    reads += [host.ask(f"read-{n}", "resources/read", {"uri": f"x:{n}"}) for n in range(4)]
    stage.books.wait_until_told(1, "hold")
    fault.begin(stage)
    stage.books.open_gate()
    answers = host.answers_to([*unsafe, "hold"])
    if fault.harmful:
        assert all(MAY_HAVE_RUN in str(a.get("error", MAY_HAVE_RUN)) for a in answers)
    else:
        assert tally(answers) == {"result": 21}
    executed = stage.books.executions
    assert all(executed[key] == 1 for key in unsafe if "result" in host.answers[key][0])
    assert tally(host.answers_to([*safe, *reads])) == {"result": 29}
    if fault.harmful:
        stage.network.wait_for_connection(2, PATIENT)
    stage.assert_usable()
    stage.end()


@during(leave_out="trickle delay")
def test_in_a_response_of_sixteen_megabytes(play: StartPlay, fault: Fault) -> None:
    stage = play(*fault.options)
    stage.begin()
    size = 16_000_000
    broken = stage.network.when(
        lambda link: link.received(TO_CLIENT) > size // 4, lambda: fault.begin(stage)
    )
    stage.host.ask_tool("big", "safe-big", bytes=size)
    stage.host.ask_tool("count", "behind")
    (big,) = stage.host.answers_to(["safe-big"])
    assert broken.is_set()
    assert len(text_of(big)) == size
    stage.host.answers_to(["behind"])
    stage.assert_usable()
    stage.end()


@during(leave_out="trickle delay")
def test_in_a_response_of_sixteen_megabytes_that_is_not_asked_for_again(
    play: StartPlay, fault: Fault
) -> None:
    """The host has a part of it by then, which becomes the result of a failed call."""
    stage = play(*(QUICK if fault.harmful else CALM))
    stage.begin()
    size = 16_000_000
    broken = stage.network.when(
        lambda link: link.received(TO_CLIENT) > size // 4, lambda: fault.begin(stage)
    )
    stage.host.ask_tool("big", "safe-big", bytes=size)
    (big,) = stage.host.answers_to(["safe-big"])
    assert broken.wait(PATIENT)
    if "error" in big:  # the host was slow, and had nothing of it
        assert MAY_HAVE_RUN in big["error"]["message"]
    elif big["result"].get("isError"):
        part, reason = (item["text"] for item in big["result"]["content"])
        assert 0 < len(part) < size
        assert MAY_HAVE_RUN in reason
    else:
        assert len(text_of(big)) == size
    stage.assert_usable()
    stage.end()


@during(leave_out="trickle delay")
def test_in_a_call_of_sixteen_megabytes(play: StartPlay, fault: Fault) -> None:
    stage = play(*(QUICK if fault.harmful else CALM))
    stage.begin()
    size = 16_000_000
    broken = stage.network.when(
        lambda link: link.received(TO_SERVER) > size // 4, lambda: fault.begin(stage)
    )
    stage.host.ask_tool("count", "large", text="x" * size)
    (answer,) = stage.host.answers_to(["large"])
    assert broken.wait(PATIENT)
    if "error" in answer:
        assert MAY_HAVE_RUN in answer["error"]["message"]
    else:
        assert stage.books.executions["large"] == 1
    stage.assert_usable()
    stage.end()


@during(leave_out="delay trickle")
def test_with_a_question_held_by_the_host(play: StartPlay, fault: Fault) -> None:
    stage = play(*fault.options)
    host = stage.host
    stage.begin()
    host.ask_tool("ask", "first")
    question = host.receive_until(lambda m: m.get("method") == "elicitation/create")
    fault.begin(stage)
    cancelled = host.receive_until(lambda m: m.get("method") == "notifications/cancelled", PATIENT)
    assert cancelled["params"]["requestId"] == question["id"]
    (answer,) = host.answers_to(["first"])
    assert MAY_HAVE_RUN in answer["error"]["message"]
    host.answer(question, {"action": "accept", "content": {"late": True}})
    host.ask_tool("ask", "second")
    again = host.receive_until(lambda m: m.get("method") == "elicitation/create", PATIENT)
    assert again["id"] != question["id"]
    host.answer(again, {"action": "decline"})
    (answer,) = host.answers_to(["second"])
    assert text_of(answer) == '{"action": "decline"}'
    assert not [m for m in stage.books.told(2) if "late" in str(m.get("result"))]
    stage.assert_usable()
    stage.end()


def test_a_damaged_packet_length_is_noticed_although_there_is_always_traffic(
    play: StartPlay,
) -> None:
    stage = play(*OPTIONS, *QUICK)
    host = stage.host
    stage.begin()
    stage.network.corrupt(TO_CLIENT, at=0)
    host.ask_tool("safe", "safe-0")
    for number in range(1, 40):
        answered = host.ask_tool("safe", f"safe-{number}")
        try:
            host.answers_to(["safe-0"], timeout=0.2)
            break
        except AssertionError:
            continue
    host.answers_to([answered, "safe-0"], timeout=1)
    host.answers_to(host.sent)
    stage.end()


@during()
def test_during_the_replay(play: StartPlay, fault: Fault) -> None:
    """The second server is told of all that the first one knew; and so is the third, if it takes one."""
    stage = play(*fault.options, server=("--hold", "initialize@2"))
    host = stage.host
    stage.begin()
    host.request("logging/setLevel", {"level": "info"})
    host.request("resources/subscribe", {"uri": "x:1"})
    stage.network.cut()
    stage.books.wait_until_told(2, "initialize", PATIENT)
    host.ask_tool("count", "meanwhile")
    host.ask("list", "tools/list")
    fault.begin(stage)
    stage.books.open_gate()
    call, listing = host.answers_to(["meanwhile", "list"])
    assert "result" in listing
    assert "result" in call or (fault.lazy and MAY_HAVE_RUN in call["error"]["message"])
    if fault.harmful:
        stage.network.wait_for_connection(3, PATIENT)
    stage.assert_usable()
    last = len(stage.books.pids)
    assert stage.books.methods(last)[:4] == [
        "initialize",
        "notifications/initialized",
        "logging/setLevel",
        "resources/subscribe",
    ]
    assert last == (3 if fault.harmful else 2)
    stage.end()
