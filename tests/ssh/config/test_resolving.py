"""What must hold without OpenSSH beside us: errors, origins, warnings, tokens, files."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ssh.config.cases import CASES, REAL
from support.examples import examples

from m2m_ssh_client.errors import ConfigError
from m2m_ssh_client.ssh.config import HostConfig, Jump, resolve, shell
from m2m_ssh_client.ssh.config.lines import parse, split
from m2m_ssh_client.ssh.config.patterns import listed, matches
from m2m_ssh_client.ssh.config.tokens import local_user

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="a mode, path or shell of POSIX")


class Folder:
    """A folder of configuration files; `resolve` reads its `config` unless told otherwise."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config"

    def write(self, text: str | bytes, name: str = "config") -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        path.chmod(0o600)
        return path

    def resolve(self, text: str | bytes, host: str = "alias", **options: Any) -> HostConfig:
        return resolve(host, files=[self.write(text)], **options)

    def refusal(self, text: str | bytes, host: str = "alias", **options: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            self.resolve(text, host, **options)
        return caught.value.message


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def home() -> Folder:
    """The private home of this test, and the folder there that the default files are in."""
    return Folder(Path.home() / ".ssh")


# Files


def test_without_files_and_options_only_the_name_is_known() -> None:
    config = resolve("Alias", files=())
    assert config == HostConfig(hostname="alias", origins={}, warnings=())


def test_the_file_in_the_home_is_read_where_none_is_named(home: Folder) -> None:
    home.write("Host alias\nPort 2222\n")
    assert resolve("alias").port == 2222
    assert resolve("alias", files=()).port is None


def test_a_home_without_a_configuration_is_no_error() -> None:
    assert resolve("alias").hostname == "alias"


def test_a_named_file_must_be_there(folder: Folder) -> None:
    with pytest.raises(ConfigError, match="config cannot be read: No such file"):
        resolve("alias", files=[folder.config])


def test_a_named_file_must_be_a_file(folder: Folder) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        resolve("alias", files=[folder.path])


def test_several_named_files_are_read_in_turn(folder: Folder) -> None:
    files = [folder.write("Port 1\n", "a"), folder.write("Port 2\nUser u\n", "b")]
    config = resolve("alias", files=files)
    assert (config.port, config.user) == (1, "u")


@posix_only
@pytest.mark.parametrize(("mode", "is_read"), [(0o644, True), (0o602, False), (0o666, False)])
def test_the_users_file_must_not_be_writable_by_others(
    home: Folder, mode: int, is_read: bool
) -> None:
    home.write("Port 2222\n").chmod(mode)
    if is_read:
        assert resolve("alias").port == 2222
    else:
        with pytest.raises(ConfigError, match="belongs to somebody else, or others may write"):
            resolve("alias")


@posix_only
def test_a_group_may_write_only_where_it_has_no_other_member(
    home: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform == "win32":
        return
    import grp
    import pwd

    me = pwd.getpwuid(os.getuid())
    path = home.write("Port 2222\n")
    path.chmod(0o660)
    group = path.stat().st_gid
    for members, accounts, allowed in (
        ([], [me], True),
        ([me.pw_name], [me], True),
        (["eve"], [me], False),
        ([], [me, pwd.struct_passwd(("eve", "x", me.pw_uid + 1, group, "", "/", "/"))], False),
    ):
        entry = grp.struct_group(("g", "x", group, members))
        monkeypatch.setattr(grp, "getgrgid", lambda _, entry=entry: entry)
        monkeypatch.setattr(pwd, "getpwall", lambda accounts=accounts: accounts)
        if allowed:
            assert resolve("alias").port == 2222
        else:
            with pytest.raises(ConfigError, match="others may write"):
                resolve("alias")


@posix_only
def test_a_named_file_may_belong_to_anybody(folder: Folder) -> None:
    folder.write("Port 2222\n").chmod(0o666)
    assert resolve("alias", files=[folder.config]).port == 2222


@posix_only
def test_an_included_file_must_not_be_writable_by_others(folder: Folder) -> None:
    path = folder.write("Port 2222\n", "a")
    path.chmod(0o666)
    assert "others may write" in folder.refusal(f"Include {path}\n")


def test_includes_are_relative_to_the_home(folder: Folder, home: Folder) -> None:
    home.write("Port 2222\n", "conf.d/one.conf")
    home.write("User u\n", "two")
    config = folder.resolve("Include conf.d/*.conf\nInclude ~/.ssh/two\n")
    assert (config.port, config.user) == (2222, "u")


def test_an_include_may_have_tokens_and_variables(
    folder: Folder, home: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONF", "conf.d")
    home.write("Port 2222\n", "conf.d/alias")
    assert folder.resolve("Include ${CONF}/%n\n").port == 2222
    home.write("User u\n", "a%z")
    assert folder.resolve("Include a%z\n").user == "u"


def test_bytes_that_are_no_utf_8_keep_their_meaning(folder: Folder) -> None:
    config = folder.resolve(b"User caf\xe9\nIdentityFile /caf\xe9\nRemoteCommand \xff\n")
    assert config.user == "caf\udce9"
    assert config.remote_command == "\udcff"
    if sys.platform != "win32":
        assert os.fsencode((config.identity_files or ())[0]) == b"/caf\xe9"


def test_a_mark_of_utf_8_is_passed_over(folder: Folder) -> None:
    assert folder.resolve(b"\xef\xbb\xbfPort 2222\n").port == 2222


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_file_in_utf_16_is_called_so(folder: Folder, encoding: str) -> None:
    with pytest.raises(ConfigError, match="is UTF-16") as caught:
        folder.resolve("\ufeffPort 2222\n".encode(encoding))
    assert "Save it as UTF-8" in caught.value.hint


@posix_only
def test_a_pipe_is_read_once_for_both_passes() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"Match final\nPort 2222\n")
    os.close(writer)
    try:
        assert resolve("alias", files=[Path(f"/dev/fd/{reader}")]).port == 2222
    finally:
        os.close(reader)


# Errors


def test_an_error_names_file_and_line(folder: Folder) -> None:
    text = "Port 22\n\nHost other\n  Prot 22\n"
    expected = f"{folder.config}:4: bad configuration option prot"
    assert folder.refusal(text) == expected


def test_all_lines_that_make_no_sense_are_told_at_once(folder: Folder) -> None:
    message = folder.refusal("Port x\nUser u\nPort 1 2\nNonsense 1\nUser\nUser 'a\n" + "X 1\n" * 5)
    for line, text in (
        (1, "port: bad port x"),
        (3, "port: extra arguments at the end of the line"),
        (4, "bad configuration option nonsense"),
        (5, "User: no argument"),
        (6, "invalid quotes"),
    ):
        assert f"{folder.config}:{line}: {text}" in message
    assert message.endswith("; and 5 more")


def test_an_error_in_an_include_names_the_included_file(folder: Folder) -> None:
    path = folder.write("Port x\n", "a")
    assert f"{path}:1: port" in folder.refusal(f'Include "{path.as_posix()}"\n')


def test_an_error_of_an_option_shows_the_option(folder: Folder) -> None:
    assert folder.refusal("", options=["Port=x"]) == "-o Port=x: port: bad port x"


@pytest.mark.parametrize("option", ["Host=a", "Match=all", "Include=/a"])
def test_blocks_and_includes_are_for_files(folder: Folder, option: str) -> None:
    assert "bad configuration option" in folder.refusal("", options=[option])


def test_a_jump_host_whose_name_is_none_is_told_with_its_place(folder: Folder) -> None:
    assert "config:2: ProxyJump: no host name may have" in folder.refusal("\nProxyJump a$(x)\n")


@pytest.mark.parametrize(
    "line",
    [
        b"ProxyJump a\x01",
        b"HostName %\x11",
        b"IdentityFile ~\x1b[2J/x",
        b"IdentityFile ${\x1b}",
        b"HostName \x1b[2J\nCanonicalizeHostname yes\nCanonicalDomains x.invalid\nCanonicalizeFallbackLocal no",
    ],
)
def test_nothing_that_an_error_repeats_can_steer_a_terminal(folder: Folder, line: bytes) -> None:
    assert folder.refusal(line).isprintable()


def test_an_error_cannot_steer_a_terminal(folder: Folder) -> None:
    message = folder.refusal(b"Port \x1b[2J\xff" + b"x" * 9999 + b"\n")
    assert r"bad port \x1b[2J\xff" in message
    assert len(message) < 400


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("UserKnownHostsFile /a%z\n", "config:1: userknownhostsfile: %z means nothing here"),
        (
            "IdentityFile ${NOT_SET}/a\n",
            "identityfile: the environment variable NOT_SET is not set",
        ),
        ("IdentityFile ${NOT\n", "identityfile: ${ without a name and }"),
        ("IdentityFile ~nobody-at-all/a\n", "~nobody-at-all: no such user"),
        ("RemoteCommand a%\n", "remotecommand: % means nothing here"),
        ("ProxyCommand nc %l\n", "proxycommand: %l means nothing here"),
        ("ProxyJump %l\n", "proxyjump: %l means nothing here"),
        ("HostName %p\n", "%p means nothing here"),
        ("RefuseConnection 'not today'\n", "config:1: the connection is refused: not today"),
        ("ConnectionAttempts 0\n", "config:1: ConnectionAttempts must be 1 at least"),
        ("ProxyJump alias\n", "alias would be reached through itself"),
        ("Match tagged\n", "config:1: missing argument of the Match criterion tagged"),
        ("Match localnetwork 10.0.0.1/8\n", "config:1: 10.0.0.1/8 has host bits set"),
    ],
)
def test_what_cannot_be_made_up_is_an_error(folder: Folder, text: str, place: str) -> None:
    assert place in folder.refusal(text)


