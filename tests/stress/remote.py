"""The remote server of a story: it does what its requests say, and tells the driver all that it hears and says.

Runs as `python -S -E remote.py SOCKET`, with nothing but the standard library. What it tells are a header in JSON and,
behind it, the bytes that the header counts; what it is told are lines of JSON (`_CONTROLS`). A request says in
`params._meta.do` what is to be done before it is answered, if anything is (`_INSTRUCTIONS`).
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]

_CHUNK = 1 << 16
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
VERSION = "io.modelcontextprotocol/protocolVersion"

_LEGACY_ONLY = ("strict", "lax", "exits", "silent")
"""The manners of a server that speaks the older era only."""
_MODERN_METHODS = ("server/discover", "subscriptions/listen")
_QUESTIONS = ("elicitation/create", "sampling/createMessage", "roots/list")
_PAGES_FIRST = -32042


class Remote:
    """One process. Single-threaded, as many servers are: while it writes, it does not read."""

    def __init__(self, driver: socket.socket) -> None:
        self._driver = driver
        self._control = b""
        self._input = b""
        self._writable = True
        self._prompt = False  # answers at once, whatever it was told to wait for
        self._number = 0
        self._manner = ""  # of taking requests of the era that it does not speak; empty: of both
        self._hesitation = 0.0  # seconds after it has refused that
        self._initialized = False
        self._count = 0  # of notifications
        self._questions = 0
        self._asked: dict[
            int, Message | None
        ] = {}  # question → the request that waits for its answer
        self._held: dict[str, Message] = {}
        self._listening: dict[str, Message] = {}
        self._subscribed: dict[str, None] = {}

    def run(self) -> None:
        self._tell("born", pid=os.getpid(), parent=os.getppid())
        while b"\n" not in self._control:
            self._read_control()
        line, _, self._control = self._control.partition(b"\n")
        fate = json.loads(line)
        self._number = fate["number"]
        self._prompt = fate["prompt"]
        self._manner = fate.get("manner", "")
        self._hesitation = fate.get("hesitate", 0.0)
        time.sleep(fate.get("delay", 0))
        self._raw(fate.get("print", "").encode())
        if "exit" in fate:
            self._exit(fate["exit"])
        self._serve()

    def _serve(self) -> None:
        self._take_controls()
        while True:
            driver = self._driver.fileno()
            readable, _, _ = select.select([0, driver], [], [])
            if driver in readable:  # first: the driver may have said it before the client did
                self._read_control()
                self._take_controls()
            if 0 in readable:
                data = os.read(0, _CHUNK)
                if not data:
                    self._tell("eof")
                    self._exit(0)
                *lines, self._input = (self._input + data).split(b"\n")
                for line in lines:
                    self._hear(line)

    # The driver

    def _tell(self, kind: str, raw: bytes = b"", **more: object) -> None:
        header = {"kind": kind, "time": time.monotonic(), "size": len(raw), **more}
        try:
            self._driver.sendall(json.dumps(header).encode() + b"\n" + raw)
        except OSError:
            os._exit(0)  # the story is over

    def _read_control(self) -> None:
        data = self._driver.recv(_CHUNK)
        if not data:
            os._exit(0)
        self._control += data

    def _take_controls(self) -> None:
        while b"\n" in self._control:
            line, _, self._control = self._control.partition(b"\n")
            control = json.loads(line)
            _CONTROLS[control.pop("do")](self, **control)

    def release(self, id: object = None, together: bool = False) -> None:  # noqa: A002 - of the request
        """Answer the one that is held, or all; `together`: in one batch."""
        keys = [key for key, each in self._held.items() if id is None or _key(each) == id]
        requests = [self._held.pop(key) for key in keys]
        if together and requests:
            self._say([self._response(request) for request in requests])
            return
        for request in requests:
            self._respond(request)

    def be_prompt(self, on: bool = True) -> None:
        """Answer all that waits, and from now on at once; or not any more."""
        self._prompt = on
        if not on:
            return
        self.release()
        for question in list(self._asked):
            self._answered(question)

    def notify(self, count: int = 1) -> None:
        """Say something to whoever listens."""
        for _ in range(count):
            if not self._listening:
                self._notify("notifications/message", {"level": "emergency", "data": "x"})
            filters = [_filter(listen) for listen in self._listening.values()]
            if any("toolsListChanged" in each for each in filters):
                self._notify_listeners("notifications/tools/list_changed", {})
            uris = [uri for each in filters for uri in each.get("resourceSubscriptions", ())]
            for uri in dict.fromkeys([*self._subscribed, *uris]):
                params = {"uri": uri}
                if uri in self._subscribed:
                    self._notify("notifications/resources/updated", params)
                self._notify_listeners("notifications/resources/updated", params)

    def ask(self, method: str, request: Message | None = None, mode: str = "") -> None:
        """Ask the host something, with a progress token as long requests have it."""
        self._questions += 1  # as most servers do: each process counts from the start
        id_ = self._questions
        self._asked[id_] = request
        params: Message = _page(f"{self._number}-{id_}") if mode == "url" else {}
        params["_meta"] = {"progressToken": id_, "seq": [self._number, id_, "question"]}
        self._say({"jsonrpc": "2.0", "id": id_, "method": method, "params": params})

    def retract(self) -> None:
        """Call the last question back, if nobody's answer depends on it."""
        for id_ in reversed(list(self._asked)):
            if self._asked[id_] is None:
                del self._asked[id_]
                self._notify("notifications/cancelled", {"requestId": id_})
                return

    def print(self, text: str) -> None:
        """Write what is no message."""
        self._raw(text.encode())

    def die(self, status: int) -> None:
        self._exit(status)

    def deaf(self, seconds: float) -> None:
        """Do not read for a while."""
        time.sleep(seconds)

    def _exit(self, status: int) -> None:
        self._tell("exit", status=status)
        os._exit(status)

    # The client

    def _hear(self, line: bytes) -> None:
        message = json.loads(line)
        refused = isinstance(message, dict) and self._is_foreign(message)
        self._tell("in", line, refused=refused)
        if refused:
            self._refuse(message)
            return
        for each in message if isinstance(message, list) else [message]:
            self._take(each)

    def _take(self, message: Message) -> None:
        method = message.get("method")
        if method is None:
            self._answered(message["id"])
        elif method == "notifications/cancelled":
            self._cancel(json.dumps(message["params"].get("requestId")))
        elif "id" in message:
            self._do(message)

    def _is_foreign(self, message: Message) -> bool:
        """Whether this is a request of the era that this server does not speak.

        As real servers have it: one that is modern only asks for the envelope; a strict legacy one
        for `initialize` before anything else. A lax legacy one only knows methods, or not.
        """
        if "method" not in message or "id" not in message:
            return False
        if self._manner and self._manner not in _LEGACY_ONLY:
            return VERSION not in message.get("params", {}).get("_meta", {})
        if self._manner in _LEGACY_ONLY and self._manner != "lax" and not self._initialized:
            return bool(message["method"] != "initialize")
        return bool(self._manner) and message["method"] in _MODERN_METHODS

    def _refuse(self, request: Message) -> None:
        error: Message = {"code": -32601, "message": "Method not found"}
        if request["method"] == "server/discover" and self._manner in ("exits", "silent"):
            if self._manner == "exits":
                self._exit(1)
            return
        if self._manner == "unsupported":
            data = {"supported": ["2026-07-28"]}
            error = {"code": -32022, "message": "Unsupported protocol version", "data": data}
        elif self._manner not in ("unknown", "lax"):
            error = {"code": -32602, "message": "Invalid request parameters", "data": ""}
        answer = {"jsonrpc": "2.0", "id": request["id"], "error": error}
        self._tell("out", _encoded(answer), refused=True)
        self._raw(_encoded(answer) + b"\n")
        time.sleep(self._hesitation)

    def _answered(self, question: int) -> None:
        request = self._asked.pop(question, None)
        if request is not None:
            self._respond(request)

    def _cancel(self, key: str) -> None:
        self._listening.pop(key, None)
        if "stubborn" in _instructions(self._held.get(key, {})):
            self._respond(self._held.pop(key))
        elif self._held.pop(key, None) is not None:
            self._tell("dropped", id=json.loads(key))

    def _do(self, request: Message) -> None:
        answering = True
        for instruction in _instructions(request):
            word, *rest = instruction.split()
            if word in _INSTRUCTIONS:
                answering &= _INSTRUCTIONS[word](self, request, *rest) is not False
        if request["method"] == "initialize":
            self._initialized = True
        if request["method"] == "subscriptions/listen":
            self._listening[json.dumps(request["id"])] = request
            params = {
                "_meta": {SUBSCRIPTION: request["id"]},
                "notifications": request["params"].get("notifications", {}),
            }
            self._say(
                {
                    "jsonrpc": "2.0",
                    "method": "notifications/subscriptions/acknowledged",
                    "params": params,
                }
            )
        elif answering:
            self._respond(request)

    # What requests may ask for. False: there is no answer for now.

    def hold(self, request: Message) -> bool:
        if self._prompt:
            return True
        self._held[json.dumps(request["id"])] = request
        self._tell("held", id=request["id"], key=_key(request))
        return False

    def wait_for_answer(self, request: Message, method: str, mode: str = "") -> bool:
        if self._prompt:
            return True
        self._tell("held", id=request["id"], key=_key(request))
        self.ask(method, request, mode)
        return False

    def end(self, request: Message, status: str, once: str = "") -> None:
        if not once or self._is_first(request):
            self._exit(int(status))

    def tear(self, request: Message, size: str) -> None:
        """Die after so many bytes of the answer, once."""
        if self._is_first(request):
            self._raw(_encoded(self._response(request))[: int(size)])
            self._exit(9)

    def leave_child(self, request: Message) -> None:
        """Die, once, while a child keeps stdout open."""
        if sys.platform == "win32":
            raise NotImplementedError
        if self._is_first(request):
            if os.fork() == 0:
                self._driver.close()
                os.close(0)
                time.sleep(40)
                os._exit(0)
            self._exit(5)

    def progress(self, request: Message, count: str) -> None:
        token = request["params"]["_meta"].get("progressToken")
        if token is not None:
            for number in range(int(count)):
                params = {"progressToken": token, "progress": number}
                self._notify("notifications/progress", params)

    def tell_some(self, _request: Message, count: str) -> None:
        self.notify(int(count))

    def sleep(self, _request: Message, milliseconds: str) -> None:
        time.sleep(int(milliseconds) / 1000)

    def say_something(self, _request: Message, *text: str) -> None:
        self._raw(json.loads(" ".join(text)).encode())

    def _is_first(self, request: Message) -> bool:
        """Whether no process has been here before with this request, whatever its id is now."""
        try:
            key = json.dumps(request["params"]["_meta"]["key"])
            os.close(os.open(f"once-{key}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    # Answers

    def _respond(self, request: Message) -> None:
        response = self._response(request)
        for instruction in _instructions(request):
            if instruction.startswith("spell "):
                line = _SPELLINGS[instruction[6:]](response)
                self._tell("out", _encoded(response), spelt=instruction[6:])
                self._raw(line + b"\n")
                return
        self._say(response)

    def _response(self, request: Message) -> Message:
        response: Message = {"jsonrpc": "2.0", "id": request["id"]}
        instructions = [each.split() for each in _instructions(request)]
        if ["error"] in instructions:
            response["error"] = {"code": -32603, "message": f"refused by {self._number}"}
            return response
        pages = [int(words[1]) for words in instructions if words[0] == "pages"]
        if pages and self._is_first(request):
            response["error"] = self._wanting_pages(pages[0])
            return response
        if pages:
            self._notify("notifications/elicitation/complete", {"elicitationId": "a page"})
        sizes = [int(words[1]) for words in instructions if words[0] == "big"]
        response["result"] = self._result(request, max(sizes, default=0))
        if self._manner in _LEGACY_ONLY:
            response["result"].pop("resultType", None)
        method, params = request["method"], request.get("params", {})
        if method == "resources/subscribe":
            self._subscribed[params["uri"]] = None
        elif method == "resources/unsubscribe":
            self._subscribed.pop(params["uri"], None)
        return response

    def _result(self, request: Message, size: int) -> Message:
        method = request["method"]
        if method == "initialize":
            version = request["params"]["protocolVersion"]
            return {"protocolVersion": version, "capabilities": _CAPABILITIES, "serverInfo": _INFO}
        if method == "server/discover":
            return {
                "resultType": "complete",
                "supportedVersions": ["2026-07-28"],
                "capabilities": _CAPABILITIES,
                "_meta": {"io.modelcontextprotocol/serverInfo": _INFO},
            }
        if method == "tools/list":
            return {"resultType": "complete", "tools": _TOOLS}
        inputs = [each.split()[1:] for each in _instructions(request) if each[:6] == "input "]
        begun = int(request.get("params", {}).get("requestState", "0").split()[0])
        if inputs and begun < int(inputs[0][0]):
            count = int(inputs[0][1]) if inputs[0][1:] else 1
            return self._wanting(begun + 1, count, "url" in inputs[0])
        text = f"{self._number} {request['id']} " + "y" * size
        return {"resultType": "complete", "content": [{"type": "text", "text": text}]}

    def _wanting_pages(self, count: int) -> Message:
        """An error that is over when the person has opened so many pages (2025-11-25)."""
        pages = []
        for _ in range(count):
            self._questions += 1
            meta = {"seq": [self._number, self._questions, "page"]}
            pages.append({**_page(f"{self._number}-{self._questions}"), "_meta": meta})
        return {"code": _PAGES_FIRST, "message": "Pages first", "data": {"elicitations": pages}}

    def _wanting(self, begun: int, count: int, in_pages: bool) -> Message:
        """A result that asks so many questions, in the round that has begun."""
        questions = {}
        for number in range(count):
            self._questions += 1
            method = _QUESTIONS[(begun + number) % len(_QUESTIONS)]
            meta = {"seq": [self._number, self._questions, "question"]}
            params: Message = {"_meta": meta}
            if in_pages and method == "elicitation/create":
                params |= _page("")
                del params["elicitationId"]  # which this era does not have
            questions[f"name-{number}"] = {"method": method, "params": params}
        result: Message = {
            "resultType": "input_required",
            "requestState": f'{begun} \u00e9 "state" {self._number}.{self._questions}',
        }
        return {**result, "inputRequests": questions} if questions else result

    def _notify_listeners(self, method: str, params: Message) -> None:
        """Say the same thing to all that listen for it."""
        self._count += 1
        wanted = "toolsListChanged" if "tools" in method else "resourceSubscriptions"
        for listen in self._listening.values():
            found = _filter(listen).get(wanted)
            if found is True or (found and params["uri"] in found):
                meta = {SUBSCRIPTION: listen["id"], "seq": [self._number, self._count]}
                self._say({"jsonrpc": "2.0", "method": method, "params": {**params, "_meta": meta}})

    def _notify(self, method: str, params: Message) -> None:
        self._count += 1
        params = {
            **params,
            "_meta": {**params.get("_meta", {}), "seq": [self._number, self._count]},
        }
        self._say({"jsonrpc": "2.0", "method": method, "params": params})

    def _say(self, message: Message | list[Message]) -> None:
        line = _encoded(message)
        self._tell("out", line)
        self._raw(line + b"\n")

    def _raw(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view and self._writable:
                view = view[os.write(1, view) :]
        except OSError:
            self._writable = (
                False  # what waits on stdin is done all the same: the worst that a server can do
            )


def _instructions(request: Message) -> list[str]:
    meta = request.get("params", {}).get("_meta", {})
    found: list[str] = meta.get("do", [])
    return found


def _page(id_: str) -> Message:
    page = {"mode": "url", "url": "https://login.example/", "message": "Log in"}
    return {**page, "elicitationId": f"page-{id_}"}


def _key(request: Message) -> object:
    """The id that the host knows the request by, in whatever round it is."""
    return request.get("params", {}).get("_meta", {}).get("key", request["id"])


def _filter(listen: Message) -> Message:
    found: Message = listen["params"].get("notifications", {})
    return found


def _encoded(message: Message | list[Message]) -> bytes:
    return json.dumps(message).encode()


def _with_number_as_text(response: Message) -> bytes:
    return _encoded({**response, "id": str(response["id"])})


def _replaced(old: bytes, new: bytes) -> Callable[[Message], bytes]:
    return lambda response: _encoded(response).replace(old, new, 1)


# How an answer may be spelt. All but `text-id` and `bom` are no JSON, or no UTF-8.
_SPELLINGS: dict[str, Callable[[Message], bytes]] = {
    "text-id": _with_number_as_text,
    "bom": lambda response: b"\xef\xbb\xbf" + _encoded(response),
    "latin-1": _replaced(b'"text": "', b'"text": "\xe9 '),
    "nan": _replaced(b'"text": "', b'"score": NaN, "text": "'),
    "control": _replaced(b'"text": "', b'"text": "\x07 '),
    "surrogate": _replaced(b'"text": "', b'"text": "\\ud83d '),
    "cut-off": lambda response: _encoded(response)[:-6],
    "carriage-return": lambda response: b"\rLoading 100%\r" + _encoded(response),
    "osc": lambda response: b"\x1b]0;title\x07" + _encoded(response),
    "prompt": lambda response: b"Password: " + _encoded(response),
    "trailer": lambda response: _encoded(response) + b" done",
}

_INFO = {"name": "remote", "version": "1"}
_CAPABILITIES = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": True},
    "resources": {"subscribe": True, "listChanged": True},
    "completions": {},
    "logging": {},
}
_TOOLS = [
    {"name": "plain", "inputSchema": {"type": "object"}},
    {"name": "reader", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}},
    {"name": "setter", "inputSchema": {"type": "object"}, "annotations": {"idempotentHint": True}},
]
_INSTRUCTIONS: dict[str, Callable[..., bool | None]] = {
    "hold": Remote.hold,
    "ask": Remote.wait_for_answer,
    "die": Remote.end,
    "tear": Remote.tear,
    "child": Remote.leave_child,
    "progress": Remote.progress,
    "notify": Remote.tell_some,
    "sleep": Remote.sleep,
    "print": Remote.say_something,
}
_CONTROLS: dict[str, Callable[..., None]] = {
    "release": Remote.release,
    "prompt": Remote.be_prompt,
    "notify": Remote.notify,
    "ask": Remote.ask,
    "retract": Remote.retract,
    "print": Remote.print,
    "die": Remote.die,
    "deaf": Remote.deaf,
}


def main() -> None:
    if sys.platform == "win32":
        raise NotImplementedError
    place = sys.argv[1]
    os.chdir(os.path.dirname(place))  # noqa: PTH120 - pathlib takes a third of the time that starting takes
    with socket.socket(socket.AF_UNIX) as driver:
        try:
            driver.connect(place)
        except OSError:
            os._exit(0)  # the story is over
        Remote(driver).run()


if __name__ == "__main__":
    main()
