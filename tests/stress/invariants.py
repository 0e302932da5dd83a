"""What must hold in every story, whatever happened: each rule has a name and says what breaks it.

The rules are those of docs/architecture.md and of MCP's specification; they know nothing of how the program works.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from faults.play import EXIT_WITHIN, SLACK
from stress import bridging
from stress.record import (
    SETTING,
    SUBSCRIBING,
    SUBSCRIPTION,
    TAKEN_WITHIN,
    Asked,
    Entry,
    Record,
    is_answer,
    is_request,
    key_of,
    pages_in,
    seq_of,
    short,
    subscription_of,
    wants_more,
)
from stress.story import LEGACY, MODERN

REPEATABLE = re.compile(
    r"ping|initialize|server/discover|completion/complete|logging/setLevel|prompts/get|.*/list"
    r"|resources/(read|subscribe|unsubscribe)|subscriptions/listen"
)
"""The methods of which a second time does no harm."""

HARMLESS_TOOLS = ("reader", "setter")
MISSPELT = ("spell", "print")
"""The instructions after which an answer may be unreadable."""

_NOT_SENT = re.compile(r"(was not|before it was) sent")
_MAY_HAVE_RUN = re.compile("may (or may not )?have run|was open both times")


class Violation(NamedTuple):
    """A rule that was broken, and by what."""

    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


Rule = Callable[[Record], Iterator[str]]
RULES: dict[str, Rule] = {}


def _rule(name: str) -> Callable[[Rule], Rule]:
    def add(rule: Rule) -> Rule:
        RULES[name] = rule
        return rule

    return add


for _name, _bridged_rule in bridging.RULES.items():
    RULES[_name] = _bridged_rule


def violations(record: Record) -> list[Violation]:
    """All that are broken, the first case of each."""
    found = []
    for name, rule in RULES.items():
        text = next(rule(record), None)
        if text is not None:
            found.append(Violation(name, text))
    return found


# What the host gets


@_rule("whole-lines")
def _whole_lines(record: Record) -> Iterator[str]:
    for entry in record.of("got"):
        message = entry.message
        if not message:
            yield f"no message: {entry.line[:120]!r}"
        elif message.get("jsonrpc") != "2.0":
            yield f"not JSON-RPC 2.0: {short(message)}"
        elif "method" not in message and ("result" in message) == ("error" in message):
            yield f"neither a result nor an error, or both: {short(message)}"


@_rule("stranger")
def _stranger(record: Record) -> Iterator[str]:
    for entry in record.of("got"):
        if is_answer(entry.message) and record.key_of_answer(entry.message) not in record.asked:
            yield f"an answer that nobody asked for: {short(entry.message)}"


@_rule("answered-twice")
def _answered_twice(record: Record) -> Iterator[str]:
    for request in record.asked.values():
        if len(request.answers) > 1:
            yield f"{request.name} has {len(request.answers)} answers"


@_rule("unanswered")
def _unanswered(record: Record) -> Iterator[str]:
    if not record.reading and record.story.has("leave"):
        return
    closed = record.first("closed")
    over = closed.time + TAKEN_WITHIN if closed is not None else float("inf")
    for request in record.asked.values():
        if request.answers or request.is_cancelled or request.method == "subscriptions/listen":
            continue
        known = record.known_at(request.index)
        # Nobody has to answer what stayed in the pipe.
        if known <= (record.first_fault if record.may_end else over):
            yield f"{request.name} has no answer"


@_rule("stuck")
def _stuck(record: Record) -> Iterator[str]:
    """What nothing keeps back is answered, while the host waits for it."""
    for entry in record.of("stuck"):
        yield f"no answer to {', '.join(entry.note['open'][:8])}, although nothing keeps it back"
    for entry in record.of("late"):
        yield f"no answer to {entry.note['id']!r} within {entry.note['seconds']:g} s"


@_rule("useless")
def _useless(record: Record) -> Iterator[str]:
    """When all faults are over, the session works."""
    calm = record.first("calm")
    if calm is None or record.first("settled") is not None or record.may_end:
        return
    if record.ended_by_itself is None:
        yield "nothing is answered any more by a process, although nothing keeps it back"


@_rule("listen-ended")
def _listen_ended(record: Record) -> Iterator[str]:
    """A subscription stays open until somebody ends it."""
    for request in record.asked.values():
        if request.method != "subscriptions/listen" or not request.answers:
            continue
        closed = record.first("closed")
        before = closed is None or request.answers[0].time < closed.time
        if before and not request.answered and not record.may_end:
            yield f"{request.name} was ended by the program: {short(request.answers[0].message)}"


@_rule("answered-after-cancel")
def _answered_after_cancel(record: Record) -> Iterator[str]:
    for request in record.asked.values():
        for answer in request.answers:
            made = [e.time for e in _makers(record, request, answer) if e.time <= answer.time]
            since = min(made) if made else answer.time
            answers_cancel = "ancelled" in _text(answer) and answer.time > request.cancelled
            if answers_cancel or (since > request.cancel_known and (made or record.reading)):
                late = since - request.cancelled
                yield f"{request.name}, {late:.2f} s after it was cancelled: {short(answer.message)}"


@_rule("heard-otherwise")
def _heard_otherwise(record: Record) -> Iterator[str]:
    """What the host said is what a process hears."""
    for request in record.asked.values():
        for heard in request.heard:
            bridged = bool(record.story.bridged) and bridging.is_same(request, heard)
            if heard.message != request.message and not bridged:
                yield f"{request.name} was heard as {short(heard.message)}"


@_rule("answered-otherwise")
def _answered_otherwise(record: Record) -> Iterator[str]:
    """What a process said is what the host gets.

    What sets a state may be answered by the answer to the proxy's own repetition of the last word
    on it. No repetition tells a fresh process of an `unsubscribe`: the proxy answers that, and what
    was asked before it.
    """
    own = [e.message.get("result") for e in record.of("out") if _is_answer_to_own(record, e)]
    whole = not record.story.has("leave") and "--max-message-size" not in record.story.options
    outlives = record.story.keeps and not record.breaks and whole
    words = _words(record, SUBSCRIBING, "uri")
    setting = [each for each in record.asked.values() if each.method in SETTING]
    for request in record.asked.values():
        is_setting = request.method in SETTING
        if any(map(_is_misspelt, setting if is_setting else [request])):
            continue
        said = [entry.message.get("result") for entry in request.answered]
        said += own if is_setting else []
        said += bridging.own_results(record, request) if record.story.bridged else []
        same = words.get(request.params.get("uri", ""), []) if is_setting else []
        ends = [each for each in same if each.method == "resources/unsubscribe"]
        said += [{} for each in ends if each.index >= request.index]
        for answer in request.answers:
            # Of a long answer that was broken off, the beginning has gone on.
            result = answer.message.get("result", {"isError": True})
            broken_off = result.get("isError") is True and "result" in answer.message
            if broken_off and outlives:
                yield f"{request.name}, whose server lives: {short(answer.message)}"
            if answer.judged or result in said or result.get("isError") is True:
                continue
            if record.story.bridged and bridging.core(result) in map(bridging.core, said):
                continue
            yield f"{request.name} got what was not said: {short(answer.message)}"


@_rule("needless-error")
def _needless_error(record: Record) -> Iterator[str]:
    if record.breaks or record.story.has("leave"):
        return
    limit = record.story.option("--max-message-size", float("inf"))
    closed = record.first("closed")
    for request in record.asked.values():
        error = request.own_error()
        lines = [request.message, *(entry.message for entry in request.answered)]
        too_long = any(len(json.dumps(line)) > limit for line in lines)
        if error is None or _is_misspelt(request) or too_long:
            continue
        if not error.judged and (closed is None or error.time < closed.time):
            yield f"{request.name}, although nothing happened: {short(error.message)}"


@_rule("error-too-soon")
def _error_too_soon(record: Record) -> Iterator[str]:
    """What was not sent waits for the connection."""
    patience = record.story.option("--hold-timeout", 20.0)
    if record.ended_by_itself is not None:
        return
    closed = record.first("closed")
    for request in record.asked.values():
        error = request.own_error()
        if error is None or (closed is not None and error.time >= closed.time):
            continue
        if request.is_cancelled:
            continue
        waited = error.time - request.time
        if _NOT_SENT.search(_text(error)) and waited < 0.9 * patience:
            yield f"{request.name}, after {waited:.2f} s: {short(error.message)}"


@_rule("notification-twice")
def _notification_twice(record: Record) -> Iterator[str]:
    seen: Counter[str] = Counter()
    for entry in record.of("got"):
        seq = seq_of(entry.message)
        if seq is not None:
            place = f"{seq} {subscription_of(entry.message)}"
            seen[place] += 1
            if seen[place] > 1:
                yield f"the host gets twice: {short(entry.message)}"


@_rule("notification-order")
def _notification_order(record: Record) -> Iterator[str]:
    last: dict[Any, int] = {}
    for entry in record.of("got"):
        seq = seq_of(entry.message)
        if seq is None or "method" not in entry.message or is_request(entry.message):
            continue
        process, number, *_ = json.loads(seq)
        if number < last.get(process, 0):
            yield f"out of order: {short(entry.message)}"
        last[process] = number


@_rule("notification-lost")
def _notification_lost(record: Record) -> Iterator[str]:
    """What the last process said reaches the host, if the host was there to hear it."""
    if not record.last_process or record.story.has("leave"):
        return
    settled = record.first("settled")
    bridged = record.story.bridged
    got = {_copy(entry) for entry in record.of("got")}
    for entry in record.of("out"):
        if entry.process != record.last_process or settled is None or entry.time > settled.time:
            continue
        if seq_of(entry.message) is None:
            continue
        wanted = bridging.wanted_copies(record, entry) if bridged else [_copy(entry)]
        if any(copy not in got for copy in wanted):
            yield f"never reached the host: {short(entry.message)}"


@_rule("listen-after-cancel")
def _listen_after_cancel(record: Record) -> Iterator[str]:
    """The program itself says nothing any more to a host that does not listen.

    A process may say something until it hears of the cancellation, and hosts expect that; the rule
    `cancelled-resent` sees to it that no later process hears of the subscription at all. A process
    that has heard of it proves nothing here: what the program said before may still be in the pipe.
    """
    for entry in record.of("got"):
        id_ = entry.message.get("params", {}).get("_meta", {}).get(SUBSCRIPTION)
        request = record.asked.get(key_of(id_))
        if request is None or not record.reading or entry.time <= request.cancel_taken:
            continue
        copied = bridging.said_before(record, entry, request.cancel_taken)
        if not copied and not any(said.message == entry.message for said in record.of("out")):
            yield f"for {request.name}: {short(entry.message)}"


@_rule("acknowledged-twice")
def _acknowledged_twice(record: Record) -> Iterator[str]:
    seen: Counter[str] = Counter()
    for entry in record.of("got"):
        if entry.message.get("method") == "notifications/subscriptions/acknowledged":
            key = key_of(entry.message["params"]["_meta"].get(SUBSCRIPTION))
            seen[key] += 1
            if seen[key] > 1:
                yield f"subscription {key}"


# What the processes hear


@_rule("runs-twice")
def _runs_twice(record: Record) -> Iterator[str]:
    for request in record.asked.values():
        if REPEATABLE.fullmatch(request.method):
            continue
        tool = request.params.get("name")
        if record.story.retries and tool in HARMLESS_TOOLS:
            continue
        # A second round is as unsafe as the first one; but what needed pages first did nothing.
        pages = sum(bool(pages_in(entry.message)) for entry in request.answered)
        for state, count in Counter(map(_state, request.heard)).items():
            if count > 1 + pages:
                processes = [e.process for e in request.heard if _state(e) == state]
                yield f"{request.name} was heard by {processes}"


@_rule("twice-in-a-process")
def _twice_in_a_process(record: Record) -> Iterator[str]:
    for request in record.asked.values():
        places = Counter(
            (e.process, _state(e))
            for e in request.heard
            if not (record.is_early(e) and REPEATABLE.fullmatch(request.method))
        )
        paged = Counter(e.process for e in request.answered if pages_in(e.message))
        for (process, _), count in places.items():
            if count > 1 + paged[process]:
                yield f"{request.name} was heard {count} times by {process}"


@_rule("untrue")
def _untrue(record: Record) -> Iterator[str]:
    """What an error says of a request is so."""
    for request in record.asked.values():
        error = request.own_error()
        if error is None or _is_misspelt(request):
            continue
        before = [e for e in request.heard if e.time < error.time]
        if _NOT_SENT.search(_text(error)) and request.heard:
            processes = [e.process for e in request.heard]
            yield f"{request.name} was heard by {processes}, but: {short(error.message)}"
        elif before and request.method == "tools/call" and not _MAY_HAVE_RUN.search(_text(error)):
            yield f"{request.name} had been heard: {short(error.message)}"


@_rule("cancelled-resent")
def _cancelled_resent(record: Record) -> Iterator[str]:
    """What was called back is for no later process; the present one may have been on its way to it."""
    born = {entry.process: entry.time for entry in record.of("born")}
    for request in record.asked.values():
        for heard in request.heard:
            if born.get(heard.process, 0.0) > request.cancel_known:
                late = heard.time - request.cancelled
                yield f"{request.name} by process {heard.process}, {late:.2f} s after its cancellation"


@_rule("cancel-lost")
def _cancel_lost(record: Record) -> Iterator[str]:
    """Whoever works on a request hears that it was called back."""
    last = record.last_process
    if not last:
        return
    cancelled = {
        key_of(message["params"].get("requestId"))
        for message in record.heard_by(last)
        if message.get("method") == "notifications/cancelled"
    }
    settled = record.first("settled")
    for request in record.asked.values():
        if not request.is_cancelled or settled is None:
            continue
        for heard in request.heard:
            id_ = heard.message["id"]
            answered = [*request.answered, *request.rounds]
            done = [e.time for e in answered if (e.process, e.message["id"]) == (last, id_)]
            if heard.process != last or key_of(id_) in cancelled:
                continue
            if not done or done[0] > request.cancel_known:
                yield f"{request.name} is still at work in process {last}"


@_rule("order")
def _order(record: Record) -> Iterator[str]:
    place = {key: request.index for key, request in record.asked.items()}
    told = {
        seq_of(e.message): index
        for index, e in enumerate(record.entries)
        if e.kind == "sent" and seq_of(e.message)
    }
    for process in record.processes:
        last, before = -1, ""
        for entry in record.of("in"):
            message = entry.message
            at = place.get(entry.about or "") if is_request(message) else told.get(seq_of(message))
            if entry.process != process or at is None or entry.note.get("refused"):
                continue
            if record.is_early(entry) or _is_afresh(record, entry):
                continue
            if record.story.bridged and _state(entry):
                continue  # a later round, which the host does not ask for
            if at < last:
                yield f"process {process} heard {short(message)} behind {before}"
            last, before = at, short(message)


@_rule("told-twice")
def _told_twice(record: Record) -> Iterator[str]:
    seen: Counter[str] = Counter()
    for entry in record.of("in"):
        seq = seq_of(entry.message)
        if seq is not None and "method" in entry.message:
            seen[seq] += 1
            if seen[seq] > 1:
                yield f"a notification was heard twice: {short(entry.message)}"


# What a fresh process is told


@_rule("handshake")
def _handshake(record: Record) -> Iterator[str]:
    """Each process of the older era is introduced to its host before anything else."""
    if record.story.bridged:
        yield from bridging.handshake(record)
        return
    if record.story.era != LEGACY or not record.story.has("hello"):
        return
    initialize = record.asked.get('"hello"')
    for process in record.processes:
        heard = record.heard_by(process)
        if not heard or initialize is None:
            continue
        first, *more = heard
        if first.get("method") != "initialize" or first["params"] != initialize.params:
            yield f"process {process} heard first {short(first)}"
        elif more and more[0].get("method") != "notifications/initialized":
            yield f"process {process} heard behind initialize {short(more[0])}"
        methods = Counter(message.get("method") for message in heard)
        for method in ("initialize", "notifications/initialized"):
            if methods[method] > 1:
                yield f"process {process} heard {method} {methods[method]} times"


@_rule("level")
def _level(record: Record) -> Iterator[str]:
    if record.story.bridged:
        yield from bridging.level(record)
        return
    words = _words(record, ("logging/setLevel",), "level")
    wanted = _last_words([request for requests in words.values() for request in requests])
    heard = [
        m["params"]["level"]
        for m in record.heard_by(record.last_process)
        if m.get("method") == "logging/setLevel"
    ]
    if record.last_process and wanted is not None:
        level = wanted.params["level"]
        if heard[-1:] != [level]:
            yield f"process {record.last_process} heard {heard}; the host's last word is {level}"


@_rule("subscribed")
def _subscribed(record: Record) -> Iterator[str]:
    """The last process has exactly the host's subscriptions."""
    if not record.last_process:
        return
    if record.story.bridges_modern_host:
        yield from bridging.subscribed_for_modern_host(record)
        return
    words = _words(record, SUBSCRIBING, "uri")
    heard = record.heard_by(record.last_process)
    state = [
        uri
        for uri in words
        if [
            m["method"]
            for m in heard
            if m.get("params", {}).get("uri") == uri and m.get("method") in SUBSCRIBING
        ][-1:]
        == ["resources/subscribe"]
    ]
    if record.story.bridges_legacy_host:
        state = bridging.listened_to(record)
    for uri, requests in words.items():
        wanted = _last_words(requests)
        if wanted is None:
            continue
        is_subscribed = uri in state
        if is_subscribed != (wanted.method == "resources/subscribe"):
            yield f"{uri} in process {record.last_process}; the host's last word is {wanted.name}"