@pytest.mark.parametrize("host", ["", "-x", "a b", "a;b", "$(a)", "a\nb", "a`b`", "a,b"])
def test_a_host_name_must_be_one(host: str) -> None:
    with pytest.raises(ConfigError, match="no host name may have"):
        resolve(host, files=())


@pytest.mark.parametrize("user", ["-x", "a -b", "a;b", "a|b", "a\nb", "a\\"])
def test_a_user_name_must_be_one(user: str) -> None:
    with pytest.raises(ConfigError, match="no user name may have"):
        resolve("alias", files=(), user=user)


@pytest.mark.parametrize("user", ["DOMAIN\\user", "a b", "a@b", "a.b-c_d$"])
def test_a_user_name_may_be_unusual(user: str) -> None:
    assert resolve("alias", files=(), user=user).user == user


# What comes out


def test_every_attribute_has_its_keyword(folder: Folder) -> None:
    config = folder.resolve(
        "HostName H\nUser u\nPort 1\nAddressFamily inet6\nBindAddress ::1\nConnectTimeout 1m\n"
        "ConnectionAttempts 2\nServerAliveInterval 3\nServerAliveCountMax 4\nTCPKeepAlive no\n"
        "BatchMode yes\nProxyUseFdpass yes\nKbdInteractiveAuthentication no\nPreferredAuthentications publickey\n"
        "IdentityFile /i\nCertificateFile /c\nIdentitiesOnly yes\nIdentityAgent /a\n"
        "UserKnownHostsFile /u /v\nGlobalKnownHostsFile /g\nRevokedHostKeys /r\nHostKeyAlias A\n"
        "StrictHostKeyChecking off\nHashKnownHosts yes\nUpdateHostKeys ask\nVerifyHostKeyDNS no\n"
        "RequiredRSASize 2048\nProxyJump a@b:5,c\n"
        "Ciphers +c\nMACs -m*\nKexAlgorithms ^k\nHostKeyAlgorithms h\nPubkeyAcceptedAlgorithms p\n"
        "CASignatureAlgorithms s\nCompression yes\nSendEnv A B*\nSetEnv C=d\nRemoteCommand cat\n"
        "SessionType subsystem\nRequestTTY no\nLogLevel verbose\n"
    )
    assert config == HostConfig(
        hostname="h",
        origins=config.origins,
        warnings=config.warnings,
        user="u",
        port=1,
        address_family="inet6",
        bind_address="::1",
        connect_timeout=60,
        connection_attempts=2,
        server_alive_interval=3,
        server_alive_count_max=4,
        tcp_keep_alive=False,
        batch_mode=True,
        kbd_interactive_authentication=False,
        preferred_authentications="publickey",
        identity_files=(Path("/i"),),
        certificate_files=(Path("/c"),),
        identities_only=True,
        identity_agent="/a",
        user_known_hosts_files=(Path("/u"), Path("/v")),
        global_known_hosts_files=(Path("/g"),),
        revoked_host_keys=(Path("/r"),),
        host_key_alias="a",
        strict_host_key_checking="no",
        hash_known_hosts=True,
        update_host_keys="ask",
        verify_host_key_dns="no",
        required_rsa_size=2048,
        proxy_jump=(Jump("b", "a", 5), Jump("c")),
        proxy_use_fdpass=True,
        ciphers="+c",
        macs="-m*",
        kex_algorithms="^k",
        host_key_algorithms="h",
        pubkey_accepted_algorithms="p",
        ca_signature_algorithms="s",
        compression=True,
        send_env=("A", "B*"),
        set_env={"C": "d"},
        remote_command="cat",
        session_type="subsystem",
        request_tty="no",
        log_level="VERBOSE",
    )
    assert set(config.origins.values()) == {f"{folder.config}:{n}" for n in range(1, 42)}


