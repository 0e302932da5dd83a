"""The driver of the stress itself: stories, the rules that they are judged by, and how a story is made shorter."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from stress import bridge_stand_in, dice, stand_in
from stress.invariants import RULES, violations
from stress.play import Play
from stress.record import Entry, Message, Record
from stress.shrink import shrunk
from stress.stage import remote_command
from stress.stories import STORIES
from stress.story import Event, Story
from support.host import PACKAGE_PARENT

if sys.platform != "linux":
    pytest.skip("the pipes of a story are Linux's", allow_module_level=True)

A_CALL = """
    legacy
    hello
    ask method="tools/call" id=1
    wait
    ask method="resources/read" id=2 uri="u"
"""
A_LOST_CALL = """
    legacy
    hello
    ask method="tools/call" id=1 do=["hold"]
    wait_heard id=1
    kill
    wait_born count=2
"""
A_LOST_READ = A_LOST_CALL.replace("tools/call", "resources/read")
CALLED_BACK = """
    legacy
    hello
    ask method="resources/read" id=1 uri="u" do=["hold", "stubborn"]
    wait_heard id=1
    cancel id=1
    ask method="ping" id=2
    wait
    sleep ms=1100
    kill
    wait_born count=2
"""
CALLED_BACK_AND_ANSWERED = CALLED_BACK.replace("kill\n    wait_born count=2", "release")
STATE = """
    legacy
    hello
    ask method="resources/subscribe" id=1 uri="u" token="t"
    ask method="logging/setLevel" id=2 level="debug"
    wait
    kill
    wait_born count=2
"""
NOTIFICATIONS = """
    legacy
    hello
    remote do="notify" count=2
    ask method="ping" id=1 do=["notify 2"]
    wait
"""
LISTENING = """
    modern
    hello
    ask method="subscriptions/listen" id=1
    wait_heard id=1
    ask method="tools/call" id=2
    wait
    kill
    wait_born count=2
"""
A_LISTEN_IS_CALLED_BACK = """
    modern
    hello
    ask method="subscriptions/listen" id=1
    wait_heard id=1
    cancel id=1
    sleep ms=1200
"""
A_QUESTION = """
    legacy
    hello
    remote do="ask" method="roots/list"
    ask method="ping" id=1
    wait
    answer
"""
QUESTIONS_OF_TWO = """
    legacy
    hello
    remote do="ask" method="roots/list"
    ask method="ping" id=1
    wait
    kill
    wait_born count=2
    ask method="ping" id=2
    wait
    answer
    remote do="ask" method="roots/list"
    ask method="ping" id=3
    wait
"""

A_BATCH = """
    legacy
    hello
    batch
    ask method="tools/call" id=1 do=["hold"]
    ask method="ping" id=2 do=["hold"]
    tell
    unbatch
    wait_heard id=2
    release together=true
    wait
"""
MORE_IS_WANTED = """
    modern
    hello
    ask method="tools/call" id=1 do=["input 2"]
    wait
    answer
    wait
    answer
"""

NOISE = """
    ask method="resources/read" id=1 uri="u"
    ask method="tools/call" id=2 do=["hold"]
    sleep ms=5
    ask method="tools/call" id=3 do=["hold"]
    cancel id=3
    wait_heard id=2
    cut
    kill
    ask method="ping" id=4
    release
"""

FOR_A_LEGACY_HOST = """
    legacy bridged=unsupported
    hello
    ask method="logging/setLevel" id=1 level="debug"
    ask method="resources/subscribe" id=2 uri="u"
    wait
    ask method="tools/call" id=3 token="t" do=["progress 2", "input 2 2"]
    wait_asked count=2
    answer
    answer
    wait_asked count=2
    remote do="notify" count=1
    kill
    wait_born count=2
    answer
    answer
    ask method="tools/call" id=4 do=["input 1 1"]
    wait_asked
    ask method="resources/subscribe" id=5 uri="v"
    ask method="ping" id=6
"""
FOR_A_MODERN_HOST = """
    modern bridged=strict
    hello
    ask method="subscriptions/listen" id=1 uris=["u"]
    ask method="tools/call" id=2 level="debug" do=["ask elicitation/create"]
    wait_asked
    answer
    wait
    remote do="notify" count=1
    kill
    wait_born count=2
    ask method="tools/call" id=3 token="t" do=["progress 2", "ask roots/list"]
    wait_asked
    answer
    wait
"""
A_PAGE_FOR_A_LEGACY_HOST = """
    legacy bridged=unsupported
    hello
    ask method="tools/call" id=1 do=["input 1 3 url"]
    wait_asked count=3