@_rule("restored-twice")
def _restored_twice(record: Record) -> Iterator[str]:
    words = _words(record, SUBSCRIBING, "uri")
    last: dict[tuple[int, str], str] = {}
    for entry in record.of("in"):
        method = entry.message.get("method", "")
        if method not in SUBSCRIBING or entry.process not in record.processes:
            continue
        uri = entry.message["params"]["uri"]
        place = entry.process, uri
        sure = all(request.succeeded for request in words.get(uri, ()))
        if last.get(place) == method and sure and not entry.judged:
            yield f"process {entry.process} hears {method} of {uri} twice in a row"
        last[place] = method


@_rule("stale-token")
def _stale_token(record: Record) -> Iterator[str]:
    for entry in record.of("in"):
        message = entry.message
        own = is_request(message) and entry.about not in record.asked
        if own and "progressToken" in message.get("params", {}).get("_meta", {}):
            yield f"process {entry.process} hears {short(message)}"


@_rule("listening")
def _listening(record: Record) -> Iterator[str]:
    """The last process has exactly the host's open subscriptions."""
    settled = record.first("settled")
    if record.story.era != MODERN or not record.last_process or settled is None:
        return
    if record.story.bridged:
        yield from bridging.acknowledged(record)
        return
    for request in record.asked.values():
        if request.method != "subscriptions/listen" or request.is_cancelled:
            continue
        here = any(entry.process == record.last_process for entry in request.heard)
        is_open = all(answer.time > settled.time for answer in request.answers)
        if is_open and not here:
            yield f"process {record.last_process} never heard of {request.name}"


