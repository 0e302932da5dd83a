"""Makes a story of a seed: the same one each time, on every machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from stress.story import LEGACY, MANNERS, MODERN, Event, Story
from stress.variants import KEPT, PAGED, with_keep, with_pages

_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
_QUESTIONS = ("sampling/createMessage", "elicitation/create", "roots/list", "ping")
_MOST_DEATHS = 3  # of remote processes, in a minute: more, and the program gives up rightly
_MOST_LISTENING = 4
_BIG = (70_000, 300_000, 3_000_000)
_NOISE = (
    "a line\n",
    "Downloading 100%\r",
    "\x1b]0;title\x07",
    "Password: ",
    "\n\n",
    "{not json}\n",
)
_HARMLESS_SPELLINGS = ("text-id", "bom")
_SPELLINGS = ("latin-1", "nan", "control", "surrogate", "cut-off")
_GLUED = ("carriage-return", "osc", "prompt", "trailer")

BRIDGED = 0.3
_MANNERS = {MODERN: MANNERS[MODERN], LEGACY: ("strict", "lax")}
"""The others cost five seconds or a process; they have stories with a name."""

_ASKING_BACK = ("tools/call", "prompts/get", "resources/read")
"""The methods whose result may be that input is required (2026-07-28)."""

_METHODS = {
    LEGACY: {
        "tools/call": 8,
        "resources/read": 4,
        "tools/list": 2,
        "resources/list": 1,
        "prompts/list": 1,
        "prompts/get": 1,
        "completion/complete": 1,
        "ping": 1,
        "vendor/do": 1,
        "logging/setLevel": 3,
        "resources/subscribe": 4,
        "resources/unsubscribe": 2,
    },
    MODERN: {
        "tools/call": 8,
        "resources/read": 4,
        "tools/list": 2,
        "prompts/get": 1,
        "completion/complete": 1,
        "vendor/do": 1,
        "server/discover": 1,
        "subscriptions/listen": 5,
    },
}


def story(seed: int, bridged: float = BRIDGED, kept: float = KEPT, paged: float = PAGED) -> Story:
    """The story of a seed.

    Of all stories, `bridged` is the part in which the eras differ, `kept` the part in which the
    remote outlives its connections, and `paged` the part in which pages have to be opened.
    """
    made = _Dice(Random(seed)).story(bridged)  # noqa: S311 - only to be the same each time
    made = with_pages(made, Random(f"pages {seed}"), paged)  # noqa: S311 - as above
    return with_keep(made, Random(f"keep {seed}"), kept)  # noqa: S311 - as above


class Rounds:
    """What happens in a session that goes on for long, in rounds."""

    def __init__(self, seed: int, story: Story) -> None:
        """`story` says who speaks which era."""
        self._dice = _Dice(Random(seed))  # noqa: S311 - as above
        self._dice.begin_rounds(story)
        self._listening: list[object] = []

    def next(self) -> list[Event]:
        """The next round. A host does not listen more and more."""
        ended = self._listening[:-_MOST_LISTENING]
        events = [Event("cancel", {"id": id_}) for id_ in ended] + self._dice.some(12)
        self._listening = self._listening[-_MOST_LISTENING:] + [
            event.args["id"]
            for event in events
            if event.args.get("method") == "subscriptions/listen"
        ]
        return events


class _Dice:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._era = random.choice((LEGACY, LEGACY, MODERN))
        self._remote_era = self._era
        self._bridged = ""
        self._count = 0  # of requests
        self._ids: list[object] = []  # of the last of them
        self._subscribed: set[str] = set()
        self._level = ""
        self._deaths = 0
        self._keepalive = False
        self._shell = False
        self._odd = self._chance(0.15)  # the remote says what is no message
        self._batches = self._era == LEGACY

    def story(self, bridged: float) -> Story:
        if self._chance(bridged):
            self._era = self._random.choice((LEGACY, MODERN))
            self._remote_era = MODERN if self._era == LEGACY else LEGACY
            self._bridged = self._random.choice(_MANNERS[self._remote_era])
            self._batches = self._era == LEGACY
        options = self._options()
        length = self._random.randint(2, 14)
        events = [*self._beginning(), *self.some(length)]
        if self._chance(0.08):
            events.append(Event("leave"))
        story = Story(self._era, tuple(options), tuple(events), self._shell, bridged=self._bridged)
        return replace(story, may_end="--no-reconnect" in options and story.breaks)

    def begin_rounds(self, story: Story) -> None:
        self._era, self._remote_era, self._bridged = story.era, story.remote_era, story.bridged
        self._batches = story.era == LEGACY
        self._keepalive = True
        self._deaths = _MOST_DEATHS
        self._odd = False

    def some(self, count: int) -> list[Event]:
        return [event for _ in range(count) for event in self._one()]

    def _options(self) -> list[str]:
        options: list[str] = []
        if self._chance(0.1):
            options.append("--no-reconnect")
        if self._chance(0.35):
            options += ["--hold-timeout", self._random.choice(("0.3", "0.8", "30"))]
        if self._chance(0.3):
            options.append("--retry-tool-calls")
        if self._chance(0.3) and "--no-reconnect" not in options:
            self._keepalive = True
            options += ["--keepalive", "0.4", "--keepalive-count", "2"]
        if self._chance(0.08):
            options += ["--max-message-size", "100000"]
            self._batches = False  # nobody knows whose requests are in one that is too long
        if self._chance(0.08):
            options += ["--log-payloads", "--log-level", "DEBUG"]
        if self._chance(0.1):
            options += ["--reconnect-timeout", "30"]
        self._shell = self._chance(0.2)
        if self._bridged and self._era == MODERN and self._chance(0.6):
            options += ["--bridge", "modern"]
        return options

    def _beginning(self) -> list[Event]:
        hello = Event("hello", {"wait": False} if self._chance(0.3) else {})
        if self._chance(0.08):
            sizes = self._random.choice((100, 1500, 2500, 3500))
            return [Event("cut_after", {"direction": "in", "size": sizes}), hello]
        if self._chance(0.9):
            return [hello, *self._ask("tools/list"), Event("wait")]
        return [hello]

    def _one(self) -> list[Event]:
        kinds: dict[Callable[[], list[Event]], int] = {
            self._ask: 30,
            self._cancel: 6,
            self._wait: 7,
            self._break: 8,
            self._burst: 2,
            self._remote_does: 5,
            self._network_does: 3,
            self._host_does: 5,
            self._talk: 10 if self._bridged else 0,
        }
        events: list[Event] = self._pick(kinds)()
        return events

    def _ask(self, method: str = "") -> list[Event]:
        method = method or self._pick(_METHODS[self._era])
        self._count += 1
        id_: object = self._count
        if self._chance(0.4):
            id_ = f"id-{id_}"
        args: dict[str, Any] = {"method": method, "id": id_}
        if method == "tools/call":
            args["tool"] = self._random.choice(("plain", "plain", "reader", "setter"))
        if method.startswith("resources/") and not method.endswith("list"):
            args["uri"] = self._uri(method)
            if not args["uri"]:
                return []
        if method == "logging/setLevel":
            self._level = args["level"] = self._random.choice(
                [x for x in _LEVELS if x != self._level]
            )
        args |= self._ornaments(method, id_)
        if method == "subscriptions/listen":
            args |= self._filter()
        elif do := self._instructions(method):
            args["do"] = do
        self._ids = [*self._ids[-15:], id_]
        return [Event("ask", args)]

    def _ornaments(self, method: str, id_: object) -> dict[str, Any]:
        args: dict[str, Any] = {}
        if self._era == MODERN and self._chance(0.3 if self._bridged else 0.1):
            args["level"] = self._random.choice(_LEVELS)
        if self._chance(0.25):
            args["token"] = self._random.choice((id_, f"token-{id_}"))
        if method in ("tools/call", "prompts/get") and self._chance(0.08):
            args["size"] = self._random.choice(_BIG)
            args["fill"] = self._random.choice(("x", "é"))
        return args

    def _filter(self) -> dict[str, list[str]]:
        """Of a subscription: some resources, or lists alone."""
        if self._chance(0.4):
            return {}
        return {"uris": self._random.sample(("u", "v", "w"), self._random.randint(1, 2))}

    def _uri(self, method: str) -> str:
        """A host does not subscribe twice, nor end what it has not begun."""
        uri = self._random.choice(("u", "v", "w"))
        if method == "resources/subscribe":
            if uri in self._subscribed:
                return ""
            self._subscribed.add(uri)
        elif method == "resources/unsubscribe":
            if uri not in self._subscribed:
                return ""
            self._subscribed.discard(uri)
        return uri

    def _talk(self) -> list[Event]:
        """A call in which the remote asks the host something, and what happens meanwhile."""
        kind = self._random.choice(_QUESTIONS[:-1])
        rounds = self._random.randint(1, 2)
        question = f"ask {kind}" if self._remote_era == LEGACY else f"input {rounds} 1"
        asked = [Event("ask", {**each.args, "do": [question]}) for each in self._ask("tools/call")]
        meanwhile = self._pick({self._nothing: 5, self._break: 3, self._cancel: 1, self._ask: 2})
        wait = Event("wait_asked", {"seconds": 1.0})
        return [*asked, wait, *meanwhile(), Event("answer"), Event("wait", {"seconds": 0.5})]

    def _nothing(self) -> list[Event]:
        return []

    def _instructions(self, method: str) -> list[str]:
        if self._chance(0.45):
            return []
        kinds = {
            "hold": 10,
            "hold stubborn": 2,
            "progress 3": 3,
            "notify 2": 2,
            "sleep 30": 2,
            "error": 1,
            f"big {self._random.choice(_BIG)}": 2,
            f"spell {self._random.choice(_HARMLESS_SPELLINGS)}": 1,
        }
        if self._odd:
            kinds[f"spell {self._random.choice(_SPELLINGS)}"] = 3
            kinds[f"spell {self._random.choice(_GLUED)}"] = 3
            kinds[f"print {json.dumps(self._random.choice(_NOISE))}"] = 3
        asks = 12 if self._bridged else 4
        if method == "tools/call" and self._remote_era == LEGACY:
            kinds[f"ask {self._random.choice(_QUESTIONS)}"] = asks
        if method in _ASKING_BACK and self._remote_era == MODERN:
            rounds, questions = self._random.randint(1, 2), self._pick({1: 6, 2: 3, 0: 1})
            kinds[f"input {rounds} {questions}"] = asks
        if self._deaths < _MOST_DEATHS:
            kinds["die 3 once"] = kinds["tear 20"] = kinds["child"] = 1
        chosen = str(self._pick(kinds))
        if chosen in ("die 3 once", "tear 20", "child"):
            self._deaths += 1
        if chosen == "hold stubborn":
            return chosen.split()
        if chosen[:6] == "input ":  # in each round
            more = self._pick({"": 5, "hold": 3, "progress 3": 2})
            return [more, chosen] if more else [chosen]
        return [chosen]

    def _cancel(self) -> list[Event]:
        return [Event("cancel", {"id": self._random.choice(self._ids)})] if self._ids else []

    def _wait(self) -> list[Event]:
        if self._ids and self._chance(0.3):
            return [
                Event("wait_heard", {"id": self._random.choice(self._ids[-3:]), "seconds": 1.0})
            ]
        if self._chance(0.5):
            return [Event("wait", {"seconds": 1.0})]
        return [Event("sleep", {"ms": self._random.choice((1, 5, 20, 60))})]

    def _break(self) -> list[Event]:
        kinds = {
            "cut": 8,
            "cut_after": 4,
            "kill_session": 2,
            "refuse": 3,
            "freeze": 2 if self._keepalive else 0,
        }
        if self._deaths < _MOST_DEATHS:
            kinds |= {"kill": 2, "die": 2, "reboot": 1, "not-up": 1}
        name = self._pick(kinds)
        if name in ("kill", "die", "reboot", "not-up"):
            self._deaths += 1
        if name == "reboot":
            refuse = Event("refuse", {"seconds": self._random.choice((0.2, 0.8))})
            die = Event("remote", {"do": "die", "status": 255})
            return [die, Event("sleep", {"ms": self._random.randint(0, 80)}), refuse, Event("cut")]
        if name == "not-up":
            fate = {"count": self._random.randint(1, 2), "exit": self._random.choice((1, 127, 254))}
            return [Event("fate", fate), Event(self._random.choice(("cut", "kill")))]
        if name == "die":
            return [Event("remote", {"do": "die", "status": self._random.choice((0, 1, 3, 254))})]
        if name == "cut_after":
            direction = self._random.choice(("in", "out"))
            size = self._random.choice((0, 50, 500, 5000, 100_000))
            return [Event("cut_after", {"direction": direction, "size": size})]
        if name == "refuse":
            seconds = self._random.choice((0.1, 0.4, 0.9))
            return [Event("refuse", {"seconds": seconds}), Event("cut")]
        if name == "freeze":
            return [Event("freeze", {"new": self._chance(0.2)}), *self._later("thaw", 1200)]
        if name == "cut" and self._chance(0.3):
            return [Event("cut", {"fin": True})]
        return [Event(name)]

    def _later(self, name: str, most: int) -> list[Event]:
        return [*self._ask(), Event("sleep", {"ms": self._random.randint(0, most)}), Event(name)]

    def _burst(self) -> list[Event]:
        asked = [event for _ in range(self._random.randint(2, 6)) for event in self._ask()]
        if self._batches and self._chance(0.5):
            more = [*self._cancel(), Event("tell")] if self._chance(0.3) else []
            return [Event("batch"), *asked, *more, Event("unbatch")]
        return [Event("cork"), *asked, Event("uncork")]

    def _remote_does(self) -> list[Event]:
        kinds: dict[str, int] = {"notify": 4, "print": 3 * self._odd, "deaf": 1, "release": 6}
        if self._remote_era == LEGACY:
            kinds |= {"ask": 4, "retract": 1}
        name = self._pick(kinds)
        if name == "release":
            if self._ids and self._chance(0.5):
                return [Event("release", {"id": self._random.choice(self._ids)})]
            together = self._batches and not self._bridged and self._chance(0.3)
            return [Event("release", {"together": True} if together else {})]
        arguments: dict[str, dict[str, Any]] = {
            "notify": {"count": self._random.randint(1, 5)},
            "print": {"text": self._random.choice(_NOISE)},
            "deaf": {"seconds": self._random.choice((0.05, 0.3))},
            "ask": {"method": self._random.choice(_QUESTIONS)},
            "retract": {},
        }
        return [Event("remote", {"do": name, **arguments[name]})]

    def _network_does(self) -> list[Event]:
        name = self._pick({"delay": 2, "trickle": 1})
        if name == "delay":
            return [Event("delay", {"seconds": self._random.choice((0.0, 0.01, 0.05))})]
        return [Event("trickle", {"size": self._random.choice((0, 1000))})]

    def _host_does(self) -> list[Event]:
        kinds = {"answer": 4, "tell": 2, "pause": 1, "pieces": 1}
        name = self._pick(kinds)
        if name == "answer":
            how = self._pick({"": 6, "progress": 3, "refuse": 1})
            return [Event("answer", {how: True} if how else {})]
        if name == "pause":
            return [Event("pause"), *self._later("resume", 200)]
        if name == "pieces":
            return [Event("pieces", {"size": self._random.choice((0, 40, 200))})]
        return [Event(name)]

    def _chance(self, part: float) -> bool:
        return self._random.random() < part

    def _pick(self, kinds: dict[Any, int]) -> Any:
        return self._random.choices(list(kinds), weights=list(kinds.values()))[0]
