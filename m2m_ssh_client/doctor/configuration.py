"""The configuration step: the options and SSH configuration lines in effect, and the machines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from m2m_ssh_client.doctor.steps import Status, Step
from m2m_ssh_client.masking import masked
from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.ssh.destination import Destination
from m2m_ssh_client.ssh.settings import HostSettings, Request
from m2m_ssh_client.text import printable, shortened

_SECRET = ("passphrase",)


def machines(settings: HostSettings) -> list[HostSettings]:
    """Return the machines of a connection, jump hosts first; the server runs on the last."""
    before = machines(settings.jump) if settings.jump else []
    return [*before, settings]


def place(settings: HostSettings) -> str:
    return f"{printable(settings.address.host)} port {settings.address.port}"


def described(request: Request) -> str:
    """Return the request on one line, without secrets."""
    if request.command is not None:
        command = shortened(printable(masked(request.shown or request.command)))
        return f"command {command}{', run by the login shell' if request.marker else ''}"
    if request.subsystem is not None:
        return f"subsystem {printable(request.subsystem)}"
    return "a shell"


def step(params: Parameters, destination: Destination) -> Step:
    """Return the step: what a connection would use."""
    settings, request = destination.settings, destination.request
    way = machines(settings)
    given = dict(_given(params))
    found: dict[str, object] = {
        "host": params.host,
        "address": settings.address.host,
        "port": settings.address.port,
        "user": settings.login.user,
        "given": given,
        "configuration": _origins(settings),
        "jump_hosts": [
            {
                "address": each.address.host,
                "port": each.address.port,
                "user": each.login.user,
                "configuration": _origins(each),
            }
            for each in way[:-1]
        ],
        "request": described(request),
        "environment": {name: "…" for name, _ in request.environment},
        "warnings": list(destination.warnings),
    }
    if way[0].proxy_command is not None:
        found["proxy_command"] = masked(way[0].proxy_command)
    summary = f"{printable(params.host)}: {place(settings)} as {printable(settings.login.user)}"
    return Step(
        "configuration",
        Status.WARNING if destination.warnings else Status.OK,
        found,
        summary,
        "Remove the unsupported lines from the configuration, or ignore this."
        if destination.warnings
        else "",
        tuple(_details(given, way, request, destination)),
    )


def _details(
    given: dict[str, object], way: list[HostSettings], request: Request, destination: Destination
) -> Iterator[str]:
    if given:
        yield "given: " + ", ".join(f"{name} {value}" for name, value in given.items())
    for each in way:
        if each.origins:
            whose = "" if each is way[-1] else f" for {place(each)}"
            lines = ", ".join(f"{name} ({where})" for name, where in each.origins.items())
            yield f"configured{whose}: {lines}"
    if len(way) > 1:
        yield "through " + ", then ".join(
            f"{printable(each.login.user)}@{place(each)}" for each in way[:-1]
        )
    if way[0].proxy_command is not None:
        yield f"through ProxyCommand {shortened(printable(masked(way[0].proxy_command)))}"
    yield f"requests {described(request)}"
    if request.environment:
        yield "sends " + ", ".join(f"{printable(name)}=…" for name, _ in request.environment)
    yield from map(printable, destination.warnings)


def _given(params: Parameters) -> Iterator[tuple[str, object]]:
    """Yield the options that are not at their defaults, by their names on the command line."""
    for each in fields(params):
        value = getattr(params, each.name)
        if value == each.default or each.name in ("command", "passphrase_prompt"):
            continue
        name = f"--{each.name.replace('_', '-')}"
        if each.name in _SECRET:
            yield name, "…"
        elif each.name == "env":
            yield name, ", ".join(text.partition("=")[0] for text in value)
        elif each.name == "ssh_options":
            # Keywords only: a SetEnv contains the value of a variable.
            keywords = (re.split(r"[=\s]", option.strip())[0] for option in value)
            yield "--ssh-option", ", ".join(map(printable, keywords))
        else:
            yield name, printable(str(value)) if isinstance(value, (str, Path)) else value


def _origins(settings: HostSettings) -> list[dict[str, str]]:
    return [{"keyword": name, "place": where} for name, where in settings.origins.items()]