@_rule("kept")
def _kept(record: Record) -> Iterator[str]:
    """A server that is kept, and has heard the host, lives on until it ends or its keeper does."""
    if not record.story.keeps:
        return
    heard = sorted({entry.process for entry in record.of("in")})
    if len(heard) > 1 and not record.breaks:
        yield f"the host was heard by {heard}"
    over = min((entry.time for entry in record.of("closed", "ended")), default=float("inf"))
    for entry in record.of("eof"):
        if entry.process in heard and entry.time < over and not record.story.has("kill_keeper"):
            yield f"process {entry.process} was given up"
    if "cannot be kept" in _words_on_stderr(record):
        yield _words_on_stderr(record)


# Questions of the processes


@_rule("question-id")
def _question_id(record: Record) -> Iterator[str]:
    seen: set[str] = set()
    for entry in record.of("got"):
        if is_request(entry.message):
            key = key_of(entry.message["id"])
            if key in seen:
                yield f"the host is asked again under an id that is in use: {short(entry.message)}"
            seen.add(key)


@_rule("retracted-otherwise")
def _retracted_otherwise(record: Record) -> Iterator[str]:
    """What is called back is a question that the host was asked."""
    asked: set[object] = set()
    for entry in record.of("got"):
        if is_request(entry.message):
            asked.add(entry.message["id"])
        cancels = entry.message.get("method") == "notifications/cancelled"
        if cancels and entry.message["params"].get("requestId") not in asked:
            yield f"the host was not asked what is called back: {short(entry.message)}"