"""
PAGES_FOR_A_MODERN_HOST = """
    modern bridged=strict
    hello
    ask method="tools/call" id=1 do=["pages 2"]
    wait_asked
    kill
    wait_born count=2
    answer
    wait
    ask method="tools/call" id=2 do=["ask elicitation/create url"]
    ask method="tools/call" id=3 do=["pages 1"]
    wait_asked count=2
    answer
    answer
    wait
"""
PIPELINED = FOR_A_MODERN_HOST.replace("hello", "hello wait=false").replace("strict", "lax")
WITH_DISCOVER = FOR_A_MODERN_HOST.replace("strict", "strict --bridge modern")

# By the rule that the bridge breaks with a flaw: the story, and the flaw if it has another name.
BRIDGE_BREAKING = [
    ("host-era", FOR_A_LEGACY_HOST, ""),
    ("host-era", A_PAGE_FOR_A_LEGACY_HOST, "page-without-id"),
    ("runs-twice", PAGES_FOR_A_MODERN_HOST, "afresh-twice"),
    ("twice-in-a-process", PAGES_FOR_A_MODERN_HOST, "afresh-twice"),
    ("server-era", FOR_A_LEGACY_HOST, ""),
    ("described", FOR_A_LEGACY_HOST, ""),
    ("round-otherwise", FOR_A_LEGACY_HOST, ""),
    ("question-otherwise", FOR_A_LEGACY_HOST, ""),
    ("question-otherwise", FOR_A_MODERN_HOST, ""),
    ("unwanted-log", FOR_A_MODERN_HOST, ""),
    ("progress-otherwise", FOR_A_LEGACY_HOST, ""),
    ("progress-otherwise", FOR_A_MODERN_HOST, ""),
    ("cancel-of-stranger", FOR_A_LEGACY_HOST, ""),
    ("own-ids", FOR_A_LEGACY_HOST, ""),
    ("too-many-listens", FOR_A_LEGACY_HOST, ""),
    ("refusal-passed-on", FOR_A_LEGACY_HOST, ""),
    ("handshake", FOR_A_MODERN_HOST, ""),
    ("level", FOR_A_MODERN_HOST, ""),
    ("level", FOR_A_LEGACY_HOST, "another-level"),
    ("subscribed", FOR_A_LEGACY_HOST, ""),
    ("subscribed", FOR_A_MODERN_HOST, "unsubscribed"),
    ("listening", FOR_A_MODERN_HOST, ""),
    ("answer-lost", FOR_A_MODERN_HOST, ""),
    ("runs-twice", FOR_A_LEGACY_HOST, ""),
]

# By the rule that a stand-in breaks; its flaw has the same name.
BREAKING = {
    "whole-lines": A_CALL,
    "stranger": A_CALL,
    "answered-twice": A_CALL,
    "unanswered": A_CALL,
    "stuck": A_CALL,
    "useless": A_LOST_READ.replace("wait_born count=2", ""),
    "listen-ended": LISTENING,
    "answered-after-cancel": CALLED_BACK_AND_ANSWERED,
    "heard-otherwise": A_CALL.replace("id=1", "id=1 size=10"),
    "answered-otherwise": A_CALL,
    "needless-error": A_CALL,
    "error-too-soon": A_LOST_READ,
    "notification-twice": NOTIFICATIONS,
    "notification-order": NOTIFICATIONS,
    "notification-lost": NOTIFICATIONS,
    "listen-after-cancel": A_LISTEN_IS_CALLED_BACK,
    "acknowledged-twice": LISTENING,
    "runs-twice": A_LOST_CALL,
    "twice-in-a-process": A_CALL,
    "untrue": A_LOST_CALL,
    "cancelled-resent": CALLED_BACK,
    "cancel-lost": CALLED_BACK_AND_ANSWERED,
    "order": A_CALL.replace("wait", ""),
    "told-twice": "legacy\nhello\ntell",
    "handshake": A_LOST_READ,
    "level": STATE,
    "subscribed": STATE,
    "restored-twice": STATE,
    "stale-token": STATE,
    "listening": LISTENING,
    "question-id": QUESTIONS_OF_TWO,
    "retracted-otherwise": A_QUESTION.replace("answer", 'remote do="retract"\n    sleep ms=100'),
    "answer-to-stranger": QUESTIONS_OF_TWO,
    "answer-lost": A_QUESTION,
    "kept": 'legacy --keep 60\nhello\nask method="ping" id=1\nwait_born count=2',
    "ended": A_LOST_READ,
    "late-exit": A_CALL,
    "exit-status": A_CALL,
    "left-behind": A_CALL,
    "traceback": A_CALL,
}


def stand_in_command(flaw: str, folder: Path) -> list[str]:
    program = str(Path(stand_in.__file__))
    return [sys.executable, "-S", "-E", program, flaw, *remote_command(folder)]


def played(story: Story, folder: Path, flaw: str = "none", patience: float = 1.0) -> Record:
    command = stand_in_command(flaw, folder)
    with Play(story, command, os.environ, folder, None, patience=patience) as play:
        return play.run()


def broken(story: Story, folder: Path, flaw: str) -> set[str]:
    return {violation.rule for violation in violations(played(story, folder, flaw))}


def test_a_seed_is_always_the_same_story() -> None:
    stories = [str(dice.story(seed)) for seed in range(50)]
    assert stories == [str(dice.story(seed)) for seed in range(50)]
    assert len(set(stories)) == 50


def test_a_story_that_was_printed_can_be_read_again() -> None:
    for story in [*STORIES.values(), *map(dice.story, range(200))]:
        assert Story.read(str(story)) == story


def test_a_story_that_is_kept_has_a_command_and_nothing_that_others_have_not() -> None:
    for seed in range(100):
        plain, kept = dice.story(seed, kept=0.0), dice.story(seed, kept=1.0)
        assert (kept.era, kept.bridged, kept.shell) == (plain.era, plain.bridged, False)
        assert kept.options[:-1] == (*plain.options, "--keep")
        assert len(kept.events) <= len(plain.events)


def test_there_is_a_flaw_for_each_rule() -> None:
    assert BREAKING.keys() | {rule for rule, *_ in BRIDGE_BREAKING} == RULES.keys()


@pytest.mark.parametrize("rule", BREAKING)
def test_a_rule_sees_the_program_that_breaks_it(rule: str, tmp_path: Path) -> None:
    assert rule in broken(Story.read(BREAKING[rule]), tmp_path, rule)


@pytest.mark.parametrize("text", sorted({*BREAKING.values(), A_BATCH, MORE_IS_WANTED}))
def test_no_rule_is_broken_by_a_program_that_keeps_them(text: str, tmp_path: Path) -> None:
    assert not violations(played(Story.read(text), tmp_path, patience=15.0))


def bridged(text: str, folder: Path, flaw: str = "none") -> Record:
    story = Story.read(text)
    mode = "modern" if "--bridge" in story.options else "auto"
    argv = [sys.executable, str(Path(bridge_stand_in.__file__)), flaw, mode]
    env = {**os.environ, "PYTHONPATH": PACKAGE_PARENT}
    patience = 15.0 if flaw == "none" else 1.0
    command = [*argv, *remote_command(folder)]
    with Play(story, command, env, folder, None, patience=patience) as play:
        return play.run()


@pytest.mark.parametrize(("rule", "text", "flaw"), BRIDGE_BREAKING)
def test_a_rule_sees_the_bridge_that_breaks_it(
    rule: str, text: str, flaw: str, tmp_path: Path
) -> None:
    record = bridged(text, tmp_path, flaw or rule)
    assert rule in {violation.rule for violation in violations(record)}


@pytest.mark.parametrize(
    "text",
    [
        FOR_A_LEGACY_HOST,
        FOR_A_MODERN_HOST,
        PIPELINED,
        WITH_DISCOVER,
        A_PAGE_FOR_A_LEGACY_HOST,
        PAGES_FOR_A_MODERN_HOST,
    ],
)
def test_no_rule_is_broken_by_the_bridge(text: str, tmp_path: Path) -> None:
    assert not violations(bridged(text, tmp_path))


def test_a_remote_that_speaks_one_era_refuses_the_other(tmp_path: Path) -> None:
    record = bridged(FOR_A_LEGACY_HOST, tmp_path)
    first, second = [entry for entry in record.of("in") if entry.process == 1][:2]
    assert (first.message["method"], first.note["refused"]) == ("initialize", True)
    assert (second.message["method"], second.note["refused"]) == ("server/discover", False)
    answer = next(entry for entry in record.of("out")).message
    assert answer["error"]["code"] == -32022


def test_a_batch_goes_out_as_one_line_and_each_message_of_it_is_seen(tmp_path: Path) -> None:
    record = played(Story.read(A_BATCH), tmp_path)
    requests = [record.asked["1"], record.asked["2"]]
    assert [(len(each.heard), len(each.answers)) for each in requests] == [(1, 1), (1, 1)]
    assert requests[0].answered[0].time == requests[1].answered[0].time


def test_a_result_that_wants_more_is_followed_by_a_retry(tmp_path: Path) -> None:
    record = played(Story.read(MORE_IS_WANTED), tmp_path)
    results = [
        request.answers[0].message["result"]["resultType"] for request in record.asked.values()
    ]
    assert results[:4] == ["complete", "input_required", "input_required", "complete"]
    assert set(results[4:]) == {"complete"}  # the driver asks until nothing more arrives meanwhile
    assert record.asked['"retry-1"'].heard[0].message["params"]["requestState"] == '1 é "state" 1.1'


def test_a_round_ends_when_the_answer_to_a_late_question_has_arrived(tmp_path: Path) -> None:
    command = stand_in_command("slow-with-questions", tmp_path)
    asking = {"method": "tools/call", "id": 1, "do": ["ask roots/list"]}
    with Play(Story.read("legacy"), command, os.environ, tmp_path, None) as play:
        play.play([Event("hello"), Event("ask", asking), Event("wait_heard", {"id": 1})])
        play.settle()
        assert not violations(play.record)


def asked(id_: object, method: str, **meta: object) -> Message:
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": {"uri": "u", "_meta": meta}}


def answered(id_: object, **result_or_error: object) -> Message:
    return {"jsonrpc": "2.0", "id": id_, **(result_or_error or {"result": {}})}


def rules_broken_after(entries: list[Entry], *more: Entry) -> set[str]:
    """The rules that the next round breaks, if nothing but `more` happens in it."""
    record = Record(Story.read("legacy\nkill"))
    for entry in entries:
        record.add(entry)
    assert not violations(record)
    rest = record.rest(Story.read("legacy"))
    for entry in more:
        rest.add(entry)
    return {violation.rule for violation in violations(rest)}


REFUSED = {"code": -32603, "message": "refused by 2"}
SETTLED = Entry("settled", 9, note={"process": 2})
BORN = Entry("born", 2, 2, note={"fate": {}})
OWN = asked("own-1", "resources/subscribe")


def test_an_error_that_a_fault_excused_is_not_judged_in_the_next_round() -> None:
    entries = [
        Entry("sent", 1, message=asked(1, "resources/subscribe")),
        BORN,
        Entry("in", 3, 2, OWN),
        Entry("out", 4, 2, answered("own-1", error=REFUSED)),
        Entry("got", 5, message=answered(1, error=REFUSED)),
        SETTLED,
    ]
    assert not rules_broken_after(entries)


def test_a_subscription_whose_end_was_called_back_is_not_judged_in_the_next_round() -> None:
    entries = [
        Entry("sent", 1, message=asked(1, "resources/unsubscribe")),
        Entry("sent", 1, message={"method": "notifications/cancelled", "params": {"requestId": 1}}),
        BORN,
        Entry("in", 3, 2, OWN),
        Entry("sent", 4, message=asked(2, "resources/subscribe")),
        Entry("in", 5, 2, asked(2, "resources/subscribe")),
        Entry("out", 6, 2, answered(2)),
        Entry("got", 7, message=answered(2)),
        SETTLED,
    ]
    assert not rules_broken_after(entries)


def test_a_process_that_was_cut_off_may_still_read_in_the_next_round() -> None:
    late = Entry("in", 10, 1, asked(7, "tools/call", progressToken=7))
    assert not rules_broken_after([BORN, SETTLED], late)
    assert "stale-token" in rules_broken_after([BORN, SETTLED], replace(late, process=2))


def test_what_a_story_needs_to_break_a_rule_is_what_is_left_of_it() -> None:
    needed = {"cut", "cancel id=3"}
    story = Story.read("legacy --keepalive 1 --retry-tool-calls\nhello\n" + NOISE)
    short = shrunk(story, lambda each: needed <= set(map(str, each.events)), 60.0)
    assert str(short) == "legacy\nhello\ncancel id=3\ncut"


def test_a_story_is_made_shorter_with_the_program_itself(tmp_path: Path) -> None:
    story = Story.read("legacy\nhello\n" + NOISE.replace("cut\n", ""))
    short = shrunk(story, lambda each: "runs-twice" in broken(each, tmp_path, "runs-twice"), 30.0)
    # The call, something that lets it arrive, and the loss.
    names = [event.name for event in short.events]
    assert len(names) <= 4
    assert [name for name in names if name in ("hello", "ask", "kill")] == ["hello", "ask", "kill"]
