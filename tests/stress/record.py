"""What was seen of one session from both ends, in order: entries, and what they say of each request."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from stress.story import Event, Story

Message = dict[str, Any]
Key = str
"""An id as JSON: the number 1 and the text "1" are different ids."""

HOST_REFUSES = {"code": -1, "message": "the host does not want to answer"}
PAGES_FIRST = -32042
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
SUBSCRIBING = ("resources/subscribe", "resources/unsubscribe")
SETTING = ("logging/setLevel", *SUBSCRIBING)
"""The methods that change the state of a session of the older era."""

TAKEN_WITHIN = (
    0.5  # seconds from when our words have left the pipe until they must have their effect
)


@dataclass(frozen=True)
class Entry:
    """Something that was seen. `process` counts the remote processes from 1; 0 is the host's side.

    Kinds: `sent` and `got` by the host, a message each, or a `line` that is none; `in` and `out` at the remote; `read`,
    when all that was sent had been read by the program; `born`, `eof`, `exit`, `gone`, `held`, `dropped` of a process;
    `event` of the story; `closed`, `ended`, `left` of the host's stdin, its stdout and the program.
    """

    kind: str
    time: float  # of the steady clock, which is the same for all processes of a machine
    process: int = 0
    message: Message = field(default_factory=dict)
    line: bytes = b""
    note: Message = field(default_factory=dict)
    about: Key | None = None
    """The host's request that the message is, answers or calls back; None if it is another.

    At the remote, with a bridge between, a request is known by its `_meta.key`, and not by its id.
    """
    judged: bool = False
    """Whether it belongs to an earlier round of a long session, and was judged there."""

    def __str__(self) -> str:
        what = self.message or self.note or self.line
        return f"{self.process} {self.kind:<8} {str(what)[:300]}"


def _instructions(message: Message) -> list[str]:
    found: list[str] = message.get("params", {}).get("_meta", {}).get("do", [])
    return found


@dataclass
class Asked:
    """A request of the host, and what became of it."""

    message: Message
    index: int
    time: float
    answers: list[Entry] = field(default_factory=list)
    heard: list[Entry] = field(default_factory=list)  # by processes
    answered: list[Entry] = field(default_factory=list)  # by processes
    rounds: list[Entry] = field(default_factory=list)  # which asked for more, of a bridge alone
    cancelled: float = float("inf")  # when the host did
    cancel_taken: float = float("inf")  # when the program must have read that
    cancel_known: float = float("inf")  # the same, or when a process heard of it

    @property
    def method(self) -> str:
        return str(self.message["method"])

    @property
    def params(self) -> Message:
        found: Message = self.message.get("params", {})
        return found

    @property
    def key(self) -> Key:
        return key_of(self.message["id"])

    @property
    def is_cancelled(self) -> bool:
        return self.cancelled < float("inf")

    @property
    def succeeded(self) -> bool:
        return any("result" in answer.message for answer in self.answers)

    @property
    def failed(self) -> bool:
        return any("error" in answer.message for answer in self.answers)

    @property
    def name(self) -> str:
        return f"{self.method} {self.key}"

    def own_error(self) -> Entry | None:
        """The answer, if it is an error that no process has sent, nor the host."""
        for answer in self.answers:
            if answer.message.get("error") == HOST_REFUSES:  # of the question in it
                continue
            if "error" in answer.message and not any("error" in e.message for e in self.answered):
                return answer
        return None


def key_of(id_: object) -> Key:
    return json.dumps(id_)


def short(message: Message) -> str:
    text = json.dumps(message)
    return text if len(text) <= 260 else f"{text[:200]} … {text[-50:]}"


def seq_of(message: Message) -> str | None:
    """What tells a notification or a question of a process, or a notification of the host, from others."""
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    return json.dumps(meta["seq"]) if isinstance(meta, dict) and "seq" in meta else None


def subscription_of(message: Message) -> Key | None:
    """The subscription that a notification is for, if it is for one alone."""
    id_ = message.get("params", {}).get("_meta", {}).get(SUBSCRIPTION)
    return None if id_ is None else key_of(id_)


def is_request(message: Message) -> bool:
    return "method" in message and "id" in message


def is_answer(message: Message) -> bool:
    return "method" not in message and "id" in message


def pages_in(message: Message) -> list[Message]:
    """The pages that have to be opened first, as questions, if this answer says so (2025-11-25)."""
    error = message.get("error", {})
    pages = error["data"]["elicitations"] if error.get("code") == PAGES_FIRST else []
    return [{"method": "elicitation/create", "params": page} for page in pages]


def wants_more(message: Message) -> bool:
    """Whether this answer asks for input that is required (2026-07-28)."""
    return bool(message.get("result", {}).get("resultType") == "input_required")


class Record:
    """The entries of one session, and views of them, which are made when all is over."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.entries: list[Entry] = []
        self._oldest = 0
        self._as_text: set[Key] = set()  # numbers that a process made texts of
        self._keys: dict[tuple[int, Key], Key] = {}  # by process, and by id there

    def __str__(self) -> str:
        start = self.entries[0].time
        return "\n".join(f"{entry.time - start:8.3f} {entry}" for entry in self.entries)

    def add(self, entry: Entry) -> None:
        """Add an entry, unless a process that was cut off in an earlier round hears it this late."""
        if 0 < entry.process < self._oldest:
            return
        self.entries.append(replace(entry, about=self._about(entry)))
        if entry.kind == "sent" and "spell text-id" in _instructions(entry.message):
            self._as_text.add(key_of(entry.message["id"]))

    def key_of_answer(self, message: Message) -> Key:
        """Of the request that is answered. What a process answers to "1" instead of 1 is passed on like that."""
        id_ = message["id"]
        if self.story.bridged:  # which makes answers of its own
            return key_of(id_)
        return id_ if isinstance(id_, str) and id_ in self._as_text else key_of(id_)

    def of(self, *kinds: str) -> Iterator[Entry]:
        return (entry for entry in self.entries if entry.kind in kinds)

    def first(self, kind: str) -> Entry | None:
        return next(self.of(kind), None)

    def is_early(self, heard: Entry) -> bool:
        """Whether a legacy process heard it before `initialize`: it may be asked again, if it fails."""
        return self.story.bridges_modern_host and heard.time < self._initialized.get(
            heard.process, 0.0
        )

    @cached_property
    def _initialized(self) -> dict[int, float]:
        found = (e for e in self.of("in") if e.message.get("method") == "initialize")
        return {entry.process: entry.time for entry in found}

    @cached_property
    def lasting(self) -> set[Key]:
        """The requests that matter when the session goes on."""
        return {key for key, request in self.asked.items() if self._lasts(request)}

    def rest(self, story: Story) -> Record:
        """Return what must be known when the session goes on with this story: how its state arose.

        All of it has been judged; what excused it then is not kept.
        """
        rest = Record(story)
        last = self.last_process
        for entry in self.entries:
            about = entry.about
            if about is not None:
                keep = about in self.lasting and (entry.kind != "in" or entry.process == last)
                # A repetition by the program itself has an id of its own.
                keep |= (
                    entry.kind == "in"
                    and entry.process == last
                    and self._is_of_state(entry.message)
                )
            else:
                told = entry.message.get("method") == "notifications/initialized"
                keep = entry.process == last != 0 and (told or entry.kind == "born")
            if keep:
                rest.add(replace(entry, judged=True))
        rest._oldest = max(self._oldest, last)
        return rest

    def _about(self, entry: Entry) -> Key | None:
        message = entry.message
        params = message.get("params", {})
        method = message.get("method")
        if method == "notifications/cancelled":
            about = key_of(params.get("requestId"))
        elif method == "notifications/subscriptions/acknowledged":
            about = key_of(params.get("_meta", {}).get(SUBSCRIPTION))
        elif is_answer(message):
            about = self.key_of_answer(message) if entry.kind == "got" else key_of(message["id"])
        elif "id" in message:
            about = key_of(message["id"])
        else:
            return None
        if not (self.story.bridged and entry.process):
            return about
        if entry.kind == "in" and is_request(message):
            key = params.get("_meta", {}).get("key")
            self._keys[entry.process, about] = "" if key is None else key_of(key)
        return self._keys.get((entry.process, about)) or None

    def _is_of_state(self, message: Message) -> bool:
        """Whether the program itself restores a state with this request."""
        restores = message.get("method") in (*SETTING, "initialize")
        return restores and key_of(message["id"]) not in self.asked

    def _lasts(self, request: Asked) -> bool:
        if request.method == "subscriptions/listen":
            return not request.answers and not request.is_cancelled
        if request.method not in SETTING:
            return request.key == '"hello"'
        born = next((e for e in self.of("born") if e.process == self.last_process), None)
        if born is not None and request.time > born.time:
            return True
        if any(entry.process == self.last_process for entry in request.heard):
            return True
        # Of the level as of each resource, the last word.
        return not any(
            other.method in SETTING
            and other.index > request.index
            and other.params.get("uri") == request.params.get("uri")
            for other in self.asked.values()
        )

    @cached_property
    def asked(self) -> dict[Key, Asked]:
        """The host's requests, by id."""
        asked: dict[Key, Asked] = {}
        for index, entry in enumerate(self.entries):
            message = entry.message
            if entry.kind == "sent" and is_request(message):
                asked[key_of(message["id"])] = Asked(message, index, entry.time)
        for index, entry in enumerate(self.entries):
            message = entry.message
            if entry.note.get("refused"):
                continue
            if entry.kind == "got" and is_answer(message):
                self._note(asked, entry.about, "answers", entry)
            elif entry.kind == "in" and is_request(message):
                self._note(asked, entry.about, "heard", entry)
            elif entry.kind == "out" and is_answer(message):
                more = self.story.bridges_legacy_host and wants_more(message)
                self._note(asked, entry.about, "rounds" if more else "answered", entry)
            elif message.get("method") == "notifications/cancelled":
                self._note_cancelled(asked, index, entry)
        return asked

    def _note(self, asked: dict[Key, Asked], key: Key | None, what: str, entry: Entry) -> None:
        """Add an entry to the request, and to its later rounds if the remote knows of one alone."""
        chain = [key, *self._later_rounds.get(key, ())] if entry.process else [key]
        for each in chain:
            if each is not None and each in asked:
                getattr(asked[each], what).append(entry)

    def _note_cancelled(self, asked: dict[Key, Asked], index: int, entry: Entry) -> None:
        key = entry.about
        for each in [key, *self._later_rounds.get(key, ())]:
            request = asked.get(each) if each is not None else None
            if request is None:
                continue
            if entry.kind == "sent" and each == key:
                request.cancelled = entry.time
                request.cancel_taken = min(request.cancel_taken, self.known_at(index))
                request.cancel_known = min(request.cancel_known, request.cancel_taken)
            elif entry.kind == "in" and request.is_cancelled:
                request.cancel_known = min(request.cancel_known, entry.time)

    @cached_property
    def _later_rounds(self) -> dict[Key | None, list[Key]]:
        """The host's retries of each request, where a legacy server has one request for them all."""
        rounds: dict[Key | None, list[Key]] = {}
        if self.story.bridges_modern_host:
            for entry in self.of("sent"):
                if "requestState" in entry.message.get("params", {}):
                    first = key_of(entry.message["params"]["_meta"]["key"])
                    rounds.setdefault(first, []).append(key_of(entry.message["id"]))
        return rounds

    def chain(self, key: Key) -> list[Key]:
        """A request that a process has, in all its rounds, as the host knows them."""
        return [each for each in [key, *self._later_rounds.get(key, ())] if each in self.asked]

    @cached_property
    def _reads(self) -> list[int]:
        return [index for index, entry in enumerate(self.entries) if entry.kind == "read"]

    def known_at(self, index: int) -> float:
        """When the program must have taken in what the host said in this entry."""
        at = bisect_left(self._reads, index)
        if at == len(self._reads):
            return float("inf")
        return self.entries[self._reads[at]].time + TAKEN_WITHIN

    @cached_property
    def processes(self) -> list[int]:
        """Those that were let live, in the order of their birth."""
        return [e.process for e in self.of("born") if "exit" not in e.note["fate"]]

    def heard_by(self, process: int) -> list[Message]:
        return [e.message for e in self.of("in") if e.process == process]

    @cached_property
    def last_process(self) -> int:
        """The one that lived when the story's events were over and all had settled; 0 if none did."""
        settled = self.first("settled")
        return settled.note["process"] if settled is not None else 0

    @property
    def begun_in_vain(self) -> bool:
        """Whether the first request was refused, as nothing ever worked."""
        return any(e.message.get("id") == "hello" and "error" in e.message for e in self.of("got"))

    @cached_property
    def reading(self) -> bool:
        """Whether the host read all the time."""
        return not any(entry.note.get("name") == "pause" for entry in self.of("event"))

    @cached_property
    def breaks(self) -> bool:
        """Whether requests may have been lost."""
        return self.story.breaks or bool(self._faults)

    @cached_property
    def _faults(self) -> list[float]:
        """When something happened by which requests may be lost."""
        heard = self.first("in")
        begun = heard.time if heard is not None else float("inf")
        return [
            entry.time
            for entry in self.of("event")
            if (event := Event.read(entry.note["text"])).is_fault
            and not (self.story.keeps and event.is_of_network and entry.time > begun)
        ]

    @cached_property
    def first_fault(self) -> float:
        """When requests may have been lost for the first time."""
        moments = list(self._faults)
        moments += [e.time for e in self.of("exit", "gone")]
        return min(moments, default=float("inf"))

    @cached_property
    def may_end(self) -> bool:
        """Whether it is right that the program ends by itself: the story says so, or nothing ever worked."""
        hello = self.asked.get('"hello"')
        worked = min((e.time for e in hello.answers), default=float("inf")) if hello else 0.0
        return self.story.may_end or self.first_fault <= worked

    @cached_property
    def ended_by_itself(self) -> float | None:
        """When the program did, before the host closed its stdin."""
        ended, closed = self.first("ended"), self.first("closed")
        if ended is None or (closed is not None and closed.time <= ended.time):
            return None
        return ended.time
