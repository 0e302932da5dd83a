"""Plays one story: a host and a remote server, the program between them, and whatever goes wrong on the way.

All is done in one thread, which waits for all descriptors at once. Every wait is bounded.
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from faults.play import EXIT_WITHIN, SLACK, kill
from stress.bridging import CAPABILITIES, unheard_answers
from stress.record import (
    HOST_REFUSES,
    Entry,
    Message,
    Record,
    is_answer,
    is_request,
    key_of,
    wants_more,
)
from stress.story import LEGACY, MODERN, Event, Story
from support.fault_proxy import TO_CLIENT, TO_SERVER, FaultProxy
from support.host import LEGACY_VERSION, modern_meta
from support.usage import starved

PATIENCE = 12.0  # seconds for answers that nothing keeps back any more
_CAPABLE = {"io.modelcontextprotocol/clientCapabilities": CAPABILITIES}
_BATCH_VERSION = "2025-03-26"  # the only one that has batches
_BIRTH = 20.0  # until the first answer
_ARRIVAL = 3.0  # until an answer is heard, if nothing keeps it back
_MOST_BUSY = 5  # times a limit: the most that is added to it
_POLL = 0.01
_PAUSE = 0.05
_CHUNK = 1 << 16


class Process:
    """A remote process, as the driver knows it."""

    def __init__(self, number: int, connection: socket.socket) -> None:
        self.number = number
        self.connection = connection
        self.pid = 0
        self.parent = 0  # its keeper, if it has one
        self.buffer = bytearray()
        self.gone = False

    @property
    def keeper(self) -> int:
        """The process id of its keeper, while that runs; else 0."""
        return self.parent if self.parent and _is_keeper(self.parent) else 0

    def told(self, **control: object) -> None:
        """Have it do something; it may be gone, or not be born yet."""
        if not self.pid:
            return
        with suppress(OSError):
            self.connection.sendall(json.dumps(control).encode() + b"\n")


class Limit:
    """A time from now on; what the program waits for a processor meanwhile does not count."""

    def __init__(self, seconds: float, pid: int) -> None:
        self._seconds = seconds
        self._pid = pid
        self._began = time.monotonic()
        self._starved = starved(pid)

    @property
    def left(self) -> float:
        left = self._began + self._seconds - time.monotonic()
        if left > 0:
            return left
        now = starved(self._pid)
        waited = sum(now[thread] - self._starved.get(thread, 0.0) for thread in now)
        return left + min(waited, _MOST_BUSY * self._seconds)


class Play:
    """One session. `run()` once, then `record` has all that was seen; a context manager that leaves nothing behind."""

    def __init__(
        self,
        story: Story,
        argv: Sequence[str],
        env: Mapping[str, str],
        folder: Path,
        network: FaultProxy | None,
        *,
        kill_sessions: Callable[[], None] = lambda: None,
        patience: float = PATIENCE,
    ) -> None:
        self.story = story
        self.record = Record(story)
        self.stderr = bytearray()
        self._network = network
        self._kill_sessions = kill_sessions
        self._patience = patience
        self._selector = selectors.DefaultSelector()
        self._processes: list[Process] = []
        self._born = 0
        self._fates: list[Message] = []
        self._prompt = False
        self._open: dict[str, Message] = {}  # requests that were not answered yet
        self._waiting: set[str] = set()  # those of them that the remote holds
        self._endless: set[str] = set()  # those that need no answer: called back, or subscriptions
        self._questions: list[Message] = []
        self._wanted: list[tuple[Message, Message]] = []  # requests, and the results that want more
        self._retries = 0
        self._batch: list[Message] | None = None
        self._corked = False
        self._unsent = bytearray()
        self._unread = False  # by the program
        self._piece = 0
        self._got = b""
        self._count = 0
        self._listener = _listener(folder / "control")
        self._on(self._listener, self._accept)
        self._program = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=dict(env),
            cwd=folder,
        )
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        assert self._program.stderr is not None
        self._stdin = self._program.stdin
        self._stdout = self._program.stdout
        self._stderr = self._program.stderr
        _unblock(self._stdin.fileno())
        self._on(self._stderr, self._read_stderr)
        self._on(self._stdout, self._read_stdout)
        self._reading = True

    def __enter__(self) -> Play:
        return self

    def __exit__(self, *_: object) -> None:
        self._program.kill()
        self._program.wait()
        for process in self._processes:
            process.connection.close()
            if process.pid and not process.gone:
                kill(process.pid)
            if process.keeper:
                kill(process.keeper, "SIGTERM")  # it removes its socket then
        for stream in (self._stdin, self._stdout, self._stderr):
            with suppress(OSError):
                stream.close()
        self._listener.close()
        self._selector.close()

    @property
    def pid(self) -> int:
        return self._program.pid

    def run(self) -> Record:
        """All of it, up to the end of the program."""
        self.play(self.story.events)
        if not self.ended and not self.story.has("leave"):
            self.settle()
        self.leave()
        return self.record

    def play(self, events: Iterable[Event]) -> None:
        """What happens, for as long as the program lives."""
        for event in events:
            self.pump(lambda: False, 0)
            if self.ended:
                break
            self._note("event", name=event.name, text=str(event))
            getattr(self, f"_do_{event.name}")(**event.args)
            if event.name == "leave":
                break

    def settle(self) -> None:
        """End all faults, and let everybody say what they still have to say; then the session must be of use."""
        if self._network is not None:
            self._network.forget()
            self._network.thaw()
            self._network.delay(0)
            self._network.trickle(0)
            self._network.accept()
        self._do_resume()
        self._do_unbatch()
        self._do_uncork()
        self._do_pieces(0)
        self._fates.clear()
        if self.story.bridges_modern_host:
            self._let_answers_arrive()
        self._note("prompt")
        self._prompt = True
        self._waiting.clear()
        for process in self._processes:
            process.told(do="prompt")  # those that are born later hear it then
        while self._questions or self._wanted:
            self._do_answer()
        self._note("calm")
        number = self._calmed_process(Limit(self._patience, self.pid))
        if number:
            self._note("settled", process=number)
        if not self.ended and not self._is_done():
            self._note("stuck", open=sorted(self._open.keys() - self._endless))

    def _let_answers_arrive(self) -> None:
        """Answer what the present process asks, and see that it hears of it."""
        while self._wanted:
            self._do_answer()
        last = self._last()
        if last is not None:
            asked = f"[{last.number},"
            self.pump_fairly(
                lambda: (
                    self.ended
                    or last.gone
                    or not any(seq.startswith(asked) for seq in unheard_answers(self.record))
                ),
                _ARRIVAL,
            )

    def _calmed_process(self, limit: Limit) -> int:
        """Return the number of the process that serves when nothing is on its way any more, or 0.

        The answer to a last request arrives behind everything that the process said before, and
        the request behind everything that the host said before. If the host says more meanwhile,
        it asks once more.
        """
        number, asked = 0, 0
        while not self.ended and limit.left > 0:
            begin = len(self.record.entries)
            number = self._process_in_use(limit)
            if not number:
                if self.record.begun_in_vain:
                    break
                self.pump(lambda: self.ended, _PAUSE)
                continue
            self.pump_fairly(lambda: self.ended or self._is_done(), limit)
            said = [entry for entry in self.record.entries[begin:] if entry.kind == "sent"]
            asked += 1
            # A bridge may be opening the session, or replace one listen when another has been
            # acknowledged, and then that.
            if len(said) == 1 and asked >= (3 if self.story.bridged else 1):
                break
        return number

    def _process_in_use(self, limit: Limit) -> int:
        """Return the number of the process that answers a last request, or 0."""
        id_ = f"last-{self._born}-{len(self.record.entries)}-{time.monotonic():.3f}"
        self._do_ask("resources/read", id_, uri="last")
        self.pump_fairly(lambda: self.ended or key_of(id_) not in self._open, limit)
        said = [
            e for e in self.record.of("out") if e.about == key_of(id_) and not e.note.get("refused")
        ]
        return 0 if not said or self.ended or key_of(id_) in self._open else said[-1].process

    def go_on(self, events: Sequence[Event]) -> None:
        """After `settle`, with a record that has only what is needed yet."""
        self._open = {key: self._open[key] for key in self._open.keys() & self.record.lasting}
        self._endless &= self._open.keys()
        self.record = self.record.rest(self.story.told(events))
        self._prompt = False
        for process in self._processes:
            process.told(do="prompt", on=False)
        self._processes = [process for process in self._processes if not process.gone]
        self.play(events)

    def leave(self) -> None:
        """The host closes stdin, and the program ends."""
        if not self.ended:
            self._flush_for_leaving()
            self._note("closed")
        began = time.monotonic()
        with suppress(OSError):
            self._stdin.close()
        limit = EXIT_WITHIN + SLACK
        self.pump_fairly(lambda: self.ended and self._program.poll() is not None, limit)
        status = self._program.poll()
        self._note("left", status=status, after=time.monotonic() - began)
        if self._network is not None:
            self._network.thaw()
            self._network.delay(0)
        ending = self._processes_that_must_end()
        self.pump(lambda: all(p.gone and not p.keeper for p in ending), SLACK)
        alive = [p.number for p in ending if not p.gone]
        keepers = [p.number for p in ending if p.keeper]
        stderr = self.stderr.decode(errors="replace")
        self._note("over", alive=alive, keepers=keepers, stderr=stderr)

    def _processes_that_must_end(self) -> list[Process]:
        """Those that end with the host, and not when the time for which they are kept is over.

        A keeper has to be told that the host has left, or has heard of the end of its server. If
        there was no connection at that time, it waits; and nobody knows of it if its first client
        was lost.
        """
        if "--keep" not in self.story.options:
            return self._processes
        heard = {entry.process for entry in self.record.of("in")}
        if any(event.is_of_network for event in self.story.events):
            heard &= {self.record.last_process}
        return [process for process in self._processes if process.number in heard]

    # Waiting

    @property
    def ended(self) -> bool:
        """Whether stdout has ended."""
        return self._stdout.closed

    def pump(self, until: Callable[[], bool], timeout: float) -> bool:
        """Do what there is to do until something has happened; whether it has."""
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            for key, _ in self._selector.select(max(0.0, min(left, _POLL))):
                key.data()
            self._look_at_pipe()
            if until():
                return True
            if left <= 0:
                return False

    def pump_fairly(self, until: Callable[[], bool], limit: Limit | float) -> bool:
        """The same, but on a busy machine for longer."""
        if not isinstance(limit, Limit):
            limit = Limit(limit, self.pid)
        done = self.pump(until, limit.left)
        while not done and limit.left > 0:
            done = self.pump(until, limit.left)
        return done

    def _is_done(self) -> bool:
        """Whether all requests are answered that will be."""
        if self._unsent:
            return False
        return all(
            {key, _first_id(request)} & self._waiting
            for key, request in self._open.items()
            if key not in self._endless
        )

    def _on(self, what: Any, call: Callable[[], None]) -> None:
        self._selector.register(what, selectors.EVENT_READ, call)

    def _note(self, kind: str, **note: Any) -> None:
        self.record.add(Entry(kind, time.monotonic(), note=note))

    # The host

    def _say(self, message: Message) -> None:
        """Write it soon, and note at once that it was sent: whoever hears it, does so later."""
        self.record.add(Entry("sent", time.monotonic(), message=message))
        if is_request(message):
            self._open[key_of(message["id"])] = message
            if message["method"] == "subscriptions/listen":
                self._endless.add(key_of(message["id"]))
        if self._batch is None:
            self._put(message)
        else:
            self._batch.append(message)

    def _put(self, line: Message | list[Message]) -> None:
        self._unsent += json.dumps(line, ensure_ascii=False).encode() + b"\n"
        self._write()

    def _write(self) -> None:
        if self._corked or not self._unsent or self._stdin.closed:
            return
        try:
            piece = self._unsent[: self._piece] if self._piece else self._unsent[: 1 << 20]
            sent = os.write(self._stdin.fileno(), piece)
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._unsent.clear()
            return
        self._unread = True
        del self._unsent[:sent]

    def _look_at_pipe(self) -> None:
        """Write on, and note when the program has read all of it."""
        while self._unsent and not self._corked and not self._stdin.closed:
            before = len(self._unsent)
            self._write()
            if len(self._unsent) == before:
                return
            if self._piece:
                return
        done = self._unread and not self._unsent and not self._stdin.closed
        if done and _is_empty(self._stdin.fileno()):
            self._unread = False
            self._note("read")

    def _flush_for_leaving(self) -> None:
        self._do_unbatch()
        self._do_uncork()
        self._piece = 0
        if self._reading:
            self.pump(lambda: not self._unsent, 1.0)
        self._unsent.clear()

    def _read_stdout(self) -> None:
        data = os.read(self._stdout.fileno(), _CHUNK)
        if not data:
            if self._got:
                self.record.add(Entry("got", time.monotonic(), line=self._got))
            self._note("ended")
            self._selector.unregister(self._stdout)
            self._stdout.close()
            return
        if b"\n" not in data:
            self._got += data
            return
        *lines, self._got = (self._got + data).split(b"\n")
        for line in lines:
            for message in _messages(line):
                self.record.add(
                    Entry("got", time.monotonic(), message=message, line=b"" if message else line)
                )
                self._take(message)

    def _take(self, message: Message) -> None:
        if is_answer(message):
            key = self.record.key_of_answer(message)
            request = self._open.pop(key, None)
            if request is not None and wants_more(message) and key not in self._endless:
                self._wanted.append((request, message["result"]))
                if self._prompt:
                    self._do_answer()
        elif is_request(message):
            self._questions.append(message)
            if self._prompt:
                self._do_answer()
        elif message.get("method") == "notifications/cancelled":
            gone = message.get("params", {}).get("requestId")
            self._questions = [each for each in self._questions if each["id"] != gone]

    def _read_stderr(self) -> None:
        data = os.read(self._stderr.fileno(), _CHUNK)
        if not data:
            self._selector.unregister(self._stderr)
        self.stderr += data

    # The remote

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        self._born += 1
        process = Process(self._born, connection)
        self._processes.append(process)
        self._on(connection, lambda: self._hear(process))

    def _hear(self, process: Process) -> None:
        try:
            data = process.connection.recv(1 << 20)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(process.connection)
            process.gone = True
            self.record.add(Entry("gone", time.monotonic(), process.number))
            return
        process.buffer += data
        while (end := process.buffer.find(b"\n")) >= 0:
            header = json.loads(process.buffer[:end])
            size = header.pop("size")
            if len(process.buffer) < end + 1 + size:
                return
            raw = bytes(process.buffer[end + 1 : end + 1 + size])
            del process.buffer[: end + 1 + size]
            self._take_told(process, header.pop("kind"), header.pop("time"), header, raw)

    def _take_told(
        self, process: Process, kind: str, moment: float, note: Message, raw: bytes
    ) -> None:
        if kind == "born":
            process.pid = note["pid"]
            if "--keep" in self.story.options:
                process.parent = note["parent"]
            fate = self._fates.pop(0) if self._fates else {}
            note["fate"] = fate
            manner = self.story.bridged
            process.told(number=process.number, prompt=self._prompt, manner=manner, **fate)
        elif kind == "held" and not self._prompt:
            self._waiting.add(key_of(note["key" if self.story.bridged else "id"]))
        for message in _messages(raw):
            self.record.add(
                Entry(kind, moment, process.number, message, raw if not message else b"", note)
            )
            if kind == "out" and is_answer(message):
                self._note_answered(self.record.entries[-1])

    def _note_answered(self, answer: Entry) -> None:
        """Note that the remote does not hold a request any more; the host may, with a question."""
        if answer.about is not None:
            self._waiting.discard(answer.about)
            asks = self.story.bridges_legacy_host and wants_more(answer.message)
            if asks and not self._prompt:
                self._waiting.add(answer.about)

    def _last(self) -> Process | None:
        return self._processes[-1] if self._processes else None

    # What events do

    def _do_hello(self, wait: bool = True) -> None:
        """What a host of the era says first."""
        if self.story.era == MODERN:
            # One that is bridged by itself begins with another word.
            discovers = not self.story.bridged or "--bridge" in self.story.options
            self._do_ask("server/discover" if discovers else "tools/list", "hello")
        else:
            info = {"name": "host", "version": "1"}
            capabilities = {**CAPABILITIES, "roots": {"listChanged": True}}
            version = _BATCH_VERSION if self.story.has("batch") else LEGACY_VERSION
            params = {
                "protocolVersion": version,
                "capabilities": capabilities,
                "clientInfo": info,
            }
            self._say({"jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": params})
        if wait or self.story.era == LEGACY:
            self.pump_fairly(lambda: self.ended or '"hello"' not in self._open, _BIRTH)
        if self.story.era == LEGACY:
            self._say({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def _do_ask(self, method: str, id: object, **more: Any) -> None:  # noqa: A002 - as on the wire
        self._say(
            {
                "jsonrpc": "2.0",
                "id": id,
                "method": method,
                "params": _params(self.story, method, key=id, **more),
            }
        )

    def _do_flood(self, count: int, size: int) -> None:
        """Many calls, more than the pipes on the way can hold."""
        for number in range(count):
            self._do_ask("tools/call", f"flood-{number}", size=size)

    def _do_cancel(self, id: object) -> None:  # noqa: A002
        """Only what was asked and has no answer: a host has no reason for another."""
        wanted = key_of(id)
        for key, request in list(self._open.items()):
            if key in self._endless and request["method"] != "subscriptions/listen":
                continue
            if wanted in (key, _first_id(request)):
                self._endless.add(key)
                params = {"requestId": request["id"], "reason": "because"}
                self._say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})

    def _do_tell(self) -> None:
        """Notify the remote of something."""
        self._count += 1
        params = {"_meta": {"seq": [0, self._count]}}
        method = "notifications/roots/list_changed"
        self._say({"jsonrpc": "2.0", "method": method, "params": params})

    def _do_answer(self, progress: bool = False, refuse: bool = False) -> None:
        """The oldest question, if there is one; or a result that wants more, or leave it at that."""
        if not self._questions:
            if self._wanted and refuse:
                self._wanted.pop(0)
            elif self._wanted:
                self._retry(*self._wanted.pop(0))
            return
        question = self._questions.pop(0)
        token = question.get("params", {}).get("_meta", {}).get("progressToken")
        if progress and token is not None:
            params = {"progressToken": token, "progress": 1}
            self._say({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
        said = {"error": HOST_REFUSES} if refuse else {"result": {"to": question}}
        self._say({"jsonrpc": "2.0", "id": question["id"], **said})

    def _retry(self, request: Message, result: Message) -> None:
        """Ask once more with the input that is required (2026-07-28, multi round-trip requests)."""
        self._retries += 1
        asked = result.get("inputRequests", {})
        responses = {name: {"to": question} for name, question in asked.items()}
        state = {"requestState": result["requestState"], "inputResponses": responses}
        retry = {
            **request,
            "id": f"retry-{self._retries}",
            "params": {**request["params"], **state},
        }
        self._say(retry)

    def _do_batch(self) -> None:
        """What is said from here on goes out as one batch (2025-03-26)."""
        if self._batch is None:
            self._batch = []

    def _do_unbatch(self) -> None:
        batch, self._batch = self._batch, None
        if batch:
            self._put(batch)

    def _do_cork(self) -> None:
        """What is said from here on goes out in one write."""
        self._corked = True

    def _do_uncork(self) -> None:
        self._corked = False
        self._write()

    def _do_pieces(self, size: int) -> None:
        """Write so many bytes at a time; 0: all at once."""
        self._piece = size

    def _do_pause(self) -> None:
        """Stop reading."""
        if self._reading and not self.ended:
            self._reading = False
            self._selector.unregister(self._stdout)

    def _do_resume(self) -> None:
        if not self._reading and not self.ended:
            self._reading = True
            self._on(self._stdout, self._read_stdout)

    def _do_wait(self, seconds: float = 2.0) -> None:
        """Until everything is answered that nothing holds back."""
        self.pump(lambda: self.ended or self._is_done(), seconds)

    def _do_wait_heard(
        self,
        id: object,  # noqa: A002
        seconds: float = 2.0,
        refused: bool = False,
    ) -> None:
        """Until a process has heard this request, or has refused it as one of another era."""
        self.pump(lambda: self.ended or self._was_heard(id, refused), seconds)

    def _was_heard(self, id_: object, refused: bool) -> bool:
        heard = (e for e in self.record.of("in") if is_request(e.message))
        return any(e.about == key_of(id_) and bool(e.note.get("refused")) == refused for e in heard)

    def _do_wait_asked(self, count: int = 1, seconds: float = 5.0) -> None:
        """Until the host has so many questions or results that want more."""
        self.pump(lambda: self.ended or len(self._questions) + len(self._wanted) >= count, seconds)

    def _do_wait_born(self, count: int, seconds: float = 5.0) -> None:
        """Until so many processes were started."""
        self.pump(lambda: self.ended or len(self._processes) >= count, seconds)

    def _do_sleep(self, ms: int) -> None:
        self.pump(lambda: self.ended, ms / 1000)

    def _do_release(self, id: object = None, together: bool = False) -> None:  # noqa: A002
        """Have the remote answer what it holds; `together`: in one batch."""
        for process in self._processes:
            process.told(do="release", id=id, together=together)

    def _do_remote(self, do: str, **more: Any) -> None:
        """Have the present process do something."""
        process = self._last()
        if process is not None and not process.gone:
            process.told(do=do, **more)

    def _do_kill(self) -> None:
        """SIGKILL for the present process."""
        process = self._last()
        if process is not None and process.pid and not process.gone:
            kill(process.pid)

    def _do_kill_keeper(self) -> None:
        """SIGKILL for the process that keeps the present one."""
        process = self._last()
        if process is not None and process.keeper:
            kill(process.keeper)

    def _do_kill_session(self) -> None:
        """SIGKILL for the SSH server's own process."""
        self._kill_sessions()

    def _do_fate(self, count: int = 1, **fate: Any) -> None:
        """What is to become of the next processes."""
        self._fates += [fate] * count

    # What the network does

    def _do_cut(self, fin: bool = False) -> None:
        if self._network is not None:
            self._network.cut(fin=fin)

    def _do_cut_after(self, direction: str, size: int) -> None:
        """As soon as so many bytes more have come this way."""
        network = self._network
        if network is None:
            return
        name = {"in": TO_CLIENT, "out": TO_SERVER}[direction]
        start: dict[int, int] = {}

        def reached(link: Any) -> bool:
            begun = start.setdefault(link.number, link.received(name))
            return bool(link.received(name) > begun + size)

        network.when(reached, network.cut)

    def _do_freeze(self, new: bool = False) -> None:
        if self._network is not None:
            self._network.freeze(new=new)

    def _do_thaw(self) -> None:
        if self._network is not None:
            self._network.thaw()

    def _do_refuse(self, seconds: float) -> None:
        if self._network is not None:
            self._network.refuse(seconds)

    def _do_delay(self, seconds: float) -> None:
        if self._network is not None:
            self._network.delay(seconds)

    def _do_trickle(self, size: int) -> None:
        if self._network is not None:
            self._network.trickle(size)

    def _do_must_answer(self, id: object, seconds: float) -> None:  # noqa: A002
        """Whatever else goes on, this request is answered within this time."""
        if not self.pump_fairly(lambda: self.ended or key_of(id) not in self._open, seconds):
            self._note("late", id=id, seconds=seconds)

    def _do_leave(self) -> None:
        """The host has had enough, whatever is open."""


