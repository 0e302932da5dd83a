"""All steps of a connection, in order; they create, register and add no key."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack

from m2m_ssh_client.doctor import configuration, machine, mcp_server, reaching
from m2m_ssh_client.doctor.configuration import machines, place
from m2m_ssh_client.doctor.steps import Channels, Status, Step, failed, not_reached
from m2m_ssh_client.errors import SSHClientError, unexpected
from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.ssh.connection import Connection, Stage, host_key_policy
from m2m_ssh_client.ssh.destination import Destination, resolve
from m2m_ssh_client.ssh.login.unlocked_keys import UnlockedKeys
from m2m_ssh_client.ssh.settings import HostSettings
from m2m_ssh_client.ssh.way.sockets import LiveSocket

logger = logging.getLogger(__name__)

_ON_THE_WAY = ("banner", "key_exchange", "host_key", "authentication")
_BEHIND_IT = ("request", "noise", "mcp", "round_trip", "eras")

_NOT_REGISTERED = (
    "A connection first registers this key with the key server, and creates it if it is missing. "
    "doctor does neither: try a connection."
)


def examine(params: Parameters) -> Generator[Step, None, None]:
    """Yield each step as soon as it is known; after the first failure, the others as not reached.

    Blocking. Close the generator if it is not exhausted, because the connection ends with it.
    """
    walk = _Walk(params)
    seen = set()
    try:
        for step in _told(walk):
            seen.add((step.machine, step.name))
            yield step
            if step.status is Status.FAILED:
                break
        else:
            if walk.failure is not None:  # a failure outside of any step
                where, name = next(each for each in walk.plan if each not in seen)
                seen.add((where, name))
                yield failed(name, walk.failure)._replace(machine=where)
    finally:
        walk.close()
    for where, name in walk.plan:
        if (where, name) not in seen:
            yield not_reached(name, where)


def _told(walk: _Walk) -> Iterator[Step]:
    """Yield the steps, up to a bug here or in a library."""
    try:
        yield from walk.steps()
    except Exception as exc:
        logger.info("details", exc_info=exc)
        walk.failure = unexpected(exc)


class _Walk:
    """A connection being examined.

    `plan` lists the expected steps, each with its jump host, as far as they are known. `failure` is
    the reason for the missing connection.
    """

    def __init__(self, params: Parameters) -> None:
        self._params = params
        self._sock: LiveSocket | None = None
        self._connection: Connection | None = None
        self._temporary = ExitStack()
        self.failure: SSHClientError | None = None
        self.plan = [("", "configuration"), ("", "name_resolution"), *_planned("")]
        if params.via is not None:  # another program goes there
            self.plan = [("", name) for name in ("configuration", *_BEHIND_IT)]
        self._plan_keeping()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._sock is not None:
            self._sock.close()
        self._temporary.close()

    def steps(self) -> Iterator[Step]:
        if self._params.via is not None:
            yield from self._via()
            return
        try:
            destination = _read_only(resolve(self._params))
            way = machines(destination.settings)
            for each in way:
                host_key_policy(each)  # finds unreadable or invalid files before anything is sent
        except SSHClientError as exc:
            yield failed("configuration", exc)
            return
        self.plan = _plan(way)
        self._plan_keeping()
        yield configuration.step(self._params, destination)
        if self._params.use_key_server:
            self.plan.insert(1, ("", "key_server"))
            from m2m_ssh_client.doctor import key_server_step

            step, settings = key_server_step.step(
                self._params, destination.settings, self._temporary, destination.connect_timeout
            )
            yield step
            destination, way = destination._replace(settings=settings), machines(settings)
        first, first_name = way[0], _name(way[0], destination.settings)
        if first.proxy_command is None:
            step, targets = reaching.resolution(first.address)
            yield step._replace(machine=first_name)
            if not targets:
                return
            step, self._sock = reaching.tcp(first.address, targets, destination.connect_timeout)
            yield step._replace(machine=first_name)
            if self._sock is None:
                return
        yield from self._connected(destination)

    def _via(self) -> Iterator[Step]:
        """Yield the steps behind a connection, over the program that carries in its place."""
        from m2m_ssh_client.ssh.via.programs import Programs, without_ssh_configuration

        try:
            destination = resolve(without_ssh_configuration(self._params))
        except SSHClientError as exc:
            yield failed("configuration", exc)
            return
        yield configuration.step(self._params, destination)
        programs = Programs(self._params)
        self._temporary.callback(programs.close)
        yield from self._served(programs, destination, lambda: Programs(self._params))

    def _connected(self, destination: Destination) -> Iterator[Step]:
        unlocked = UnlockedKeys()
        connection = self._connection = Connection(
            destination.settings,
            unlocked,
            connect_timeout=destination.connect_timeout,
            dialled=self._dialled if self._sock is not None else None,
        )
        try:
            connection.open()
        except SSHClientError as exc:
            self.failure = exc
        before: HostSettings | None = None
        for stage in connection.trail():
            for step in _stage(stage, before, self.failure):
                yield self._about(step, _name(stage.settings, destination.settings))
            before = stage.settings

        def again() -> Connection:
            timeout = destination.connect_timeout
            made = Connection(destination.settings, unlocked, connect_timeout=timeout)
            made.open()
            return made

        if self.failure is None:
            yield from self._served(connection, destination, again)

    def _served(
        self, connection: Channels, destination: Destination, again: Callable[[], Channels]
    ) -> Iterator[Step]:
        """Yield the steps of the server; `again` makes another connection like this one."""
        yield from mcp_server.steps(
            connection,
            destination.request,
            destination.connect_timeout,
            self._params.max_message_size,
            may_use_login_shell=self._params.login_shell is None,
            bridge=self._params.bridge,
        )
        if self._params.keep is not None:
            from m2m_ssh_client.doctor import keeping

            yield keeping.step(connection, again, destination.request)

    def _plan_keeping(self) -> None:
        if self._params.keep is not None:
            self.plan.append(("", "keeping"))

    def _about(self, step: Step, jump_host: str) -> Step:
        refused = (step.name, step.status) == ("authentication", Status.FAILED)
        if refused and not jump_host and self._params.use_key_server:
            return step._replace(advice=_NOT_REGISTERED)
        return step._replace(machine=jump_host)

    def _dialled(self) -> LiveSocket:
        assert self._sock is not None  # noqa: S101 - only set with a socket
        return self._sock


def _stage(
    stage: Stage, before: HostSettings | None, failure: SSHClientError | None
) -> Iterator[Step]:
    """Yield the steps of one machine; TCP of the first one is known already."""
    command = stage.settings.proxy_command
    if before is not None or command is not None:
        how = f"the jump host {place(before)}" if before is not None else "the ProxyCommand"
        found = {"through": how}
        if stage.transport is None and failure is not None:
            yield failed("tcp", failure, found)
            return
        yield Step("tcp", Status.OK, found, f"through {how}")
    yield from machine.steps(stage, failure)


def _plan(way: list[HostSettings]) -> list[tuple[str, str]]:
    plan = [("", "configuration")]
    for each in way:
        where = _name(each, way[-1])
        if each.jump is None and each.proxy_command is None:
            plan.append((where, "name_resolution"))
        plan += _planned(where)
    return plan


def _planned(where: str) -> list[tuple[str, str]]:
    behind = () if where else _BEHIND_IT
    return [(where, name) for name in ("tcp", *_ON_THE_WAY, *behind)]


def _name(settings: HostSettings, target: HostSettings) -> str:
    return "" if settings is target else place(settings)


def _read_only(destination: Destination) -> Destination:
    def changed(settings: HostSettings) -> HostSettings:
        return settings._replace(
            trust=settings.trust._replace(read_only=True),
            jump=None if settings.jump is None else changed(settings.jump),
        )

    return destination._replace(settings=changed(destination.settings))
