"""Match lines: ssh_config(5), Match."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from m2m_ssh_client.ssh.config import shell
from m2m_ssh_client.ssh.config.lines import lower, shown
from m2m_ssh_client.ssh.config.patterns import listed


class Facts(NamedTuple):
    """The values that a Match line can test. `expand` expands the tokens of an `exec` command."""

    host: str
    original: str
    user: str
    local_user: str
    tag: str
    session: str
    command: str
    version: str
    final: bool
    expand: Callable[[str], str]


class Criterion(NamedTuple):
    name: str
    negated: bool
    argument: str


def parse(words: tuple[str, ...]) -> tuple[Criterion, ...]:
    """Return the criteria of a Match line; ValueError if it makes no sense."""
    waiting = list(words)
    criteria: list[Criterion] = []
    while waiting:
        word = waiting.pop(0)
        bare = word.removeprefix("!")
        name, equals, argument = bare.partition("=")
        name = lower(name)
        if name == "all" and not equals:
            if waiting or len(criteria) > 1:
                raise ValueError('"all" cannot be combined with other Match criteria')
        elif name in _TESTS:
            if equals and name == "sessiontype":
                raise ValueError("write `sessiontype NAME`: OpenSSH 10 takes no `=` there")
            argument = _argument(name, argument if equals else None, waiting)
        elif name not in ("canonical", "final") or equals:
            raise ValueError(f"unsupported Match criterion {shown(bare)}")
        criteria.append(Criterion(name, word != bare, argument))
    if not criteria:
        raise ValueError("Match needs a criterion")
    return tuple(criteria)


def _argument(name: str, given: str | None, waiting: list[str]) -> str:
    """Return the text behind the name's own `=`, or else the next word."""
    if given is None and waiting:
        given = waiting.pop(0)
        if given == "=" and waiting:
            raise ValueError(f"write `{name}=VALUE`: OpenSSH 10 refuses blanks around the `=`")
    if given is None or (not given and name not in ("tagged", "command")):
        raise ValueError(f"missing argument of the Match criterion {name}")
    return given


def hold(criteria: tuple[Criterion, ...], facts: Facts) -> bool:
    """Return whether all criteria hold.

    Criteria behind one that does not hold are not tested, so that no command runs for nothing.
    """
    return all(_holds(each, facts) != each.negated for each in criteria)


def _holds(criterion: Criterion, facts: Facts) -> bool:
    if criterion.name == "all":
        return True
    if criterion.name in ("canonical", "final"):
        return facts.final
    return _TESTS[criterion.name](criterion.argument, facts)


def _optional(value: str, patterns: str) -> bool:
    """Match a value that may be missing: then only an empty pattern does, and no `*`."""
    return listed(value, patterns) if value else not patterns


def _local_network(networks: str, _: Facts) -> bool:
    """Return whether an interface of this machine that is up has an address in the networks."""
    import ipaddress
    import socket

    import psutil

    wanted = [ipaddress.ip_network(each) for each in networks.split(",")]
    states = psutil.net_if_stats()
    addresses = (
        ipaddress.ip_address(each.address.partition("%")[0])
        for name, of_interface in psutil.net_if_addrs().items()
        if name in states and _is_up(states[name].flags, states[name].isup)
        for each in of_interface
        if each.family in (socket.AF_INET, socket.AF_INET6)
    )
    return any(address in network for address in addresses for network in wanted)


def _is_up(flags: str, running: bool) -> bool:
    """Return whether an interface is up: `ssh` does not ask for a carrier. Windows has no flags."""
    return "up" in flags.split(",") if flags else running


_TESTS: dict[str, Callable[[str, Facts], bool]] = {
    "host": lambda argument, facts: listed(facts.host, argument, lowered=True),
    "originalhost": lambda argument, facts: listed(facts.original, argument, lowered=True),
    "user": lambda argument, facts: listed(facts.user, argument),
    "localuser": lambda argument, facts: listed(facts.local_user, argument),
    "tagged": lambda argument, facts: _optional(facts.tag, argument),
    "sessiontype": lambda argument, facts: listed(facts.session, argument),
    "command": lambda argument, facts: _optional(facts.command, argument),
    "version": lambda argument, facts: listed(facts.version, argument),
    "localnetwork": _local_network,
    "exec": lambda argument, facts: shell.succeeds(facts.expand(argument)),
}