def test_none_is_something_else_than_nothing(folder: Folder) -> None:
    nothing = folder.resolve("")
    none = folder.resolve(
        "IdentityFile none\nCertificateFile none\nUserKnownHostsFile none\nGlobalKnownHostsFile none\n"
        "IdentityAgent none\nProxyJump none\nRemoteCommand none\nRevokedHostKeys none\n"
    )
    for name, value in {
        "identity_files": (),
        "certificate_files": (),
        "user_known_hosts_files": (),
        "global_known_hosts_files": (),
        "identity_agent": "none",
        "proxy_jump": (),
        "remote_command": "",
        "revoked_host_keys": (),
    }.items():
        assert getattr(nothing, name) is None
        assert getattr(none, name) == value
    assert folder.resolve("ProxyCommand none\n").proxy_command == ""


def test_none_among_identity_files_is_no_file(folder: Folder) -> None:
    config = folder.resolve("IdentityFile none\nIdentityFile /a\nIdentityFile /a\n")
    assert config.identity_files == (Path("/a"),)


def test_a_jump_of_none_leaves_a_command_its_chance(folder: Folder) -> None:
    config = folder.resolve("ProxyJump none\nProxyJump a\nProxyCommand nc\n")
    assert (config.proxy_jump, config.proxy_command) == ((), "nc")


