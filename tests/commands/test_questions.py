"""What servers ask while a tool is called: put to the person on a terminal, and declined where there is none."""

from __future__ import annotations

import importlib.metadata
import json
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives import serialization
from support import terminal
from support.far import Far, environment, machine
from support.host import PROGRAM
from support.showcase_server import ESCAPE, PAGE

from m2m_ssh_client.terminal import questions

pytestmark = pytest.mark.sdk

SDK = int(importlib.metadata.version("mcp").partition(".")[0])
ERAS = ["legacy", "modern"] if SDK >= 2 else ["legacy"]


def elicitation(**params: Any) -> dict[str, Any]:
    return {"method": "elicitation/create", "params": {"message": "Where to?", **params}}


def form(message: str = "Where to?", required: Sequence[str] = (), **fields: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": fields, "required": list(required)}
    return elicitation(mode="form", message=message, requestedSchema=schema)


def page(url: str) -> dict[str, Any]:
    return elicitation(mode="url", url=url, elicitationId="1")


CITY = {"type": "string", "title": "City", "minLength": 2}
COUNT = {"type": "integer", "default": 3}
COLOUR = {"type": "string", "enum": ["red", "green"]}
SAMPLING = {
    "method": "sampling/createMessage",
    "params": {
        "messages": [{"role": "user", "content": {"type": "text", "text": "hello"}}],
        "maxTokens": 5,
    },
}


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    with machine(tmp_path_factory.mktemp("far")) as far:
        yield far


@pytest.fixture
def far(reached: Far, tmp_path: Path) -> Far:
    reached.here = tmp_path
    return reached


@pytest.fixture(params=ERAS)
def server(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return ("showcase", "--era", request.param)


# where nobody can be asked


def test_without_a_terminal_a_question_is_declined_and_told(
    far: Far, server: tuple[str, ...], tmp_path: Path
) -> None:
    record = tmp_path / "record"
    question = form(f"Where {ESCAPE} to?", city=CITY)
    done = far(
        "call",
        "ask",
        "--arguments",
        json.dumps(question),
        server=(*server, "--record", str(record)),
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["action"] == "decline"
    (line,) = done.stderr.splitlines()
    assert line.startswith('the server asks "Where \\x1b[31mred')
    assert line.endswith("declined without a terminal")
    assert capabilities(record) == {"elicitation": {"form": {}, "url": {}}}


def capabilities(record: Path) -> object:
    """What the server was told last that it may ask for."""
    *_, params = (json.loads(line).get("params") or {} for line in record.read_text().splitlines())
    of_request = params.get("_meta", {}).get("io.modelcontextprotocol/clientCapabilities")
    return of_request or initialized(record)["capabilities"]


def initialized(record: Path) -> Any:
    messages = map(json.loads, record.read_text().splitlines())
    return next(each["params"] for each in messages if each.get("method") == "initialize")


def test_a_terminal_has_no_language_model(far: Far, server: tuple[str, ...]) -> None:
    done = far("call", "ask", "--arguments", json.dumps(SAMPLING), server=server)
    first, *rest = done.stderr.splitlines()
    assert first == "the server requests sampling: refused, a terminal has no model"
    if "legacy" in server:
        assert (done.returncode, rest) == (0, [])
        assert json.loads(done.stdout) == {"code": -32600, "message": "Sampling not supported"}
    else:
        assert (done.returncode, done.stdout) == (1, "")
        assert "cannot go on without sampling/createMessage" in rest[0]


def test_a_question_that_is_no_mcp_is_not_quoted_by_the_sdk(far: Far) -> None:
    done = far(
        "call", "ask", "--arguments", json.dumps({"method": "elicitation/create", "params": {}})
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["code"] == -32602


def test_pages_that_an_error_names_are_shown_as_those_of_questions(far: Far) -> None:
    done = far("call", "login")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"a page at login.example:\n  | {PAGE}\n" in done.stderr
    assert done.stderr.count(PAGE) == 1
    last = done.stderr.splitlines()[-1]
    assert last.endswith(
        ": error: Log in first. Open what is shown above if you trust its host, then try again."
    )


def test_pages_that_an_error_names_are_checked_as_those_of_questions(far: Far) -> None:
    words = "Give your passphrase to https://login.example"
    asked = ["https://good.example\\@evil.example/", words, "javascript:alert(1)"]
    pages = [{"mode": "url", "url": each} for each in [*asked, *asked]]
    done = far("call", "login", "--arguments", json.dumps({"pages": pages}))
    *shown, last = done.stderr.splitlines()
    assert last.endswith(": error: Log in first")
    assert "Declined: there is a backslash in the address." in shown
    assert [line for line in shown if words in line] == [f"  | {words}"] * 2
    assert "1 more page is not shown." in shown
    assert not [line for line in shown if line.startswith("It asks")]


if SDK >= 2:  # of 2026-07-28, which SDK 1.x does not speak

    def test_a_server_that_never_stops_asking_is_given_up(far: Far) -> None:
        server = ("showcase", "--era", "modern", "--insistent")
        done = far("call", "ask", "--arguments", json.dumps(form(city=CITY)), server=server)
        assert (done.returncode, done.stdout) == (1, "")
        assert "keeps asking" in done.stderr.splitlines()[-1]


@pytest.mark.anyio
async def test_the_time_limit_stands_still_meanwhile() -> None:
    clock = anyio.CancelScope(deadline=anyio.current_time() + 30)
    with questions._standing_still(clock):
        assert clock.deadline == float("inf")
    assert 29 < clock.deadline - anyio.current_time() <= 30


# on a terminal


if sys.platform != "win32":

    def asked(
        far: Far,
        question: dict[str, Any],
        *replies: tuple[str, str | signal.Signals],
        server: Sequence[str] = ("showcase",),
    ) -> tuple[int, str, Any]:
        """The exit status, what the terminal showed, and what the server got."""
        out = far.here / "out"
        status, shown = terminal.run(
            far.argv("call", "ask", "--arguments", json.dumps(question), server=server),
            env=environment(),
            cwd=far.here,
            stdout=out,
            replies=replies or [("", "")],
        )
        text = out.read_text()
        return status, shown.replace("\r\n", "\n"), json.loads(text) if text else None

    def test_a_form_is_filled_in_at_the_terminal(far: Far, server: tuple[str, ...]) -> None:
        status, shown, got = asked(
            far,
            form(required=["city"], city=CITY, count=COUNT, colour=COLOUR, note={"type": "string"}),
            ("Answer (yes/no", "perhaps\n"),
            ("Answer (yes/no", "yes\n"),
            ("City* (at least 2 characters): ", "\n"),
            ("City* (at least 2 characters): ", "x\n"),
            ("City* (at least 2 characters): ", "Zürich\n"),
            ("count (a whole number) [3]: ", "\n"),
            ("colour: ", "2\n"),
            ("note: ", "\n"),
            ("Send this (yes; no: change it)? ", "yes\n"),
            server=server,
        )
        assert status == 0
        assert got["action"] == "accept"
        assert got["content"] == {"city": "Zürich", "count": 3, "colour": "green"}
        assert "The server asks:\n  | Where to?\nFields: City*, count, colour, note\n" in shown
        assert "This field is required." in shown
        assert "It must be at least 2 characters." in shown
        assert "  1  red\n    2  green\n" in shown

    def test_what_was_typed_can_be_changed_before_it_is_sent(far: Far) -> None:
        _, _, got = asked(
            far,
            form(city=CITY, count=COUNT),
            ("Answer", "yes\n"),
            ("City", "Bern\n"),
            ("count", "4\n"),
            ("Send this", "no\n"),
            ("[Bern]: ", "\n"),
            ("[4]: ", "5\n"),
            ("Send this", "yes\n"),
        )
        assert got == {"action": "accept", "content": {"city": "Bern", "count": 5}}

    @pytest.mark.parametrize(
        ("replies", "action"),
        [
            ([("Answer", "no\n")], "decline"),
            ([("Answer", "yes\n"), ("City", "\x04")], "cancel"),
        ],
    )
    def test_a_form_can_be_declined_and_left_open(
        far: Far, replies: Sequence[tuple[str, str]], action: str
    ) -> None:
        status, _, got = asked(far, form(city=CITY), *replies)
        assert (status, got) == (0, {"action": action})

    def test_a_page_is_shown_with_its_host_and_agreed_to(far: Far) -> None:
        url = "https://exаmple.com/login?to=us"  # noqa: RUF001 - the а is Cyrillic
        status, shown, got = asked(far, page(url), ("Will you open it", "yes\n"))
        assert (status, got) == (0, {"action": "accept"})
        seen = "https://xn--exmple-4nf.com/login?to=us"
        assert f"a page at xn--exmple-4nf.com:\n  | {seen}\n" in shown

    @pytest.mark.parametrize(
        ("question", "said"),
        [
            (page("javascript:alert(1)"), "not a web page"),
            (page("https://good.example\\@evil.example/"), "a backslash"),
            (form(place={"type": "object"}), "cannot ask for place"),
        ],
    )
    def test_what_a_person_cannot_answer_here_is_declined(
        far: Far, question: dict[str, Any], said: str
    ) -> None:
        status, shown, got = asked(far, question)
        assert (status, got) == (0, {"action": "decline"})
        assert said in shown

    def test_the_words_of_a_server_cannot_pass_for_ours(far: Far) -> None:
        evil = f"a\rb{ESCAPE}\nYour passphrase: "
        question = form(evil, field={"type": "string", "title": evil})
        _, shown, _ = asked(far, question, ("Answer", "no\n"))
        shown = terminal.behind_spinner(shown)
        assert "\x1b" not in shown
        assert "\nYour passphrase" not in shown
        assert "\n  | Your passphrase: \n" in shown
        assert "Fields: a\\x0db" in shown

    def test_progress_goes_on_when_the_question_has_been_answered(far: Far) -> None:
        question = {**form(city=CITY), "busy": True}
        status, shown, got = asked(far, question, ("Answer", "yes\n"), ("City", "Bern\n"))
        assert (status, got["content"]) == (0, {"city": "Bern"})
        before, asking, after = shown.partition("The server asks:")
        asking, _, after = after.partition("Bern")
        assert "━" not in asking
        assert "━" in before + after

    def test_an_interrupt_while_a_question_is_open_cancels_the_call(
        far: Far, tmp_path: Path
    ) -> None:
        record = tmp_path / "record"
        server = ("showcase", "--record", str(record))
        replies = ("Answer", "yes\n"), ("City", signal.SIGINT)
        status, shown, got = asked(far, form(city=CITY), *replies, server=server)
        assert (status, got) == (130, None)
        assert "Traceback" not in shown
        assert '"notifications/cancelled"' in record.read_text()

    def locked(path: Path) -> bytes:
        """The private key in the file, encrypted."""
        key = serialization.load_ssh_private_key(path.read_bytes(), None)
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.BestAvailableEncryption(b"sesame"),
        )

    @pytest.mark.parametrize("typed", [["sesame\n"], ["wrong\n", "sesame\n"]], ids=len)
    def test_a_passphrase_is_asked_for_where_a_person_can_type_it(
        far: Far, typed: list[str], tmp_path: Path
    ) -> None:
        key = tmp_path / "locked"
        key.touch(0o600)
        argv = far.argv("tools")
        client_key = argv.index("--client-key") + 1
        key.write_bytes(locked(Path(argv[client_key])))
        argv[client_key] = str(key)
        status, shown = terminal.run(
            argv,
            env=environment(),
            cwd=far.here,
            replies=[("Enter passphrase for key", each) for each in typed],
        )
        assert (status, "sesame" in shown) == (0, False)
        assert shown.count("Enter passphrase for key") == len(typed)

    def test_a_failed_connection_has_two_parts_on_a_terminal(far: Far) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        argv = [*PROGRAM, "tools", "-p", str(port), "127.0.0.1", "--", "run"]
        status, shown = terminal.run(argv, env=environment(), cwd=far.here)
        assert status == 1
        lines = shown.rpartition("\x1b[2K")[2].splitlines()  # behind the spinner, if there was one
        assert lines[0].startswith("error: Connection refused (tried ")
        assert any(line.startswith("→ Nothing listens there") for line in lines)
        assert "Log: " not in lines[0]