if sys.platform == "win32":  # which has no sshd to play with

    def _listener(_place: Path) -> socket.socket:
        raise NotImplementedError

    def _unblock(_pipe: int) -> None:
        raise NotImplementedError

    def _is_empty(_pipe: int) -> bool:
        raise NotImplementedError

else:

    def _listener(place: Path) -> socket.socket:
        place.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(place))
        listener.listen(50)
        return listener

    def _unblock(pipe: int) -> None:
        os.set_blocking(pipe, False)

    def _is_empty(pipe: int) -> bool:
        """Whether the other end has read all that was written."""
        return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4))) == (0,)


def _is_keeper(pid: int) -> bool:
    try:
        return b"a2b_base64" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _messages(line: bytes) -> list[Message]:
    """Return the messages of a line: several if it is a batch, and an empty one if there is none."""
    try:
        found = json.loads(line)
    except ValueError:
        return [{}]
    messages = found if isinstance(found, list) and found else [found]
    return messages if all(isinstance(message, dict) for message in messages) else [{}]


def _first_id(request: Message) -> str:
    """The id that a request had in its first round."""
    meta = request.get("params", {}).get("_meta", {})
    retries = "requestState" in request.get("params", {})
    return key_of(meta["key"] if retries and "key" in meta else request["id"])


