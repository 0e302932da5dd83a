"""The last steps: request, noise before the first message, MCP, and round-trip time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from m2m_ssh_client.conversation import (
    Conversation,
    EndedError,
    RefusedError,
    read_all,
)
from m2m_ssh_client.doctor import eras
from m2m_ssh_client.doctor.configuration import described
from m2m_ssh_client.doctor.steps import Channels, Status, Step, failed
from m2m_ssh_client.errors import (
    COMMAND_NOT_FOUND,
    NotMCPError,
    RemoteExitError,
    SSHClientError,
)
from m2m_ssh_client.masking import masked
from m2m_ssh_client.proxy import early_end
from m2m_ssh_client.proxy.frames.frame import (
    JSONText,
    NotJSONError,
    NotJSONRPCError,
    load,
    member,
    members_of,
)
from m2m_ssh_client.ssh import missing_program
from m2m_ssh_client.ssh.settings import Request
from m2m_ssh_client.text import printable, shortened

_LISTS = ("tools", "prompts", "resources")
_MOST_PAGES = 100
_SAMPLES = 20
_ASK_PATH = 'printf %s "$PATH"'
_PATH_TIME = 5.0  # seconds
_LONGEST_PATH = 8192  # bytes


def steps(
    connection: Channels,
    request: Request,
    patience: float,
    longest: int,
    *,
    may_use_login_shell: bool,
    bridge: str,
) -> Iterator[Step]:
    """Yield the steps over an open connection, which stays open.

    `patience` is in seconds for each answer, `longest` in bytes for each line. With
    `may_use_login_shell`, the command is tried there if its program is not found. `bridge` is the
    option of that name.
    """
    found: dict[str, object] = {
        "request": described(request),
        "environment": {name: "…" for name, _ in request.environment},
    }
    try:
        server = _Server(connection, request, patience, longest)
    except SSHClientError as exc:
        # The error quotes the user's command, which may hold secrets.
        yield failed("request", type(exc)(masked(exc.message), exc.hint), found)
        return
    yield Step("request", Status.OK, found, f"granted: {described(request)}")
    try:
        failure = server.meet()
        second = server.second_way() if may_use_login_shell else None
        if second is not None:
            server.end()
            server = _Server(connection, second, patience, longest)
            failure = server.meet()
        yield from server.steps(failure, in_second_way=second is not None)
    finally:
        server.end()
    if failure is None:
        yield eras.step(
            connection, second or request, longest, is_legacy=server.is_legacy, bridge=bridge
        )


class _Server:
    """The exchange with the remote MCP server."""

    def __init__(
        self, connection: Channels, request: Request, patience: float, longest: int
    ) -> None:
        """Start it. Raises an SSHClientError."""
        self._connection = connection
        self._request = request
        self._carrier = connection.channel(request)
        self._conversation = Conversation(
            self._carrier, patience, guarded=request.may_be_shell, longest=longest
        )
        self._meta: dict[str, object] = {}  # in the params of every request, in the modern era
        self._found: dict[str, object] = {}
        self._status: int | None = None

    def end(self) -> None:
        self._conversation.end()

    @property
    def is_legacy(self) -> bool:
        """Return whether the server has accepted `initialize`."""
        return not self._meta

    def meet(self) -> SSHClientError | None:
        """Introduce ourselves; return the failure if it does not answer like an MCP server."""
        failure: SSHClientError | None = None
        try:
            self._found = self._introduced()
        except RefusedError as exc:
            failure = NotMCPError(
                f"The server refuses both initialize and server/discover: {exc}",
                "It may not be an MCP server; its own log may say more.",
            )
        except EndedError:
            failure = self._carrier.ending()
        except SSHClientError as exc:
            failure = exc
        if failure is not None:
            self._conversation.hear_out()
        self._status = failure.status if isinstance(failure, RemoteExitError) else None
        return failure

    def second_way(self) -> Request | None:
        """Return the request for a command that was not found, run by the login shell."""
        if self._conversation.noise_count:
            return None
        return missing_program.second_way(self._request, self._status, self._conversation.stderr)

    def steps(self, failure: SSHClientError | None, *, in_second_way: bool) -> Iterator[Step]:
        """Yield the steps after `meet`, which has returned `failure`."""
        yield _noise(self._conversation)
        if failure is not None:
            yield self._not_mcp(failure)
            return
        step = self._or_failed("mcp", self._counted)
        yield self._with_path(step) if in_second_way else step
        yield self._or_failed("round_trip", self._round_trip)

    def _or_failed(self, name: str, step: Callable[[], Step]) -> Step:
        try:
            return step()
        except EndedError:
            return failed(name, self._carrier.ending())
        except SSHClientError as exc:
            return failed(name, exc)

    def _introduced(self) -> dict[str, object]:
        """Return era, version, name and capabilities; raise as `Conversation.ask` does."""
        try:
            result = self._conversation.ask(
                "initialize",
                {
                    "protocolVersion": eras.LEGACY_VERSION,
                    "capabilities": {},
                    "clientInfo": eras.CLIENT,
                },
            )
        except RefusedError as refusal:
            self._meta = eras.ENVELOPE
            try:
                result = self._conversation.ask("server/discover", self._meta)
            except RefusedError:
                raise refusal from None
            versions = result.get("supportedVersions")
            supported = versions if isinstance(versions, list) else []
            version = (
                eras.MODERN_VERSION if eras.MODERN_VERSION in supported else (supported or [""])[0]
            )
            info = member(result, "_meta", f"{eras.META}/serverInfo")
            return _introduction("modern", version, info, result)
        self._conversation.tell("notifications/initialized")
        info, version = result.get("serverInfo"), result.get("protocolVersion")
        return _introduction("legacy", version, info, result)

    def _counted(self) -> Step:
        found = self._found
        capabilities = found["capabilities"]
        assert isinstance(capabilities, list)  # noqa: S101 - `_introduction` made it
        problems = []
        counts: dict[str, int] = {}
        for what in _LISTS:
            if what in capabilities:
                try:
                    counts[what] = self._count(what)
                except RefusedError as exc:
                    problems.append(f"{what}/list: {exc}")
        summary = (
            f"{found['era']} era, {found['protocol_version']}, "
            f"{found['server']} {found['server_version']}".rstrip()
        )
        numbers = ", ".join(_number(counts.get(what, 0), what[:-1]) for what in _LISTS)
        details = (f"{numbers}; capabilities: {', '.join(capabilities) or 'none'}", *problems)
        facts = {**found, **{what: counts.get(what, 0) for what in _LISTS}, "problems": problems}
        if problems:
            advice = "The server announces these lists but refuses them: see its log."
            return Step("mcp", Status.WARNING, facts, summary, advice, details)
        return Step("mcp", Status.OK, facts, summary, details=details)

    def _with_path(self, step: Step) -> Step:
        """Turn a good step into a warning that says where the login shell finds the program."""
        program = missing_program.program_of(self._request)
        path = self._output_of(f"command -v {program}", in_login_shell=True)
        if step.status is not Status.OK or path is None:
            return step
        advice = (
            f"{program} is not in the short PATH of remote commands; the login shell finds {path}. "
            "Give that path after `--`: the command then needs no login shell and starts faster."
        )
        found = {**step.found, "program": path}
        return step._replace(status=Status.WARNING, found=found, advice=advice)

    def _count(self, what: str) -> int:
        count, cursor = 0, None
        for _ in range(_MOST_PAGES):
            params = {**self._meta, **({} if cursor is None else {"cursor": cursor})}
            found, cursor = _page(self._conversation.ask_for_text(f"{what}/list", params), what)
            count += found
            if cursor is None:
                break
        return count

    def _round_trip(self) -> Step:
        method = "server/discover" if self._meta else "ping"
        samples = []
        for _ in range(_SAMPLES):
            started = time.perf_counter()
            with suppress(RefusedError):  # also an answer
                self._conversation.ask(method, self._meta)
            samples.append((time.perf_counter() - started) * 1000)
        low, middle, high = min(samples), statistics.median(samples), max(samples)
        found = {
            "method": method,
            "samples": len(samples),
            "min_ms": round(low, 2),
            "median_ms": round(middle, 2),
            "max_ms": round(high, 2),
        }
        summary = (
            f"{middle:.1f} ms ({low:.1f} to {high:.1f}), median of {len(samples)} times {method}"
        )
        return Step("round_trip", Status.OK, found, summary)

    def _not_mcp(self, failure: SSHClientError) -> Step:
        """Return the failed step; for a command not found, with the PATH of the remote."""
        if not isinstance(failure, RemoteExitError):
            return failed("mcp", failure)
        found: dict[str, object] = {"exit_status": failure.status}
        if failure.status != COMMAND_NOT_FOUND:
            hint = early_end.hint(failure.status, self._conversation.stderr) or failure.hint
            return failed("mcp", RemoteExitError(failure.message, hint), found)
        path = found["path"] = self._output_of(_ASK_PATH)
        details = [f"PATH there: {path}"] if path else []
        if self._request.marker:
            path = found["login_shell_path"] = self._output_of(_ASK_PATH, in_login_shell=True)
            details += [f"PATH in the login shell: {path}"] if path else []
        return failed("mcp", failure, found, details=tuple(details))

    def _output_of(self, command: str, *, in_login_shell: bool = False) -> str | None:
        request = Request(command=command)
        with suppress(SSHClientError, OSError):
            carrier = self._connection.channel(
                missing_program.in_login_shell(request) if in_login_shell else request
            )
            return printable(read_all(carrier, _PATH_TIME, _LONGEST_PATH).strip()) or None
        return None


class _Entry(msgspec.Struct, gc=False):
    """An entry of a list, of which nothing is kept."""


_entries = msgspec.json.Decoder(list[_Entry | str | float | bool | None]).decode


def _page(result: JSONText, what: str) -> tuple[int, object]:
    """Return how many entries a page of a list has, and the cursor of the next.

    A page may have megabytes of them, so they do not become objects.
    """
    count, cursor = 0, None
    with suppress(NotJSONError, NotJSONRPCError, RecursionError, ValueError):
        members = members_of(bytes(result))
        if isinstance(members, dict):
            cursor = load(bytes(members.get("nextCursor", b"null")))
            count = len(_entries(members.get(what, b"[]")))
    return count, cursor


def _introduction(
    era: str, version: object, info: object, result: Mapping[str, Any]
) -> dict[str, object]:
    capabilities = result.get("capabilities")
    return {
        "era": era,
        "protocol_version": _text(version),
        "server": _text(member(info, "name")),
        "server_version": _text(member(info, "version")),
        "capabilities": sorted(map(_text, capabilities if isinstance(capabilities, dict) else ())),
    }


def _text(value: object) -> str:
    return "" if value is None else shortened(printable(str(value)), 80)


def _noise(conversation: Conversation) -> Step:
    stdout, stderr = conversation.noise_count, conversation.stderr_count
    found = {
        "stdout_lines": stdout,
        "stdout": conversation.noise,
        "stderr_lines": stderr,
        "stderr": conversation.stderr,
    }
    details = (
        *(f"stdout: {line}" for line in conversation.noise),
        *(f"stderr: {line}" for line in conversation.stderr),
    )
    on_stderr = f"{_number(stderr, 'line')} on stderr"
    if not stdout:
        summary = on_stderr if stderr else "none before the first message"
        return Step("noise", Status.OK, found, summary, details=details)
    return Step(
        "noise",
        Status.WARNING,
        found,
        f"{_number(stdout, 'line')} on stdout that {'is' if stdout == 1 else 'are'} not JSON-RPC"
        + (f", {on_stderr}" if stderr else ""),
        "They are skipped. Keep ~/.bashrc there from printing without a terminal, and let the "
        "server log to stderr.",
        details,
    )


def _number(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