@_rule("answer-to-stranger")
def _answer_to_stranger(record: Record) -> Iterator[str]:
    """A process hears answers to its own questions alone, each once, and of the progress of those alone."""
    asked = {
        (e.process, key_of(e.message["id"])) for e in record.of("out") if is_request(e.message)
    }
    ever = set(asked)
    for entry in record.of("in"):
        if entry.message.get("method") == "notifications/progress":
            token = key_of(entry.message["params"].get("progressToken"))
            if (entry.process, token) not in ever:
                yield f"process {entry.process} hears {short(entry.message)}"
        if not is_answer(entry.message):
            continue
        place = entry.process, key_of(entry.message["id"])
        if place not in asked:
            yield f"process {entry.process} hears {short(entry.message)}"
            continue
        asked.discard(place)
        question = entry.message.get("result", {}).get("to", {})
        seq = question.get("params", {}).get("_meta", {}).get("seq")
        if seq is not None and seq[:2] != [entry.process, entry.message["id"]]:
            yield f"process {entry.process} hears the answer to {seq}: {short(entry.message)}"


@_rule("answer-lost")
def _answer_lost(record: Record) -> Iterator[str]:
    """What the host answers to the last process is heard."""
    last, settled = record.last_process, record.first("settled")
    if not last or settled is None:
        return
    if record.story.bridged:
        yield from bridging.answers_lost(record)
        return
    heard = {key_of(m["id"]) for m in record.heard_by(last) if is_answer(m)}
    for entry in record.of("sent"):
        question = entry.message.get("result", {}).get("to", {})
        seq = question.get("params", {}).get("_meta", {}).get("seq")
        calm = record.first("calm")
        if seq and seq[0] == last and key_of(seq[1]) not in heard and calm is not None:
            yield f"process {last} never heard the answer to its question {seq[1]}"


