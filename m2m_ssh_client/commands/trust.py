"""The `trust` command: show the host keys that a machine offers, ask whether they are right, and put them on file."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from m2m_ssh_client import logs, options
from m2m_ssh_client.commands.asking import can_ask, say
from m2m_ssh_client.errors import HostKeyError, UsageError
from m2m_ssh_client.ssh.connection import Connection
from m2m_ssh_client.ssh.destination import resolve
from m2m_ssh_client.ssh.login.identities import UnlockedKeys
from m2m_ssh_client.ssh.public_key import HostKey
from m2m_ssh_client.ssh.settings import HostSettings
from m2m_ssh_client.ssh.trust.randomart import randomart
from m2m_ssh_client.ssh.trust.verifier import Finding, HostVerifier, Standing
from m2m_ssh_client.text import printable
from m2m_ssh_client.usage import command_parser

_EXAMPLES = (
    "--host lab",
    "--host lab.example --port 22",
    "--host lab.example --port 22 --yes --host-key SHA256:uNiVztksCsDhcc0u9e8BrrjXVtqy+5Lv3ZmNUtRqPQk",
)

_REFUSED = (Standing.CHANGED, Standing.REVOKED)


def main(name: str, arguments: list[str]) -> int:
    """Raises an SSHClientError."""
    args = parser(name).parse_args(arguments)
    with logs.configured(args.log_level, args.log_file):
        destination = resolve(options.parameters(args, None))
        # Each is checked as the one of a connection would be.
        pins = [options.parameters(argparse.Namespace(host_key=pin), None) for pin in args.pins]
        connection = Connection(
            destination.settings, UnlockedKeys(), connect_timeout=destination.connect_timeout
        )
        try:
            fingerprints = {str(each.host_key) for each in pins}
            return run(destination.settings, fingerprints, args.yes, connection.offered_host_keys)
        finally:
            connection.close()


def parser(name: str) -> argparse.ArgumentParser:
    parser = command_parser(
        name,
        "Show the host keys that a machine offers, with their fingerprints, ask whether they\n"
        "are right, and add them to known_hosts. Takes the options with which you connect.",
        _EXAMPLES,
        words="[options]",
    )
    options.add_machine(parser.add_argument_group("the remote machine"))
    options.add_login(parser.add_argument_group("login, for jump hosts"))
    group = parser.add_argument_group("trust")
    group.add_argument(
        "--host-key",
        dest="pins",
        action="append",
        default=[],
        metavar="SHA256:...",
        help="a fingerprint that the machine's administrator gave you (may be repeated)",
    )
    group.add_argument(
        "--yes", action="store_true", help="add the keys that --host-key names, and ask nothing"
    )
    group.add_argument(
        "--known-hosts",
        type=Path,
        metavar="FILE",
        help="where to add them (default: ~/.ssh/known_hosts)",
    )
    options.add_logging(parser.add_argument_group("other"))
    return parser


def run(
    settings: HostSettings,
    fingerprints: Collection[str],
    yes: bool,
    offered: Callable[[], Sequence[HostKey]],
) -> int:
    """Show each key on stdout and add those that the user confirms; 0 if a key of the machine is on file then, else 1.

    `offered` connects, and gives the machine's plain keys, of each type one. With `yes` nothing is asked: the keys
    with one of the `fingerprints` are added. Where a key has changed or was revoked, nothing is added.
    Raises an SSHClientError.
    """
    if yes and not fingerprints:
        raise UsageError(
            "--yes needs --host-key",
            "Give the fingerprint that the machine's administrator told you, or leave out --yes and be asked.",
        )
    if not yes and not can_ask():
        raise UsageError(
            "There is no terminal to ask on",
            "Give the fingerprint that the machine's administrator told you: --yes --host-key SHA256:…",
        )
    verifier = HostVerifier(settings.trust)
    keys = list(offered())
    findings = _findings(verifier, keys)
    say(f"{printable(settings.address.host)} port {settings.address.port} offers:")
    for key in keys:
        _show(verifier, key, findings[key], key.fingerprint in fingerprints)
    if any(finding.standing in _REFUSED for finding in findings.values()):
        say("\nNothing was added.")
        return 1
    trusted = [_is_trusted(verifier, key, findings[key], fingerprints, yes) for key in keys]
    return 0 if any(trusted) else 1


def _findings(verifier: HostVerifier, keys: Sequence[HostKey]) -> dict[HostKey, Finding]:
    """What is on file for each key.

    A key beside one of another type is a changed one to `ssh`. Here all of the machine's keys are seen: where one of
    them is known, those whose type is not on file are only missing.
    """
    findings = {key: verifier.finding(key) for key in keys}
    if any(finding.standing is Standing.KNOWN for finding in findings.values()):
        for key, finding in findings.items():
            line = finding.line
            if finding.standing is Standing.CHANGED and line and line.key.key_type != key.key_type:
                findings[key] = Finding(Standing.UNKNOWN)
    return findings


def _show(verifier: HostVerifier, key: HostKey, finding: Finding, demanded: bool) -> None:
    say(f"\n{key.short_type.upper()} key {key.fingerprint}\n{randomart(key)}")
    if demanded:
        say("It is the one that --host-key demands.")
    if finding.standing is Standing.KNOWN:
        say(f"It is on file already{f' ({finding.line.place})' if finding.line else ''}.")
    elif finding.standing in _REFUSED:
        say(str(verifier.error(key, finding)))
    else:
        say("It is not on file.")


def _is_trusted(
    verifier: HostVerifier,
    key: HostKey,
    finding: Finding,
    fingerprints: Collection[str],
    yes: bool,
) -> bool:
    """Whether the key is on file, now at the latest."""
    if finding.standing is Standing.KNOWN:
        return True
    if not (key.fingerprint in fingerprints if yes else _confirmed(key)):
        say(f"The {key.short_type.upper()} key {key.fingerprint} was not added.")
        return False
    added = verifier.add(key, beside_other_types=True)
    if added.standing is not Standing.KNOWN:  # since it was looked up
        raise verifier.error(key, added)
    say(f"The {key.short_type.upper()} key {key.fingerprint} was added to {verifier.file}.")
    return True


def _confirmed(key: HostKey) -> bool:
    """Ask on the terminal; the fingerprint itself is an answer too."""
    say(f"\nIs {key.fingerprint} the fingerprint that the machine's administrator gave you?")
    while True:
        try:
            answer = input("Add this key (yes/no, or paste the fingerprint)? ").strip()
        except EOFError:
            return False
        if answer.lower() in ("yes", "no"):
            return answer.lower() == "yes"
        if answer.startswith("SHA256:"):
            if answer.rstrip("=") == key.fingerprint:
                return True
            raise HostKeyError(
                "That is another fingerprint than the machine's",
                "Do not connect before you know why they differ.",
            )