def test_origins_are_where_the_first_value_stands(folder: Folder) -> None:
    config = folder.resolve(
        "User u\nPort 2\nIdentityFile /a\nIdentityFile /b\n", options=["Port 1"]
    )
    assert config.origins == {
        "port": "-o",
        "user": f"{folder.config}:1",
        "identityfile": f"{folder.config}:3",
    }


def test_the_callers_user_and_port_win_and_count(folder: Folder) -> None:
    text = "User a\nPort 1\nMatch user me\nUserKnownHostsFile /%r/%p\n"
    config = folder.resolve(text, user="me", port=8, options=["User=b", "Port=2"])
    assert (config.user, config.port) == ("me", 8)
    assert config.user_known_hosts_files == (Path("/me/8"),)
    assert not {"user", "port"} & set(config.origins)


def test_the_callers_defaults_are_seen_but_not_said(folder: Folder) -> None:
    text = "Match user mcp\nUserKnownHostsFile /%r/%p\n"
    config = folder.resolve(text, default_user="mcp", default_port=8022)
    assert (config.user, config.port) == (None, None)
    assert config.user_known_hosts_files == (Path("/mcp/8022"),)


def test_tokens_are_expanded(folder: Folder) -> None:
    config = folder.resolve(
        "HostName h.%h\nUser u\nPort 7\nHostKeyAlias K\nProxyJump j\n"
        "RemoteCommand %%|%h|%n|%p|%r|%k|%j|%d|%L|%l|%i|%u|%C\n"
    )
    name = socket.gethostname()
    user_id = "0"
    if sys.platform != "win32":
        user_id = str(os.getuid())
    connection = hashlib.sha1(f"{name}h.alias7uj".encode()).hexdigest()  # noqa: S324 - its definition
    expected = ["%", "h.alias", "alias", "7", "u", "k", "j", str(Path.home())]
    expected += [name.partition(".")[0], name, user_id, local_user(), connection]
    assert (config.remote_command or "").split("|") == expected


def test_tokens_of_a_way_are_those_of_the_target(folder: Folder) -> None:
    config = folder.resolve("HostName h\nUser u\nPort 7\nProxyCommand nc %h %p %r %n %k %%\n")
    assert config.proxy_command == "nc h 7 u alias alias %"
    config = folder.resolve("HostName h\nUser u\nProxyJump %r@%n.gate,%h-in\n")
    assert config.proxy_jump == (Jump("alias.gate", "u"), Jump("h-in"))


