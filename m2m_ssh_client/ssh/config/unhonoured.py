"""Keywords that this client ignores: reported only where they would have mattered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from m2m_ssh_client.ssh.config.reading import Value

Values = Mapping[str, Value]


def _is(*words: str) -> Callable[[Value, Values], bool]:
    return lambda value, _: value.words[0].lower() in words


def _is_not(*words: str) -> Callable[[Value, Values], bool]:
    return lambda value, _: value.words[0].lower() not in words


def _forwards(_: Value, values: Values) -> bool:
    return not _says(values, "clearallforwardings", "yes")


def _says(values: Values, keyword: str, word: str) -> bool:
    return keyword in values and values[keyword].words[0] == word


# The keyword as written, the condition under which it matters, and the remark.
_TABLE: tuple[tuple[str, Callable[[Value, Values], bool], str], ...] = (
    ("BindInterface", _is_not(), "the system chooses the interface"),
    ("CheckHostIP", _is("yes"), "host keys are looked up by name only"),
    ("DynamicForward", _forwards, "nothing is forwarded"),
    ("ForwardAgent", _is_not("no", "false"), "the agent is not forwarded"),
    ("ForwardX11", _is("yes"), "X11 is not forwarded"),
    ("HostbasedAuthentication", _is("yes"), "only keys are tried"),
    ("KnownHostsCommand", _is_not("none"), "host keys come from files only"),
    (
        "LocalCommand",
        lambda value, values: (
            value.words[0].lower() != "none" and _says(values, "permitlocalcommand", "yes")
        ),
        "no command is run here after the login",
    ),
    ("LocalForward", _forwards, "nothing is forwarded"),
    (
        "NoHostAuthenticationForLocalhost",
        _is("yes"),
        "the host key of this machine is checked as any other",
    ),
    ("PKCS11Provider", _is_not("none"), "keys come from files and the agent only"),
    (
        "PreferredAuthentications",
        lambda value, _: "publickey" not in value.words[0].split(","),
        "keys are tried in any case",
    ),
    ("PubkeyAuthentication", _is("no"), "only keys are tried"),
    ("RemoteForward", _forwards, "nothing is forwarded"),
    ("RequestTTY", _is("force"), "there is no terminal on either side"),
    ("SecurityKeyProvider", _is_not("internal", "none"), "keys come from files and the agent only"),
    ("Tunnel", _is_not("no"), "no tunnel device is opened"),
    ("VerifyHostKeyDNS", _is("yes", "ask"), "host keys in the DNS are not looked up"),
)


def warnings(values: Values) -> Iterator[str]:
    """Return one line for each ignored keyword that would have mattered, with its place."""
    for keyword, matters, consequence in _TABLE:
        value = values.get(keyword.lower())
        if value is not None and matters(value, values):
            yield f"{value.origin}: {keyword} is not supported: {consequence}"
    # Distributions switch it on for everybody; only users who set it themselves may depend on it.
    tickets = values.get("gssapiauthentication")
    if tickets is not None and tickets.words[0] == "yes" and not tickets.system:
        yield f"{tickets.origin}: GSSAPIAuthentication is not supported: only keys are tried (`--via ssh` has it)"
