"""The driver of the stress itself: stories, the rules that they are judged by, and how a story is made shorter."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from stress import dice, stand_in
from stress.invariants import RULES, violations
from stress.play import Play
from stress.record import Record
from stress.shrink import shrunk
from stress.stage import remote_command
from stress.stories import STORIES
from stress.story import Story

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
    "ended": A_LOST_READ,
    "late-exit": A_CALL,
    "exit-status": A_CALL,
    "left-behind": A_CALL,
    "traceback": A_CALL,
}


def played(story: Story, folder: Path, flaw: str = "none", patience: float = 1.0) -> Record:
    command = [
        sys.executable,
        "-S",
        "-E",
        str(Path(stand_in.__file__)),
        flaw,
        *remote_command(folder),
    ]
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


def test_there_is_a_flaw_for_each_rule() -> None:
    assert BREAKING.keys() == RULES.keys()


@pytest.mark.parametrize("rule", BREAKING)
def test_a_rule_sees_the_program_that_breaks_it(rule: str, tmp_path: Path) -> None:
    assert rule in broken(Story.read(BREAKING[rule]), tmp_path, rule)


@pytest.mark.parametrize("text", sorted(set(BREAKING.values())))
def test_no_rule_is_broken_by_a_program_that_keeps_them(text: str, tmp_path: Path) -> None:
    assert not violations(played(Story.read(text), tmp_path, patience=15.0))


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