def _meta(story: Story, level: str | None) -> Message:
    """What a request says of the host."""
    if story.era == LEGACY:
        return {}
    more = {} if level is None else {"io.modelcontextprotocol/logLevel": level}
    return {**modern_meta(), **_CAPABLE, **more}


def _params(
    story: Story,
    method: str,
    *,
    key: object,
    do: Sequence[str] = (),
    token: object = None,
    size: int = 0,
    fill: str = "x",
    level: str | None = None,
    **more: Any,
) -> Message:
    """A request's params, with what the remote is to do in `_meta`."""
    meta = _meta(story, level)
    meta |= {"do": list(do)} if do else {}
    meta |= {"key": key} if do or story.bridged else {}
    meta |= {"progressToken": token} if token is not None else {}
    params: Message = {"_meta": meta} if meta else {}
    if method == "tools/call":
        params |= {"name": more.get("tool", "plain"), "arguments": {"text": fill * size}}
    elif method == "logging/setLevel":
        params["level"] = level
    elif method == "subscriptions/listen":
        params["notifications"] = {"toolsListChanged": True}
        if "uris" in more:
            params["notifications"]["resourceSubscriptions"] = list(more["uris"])
    elif method.startswith("resources/") and "uri" in more:
        params["uri"] = more["uri"]
    elif method == "prompts/get":
        params |= {"name": "p", "arguments": {"text": fill * size}}
    elif method == "completion/complete":
        params |= {
            "ref": {"type": "ref/prompt", "name": "p"},
            "argument": {"name": "a", "value": ""},
        }
    return params