def test_nothing_is_expanded_twice(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALUE", "%h${VALUE}")
    config = folder.resolve("User u%%h\nIdentityFile /${VALUE}%%h%r\n", user="%h~")
    assert config.identity_files == (Path("/%h${VALUE}%h%h~"),)


def test_user_and_environment_are_expanded_as_newer_versions_do(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHO", "ann")
    config = folder.resolve("User ${WHO}-%n\nSetEnv A=%h B=50% C=${NOT_SET}\nIdentityFile /%r\n")
    assert config.user == "ann-alias"
    assert config.identity_files == (Path("/ann-alias"),)
    assert config.set_env == {"A": "alias", "B": "50%", "C": "${NOT_SET}"}
    assert folder.resolve("User 50%r\n").user == "50%r"


@pytest.mark.parametrize("user", ["User ${WHO}", "Host *\n  User ${WHO}"])
@pytest.mark.parametrize("who", ["a;b", "a`b`", "-oX=y", "a -b", "a\nb", "$(b)", "a|b"])
def test_a_user_that_a_shell_could_act_on_is_refused_after_expansion(
    user: str, who: str, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHO", who)
    with pytest.raises(ConfigError, match=r"config:\d: User: no user name may have"):
        folder.resolve(f"{user}\nProxyCommand : %r\n")


def test_a_variable_that_is_not_set_is_left_to_no_shell(folder: Folder) -> None:
    with pytest.raises(ConfigError, match="User: no user name may have"):
        folder.resolve("User ${M2M_NOT_SET}\n")


def test_a_user_of_an_option_is_checked_before_a_command_gets_it(
    folder: Folder, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(ConfigError, match="The user name a;b has"):
        folder.resolve(f'Match exec "touch {mark}; : %r"\n', options=["User=a;b"])
    assert not mark.exists()


def test_a_literal_user_may_be_a_gateways(folder: Folder) -> None:
    assert folder.resolve("User ada;lab\n").user == "ada;lab"


def test_a_tilde_is_the_home_that_we_know(folder: Folder) -> None:
    config = folder.resolve(
        "IdentityFile ~/a\nUserKnownHostsFile ~/b /~c\nGlobalKnownHostsFile ~/%h\n"
    )
    assert config.identity_files == (Path.home() / "a",)
    assert config.user_known_hosts_files == (Path.home() / "b", Path("/~c"))
    assert config.global_known_hosts_files == (Path.home() / "%h",)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("none", "none"),
        ("SSH_AUTH_SOCK", "/agent"),
        ("$SSH_AUTH_SOCK", "/agent"),
        ("$OTHER", "/other"),
        ("$NOT_SET", "none"),
        ("${OTHER}/x", "/other/x"),
        ("/%n", "/alias"),
    ],
)
def test_an_agent_is_found(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, value: str, expected: str
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/agent")
    monkeypatch.setenv("OTHER", "/other")
    assert folder.resolve(f"IdentityAgent {value}\n").identity_agent == expected


def test_no_agent_is_found_where_none_runs(folder: Folder) -> None:
    assert folder.resolve("IdentityAgent SSH_AUTH_SOCK\n").identity_agent == "none"


@pytest.mark.parametrize(
    ("way", "jumps"),
    [
        ("a", (Jump("a"),)),
        ("a,b,c", (Jump("a"), Jump("b"), Jump("c"))),
        ("u@a:5", (Jump("a", "u", 5),)),
        ("u@x@a", (Jump("a", "u@x"),)),
        ("[::1]:5", (Jump("::1", None, 5),)),
        ("[::1]", (Jump("::1"),)),
        ("ssh://u@a:5", (Jump("a", "u", 5),)),
        ("ssh://a/,b", (Jump("a"), Jump("b"))),
        ("ssh://u%40x@a", (Jump("a", "u@x"),)),
        ("ssh://u;fingerprint=f@a", (Jump("a", "u"),)),
        ("a # b", (Jump("a"),)),
        ("NONE", ()),
        ("none # b", ()),
    ],
)
def test_a_way_is_taken_apart(folder: Folder, way: str, jumps: tuple[Jump, ...]) -> None:
    assert folder.resolve(f"ProxyJump {way}\n").proxy_jump == jumps


# Warnings


@pytest.mark.parametrize(
    "line",
    [
        "BindInterface eth0", "CheckHostIP yes", "DynamicForward 1080", "ForwardAgent yes",
        "ForwardAgent /agent", "ForwardX11 yes", "GSSAPIAuthentication yes", "HostbasedAuthentication yes",
        "KnownHostsCommand /bin/keys %H", "LocalForward 1 a:2", "NoHostAuthenticationForLocalhost yes",
        "PKCS11Provider /lib/x.so", "PreferredAuthentications password", "PubkeyAuthentication no",
        "RemoteForward 1 a:2", "RequestTTY force", "SecurityKeyProvider /lib/x.so",
        "Tunnel yes", "VerifyHostKeyDNS ask",
    ],
)  # fmt: skip
def test_what_would_have_mattered_is_told(folder: Folder, line: str) -> None:
    keyword = line.split(" ")[0]
    (warning,) = folder.resolve(f"\n{line}\n").warnings
    assert warning.startswith(f"{folder.config}:2: {keyword} is not supported: ")
    assert folder.resolve(f"Host other\n{line}\n").warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        "CheckHostIP no", "ForwardAgent no", "ForwardX11 no", "GSSAPIAuthentication no",
        "HostbasedAuthentication no", "KnownHostsCommand none", "PKCS11Provider none",
        "PreferredAuthentications gssapi-with-mic,publickey", "PubkeyAuthentication yes",
        "PubkeyAuthentication host-bound", "RequestTTY yes", "RevokedHostKeys /a",
        "SecurityKeyProvider internal", "Tunnel no", "VerifyHostKeyDNS no", "ProxyUseFdpass yes",
        "ProxyUseFdpass yes\nProxyCommand nc", "LocalCommand ls", "PermitLocalCommand yes",
        "LocalCommand none\nPermitLocalCommand yes", "LocalForward 1 a:2\nClearAllForwardings yes",
        "ControlMaster auto\nControlPath ~/%C\nControlPersist 10m", "AddKeysToAgent yes",
        "UpdateHostKeys yes", "VisualHostKey yes", "EscapeChar none", "IPQoS lowdelay throughput",
        "RekeyLimit 1G 1h", "ObscureKeystrokeTiming no", "ChannelTimeout session=1h", "UseKeychain yes",
        "ForwardX11Trusted yes", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
        "FingerprintHash md5", "StdinNull yes", "WarnWeakCrypto no", "VersionAddendum x", "LogVerbose x",
    ],
)  # fmt: skip
def test_what_does_no_harm_is_not_told(folder: Folder, text: str) -> None:
    assert folder.resolve(text).warnings == ()


def test_some_keywords_matter_only_together(folder: Folder) -> None:
    assert len(folder.resolve("LocalCommand ls\nPermitLocalCommand yes").warnings) == 1


@posix_only
def test_what_a_distribution_switches_on_for_everybody_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from m2m_ssh_client.ssh.config import files

    monkeypatch.setattr(files, "_system_folder", lambda: tmp_path)
    folder = Folder(tmp_path)
    folder.write(
        "Include ssh_config.d/*.conf\nGSSAPIAuthentication yes\nForwardX11 yes\n", "ssh_config"
    )
    folder.write("Port 2222\n", "ssh_config.d/a.conf")
    config = resolve("alias")
    assert config.port == 2222
    assert [warning.split()[1] for warning in config.warnings] == ["ForwardX11"]
    folder.write("Include ~/a\n", "ssh_config")
    with pytest.raises(ConfigError, match="no ~ in a system-wide file"):
        resolve("alias")


# Conditions


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ('tagged ""', False),
        ("tagged work", True),
        ("!tagged play", True),
        ("sessiontype exec", True),
        ("sessiontype shell", False),
        ('command "uvx *"', True),
        ("command ls", False),
        ("tagged *", True),
        ("command *", True),
        ("version OpenSSH_10.*", True),
        ("version OpenSSH_*,!OpenSSH_10.*", False),
        ("localnetwork 127.0.0.0/8", True),
        ("localnetwork 127.0.0.0/30,::1/128", True),
        ("localnetwork 127.0.0.1", True),
        ("localnetwork 127.0.0.1/32", True),
        ("localnetwork 192.0.2.1", False),
        ("localnetwork 0.0.0.0/0", True),
    ],
)
def test_newer_criteria(folder: Folder, condition: str, holds: bool) -> None:
    text = f"Tag work\nMatch {condition}\nPort 2222\n"
    assert folder.resolve(text, command="uvx server").port == (2222 if holds else None)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("tagged *", False),
        ("command *", False),
        ("!tagged *", True),
        ('tagged "" command ""', True),
    ],
)
def test_an_empty_value_matches_an_empty_pattern_only(
    folder: Folder, condition: str, holds: bool
) -> None:
    config = folder.resolve(f"Match {condition}\nPort 2222\n")
    assert config.port == (2222 if holds else None)


