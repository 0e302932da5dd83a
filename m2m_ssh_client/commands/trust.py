"""The `trust` command: show the host keys of a machine, ask, and add them to known_hosts."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from m2m_ssh_client import logs, options
from m2m_ssh_client.errors import HostKeyError, UsageError
from m2m_ssh_client.hosts import named
from m2m_ssh_client.ssh.connection import Connection
from m2m_ssh_client.ssh.destination import resolve
from m2m_ssh_client.ssh.login.unlocked_keys import UnlockedKeys
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.settings import HostSettings
from m2m_ssh_client.ssh.trust.randomart import randomart
from m2m_ssh_client.ssh.trust.verifier import Finding, HostVerifier, Standing
from m2m_ssh_client.terminal.asking import can_ask, passphrase_prompt, say
from m2m_ssh_client.text import printable
from m2m_ssh_client.usage import Parser, command_parser

_EXAMPLES = (
    "--host lab",
    "lab.example -p 22",
    "--host lab.example --yes --host-key SHA256:uNiVztksCsDhcc0u9e8BrrjXVtqy+5Lv3ZmNUtRqPQk",
)

_REFUSED = (Standing.CHANGED, Standing.REVOKED)


def main(name: str, arguments: list[str]) -> int:
    """Show the keys and add those confirmed; return the exit status. Raises an SSHClientError."""
    args, command = named.understood(parser(name), arguments)
    with logs.configured(args.log_level, args.log_file):
        destination = resolve(options.parameters(args, command, passphrase_prompt()))
        # The rules of Parameters check each fingerprint.
        pins = [options.parameters(argparse.Namespace(host_key=pin), None) for pin in args.pins]
        connection = Connection(
            destination.settings, UnlockedKeys(), connect_timeout=destination.connect_timeout
        )
        try:
            fingerprints = {str(each.host_key) for each in pins}
            offered = partial(connection.offered_host_keys, fingerprints)
            return run(destination.settings, fingerprints, args.yes, offered)
        finally:
            connection.close()


def parser(name: str) -> Parser:
    parser = command_parser(
        name,
        "Show the host key that a machine offers, with its fingerprint, ask whether to trust it,\n"
        "and add it to known_hosts; with --host-key, keys of other types too. Takes the same\n"
        "options as a connection; a remote command or subsystem is not run, but decides which\n"
        "port is the default.",
        _EXAMPLES,
        words="[HOST] [options] [-- REMOTE COMMAND ...]",
    )
    machine = parser.add_argument_group("the remote machine")
    options.add_machine(machine)
    options.add_subsystem(machine)
    options.add_login(parser.add_argument_group("login, for jump hosts"))
    group = parser.add_argument_group("trust")
    group.add_argument(
        "--host-key",
        dest="pins",
        action="append",
        default=[],
        metavar="SHA256:...",
        help="fingerprint from the machine's administrator (may be repeated)",
    )
    group.add_argument(
        "--yes", action="store_true", help="add the keys named by --host-key without asking"
    )
    group.add_argument(
        "--known-hosts",
        type=Path,
        metavar="FILE",
        help="file to add the keys to (default: ~/.ssh/known_hosts)",
    )
    options.add_logging(parser.add_argument_group("other"))
    return parser


def run(
    settings: HostSettings,
    fingerprints: Collection[str],
    yes: bool,
    offered: Callable[[], Sequence[PublicKey]],
) -> int:
    """Show each key on stdout and add those that the user confirms.

    Return 0 if a key of the machine is on file afterwards, else 1. `offered` connects and returns
    plain keys of the machine, each of another type. With `yes`, the keys with one of the
    `fingerprints` are added without asking. If a key has changed or is revoked, none is added.
    Raises an SSHClientError.
    """
    if yes and not fingerprints:
        raise UsageError(
            "--yes needs --host-key",
            "Pass the fingerprint from the machine's administrator, or omit --yes to be asked.",
        )
    if not yes and not can_ask():
        raise UsageError(
            "There is no terminal to ask on",
            "Pass the fingerprint from the machine's administrator: --yes --host-key SHA256:…",
        )
    verifier = HostVerifier(settings.trust)
    keys = list(offered())
    findings = _findings(verifier, keys)
    say(f"{printable(settings.address.host)} port {settings.address.port} offers:")
    for key in keys:
        _show(verifier, key, findings[key], key.fingerprint in fingerprints)
    if not fingerprints:
        say(
            "\nIt may have keys of other types. To see the one with a fingerprint that you know: "
            "--host-key SHA256:…"
        )
    if any(finding.standing in _REFUSED for finding in findings.values()):
        say("\nNothing was added.")
        return 1
    trusted = [_is_trusted(verifier, key, findings[key], fingerprints, yes) for key in keys]
    return 0 if any(trusted) else 1


def _findings(verifier: HostVerifier, keys: Sequence[PublicKey]) -> dict[PublicKey, Finding]:
    """Look up each key on file.

    `ssh` takes a key for changed if only a key of another type is on file. Here all keys of the
    machine are seen: if one of them is known, the others of new types are merely missing.
    """
    findings = {key: verifier.finding(key) for key in keys}
    if any(finding.standing is Standing.KNOWN for finding in findings.values()):
        for key, finding in findings.items():
            line = finding.line
            if finding.standing is Standing.CHANGED and line and line.key.key_type != key.key_type:
                findings[key] = Finding(Standing.UNKNOWN)
    return findings


def _show(verifier: HostVerifier, key: PublicKey, finding: Finding, demanded: bool) -> None:
    say(f"\n{key.short_type.upper()} key {key.fingerprint}\n{randomart(key)}")
    if demanded:
        say("It matches --host-key.")
    if finding.standing is Standing.KNOWN:
        say(f"It is already on file{f' ({finding.line.place})' if finding.line else ''}.")
    elif finding.standing in _REFUSED:
        say(str(verifier.error(key, finding)))
    else:
        say("It is not on file.")


def _is_trusted(
    verifier: HostVerifier,
    key: PublicKey,
    finding: Finding,
    fingerprints: Collection[str],
    yes: bool,
) -> bool:
    """Add the key if it is confirmed; return True if it is on file now."""
    if finding.standing is Standing.KNOWN:
        return True
    if not (key.fingerprint in fingerprints if yes else _confirmed(key)):
        say(f"The {key.short_type.upper()} key {key.fingerprint} was not added.")
        return False
    added = verifier.add(key, beside_other_types=True)
    if added.standing is not Standing.KNOWN:  # changed since the lookup
        raise verifier.error(key, added)
    say(f"The {key.short_type.upper()} key {key.fingerprint} was added to {verifier.file}.")
    return True


def _confirmed(key: PublicKey) -> bool:
    """Ask on the terminal; the answer may be the fingerprint itself."""
    say(f"\nDid the machine's administrator give you the fingerprint {key.fingerprint}?")
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
                "This is not the fingerprint of the machine",
                "Do not connect until you know why they differ.",
            )
