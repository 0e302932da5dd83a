"""Rewrite what the code says about itself: `python docs/reference.py`.

The tables of options and commands come from the argument parser, the lists of SSH keywords from the
code that reads them; the text of `--help` is laid out once, so that it shows at once.
tests/test_documentation.py fails where these parts of docs/reference.md, or
m2m_ssh_client/help_text.py, differ from the code.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from m2m_ssh_client import cli
from m2m_ssh_client.commands.completion import everything
from m2m_ssh_client.ssh.config import unhonoured
from m2m_ssh_client.ssh.config.keywords import READERS
from m2m_ssh_client.ssh.config.result import HostConfig

PAGE = Path(__file__).with_name("reference.md")
HELP = Path(cli.__file__).with_name("help_text.py")

_HELP_WIDTH = 78
_DEFAULT = re.compile(r"\s*\(default: ([^()]*)\)")

# Spelled as in ssh_config(5); the code knows them in lower case.
_SPELLED = """
AddKeysToAgent AddressFamily BatchMode BindAddress BindInterface CanonicalDomains
CanonicalizeFallbackLocal CanonicalizeHostname CanonicalizeMaxDots CanonicalizePermittedCNAMEs
CASignatureAlgorithms CertificateFile ChannelTimeout CheckHostIP Ciphers ClearAllForwardings
Compression ConnectionAttempts ConnectTimeout ControlMaster ControlPath ControlPersist
DynamicForward EnableEscapeCommandline EnableSSHKeysign EscapeChar ExitOnForwardFailure
FingerprintHash ForkAfterAuthentication ForwardAgent ForwardX11 ForwardX11Timeout ForwardX11Trusted
GatewayPorts GlobalKnownHostsFile GSSAPIAuthentication GSSAPIDelegateCredentials HashKnownHosts
HostbasedAcceptedAlgorithms HostbasedAuthentication HostKeyAlgorithms HostKeyAlias Hostname
IdentitiesOnly IdentityAgent IdentityFile IgnoreUnknown IPQoS KbdInteractiveAuthentication
KbdInteractiveDevices KexAlgorithms KnownHostsCommand LocalCommand LocalForward LogLevel LogVerbose
MACs NoHostAuthenticationForLocalhost NumberOfPasswordPrompts ObscureKeystrokeTiming
PasswordAuthentication PermitLocalCommand PermitRemoteOpen PKCS11Provider Port
PreferredAuthentications ProxyCommand ProxyJump ProxyUseFdpass PubkeyAcceptedAlgorithms
PubkeyAuthentication RefuseConnection RekeyLimit RemoteCommand RemoteForward RequestTTY
RequiredRSASize RevokedHostKeys SecurityKeyProvider SendEnv ServerAliveCountMax ServerAliveInterval
SessionType SetEnv StdinNull StreamLocalBindMask StreamLocalBindUnlink StrictHostKeyChecking
SyslogFacility Tag TCPKeepAlive Tunnel TunnelDevice UpdateHostKeys User UserKnownHostsFile
VerifyHostKeyDNS VersionAddendum VisualHostKey WarnWeakCrypto XAuthLocation
"""
# These decide how the files are read, and are in no attribute of HostConfig.
_WHILE_READING = {
    *("canonicaldomains", "canonicalizefallbacklocal", "canonicalizehostname"),
    *("canonicalizemaxdots", "canonicalizepermittedcnames", "ignoreunknown", "tag"),
}


def updated(page: str) -> str:
    """Return the page with each generated part made from the code. Raise ValueError for a missing marker."""
    for name, part in (("options", options()), ("commands", commands()), ("keywords", keywords())):
        begin, end = f"<!-- {name}: written by docs/reference.py -->", f"<!-- end of {name} -->"
        before, opened, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not (opened and closed):
            raise ValueError(f"{begin} … {end}")
        page = f"{before}{begin}\n\n{part}\n\n{end}{after}"
    return page


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Names the value of an option once, as argparse does since Python 3.13."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_HELP_WIDTH)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        value = _metavar(action)
        if action.option_strings and action.nargs == argparse.OPTIONAL:
            value = f"[{value}]"
        return f"{', '.join(action.option_strings)} {value}".strip()


def help_module() -> str:
    """Return the module with the text of `--help`."""
    parser = cli.parser()
    parser.formatter_class = _Formatter
    return f'"""The text of `--help`, written by docs/reference.py."""\n\nHELP = """\\\n{parser.format_help()}"""\n'


def options() -> str:
    """Return a table for each group of options of the proxy."""
    groups = [
        (group.title, actions)
        for group in everything()._action_groups
        if (actions := _described(group._group_actions))
    ]
    return "\n\n".join(f"### Options: {title}\n\n{_table(actions)}" for title, actions in groups)


def commands() -> str:
    """Return a section for each command: its help, without the options that it shares with the proxy."""
    return "\n\n".join(_section(name, parser) for name, parser in _commands())


def keywords() -> str:
    """Return which keywords of an OpenSSH configuration count, cause a warning, or have no effect."""
    unsupported = {word.lower(): consequence for word, _, consequence in unhonoured._TABLE}
    unsupported["gssapiauthentication"] = "only keys are tried"
    known = {*_WHILE_READING, *map(_keyword, HostConfig._fields)} & READERS.keys()
    honoured = known - unsupported.keys()
    silent = READERS.keys() - honoured - unsupported.keys()
    table = [f"| {word} | {unsupported[word.lower()]} |" for word in _spelled(unsupported)]
    return "\n".join(
        [
            f"**Honoured:**\n{_listed(honoured)}\n",
            "**Not supported**, with a warning where the value would matter:\n",
            "| keyword | instead |\n|---|---|",
            *table,
            f"\n**Without effect:**\n{_listed(silent)}",
        ]
    )


def _keyword(attribute: str) -> str:
    """Return the keyword that an attribute of HostConfig is for; `identity_files` is for IdentityFile."""
    name = attribute.replace("_", "")
    return name if name in READERS else name.removesuffix("s")


def _spelled(words: Iterable[str]) -> list[str]:
    """Return these keywords as ssh_config(5) has them."""
    spelling = {word.lower(): word for word in _SPELLED.split()}
    return [spelling[word] for word in sorted(words)]


def _listed(words: Iterable[str]) -> str:
    return textwrap.fill(", ".join(_spelled(words)) + ".", 100, break_long_words=False)


def _commands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in everything()._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    words = " ".join(_metavar(action) for action in parser._get_positional_actions())
    usage = (parser.usage or f"%(prog)s {words} [options]") % {"prog": parser.prog}
    description = "\n".join(line.rstrip() for line in (parser.description or "").splitlines())
    text = f"```text\n{' '.join(usage.split())}\n\n{description.strip()}\n```"
    own = [action for group in parser._action_groups for action in group._group_actions]
    return f"### `{name}`\n\n{text}\n\n{_table(_described(own))}"


def _described(actions: Iterable[argparse.Action]) -> list[argparse.Action]:
    left_out = (argparse._HelpAction, argparse._SubParsersAction)
    return [action for action in actions if not isinstance(action, left_out)]


def _table(actions: Iterable[argparse.Action]) -> str:
    return "\n".join(["| option | default | meaning |", "|---|---|---|", *map(_row, actions)])


def _row(action: argparse.Action) -> str:
    names = [f"`{name} {_metavar(action)}".rstrip() + "`" for name in action.option_strings]
    text = (action.help or "").replace("%%", "%")
    default = _DEFAULT.search(text)
    shown = default.group(1) if default else ""
    cells = (", ".join(names) or f"`{_metavar(action)}`", shown, _DEFAULT.sub("", text))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _metavar(action: argparse.Action) -> str:
    """Return the word for the value of an option, empty for a flag, or for an argument."""
    if action.nargs == 0:
        return ""
    if action.choices and not action.metavar:
        return "{" + ",".join(action.choices) + "}"
    return str(action.metavar or action.dest.upper())


if __name__ == "__main__":
    HELP.write_text(help_module(), encoding="utf-8", newline="\n")
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