# Ends


@_rule("ended")
def _ended(record: Record) -> Iterator[str]:
    if record.ended_by_itself is not None and not record.may_end:
        yield f"stdout ended by itself; {_words_on_stderr(record)}"


@_rule("late-exit")
def _late_exit(record: Record) -> Iterator[str]:
    left = record.first("left")
    if left is not None and left.note["status"] is None:
        yield f"still there {EXIT_WITHIN + SLACK:g} s after the host's end"


@_rule("exit-status")
def _exit_status(record: Record) -> Iterator[str]:
    left = record.first("left")
    if left is None or left.note["status"] is None or record.may_end:
        return
    torn = not record.reading and record.story.has("leave")  # what the host did not read
    if left.note["status"] not in ((0, 1) if torn else (0,)):
        yield f"status {left.note['status']} at the host's end; {_words_on_stderr(record)}"


@_rule("left-behind")
def _left_behind(record: Record) -> Iterator[str]:
    over = record.first("over")
    if over is None:
        return
    if over.note["alive"] and "child" not in record.story.instructions():
        yield f"remote processes still run: {over.note['alive']}"
    if over.note["keepers"]:
        yield f"their keepers still run: {over.note['keepers']}"


@_rule("traceback")
def _traceback(record: Record) -> Iterator[str]:
    over = record.first("over")
    wanted = "DEBUG" in record.story.options
    if over is not None and "Traceback" in over.note["stderr"] and not wanted:
        yield _words_on_stderr(record)
    if over is not None and "Unexpected failure" in over.note["stderr"]:
        yield _words_on_stderr(record)
    if over is not None and "Unexpected failure" in over.note["stderr"]:
        yield _words_on_stderr(record)


