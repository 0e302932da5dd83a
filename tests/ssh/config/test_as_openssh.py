"""What `ssh -G` says of a configuration is what we say, for a table of configurations and for random ones."""

from __future__ import annotations

import os
import re
import string
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ssh.config.cases import CASES, REAL, Case
from support import programs

from m2m_ssh_client.errors import ConfigError
from m2m_ssh_client.ssh.config import HostConfig, resolve
from m2m_ssh_client.ssh.config.values import parse_jumps

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(
        sys.platform == "win32", reason="accounts, paths and shells are other ones there"
    ),
]

# What tokens and variables stand for must be the same on both sides.
ENVIRONMENT = {"SHORT": "short", "EMPTY": "", "PATH": os.environ["PATH"], "SHELL": "/bin/sh"}


@pytest.fixture(autouse=True)
def _same_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """ssh takes the home from the account database. No file below it is opened here: all are named."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    if sys.platform != "win32":
        import pwd

        monkeypatch.setenv("HOME", pwd.getpwuid(os.getuid()).pw_dir)


def ssh_says(arguments: Sequence[str]) -> dict[str, list[str]] | None:
    """The values of each keyword as ssh resolved them; None where it refused."""
    done = subprocess.run(
        [programs.require("ssh"), "-G", *arguments],
        env={**ENVIRONMENT, "HOME": "/nonexistent"},
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=20,
    )
    if done.returncode:
        return None
    said: dict[str, list[str]] = {}
    for line in done.stdout.decode("utf-8", "surrogateescape").split("\n"):
        keyword, _, value = line.partition(" ")
        said.setdefault(keyword.lower(), []).append(value)
    return said


def we_say(case: Case, file: Path) -> HostConfig | None:
    try:
        return resolve(
            case.host, files=[file], options=case.options, user=case.user, port=case.port
        )
    except ConfigError:
        return None


def arguments_of(case: Case, file: Path) -> list[str]:
    given = [
        *(("-p", str(case.port)) if case.port else ()),
        *(("-l", case.user) if case.user else ()),
        *(word for option in case.options for word in ("-o", option)),
    ]
    # The user must be there before the host: ssh takes the first.
    return ["-F", str(file), *given, "--", case.host]


def write(folder: Path, case: Case) -> Path:
    for name, text in case.files.items():
        (folder / name).write_text(text, newline="")
        (folder / name).chmod(0o600)
    file = folder / "config"
    file.write_bytes(case.text.encode("utf-8", "surrogateescape"))
    return file


ONE_WORD = {
    "hostname": "hostname",
    "user": "user",
    "port": "port",
    "addressfamily": "address_family",
    "bindaddress": "bind_address",
    "connecttimeout": "connect_timeout",
    "connectionattempts": "connection_attempts",
    "serveraliveinterval": "server_alive_interval",
    "serveralivecountmax": "server_alive_count_max",
    "tcpkeepalive": "tcp_keep_alive",
    "batchmode": "batch_mode",
    "proxyusefdpass": "proxy_use_fdpass",
    "kbdinteractiveauthentication": "kbd_interactive_authentication",
    "preferredauthentications": "preferred_authentications",
    "identitiesonly": "identities_only",
    "hostkeyalias": "host_key_alias",
    "stricthostkeychecking": "strict_host_key_checking",
    "hashknownhosts": "hash_known_hosts",
    "verifyhostkeydns": "verify_host_key_dns",
    "requiredrsasize": "required_rsa_size",
    "compression": "compression",
    "remotecommand": "remote_command",
    "sessiontype": "session_type",
    "requesttty": "request_tty",
    "controlmaster": "control_master",
    "loglevel": "log_level",
    "ciphers": "ciphers",
    "macs": "macs",
    "kexalgorithms": "kex_algorithms",
    "hostkeyalgorithms": "host_key_algorithms",
    "pubkeyacceptedalgorithms": "pubkey_accepted_algorithms",
    "casignaturealgorithms": "ca_signature_algorithms",
}  # fmt: skip
SPELLING = {"True": "yes", "False": "no", "true": "yes", "false": "no", "": None, "SILENT": "QUIET"}


def spelt(value: object) -> str | None:
    text = "" if value is None else str(value)
    return SPELLING.get(text, text)


def ours(config: HostConfig, host: str) -> dict[str, object]:
    """Our result as ssh prints its own, with its defaults where we say nothing."""
    default = {**defaults(), "hostname": [host]}
    said: dict[str, object] = {}
    for keyword, name in ONE_WORD.items():
        value = getattr(config, name)
        said[keyword] = spelt(default.get(keyword, [""])[0] if value is None else value)
    if config.server_alive_interval is None and config.batch_mode:
        said["serveraliveinterval"] = "300"  # Debian's
    for keyword, files in (
        ("userknownhostsfile", config.user_known_hosts_files),
        ("globalknownhostsfile", config.global_known_hosts_files),
    ):
        said[keyword] = default[keyword][0] if files is None else " ".join(map(str, files))
    for keyword, files in (
        ("identityfile", config.identity_files),
        ("certificatefile", config.certificate_files),
    ):
        said[keyword] = default.get(keyword, []) if files is None else [str(f) for f in files]
    said["identityagent"] = config.identity_agent
    said["proxycommand"] = config.proxy_command or None
    said["proxyjump"] = config.proxy_jump or None
    said["controlpath"] = config.control_path and str(config.control_path)
    said["controlpersist"] = config.control_persist
    said["sendenv"] = sorted(set(config.send_env))
    said["setenv"] = [f"{name}={value}" for name, value in config.set_env.items()]
    return said


def theirs(said: dict[str, list[str]]) -> dict[str, object]:
    home = str(Path.home())
    result: dict[str, object] = {keyword: spelt(said.get(keyword, [""])[0]) for keyword in ONE_WORD}
    for keyword in ("userknownhostsfile", "globalknownhostsfile"):
        word = said[keyword][0]
        result[keyword] = "" if word.lower() == "none" else word.replace("~", home)
    for keyword in ("identityfile", "certificatefile"):
        files = said.get(keyword, [])
        if files != defaults().get(keyword):
            files = [file.replace("~", home, 1) for file in files if file.lower() != "none"]
        result[keyword] = files
    result["identityagent"] = said.get("identityagent", [None])[0]
    result["proxycommand"] = said.get("proxycommand", [None])[0]
    way = said.get("proxyjump", [None])[0]
    result["proxyjump"] = None if way is None else parse_jumps(way)
    result["controlpath"] = said.get("controlpath", [None])[0]
    persist = said["controlpersist"][0]
    result["controlpersist"] = float({"no": "0", "yes": "inf"}.get(persist, persist))
    result["sendenv"] = sorted(set(said.get("sendenv", [])))
    result["setenv"] = said.get("setenv", [])
    return result


@cache
def defaults() -> dict[str, list[str]]:
    said = ssh_says(["-F", "none", "alias"])
    assert said is not None
    return said


def agree(case: Case, folder: Path) -> None:
    file = write(folder, case)
    said = ssh_says(arguments_of(case, file))
    config = we_say(case, file)
    if config is None and said is not None and QUOTE.search(said.get("proxyjump", [""])[0]):
        return  # ssh takes the quotes for a part of the name, and would give that to a shell with %j
    assert (config is None) == (said is None), "one refuses it, the other does not"
    if config is not None and said is not None:
        assert ours(config, case.host) == theirs(said)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_a_configuration_means_what_it_means_to_ssh(case: Case, tmp_path: Path) -> None:
    agree(case.filled(folder=tmp_path, **REAL), tmp_path)


HOSTS = ["alias", "ALIAS", "h.example", "127.1", "::1"]
WORDS = [
    *HOSTS,
    "*",
    "a*s",
    "?????",
    "!alias",
    "h,*",
    "!h,*",
    "none",
    "yes",
    "no",
    "22",
    "1m",
    "-1",
]
WORDS += [
    "~/a",
    "/a b",
    "%h",
    "%%",
    "%r-%n",
    "%",
    "${SHORT}",
    "${NO}",
    "A=b",
    "LC_*",
    "-LC_*",
    "a,b",
    "u@h:1",
]
QUOTE = re.compile(r"[\"'\\]")
# These are printed as they are written, or mean more to newer versions.
PLAIN = [word for word in WORDS if "%" not in word and "$" not in word]
KEYWORDS = [
    "Host",
    "Match",
    "Port",
    "User",
    "HostName",
    "IdentityFile",
    "CertificateFile",
    "ProxyJump",
]
KEYWORDS += [
    "ProxyCommand",
    "ConnectTimeout",
    "ServerAliveInterval",
    "ConnectionAttempts",
    "SendEnv",
]
KEYWORDS += [
    "SetEnv",
    "UserKnownHostsFile",
    "GlobalKnownHostsFile",
    "StrictHostKeyChecking",
    "LogLevel",
]
KEYWORDS += [
    "IdentitiesOnly",
    "HostKeyAlias",
    "RemoteCommand",
    "RequestTTY",
    "IgnoreUnknown",
    "Nonsense",
]
KEYWORDS += [
    "Include",
    "IdentityAgent",
    "Compression",
    "BindAddress",
    "Ciphers",
    "CanonicalizeHostname",
]
VALUES = {
    **dict.fromkeys(["IdentityFile", "CertificateFile", "ProxyCommand", "User"], PLAIN),
    # Behind `none`, 9.2 takes a comment for a part of the name.
    "ProxyJump": [word for word in PLAIN if word != "none"],
    "Port": ["22", "2222", "022", "0", "ssh", "x"],
    "ConnectTimeout": ["5", "1m", "1h30", "none", "5x"],
    "ServerAliveInterval": ["5", "1M", "1w", "-5"],
    "ConnectionAttempts": ["1", "7", "0", "x"],
    "StrictHostKeyChecking": ["yes", "off", "accept-new", "ask", "maybe"],
    "LogLevel": ["INFO", "debug3", "loud"],
    "IdentitiesOnly": ["yes", "TRUE", "no", "2"],
    "Compression": ["yes", "no", "true"],
    "RequestTTY": ["yes", "no", "force", "auto", "x"],
    "Ciphers": ["aes128-ctr", "aes256-ctr,aes128-ctr"],
    "CanonicalizeHostname": ["no", "x"],
    "IgnoreUnknown": ["nonsense", "non*", "x"],
    "SetEnv": ["A=b", "B=", "C=1=2"],
    "Include": ["{folder}/a", "{folder}/*", "{folder}/no"],
}
CRITERIA = ["all", "canonical", "final", "host", "originalhost", "user", "localuser", "exec true"]
CRITERIA += ["!all", "!canonical", "!final", "!host", "!user", "exec false", "nonsense"]

blank = st.sampled_from([" ", " ", " ", "\t", "  ", " \t "])
between = st.sampled_from([" ", " ", " ", "=", " = ", "\t", "  "])
line_end = st.sampled_from(["\n", "\n", "\n", "\r\n", " \n", "\t\n", " # x\n", "\f\n"])


def in_some_case(word: str) -> st.SearchStrategy[str]:
    return st.sampled_from([word, word, word.lower(), word.upper()])


def quoted(word: str) -> st.SearchStrategy[str]:
    spellings = [word, word, word, f'"{word}"', f"'{word}'", word[:1] + f'"{word[1:]}"']
    return st.sampled_from([*spellings, word.replace("a", "\\\\"), f'"{word}'][: 6 if word else 1])


@st.composite
def config_line(draw: st.DrawFn) -> str:
    keyword = draw(st.sampled_from(KEYWORDS))
    if keyword == "Match":
        words = draw(st.lists(st.sampled_from(CRITERIA), min_size=1, max_size=2))
        takes = {"host", "!host", "originalhost", "user", "!user", "localuser"}
        words = [f"{w} {draw(st.sampled_from(WORDS[:11]))}" if w in takes else w for w in words]
    else:
        several = keyword in ("Host", "SendEnv", "SetEnv", "UserKnownHostsFile", "Include")
        allowed = st.sampled_from(VALUES.get(keyword, WORDS))
        words = draw(st.lists(allowed, min_size=1, max_size=3 if several else 1))
        words = [draw(quoted(word)) for word in words]
    start = draw(st.sampled_from(["", "", " ", "\t"])) + draw(in_some_case(keyword))
    return start + draw(between) + draw(blank).join(words) + draw(line_end)


noise = st.text(alphabet=string.printable, max_size=12).map(lambda text: text + "\n")
mostly_good = st.lists(config_line(), min_size=1, max_size=7).map("".join)
with_noise = st.lists(config_line() | noise, max_size=4).map("".join)


@settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    text=mostly_good | with_noise,
    included=mostly_good,
    host=st.sampled_from(HOSTS),
    user=st.none() | st.just("user"),
)
def test_random_configurations_mean_what_they_mean_to_ssh(
    tmp_path: Path, text: str, included: str, host: str, user: str | None
) -> None:
    (tmp_path / "included").mkdir(exist_ok=True)
    case = Case("random", text, host, user=user, files={"included/a": included})
    case = case.filled(folder=tmp_path / "included")
    agree(case, tmp_path)
