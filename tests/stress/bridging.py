"""What must hold where the host and the remote share no protocol era, and the program translates.

Some rules of `invariants.py` ask the functions here how they are meant then; `RULES` are the others. What they expect
is in docs/eras.md. Of the rules there, `told-twice` says nothing here: the one notification that a driver sends is for
no server of the other era.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from stress.record import (
    PAGES_FIRST,
    SETTING,
    SUBSCRIBING,
    Asked,
    Entry,
    Key,
    Message,
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

CAPABILITIES: Message = {"roots": {}, "sampling": {}, "elicitation": {"form": {}, "url": {}}}
"""Those of the model host, in the terms of 2026-07-28."""

_META = "io.modelcontextprotocol/"
_INFO = {"name": "host", "version": "1"}
_LEVEL = f"{_META}logLevel"
_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
_ASKING = ("tools/call", "prompts/get", "resources/read")
_CACHE = {"ttlMs", "cacheScope"}
_CACHEABLE = ("tools/list", "resources/list", "prompts/list", "resources/read", "server/discover")
_NO_LEGACY = ("ping", "initialize", *SETTING, "notifications/initialized")
_NO_MODERN = ("server/discover", "subscriptions/listen")
_PAGE_OPENED = "notifications/elicitation/complete"
_ROOTS = "notifications/roots/list_changed"
_ROUND = ("requestState", "inputResponses")


# What becomes of a message


def core(result: object) -> object:
    """A result without what one era alone has."""
    if not isinstance(result, dict):
        return result
    kept = {name: result[name] for name in result if name not in {"resultType", *_CACHE}}
    meta = {name: value for name, value in kept.pop("_meta", {}).items() if _META not in name}
    return {**kept, "_meta": meta} if meta else kept


def is_same(request: Asked, heard: Entry) -> bool:
    """Whether a process heard this request, in any of its rounds."""
    return heard.message.get("method") == request.method and (
        _core_params(heard.message) == _core_params(request.message)
    )


def _core_params(message: Message) -> Message:
    params = {n: value for n, value in message.get("params", {}).items() if n not in _ROUND}
    meta = {n: value for n, value in params.pop("_meta", {}).items() if _META not in n}
    return {**params, "_meta": meta}


def own_results(record: Record, request: Asked) -> list[Message]:
    """The results that the program itself may give to a request."""
    if record.story.bridges_legacy_host:
        if request.method in (*SETTING, "ping"):
            return [{}]
        if request.method != "initialize":
            return []
        found = _results_of(record, "server/discover")
        version = {"protocolVersion": request.params["protocolVersion"]}
        return [
            {**version, "capabilities": each["capabilities"], "serverInfo": _server_info(each)}
            for each in found
        ]
    if request.method == "server/discover":
        found = _results_of(record, "initialize")
        versions = {"supportedVersions": ["2026-07-28"]}
        return [{**versions, "capabilities": each["capabilities"]} for each in found]
    return [
        answer.message["result"]
        for answer in request.answers
        if wants_more(answer.message) and questions_in(record, answer)
    ]


def _server_info(discovered: Message) -> object:
    return discovered["_meta"][f"{_META}serverInfo"]


def _results_of(record: Record, method: str) -> list[Message]:
    """What processes answered to this method, with success."""
    asked = {
        (e.process, e.message["id"]) for e in record.of("in") if e.message.get("method") == method
    }
    return [
        e.message["result"]
        for e in record.of("out")
        if (e.process, e.message.get("id")) in asked and "result" in e.message
    ]


def questions_in(record: Record, answer: Entry) -> list[Entry]:
    """What legacy processes said to become this result; each of its questions is theirs."""
    said = {seq_of(q): (e, q) for e in record.of("out") for q in _questions(e.message)}
    asked = answer.message["result"].get("inputRequests", {}).values()
    found = [said[seq_of(each)] for each in asked if seq_of(each) in said]
    same = all(map(_is_same_question, (question for _, question in found), asked))
    return [entry for entry, _ in found] if same and len(found) == len(asked) else []


def _is_same_question(one: Message, other: Message) -> bool:
    def question(message: Message) -> tuple[object, Message]:
        params = dict(message.get("params", {}))
        # The era of URLs has an id for each; and a progress token is good for one connection.
        params.pop("elicitationId", None)
        meta = {**params.pop("_meta", {}), "progressToken": None}
        return message.get("method"), {**params, "_meta": meta}

    return question(one) == question(other)


def said_before(record: Record, heard: Entry, until: float) -> bool:
    """Whether the program may have passed this notification on before then."""
    if not record.story.bridges_modern_host:
        return False
    seq = seq_of(heard.message)
    return any(seq_of(e.message) == seq and e.time <= until for e in record.of("out"))


def wanted_copies(record: Record, said: Entry) -> list[tuple[str | None, Key | None]]:
    """What the host must get of a notification: its mark, and the subscription that it is for."""
    message = said.message
    method, params = message["method"], message["params"]
    copy = seq_of(message), None
    if method == "notifications/progress":
        return [] if _is_needless_progress(record, params) else [copy]
    if record.story.bridges_legacy_host:
        ended = {
            request.params["uri"]
            for request in record.asked.values()
            if request.method == "resources/unsubscribe"
        }
        return [] if params.get("uri") in ended else [copy]
    # Questions become results; log messages come to those who want them (`unwanted-log`).
    for_legacy = (_PAGE_OPENED, "notifications/message", "notifications/cancelled")
    if "id" in message or method in for_legacy:
        return []
    return [
        (copy[0], listen.key)
        for listen in _open_listens(record)
        if _acknowledged_at(record, listen) < said.time and _wants(listen, method, params)
    ]


def _is_needless_progress(record: Record, params: Message) -> bool:
    """Whether it does not rise, as after a repetition; or its call has ended, or waits for the host."""
    token, progress = params["progressToken"], params["progress"]
    if record.story.bridges_legacy_host:
        got = [e.message["params"] for e in _progress(record)]
        return any(p["progressToken"] == token and p["progress"] >= progress for p in got)
    requests = [r for r in record.asked.values() if _token(r) == token]
    return (
        len(requests) != 1
        or requests[0].is_cancelled
        or any(wants_more(answer.message) for answer in requests[0].answers)
    )


def _progress(record: Record) -> list[Entry]:
    return [e for e in record.of("got") if e.message.get("method") == "notifications/progress"]


def _token(request: Asked) -> object:
    return request.params.get("_meta", {}).get("progressToken")


def _open_listens(record: Record) -> list[Asked]:
    return [
        request
        for request in record.asked.values()
        if request.method == "subscriptions/listen" and not request.is_cancelled
    ]


def _acknowledged_at(record: Record, listen: Asked) -> float:
    name = "notifications/subscriptions/acknowledged"
    times = (
        e.time
        for e in record.of("got")
        if e.message.get("method") == name and subscription_of(e.message) == listen.key
    )
    return next(times, float("inf"))


def _wants(listen: Asked, method: str, params: Message) -> bool:
    wanted = listen.params["notifications"]
    if method == "notifications/resources/updated":
        return params["uri"] in wanted.get("resourceSubscriptions", ())
    return "tools" in method and "toolsListChanged" in wanted


# How some rules of `invariants.py` are meant


def handshake(record: Record) -> Iterator[str]:
    """Once the program knows the era of the server, each process is opened in that era."""
    if record.story.bridges_legacy_host:
        signs = (e.time for e in record.of("got") if "serverInfo" in e.message.get("result", {}))
    else:
        name = "notifications/initialized"
        signs = (e.time for e in record.of("in") if e.message.get("method") == name)
    known = next(signs, float("inf"))
    born = {e.process: e.time for e in record.of("born")}
    opener = "initialize" if record.story.bridges_modern_host else "server/discover"
    for process in record.processes:
        heard = [e for e in record.of("in") if e.process == process]
        said = [e.message for e in heard if not e.note.get("refused")]
        methods = [str(message["method"]) for message in said if "method" in message]
        # What is called back may have been sent before the era was known.
        methods = [each for each in methods if each != "notifications/cancelled"]
        if heard and born[process] > known and heard[0].message.get("method") != opener:
            yield f"process {process} heard first {short(heard[0].message)}"
        if record.story.bridges_legacy_host or "initialize" not in methods:
            continue
        at = methods.index("initialize")
        if methods[at + 1 : at + 2] not in ([], ["notifications/initialized"]):
            yield f"process {process} heard behind initialize {methods[at + 1]}"
        for method in ("initialize", "notifications/initialized"):
            if methods.count(method) > 1:
                yield f"process {process} heard {method} {methods.count(method)} times"
        params = next(e for e in heard if e.message.get("method") == "initialize").message["params"]
        if (params["capabilities"], params["clientInfo"]) != (CAPABILITIES, _INFO):
            yield f"process {process} heard of another host: {short(params)}"


def level(record: Record) -> Iterator[str]:
    """A request is heard at the log level that the host wants."""
    if record.story.bridges_modern_host:
        yield from _too_coarse(record)
        return
    words = [r for r in record.asked.values() if r.method == "logging/setLevel"]
    for request in record.asked.values():
        before = [r.params["level"] for r in words if r.index < request.index]
        wanted = before[-1] if before else None
        for heard in request.heard:
            level_ = heard.message["params"]["_meta"].get(_LEVEL)
            later = _ROUND[0] in heard.message["params"]  # the host may have spoken meanwhile
            if level_ != wanted and not later:
                yield f"{request.name} was heard at level {level_} instead of {wanted}"


def _too_coarse(record: Record) -> Iterator[str]:
    """The level belongs to the connection there: it is as fine as the finest that was asked for."""
    ranks: dict[int, int] = {}
    for entry in record.of("in"):
        message, process = entry.message, entry.process
        if message.get("method") == "initialize":
            ranks[process] = len(_LEVELS)
        elif message.get("method") == "logging/setLevel":
            ranks[process] = _LEVELS.index(message["params"]["level"])
        elif is_request(message) and process in ranks and entry.about in record.asked:
            request = record.asked[entry.about]
            wanted = request.params["_meta"].get(_LEVEL)
            if wanted is not None and ranks[process] > _LEVELS.index(wanted):
                yield f"{request.name} was heard at another level than {wanted}"


def listened_to(record: Record) -> list[str]:
    """The resources that the last process tells of, if that is a modern one."""
    listens = _listens(record)
    return [uri for each in listens for uri in each.get("resourceSubscriptions", ())]


def _too_many_listens(record: Record) -> Iterator[str]:
    """One listen at the server is enough for all that a legacy host subscribes to."""
    if record.story.bridges_legacy_host and record.last_process:
        listens = _listens(record)
        if len(listens) > 1:
            yield f"process {record.last_process} has {len(listens)}: {listens}"


def _listens(record: Record) -> list[Message]:
    """What the last process was asked to listen to, as far as that was not taken back."""
    listens: dict[object, Message] = {}
    for message in record.heard_by(record.last_process):
        if message.get("method") == "subscriptions/listen":
            listens[message["id"]] = message["params"]["notifications"]
        elif message.get("method") == "notifications/cancelled":
            listens.pop(message["params"]["requestId"], None)
    return list(listens.values())


def subscribed_for_modern_host(record: Record) -> Iterator[str]:
    wanted = {
        uri
        for listen in _open_listens(record)
        for uri in listen.params["notifications"].get("resourceSubscriptions", ())
    }
    state = {
        m["params"]["uri"]: m["method"]
        for m in record.heard_by(record.last_process)
        if m.get("method") in SUBSCRIBING
    }
    there = {uri for uri, method in state.items() if method == "resources/subscribe"}
    if wanted != there:
        yield f"process {record.last_process} has {sorted(there)}; the host wants {sorted(wanted)}"


def acknowledged(record: Record) -> Iterator[str]:
    for listen in _open_listens(record):
        settled = record.first("settled")
        if settled is not None and _acknowledged_at(record, listen) > settled.time:
            yield f"{listen.name} was never acknowledged"


def answers_lost(record: Record) -> Iterator[str]:
    """What the host answers is heard by the process that asked, or goes with the next round."""
    unheard = set(unheard_answers(record))
    prompted = next((e.time for e in record.of("prompt")), 0.0)
    for entry in record.of("sent"):
        for question in _answered_questions(entry.message):
            seq = seq_of(question)
            if seq not in unheard or seq is None:
                continue
            if record.story.bridges_legacy_host:
                request = _asking(record, seq)
                over = request is not None and (request.is_cancelled or request.failed)
            else:
                # At the end of a story, processes wait for no answers any more.
                request = record.asked.get(key_of(entry.message["id"]))
                lost = json.loads(seq)[0] != record.last_process
                over = lost or request is None  # a request to a modern host, see `host-era`
                if request is not None:
                    ended = bool(request.answered) and entry.time > prompted
                    over |= ended or request.is_cancelled
            if not over:
                yield f"nobody heard the answer to {short(question)}"


def unheard_answers(record: Record) -> Iterator[str]:
    """The questions that the host has answered, and that a process still waits for."""
    heard = {seq_of(each) for e in record.of("in") for each in _answered_questions(e.message)}
    retracted = {
        json.dumps([e.process, e.message["params"]["requestId"], "question"])
        for e in record.of("out")
        if e.message.get("method") == "notifications/cancelled"
    }
    # A page is opened at the host; the call that needed it is made again.
    pages = {seq_of(page) for e in record.of("out") for page in pages_in(e.message)}
    for entry in record.of("sent"):
        for seq in map(seq_of, _answered_questions(entry.message)):
            if seq is not None and seq not in heard | retracted | pages:
                yield seq


def _answered_questions(message: Message) -> list[Message]:
    """The questions that a message answers: as one answer, or in a next round."""
    found = message.get("params", {}).get("inputResponses", {}).values()
    if is_answer(message) and isinstance(message.get("result"), dict):
        found = [message["result"]]
    return [each["to"] for each in found if "to" in each]


def _asking(record: Record, seq: str) -> Asked | None:
    """The request in which a modern process asks this."""
    for entry in record.of("out"):
        if wants_more(entry.message):
            asked = entry.message["result"].get("inputRequests", {}).values()
            if seq in map(seq_of, asked):
                return record.asked.get(entry.about or "")
    return None


# Rules for these sessions alone


def _host_era(record: Record) -> Iterator[str]:
    """What the host gets is of its era."""
    if not record.story.bridged:
        return
    wrong = _wrong_for_legacy if record.story.bridges_legacy_host else _wrong_for_modern
    for entry in record.of("got"):
        request = record.asked.get(entry.about or "") if is_answer(entry.message) else None
        if entry.message and wrong(entry.message, request):
            yield short(entry.message)


def _wrong_for_legacy(message: Message, _request: Asked | None) -> bool:
    result = message.get("result", {})
    meta = [*result.get("_meta", {}), *message.get("params", {}).get("_meta", {})]
    params = message.get("params", {})
    return (
        not {"resultType", *_CACHE}.isdisjoint(result)
        or (params.get("mode") == "url" and "elicitationId" not in params)
        or any(_META in name for name in meta)
        or message.get("error", {}).get("code") in range(-32022, -32019)
        or "subscriptions/" in message.get("method", "")
    )


def _wrong_for_modern(message: Message, request: Asked | None) -> bool:
    if "result" in message:
        method = request.method if request is not None else ""
        cached = message["result"].keys() >= _CACHE
        if wants_more(message):
            asked = message["result"].get("inputRequests", {}).values()
            params = [each["params"] for each in asked]
            of_legacy = any(
                "progressToken" in each.get("_meta", {}) or "elicitationId" in each
                for each in params
            )
            return method not in _ASKING or of_legacy
        is_complete = message["result"].get("resultType") == "complete"
        return not is_complete or (method in _CACHEABLE) != cached
    if "error" in message:
        return message["error"]["code"] in (-32002, PAGES_FIRST)
    for_listeners = "list_changed" in message["method"] or "resources/" in message["method"]
    bare = for_listeners and subscription_of(message) is None
    return "id" in message or bare or message["method"] == _PAGE_OPENED


def _server_era(record: Record) -> Iterator[str]:
    """What processes hear is of their era, once that is known.

    The session repeats a request as it was sent, perhaps before then. Legacy servers tolerate it.
    """
    if not record.story.bridged:
        return
    initialized: set[int] = set()
    opened = (e.time for e in record.of("out") if "protocolVersion" in e.message.get("result", {}))
    known = next(opened, float("inf"))
    requests = record.asked.values() if record.story.bridges_modern_host else ()
    early = {request.key for request in requests if request.time < known}
    for entry in record.of("in"):
        message, params = entry.message, entry.message.get("params", {})
        method, meta = message.get("method", ""), params.get("_meta", {})
        if entry.note.get("refused") or entry.about in early:
            continue
        if record.story.bridges_legacy_host:
            bare = is_request(message) and f"{_META}protocolVersion" not in meta
            wrong = bare or method in (*_NO_LEGACY, _ROOTS)
        elif method == "initialize":
            initialized.add(entry.process)
            continue
        else:
            modern = method in _NO_MODERN or any(_META in each for each in meta)
            wrong = (modern or any(each in params for each in _ROUND)) and (
                entry.process in initialized  # a lax one may have run what came before
            )
        if wrong:
            yield f"process {entry.process} hears {short(message)}"


def _described(record: Record) -> Iterator[str]:
    """Each request says of a legacy host who it is and what it can do."""
    if not record.story.bridges_legacy_host:
        return
    for entry in record.of("in"):
        if is_request(entry.message) and not entry.note.get("refused"):
            meta = entry.message.get("params", {}).get("_meta", {})
            said = meta.get(f"{_META}clientCapabilities"), meta.get(f"{_META}clientInfo")
            if said != (CAPABILITIES, _INFO):
                yield f"process {entry.process} hears {short(entry.message)}"


def _round_otherwise(record: Record) -> Iterator[str]:
    """A next round has exactly the state and the answers that were asked for; a state is good once."""
    states = Counter(
        e.message["result"].get("requestState") for e in record.of("got") if wants_more(e.message)
    )
    if record.story.bridges_modern_host:
        yield from (f"twice the state {state!r}" for state, count in states.items() if count > 1)
    if not record.story.bridges_legacy_host:
        return
    for request in record.asked.values():
        asked = {e.message["result"]["requestState"]: e for e in request.rounds}
        for heard in request.heard:
            params = heard.message["params"]
            if any(each in params for each in _ROUND):
                wanted = asked.get(params.get("requestState"))
                if wanted is None or not _is_answered(wanted.message["result"], params):
                    yield f"process {heard.process} hears {short(heard.message)}"


def _is_answered(result: Message, params: Message) -> bool:
    asked, answers = result.get("inputRequests", {}), params.get("inputResponses", {})
    return asked.keys() == answers.keys() and all(
        _is_same_question(asked[name], answers[name]["to"]) for name in asked
    )


def _question_otherwise(record: Record) -> Iterator[str]:
    """The host is asked what a process asks, and once."""
    if not record.story.bridged:
        return
    said = {seq_of(q): q for e in record.of("out") for q in _questions(e.message)}
    seen: set[str | None] = set()
    for entry in record.of("got"):
        for question in _questions(entry.message):
            seq = seq_of(question)
            if seq in seen or seq not in said or not _is_same_question(said[seq], question):
                yield f"{short(entry.message)}"
            seen.add(seq)


def _questions(message: Message) -> list[Any]:
    if wants_more(message):
        return list(message["result"].get("inputRequests", {}).values())
    return [message] if is_request(message) else pages_in(message)


def _unwanted_log(record: Record) -> Iterator[str]:
    """A modern host gets log messages while a request is open that asked for them.

    What a server says before its era can be known is passed on, as without a bridge.
    """
    if not record.story.bridges_modern_host:
        return
    opened = (e.time for e in record.of("in") if e.message.get("method") == "initialize")
    known = next(opened, float("inf"))
    early = {seq_of(e.message) for e in record.of("out") if e.time < known} - {None}
    wanted: dict[Key, int] = {}
    for entry in record.entries:
        message = entry.message
        if entry.kind == "sent" and is_request(message):
            level_ = message["params"]["_meta"].get(_LEVEL)
            if level_ is not None:
                wanted[key_of(message["id"])] = _LEVELS.index(level_)
        elif entry.kind == "got" and is_answer(message):
            wanted.pop(entry.about or "", None)
        elif entry.kind == "got" and message.get("method") == "notifications/message":
            rank = _LEVELS.index(message["params"]["level"])
            if seq_of(message) not in early and not any(each <= rank for each in wanted.values()):
                yield short(message)


def _progress_otherwise(record: Record) -> Iterator[str]:
    """Progress is of a request that is open; for a legacy host it rises, whatever round it is."""
    if not record.story.bridged:
        return
    last: dict[Key, float] = {}
    for entry in _progress(record):
        params = entry.message["params"]
        requests = [r for r in record.asked.values() if _token(r) == params["progressToken"]]
        if not requests:
            yield f"of no request: {short(entry.message)}"
        token = key_of(params["progressToken"])
        if record.story.bridges_legacy_host:
            if params["progress"] <= last.get(token, -1.0):
                yield f"does not rise: {short(entry.message)}"
            last[token] = params["progress"]
        over = [r for r in requests if r.answers and r.answers[0].time < entry.time]
        if requests and len(over) == len(requests):
            yield f"of a request that was answered: {short(entry.message)}"


def _cancel_of_stranger(record: Record) -> Iterator[str]:
    """What a process hears to be called back is what it has, and what the host called back.

    But the program itself ends the subscriptions of a legacy host, which it has made, and the
    discover that a legacy server does not answer.
    """
    if not record.story.bridged:
        return
    heard: dict[tuple[int, Key], str] = {}
    for entry in record.of("in"):
        message = entry.message
        if is_request(message):
            heard[entry.process, key_of(message["id"])] = message["method"]
        elif message.get("method") == "notifications/cancelled":
            place = entry.process, key_of(message["params"]["requestId"])
            own = heard.get(place) == "subscriptions/listen" and entry.about is None
            own |= heard.get(place) == "server/discover"
            chain = record.chain(entry.about) if entry.about is not None else []
            called = any(record.asked[each].is_cancelled for each in chain)
            if place not in heard or not (own or called):
                yield f"process {entry.process} hears {short(message)}"


def _refusal_passed_on(record: Record) -> Iterator[str]:
    """The host does not hear that the server refuses its era."""
    refused = [e.message for e in record.of("out") if e.note.get("refused")]
    for entry in record.of("got"):
        if entry.message in refused:
            yield short(entry.message)


def _own_ids(record: Record) -> Iterator[str]:
    """The host never sees an id that the program has made for the server."""
    if not record.story.bridged:
        return
    own = {
        key_of(e.message["id"])
        for e in record.of("in")
        if is_request(e.message) and e.about is None and isinstance(e.message["id"], str)
    } - record.asked.keys()
    for entry in record.of("got"):
        text = json.dumps(entry.message)
        if any(each in text for each in own):
            yield short(entry.message)


RULES: dict[str, Callable[[Record], Iterator[str]]] = {
    "host-era": _host_era,
    "server-era": _server_era,
    "described": _described,
    "round-otherwise": _round_otherwise,
    "question-otherwise": _question_otherwise,
    "unwanted-log": _unwanted_log,
    "progress-otherwise": _progress_otherwise,
    "cancel-of-stranger": _cancel_of_stranger,
    "own-ids": _own_ids,
    "too-many-listens": _too_many_listens,
    "refusal-passed-on": _refusal_passed_on,
}