def _words(record: Record, methods: tuple[str, ...], name: str) -> dict[str, list[Asked]]:
    """The host's requests of these methods, by one of their params, in order."""
    words: dict[str, list[Asked]] = {}
    for request in record.asked.values():
        if request.method in methods:
            words.setdefault(request.params[name], []).append(request)
    if methods == ("logging/setLevel",):
        return {"": [request for each in words.values() for request in each]}
    return words


def _last_words(requests: list[Asked]) -> Asked | None:
    """The host's last word, if it can be known to be that: it was answered, as were all behind it."""
    last = max(requests, key=lambda request: request.index, default=None)
    return last if last is not None and last.succeeded and not last.is_cancelled else None


def _is_misspelt(request: Asked) -> bool:
    instructions = request.params.get("_meta", {}).get("do", [])
    return any(each.partition(" ")[0] in MISSPELT for each in instructions)


def _is_answer_to_own(record: Record, entry: Entry) -> bool:
    """Whether a process answers with this what the proxy asked, and not the host."""
    return is_answer(entry.message) and entry.about not in record.asked


def _makers(record: Record, request: Asked, answer: Entry) -> list[Entry]:
    """What processes said that may have become this answer."""
    if record.story.bridges_modern_host and wants_more(answer.message):
        return bridging.questions_in(record, answer)
    return request.answered


def _state(heard: Entry) -> str:
    """What tells a round of a request from the others."""
    return str(heard.message.get("params", {}).get("requestState", ""))


def _is_afresh(record: Record, heard: Entry) -> bool:
    """Whether the host has opened the pages meanwhile that this request needed."""
    request = record.asked.get(heard.about or "")
    return request is not None and any(
        pages_in(entry.message) and entry.time < heard.time for entry in request.answered
    )


def _copy(entry: Entry) -> tuple[str | None, str | None]:
    return seq_of(entry.message), subscription_of(entry.message)


def _text(entry: Entry) -> str:
    return str(entry.message.get("error", {}).get("message", ""))


def _words_on_stderr(record: Record) -> str:
    over = record.first("over")
    return f"stderr: {over.note['stderr'][-400:]!r}" if over is not None else ""