@pytest.mark.parametrize(
    ("flags", "running", "holds"),
    [
        ("up,broadcast,multicast", False, True),  # a bridge without a member
        ("broadcast", False, False),
        ("", True, True),  # Windows
        ("", False, False),
    ],
)
def test_only_interfaces_that_are_up_have_a_network(
    flags: str, running: bool, holds: bool, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = SimpleNamespace(family=socket.AF_INET6, address="2001:db8::5%br0")
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"br0": [address], "gone": [address]})
    state = SimpleNamespace(flags=flags, isup=running)
    monkeypatch.setattr(psutil, "net_if_stats", lambda: {"br0": state})
    config = folder.resolve("Match localnetwork 10.0.0.0/8,2001:db8::/64\nPort 2222\n")
    assert config.port == (2222 if holds else None)


def test_a_session_without_a_command_is_a_shell(folder: Folder) -> None:
    assert folder.resolve('Match sessiontype shell command ""\nPort 2222\n').port == 2222
    text = "SessionType subsystem\nMatch sessiontype subsystem\nPort 2222\n"
    assert folder.resolve(text).port == 2222


@posix_only
def test_a_command_behind_a_condition_that_fails_is_not_run(folder: Folder) -> None:
    mark = folder.path / "mark"
    folder.write(f'Match exec "touch {mark}"\n', "a")
    folder.resolve(f'Match host other exec "touch {mark}"\nHost other\nInclude {folder.path}/a\n')
    assert not mark.exists()
    folder.resolve(f'Match !host other exec "touch {mark}"\n')
    assert mark.exists()


@posix_only
def test_a_command_has_neither_stdin_nor_stdout(
    folder: Folder, capfd: pytest.CaptureFixture[str]
) -> None:
    assert folder.resolve('Match exec "cat; echo out; echo err >&2"\nPort 2222\n').port == 2222
    assert capfd.readouterr() == ("", "err\n")


@posix_only
def test_a_command_that_does_not_end_is_ended_with_its_children(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "_TIMEOUT", 0.5)
    monkeypatch.setenv("SHELL", "/bin/sh")
    pids = folder.path / "pid"
    started = time.monotonic()
    message = folder.refusal(f'Match exec "sleep 60 & echo $! > {pids}; wait"\n')
    assert "took longer than 0.5 s" in message
    assert time.monotonic() - started < 10
    _wait_until_gone(int(pids.read_text()))


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return
        except FileNotFoundError:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} is still there")


@posix_only
def test_a_shell_that_is_not_there_is_an_error(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", "/nowhere/sh")
    assert "config:1: cannot run true" in folder.refusal("Match exec true\n")


# Canonical names


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Names that can be looked up, and their official names."""
    names: dict[str, str] = {}

    def look_up(name: str, *_: object, **__: object) -> list[tuple[Any, ...]]:
        if name not in names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, names[name], ("127.0.0.1", 22))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return names


@pytest.mark.parametrize(
    ("text", "host", "expected"),
    [
        ("CanonicalizeHostname yes\nCanonicalDomains a.test b.test\n", "h", "h.b.test"),
        ("CanonicalDomains a.test b.test\n", "h", "h"),
        ("CanonicalizeHostname yes\nCanonicalDomains a.test b.test\n", "H", "h.b.test"),
        ("CanonicalizeHostname yes\nCanonicalDomains a.test\n", "h", "h"),
        ("CanonicalizeHostname yes\nCanonicalDomains b.test\n", "x.h", "x.h.b.test"),
        (
            "CanonicalizeHostname yes\nCanonicalizeMaxDots 0\nCanonicalDomains b.test\n",
            "x.h",
            "x.h",
        ),
        ("CanonicalizeHostname yes\n", "full.test.", "full.test"),
        ("CanonicalizeHostname yes\nCanonicalDomains b.test\nProxyCommand nc\n", "h", "h"),
        (
            "CanonicalizeHostname always\nCanonicalDomains b.test\nProxyCommand nc\n",
            "h",
            "h.b.test",
        ),
        ("CanonicalizeHostname yes\nCanonicalDomains b.test\nProxyJump j\n", "h", "h"),
        ("CanonicalizeHostname yes\nCanonicalDomains none\n", "h", "h"),
        (
            "CanonicalizeHostname yes\nCanonicalDomains b.test\nCanonicalizePermittedCNAMEs *.b.test:*.c.test\n",
            "h",
            "real.c.test",
        ),
        (
            "CanonicalizeHostname yes\nCanonicalDomains b.test\nCanonicalizePermittedCNAMEs *.d.test:*.c.test\n",
            "h",
            "h.b.test",
        ),
        (
            "CanonicalizeHostname yes\nCanonicalDomains b.test\nCanonicalizePermittedCNAMEs *\n",
            "h",
            "real.c.test",
        ),
        (
            "CanonicalizeHostname yes\nCanonicalizePermittedCNAMEs *:*.c.test\n",
            "a.b.c",
            "real.c.test",
        ),
        ("CanonicalizeHostname yes\nCanonicalizePermittedCNAMEs none\n", "a.b.c", "a.b.c"),
    ],
)
def test_a_name_is_made_canonical(
    folder: Folder, known: dict[str, str], text: str, host: str, expected: str
) -> None:
    known["h.b.test."] = known["a.b.c"] = "real.c.test"
    known["x.h.b.test."] = known["full.test."] = ""
    assert folder.resolve(text, host).hostname == expected


def test_a_canonical_name_has_its_own_blocks(folder: Folder, known: dict[str, str]) -> None:
    known["h.b.test."] = ""
    text = "CanonicalizeHostname yes\nCanonicalDomains b.test\nHost *.b.test\nPort 2222\n"
    config = folder.resolve(text + "Match canonical originalhost h\nUser u\n", "h")
    assert (config.port, config.user) == (2222, "u")


@pytest.mark.usefixtures("known")
def test_a_name_may_have_to_be_known(folder: Folder) -> None:
    text = "CanonicalizeHostname yes\nCanonicalDomains b.test\nCanonicalizeFallbackLocal no\n"
    assert "none of CanonicalDomains" in folder.refusal(text)


# Lines


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b", ("a", "b")),
        (" a\tb ", ("a", "b")),
        ("a\rb\x0cc", ("a\rb\x0cc",)),
        ("\"a b\"'c d'e f", ("a bc de", "f")),
        ("\"'\" '\"'", ("'", '"')),
        (r"\" \' \\ \a a\ b", ('"', "'", "\\", r"\a", "a b")),
        (r'"a\ b" "\""', (r"a\ b", '"')),
        ("a #b", ("a",)),
        ("a#b '#c'", ("a#b", "#c")),
        ('""', ("",)),
        ("", ()),
        ("a\\", ("a\\",)),
    ],
)
def test_words_are_cut(text: str, words: tuple[str, ...]) -> None:
    assert split(text) == words


@pytest.mark.parametrize("text", ["", " ", "\n", "#", "  # a", '"a', "\0Port 1", '#"'])
def test_a_line_may_say_nothing(text: str) -> None:
    assert parse(text) is None


def test_no_letter_beyond_ascii_is_one_of_a_keyword(folder: Folder) -> None:
    assert "bad configuration option" in folder.refusal("Hash\u212anownHosts yes\n")


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("", "", True), ("", "*", True), ("a", "", False), ("abc", "a*c", True), ("abc", "a?c", True),
        ("ac", "a?c", False), ("abcbc", "a*bc", True), ("abcb", "a*bc", False), ("a*c", "a[*]c", False),
        ("a" * 5000, "*a" * 40 + "b", False), ("ab", "a**b**", True),
    ],
)  # fmt: skip
def test_patterns(text: str, pattern: str, expected: bool) -> None:
    assert matches(text, pattern) is expected


def test_a_pattern_that_is_too_long_voids_its_list() -> None:
    assert listed("a", "a,*" + "*" * 1022)
    assert not listed("a", "a,*" + "*" * 1023)
    assert listed("a", "a,!" + "b" * 1023)


@pytest.mark.parametrize(("time", "value"), [("1.5", 1), ("60.0", 60), ("1h30", 3630)])
def test_a_fraction_of_a_second_is_cut_off(time: str, value: int, folder: Folder) -> None:
    assert folder.resolve(f"ConnectTimeout {time}\n").connect_timeout == value


@pytest.mark.parametrize("time", ["1.5m", ".5", "1.", "1.5.2"])
def test_a_fraction_of_another_unit_is_no_time(time: str, folder: Folder) -> None:
    assert "invalid time" in folder.refusal(f"ConnectTimeout {time}\n")


def test_a_long_file_is_read_in_no_time(folder: Folder) -> None:
    text = "".join(f"Host h{n}\n  User u{n}\n  Port {n + 1}\n" for n in range(5000))
    text += "SendEnv " + "X " * 100_000 + "\nUser " + "u" * 300_000 + "\n"
    started = time.monotonic()
    config = folder.resolve(text, "h4999")
    assert (config.user, config.port) == ("u4999", 5000)
    assert time.monotonic() - started < 10


@examples(300)
@given(
    data=st.binary(max_size=200)
    | st.lists(
        st.sampled_from(
            [
                case.filled(folder="/nowhere", **REAL).text.encode()[:300]
                for case in CASES
                if "exec" not in case.text
            ]
        )
        | st.binary(max_size=5),
        max_size=5,
    ).map(b"".join)
)
def test_no_file_does_more_harm_than_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "random_config"
    file.write_bytes(data.replace(b"anonicalize", b""))
    with suppress(ConfigError):
        assert resolve("alias", files=[file]).hostname
