"""Other users of this machine: what they can read, what they can put in our way, and what reaches a shell here."""

from __future__ import annotations

import ast
import logging
import os
import re
import socket
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from support.far import Embedded, environment, machine
from support.host import PACKAGE_PARENT, Host, client_argv
from support.pair import pair

import m2m_ssh_client
from m2m_ssh_client import cli, logs, user_only_files
from m2m_ssh_client.commands import demo
from m2m_ssh_client.entry_tag import tag
from m2m_ssh_client.errors import AppConfigError, SSHClientError, UsageError
from m2m_ssh_client.hosts.editing import planned
from m2m_ssh_client.hosts.entries import client
from m2m_ssh_client.log_file import RotatingFile, default_path
from m2m_ssh_client.ssh.login.key_files import ensure_client_key
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.trust.known_hosts_writing import appending
from m2m_ssh_client.ssh.trust.told_host_key import remember_or_refuse, temporary_known_hosts
from m2m_ssh_client.status.report_file import ReportFile
from m2m_ssh_client.terminal.saving import save

if sys.platform == "win32":
    pytest.skip("users, modes and shells of POSIX", allow_module_level=True)

pytestmark = [pytest.mark.interop, pytest.mark.cold]

_STRINGS = (b"ssh-ed25519", bytes(range(32)))
KEY = PublicKey("ssh-ed25519", b"".join(len(s).to_bytes(4, "big") + s for s in _STRINGS))
INTERPRETER = sys.executable
SAMPLE = [sys.executable, "-m", "m2m_ssh_client.demo.sample_server"]


@pytest.fixture(params=[0o000, 0o022, 0o077], ids="umask {:03o}".format)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    try:
        yield request.param
    finally:
        os.umask(before)


# Each writes what it names below a folder that is not there yet.


def log(folder: Path) -> None:
    with closing(RotatingFile(folder / "state" / "client.log", most=10)) as file:
        for _ in range(2):  # which also makes `client.log.1`
            file.emit(logging.makeLogRecord({"msg": "a line of some length"}))


def named_log(folder: Path) -> None:
    user_only_files.make_folder(folder)
    with logs.configured("DEBUG", folder / "log"):
        pass


def key(folder: Path) -> None:
    ensure_client_key(folder / "ssh" / "key")


def memory(folder: Path) -> None:
    remember_or_refuse("machine", 22, KEY, folder / "ssh" / "key.known_hosts")


def host_configuration(folder: Path) -> None:
    file = folder / "app" / "config.json"
    planned(file, lambda _: "{}").write()
    planned(file, lambda _: "[]").write()  # now there is something to back up


def report(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        patch.setattr(Path, "unlink", lambda _: None)  # as if it had been killed
        with closing(ReportFile()) as file:
            file.write(b"{}")
        assert tag([])


WRITERS = [log, named_log, key, memory, host_configuration, report]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
@pytest.mark.usefixtures("umask")
def test_what_is_written_is_the_users_alone_whatever_the_umask(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = tmp_path / "not there" / "yet"
    write(folder)
    made = [tmp_path / "not there", *(tmp_path / "not there").rglob("*")]
    assert len(made) > 2
    for path in made:
        # Whoever opens a folder can put another one in the place of what is in it.
        allowed = 0o700 if path.is_dir() else 0o644 if path.suffix == ".pub" else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == allowed, path


def test_a_log_that_was_open_to_others_is_closed_to_them() -> None:
    path = default_path()
    path.parent.mkdir(parents=True)
    path.touch(0o666)
    path.chmod(0o666)
    with logs.configured("DEBUG", None):
        logging.getLogger("m2m_ssh_client").info("hello")
    assert "hello" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_all_that_a_first_connection_makes_is_the_users_alone(tmp_path: Path) -> None:
    """The command itself, begun with no umask at all, while its temporary files are there."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with pair(SAMPLE) as far:
        argv = client_argv(
            *("--host", "127.0.0.1", "--port", str(far.ssh.port), "--use-key-server"),
            *("--key-server-port", str(far.key_server.port), "--log-level", "DEBUG"),
        )
        lax = ["sh", "-c", 'umask 000; exec "$@"', "sh", *argv]
        with Host(lax, env={"TMPDIR": str(temporary)}) as host:
            assert "result" in host.initialize()
            made = {
                path.name: stat.S_IMODE(path.stat().st_mode)
                for path in (*Path.home().rglob("*"), *temporary.rglob("*"))
                if path.is_file() or path.parent == temporary
            }
            host.close_stdin()
            host.wait()
    ours = "m2m_mcp_server_ssh_client"
    folders = [made.pop(name) for name in set(made) if name.startswith("m2m-ssh-")]
    assert folders == [0o700]
    assert made.pop(f"{ours}.pub") == 0o644
    reports = [made.pop(name) for name in set(made) if name.endswith(".json")]
    assert set(reports) <= {0o600}  # not there yet where the session is quick
    files = (ours, f"{ours}.known_hosts", "known_hosts", "client.log", "tag.key")
    assert made == dict.fromkeys(files, 0o600)
    assert not list(temporary.iterdir())


# Links that somebody else has put where we write


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes a link look as if another user had made it: root can do so, and others cannot but pretend."""

    def disown(link: Path) -> None:
        if os.getuid() == 0:
            os.lchown(link, 61234, 61234)
        else:
            me = os.geteuid()
            monkeypatch.setattr(os, "geteuid", lambda: me + 1)

    return disown


def _append(path: Path) -> None:
    with appending(path) as add:
        add("a line\n")


def _log_by_default(path: Path) -> None:
    with closing(RotatingFile(path)) as file:
        file.emit(logging.makeLogRecord({"msg": "a line"}))


def _log_by_name(path: Path) -> None:
    with logs.configured("DEBUG", path):
        logging.getLogger("m2m_ssh_client").info("a line")


def _save(path: Path) -> None:
    assert save(b"bytes", path.parent, path.name, None) != path


def _back_up(path: Path) -> None:
    file = path.with_suffix("")
    file.write_text("before")
    assert planned(file, lambda _: "after").write() != path


def _install(path: Path) -> None:
    planned(path, lambda _: "ours").write()


def _install_below(path: Path) -> None:
    planned(path / "config.json", lambda _: "ours").write()


def _remember(path: Path) -> None:
    remember_or_refuse("machine", 22, KEY, path)


# Where a link is, and what then writes there. Those of the second half make a new file or none, whoever owns the link.
PLACES: dict[str, Callable[[Path], object]] = {
    "the default log file": _log_by_default,
    "the log file that was named": _log_by_name,
    "known_hosts": _append,
    "what plain HTTP said": _remember,
    "a host's configuration": _install,
    "the client key": ensure_client_key,
    "saved.bin": _save,
    "config.json.bak": _back_up,
}


@pytest.mark.parametrize("dangling", [False, True], ids=["to a file", "dangling"])
@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_written_where_a_link_of_another_user_leads(
    place: str, dangling: bool, foreign: Callable[[Path], None], tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    if not dangling:
        victim.write_text("precious")
    link = tmp_path / "folder" / place
    link.parent.mkdir()
    link.symlink_to(victim)
    foreign(link)
    with suppress(SSHClientError, OSError):
        PLACES[place](link)
    assert link.is_symlink()
    if dangling:
        assert not victim.exists()
    else:
        assert victim.read_text() == "precious"


def test_a_log_file_behind_a_link_of_another_user_is_refused_in_words(
    foreign: Callable[[Path], None], tmp_path: Path
) -> None:
    link = tmp_path / "log"
    link.symlink_to(tmp_path / "elsewhere")
    foreign(link)
    with (
        pytest.raises(UsageError, match="a link owned by another user"),
        logs.configured(None, link),
    ):
        pass


def test_a_configuration_behind_a_link_of_another_user_is_refused_in_words(
    foreign: Callable[[Path], None], tmp_path: Path
) -> None:
    victim, link, own = (tmp_path / name for name in ("victim", "link", "own"))
    victim.mkdir()
    link.symlink_to(victim)
    own.symlink_to(link)
    foreign(link)
    for folder in (link, own):
        with pytest.raises(AppConfigError, match="a link owned by another user"):
            _install_below(folder)
    assert not list(victim.iterdir())


def test_a_configuration_is_not_even_read_behind_a_link_of_another_user(
    foreign: Callable[[Path], None], tmp_path: Path
) -> None:
    """What it reads there could be a FIFO that nobody writes."""
    fifo, link = tmp_path / "fifo", tmp_path / "config.json"
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    foreign(link)
    with pytest.raises(AppConfigError, match="a link owned by another user"):
        planned(link, str)


def test_a_link_of_ones_own_is_followed(tmp_path: Path) -> None:
    """People keep their known_hosts elsewhere."""
    kept, link = tmp_path / "dotfiles", tmp_path / "known_hosts"
    link.symlink_to(kept)
    _append(link)
    _log_by_name(link)
    assert kept.read_text().startswith("a line\n")


def test_a_log_file_of_another_user_is_refused(
    foreign: Callable[[Path], None], tmp_path: Path
) -> None:
    theirs = tmp_path / "log"
    theirs.touch()
    foreign(theirs)
    with pytest.raises(UsageError, match="belongs to another user"), logs.configured(None, theirs):
        pass


def test_a_fifo_of_another_user_is_no_log_file(
    foreign: Callable[[Path], None], tmp_path: Path
) -> None:
    theirs = tmp_path / "log"
    os.mkfifo(theirs)
    reader = os.open(theirs, os.O_RDONLY | os.O_NONBLOCK)
    foreign(theirs)
    with pytest.raises(UsageError, match="belongs to another user"), logs.configured(None, theirs):
        pass
    assert os.read(reader, 100) == b""
    os.close(reader)


def test_a_fifo_of_ones_own_is_a_log_file_if_somebody_reads_it(tmp_path: Path) -> None:
    ours = tmp_path / "log"
    os.mkfifo(ours)
    with pytest.raises(UsageError, match="cannot be written"), logs.configured(None, ours):
        pass
    reader = os.open(ours, os.O_RDONLY | os.O_NONBLOCK)
    _log_by_name(ours)
    assert b"a line" in os.read(reader, 1000)
    os.close(reader)


def test_a_socket_is_no_log_file_and_the_null_device_is(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "log"))
        with pytest.raises(UsageError, match="cannot be written"):
            _log_by_name(tmp_path / "log")
    _log_by_name(Path(os.devnull))


def test_the_temporary_file_cannot_be_foreseen() -> None:
    places = set()
    for _ in range(3):
        with temporary_known_hosts("machine", 22, KEY) as path:
            places.add(path.parent)
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(places) == 3


# What the programs that we start are told

# The spy reads the command lines of other tests, too: no other run may have the same ones.
PHRASE, TOKEN = f"canary-{uuid.uuid4().hex}", f"canary-{uuid.uuid4().hex}"
_SPY = """#!/bin/sh
{ echo "ENVIRONMENT"; env; echo "COMMANDS"; cat /proc/[0-9]*/cmdline | tr '\\0' ' '; } > "%s/$1-$$"
"""


@pytest.fixture
def spy(tmp_path: Path) -> tuple[Path, Path]:
    """A program that notes what it is told and can see, and the folder where its notes are."""
    notes, program = tmp_path / "notes", tmp_path / "spy"
    notes.mkdir()
    program.write_text(_SPY % notes)
    program.chmod(0o700)
    return program, notes


@pytest.mark.parametrize("source", ["variable", "file"])
def test_no_program_of_ours_is_told_a_secret(
    source: str, spy: tuple[Path, Path], tmp_path: Path
) -> None:
    program, notes = spy
    config, phrase = tmp_path / "config", tmp_path / "phrase"
    config.write_text(
        f'Match exec "{program} match-exec"\nHost *\n  ProxyCommand {program} proxy-command\n'
    )
    phrase.write_text(PHRASE)
    for path in (config, phrase):
        path.chmod(0o600)
    given = ["--passphrase-file", str(phrase)] if source == "file" else []
    env = {"M2M_SSH_PASSPHRASE": PHRASE} if source == "variable" else {}
    argv = client_argv("-F", str(config), "--host", "far", "--env", "TOKEN", *given, "--", "serve")
    with Host(argv, env={**env, "TOKEN": TOKEN}) as host:
        assert "ProxyCommand" in host.initialize()["error"]["message"]
        host.close_stdin()
        host.wait()
    told = {path.name.rpartition("-")[0]: path.read_text() for path in notes.iterdir()}
    assert set(told) == {"match-exec", "proxy-command"}
    for text in told.values():
        assert PHRASE not in text
        # What was in our environment may be in theirs.
        assert TOKEN not in text.partition("COMMANDS")[2]
        assert "--host far --env TOKEN" in text  # it saw ours


def test_the_program_that_is_asked_for_a_passphrase_is_not_told_the_one_that_was_wrong(
    spy: tuple[Path, Path], tmp_path: Path
) -> None:
    program, notes = spy
    program.write_text(program.read_text().replace("$1", "askpass") + f"echo {TOKEN}\n")
    with machine(tmp_path) as far:
        path = tmp_path / "client"
        change = ["ssh-keygen", "-q", "-p", "-P", "", "-N", TOKEN, "-a", "1", "-f", str(path)]
        subprocess.run(change, check=True, capture_output=True, timeout=30)
        env = {"M2M_SSH_PASSPHRASE": PHRASE, "SSH_ASKPASS": str(program)}
        with Host(far.argv(server=["echo"]), env={**env, "SSH_ASKPASS_REQUIRE": "force"}) as host:
            assert "result" in host.initialize()
            host.close_stdin()
            host.wait()
    (note,) = notes.iterdir()
    assert PHRASE not in note.read_text()
    assert TOKEN not in note.read_text()


# What somebody, or a server by a saved file, has put into the current folder


def test_no_child_of_ours_imports_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("anyio", "m2m_ssh_client", "mcp", "json"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'MARK')!r}, 'w')\n")
    monkeypatch.setattr(sys, "argv", ["/nowhere/__main__.py"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))  # it has no script beside it
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    for argv in ([*client()[1:], "--version"], [*demo._SAMPLE[1:]]):
        done = subprocess.run(
            [INTERPRETER, *argv],
            cwd=tmp_path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "MARK").exists()


# What reaches a shell on this machine

NAMES = [
    *(
        "a;touch MARK",
        "a|touch MARK",
        "a&touch MARK",
        "$(touch MARK)",
        "`touch MARK`",
        "a\ntouch MARK",
    ),
    *("a>MARK", "'", '"', "a b", "a\\", "-oProxyCommand=touch MARK", "--help", "{a,b}", "a\x1b[2J"),
]


@pytest.fixture
def eager(tmp_path: Path) -> Path:
    """A configuration that puts every name into the command lines of shells."""
    config = tmp_path / "config"
    config.write_text(
        'Match exec ": %h %n %r %j %k"\nHost *\n  ProxyCommand : %h %n %r %k; exit 7\n'
    )
    config.chmod(0o600)
    return config


@pytest.mark.parametrize("option", ["--host", "user@", "--username", "-oProxyJump", "jump user@"])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_could_be_code_is_refused_before_a_shell_sees_it(
    option: str,
    name: str,
    eager: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """As ssh(1) does since CVE-2023-51385."""
    monkeypatch.chdir(tmp_path)
    if option in ("--username", "user@", "jump user@") and name in ("a b", "{a,b}", "a\\"):
        name = f"{name};"  # harmless in a user's name by themselves, or refused for what follows
    words = {
        "--host": [f"--host={name}"],
        "user@": [f"--host={name}@h"],
        "--username": ["--host", "h", f"--username={name}"],
        "-oProxyJump": ["--host", "h", f"-oProxyJump={name}"],
        "jump user@": ["--host", "h", f"-oProxyJump={name}@j"],
    }[option]
    argv = ["doctor", "-F", str(eager), "--connect-timeout", "2", *words]
    with suppress(SystemExit):
        assert cli.main(argv) in (1, 2)
    shown = "".join(capfd.readouterr())
    assert "exit status 7" not in shown
    assert "\x1b" not in shown
    assert not (tmp_path / "MARK").exists()


ODD = "a 'b\" $(touch MARK) `touch MARK`;touch MARK\n-x"


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Embedded]:
    folder = tmp_path / "far"
    folder.mkdir()
    with machine(folder) as started:
        yield started


def test_odd_file_names_and_values_are_nothing_but_names_and_values(
    far: Embedded, tmp_path: Path
) -> None:
    folder = tmp_path / ODD
    folder.mkdir()
    names = ("client", "known_hosts")
    for name in names:
        (folder / f"{name} {ODD}").write_bytes((far.here / name).read_bytes())
        (folder / f"{name} {ODD}").chmod(0o600)
    key, known_hosts = (str(folder / f"{name} {ODD}") for name in names)
    place = ["--host", "127.0.0.1", "--port", str(far.server.port)]
    argv = client_argv(
        *place,
        *("--client-key", key, "--known-hosts", known_hosts, "--log-file", str(folder / "log")),
        *("--env", f"ODD={ODD}", "-o", "SetEnv=OTHER='$(touch MARK)'", "--", "echo"),
    )
    with Host(argv, cwd=tmp_path) as host:
        assert "result" in host.initialize()
        host.close_stdin()
        assert host.wait() == 0
    assert not list(tmp_path.rglob("MARK"))


def test_saved_content_has_a_name_that_no_shell_acts_on(tmp_path: Path) -> None:
    path = save(b"x", tmp_path, f"file:///{ODD}", "image/png")
    assert path.parent == tmp_path
    assert not set(path.name) & set(" '\"$()`;\n")
    assert not path.name.startswith("-")


# The modules that may start a program, with what, and whether by a shell.
STARTING = {
    "commands/first_login.py": "ssh-copy-id, as it was shown and confirmed",
    "keeping/server_start.py": "the remote server, by the user's shell there; not on this machine",
    "demo/host.py": "our own client",
    "demo/ssh_server.py": "the server that the demo serves",
    "ssh/config/shell.py": "Match exec, by the user's shell",
    "ssh/login/passphrases.py": "SSH_ASKPASS",
    "ssh/way/process_group.py": "--via, without a shell",
    "ssh/way/proxy_command.py": "ProxyCommand, by the user's shell",
}
_STARTERS = {
    *("Popen", "run", "call", "check_call", "check_output", "getoutput", "getstatusoutput"),
    *("system", "popen", "execv", "execve", "execvp", "spawnv", "posix_spawn", "startfile"),
    *("create_subprocess_exec", "create_subprocess_shell", "open_process", "run_process"),
}


def _starts_a_program(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    of = node.func.value
    modules = ("subprocess", "os", "asyncio", "anyio")
    return (
        isinstance(of, ast.Name)
        and of.id in modules
        and node.func.attr in _STARTERS
        and not (of.id in ("asyncio", "anyio") and node.func.attr == "run")
    )


def test_no_other_module_starts_a_program() -> None:
    package = Path(m2m_ssh_client.__file__).parent
    assert str(package.parent) == PACKAGE_PARENT
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if any(map(_starts_a_program, ast.walk(ast.parse(path.read_text("utf-8")))))
    }
    assert found == set(STARTING)


def _bare_name(call: ast.AST) -> str:
    """Return the program of a call if its source has it as a name without a folder, or ""."""
    argv = call.args[0] if isinstance(call, ast.Call) and call.args else None
    first = argv.elts[0] if isinstance(argv, ast.List) and argv.elts else argv
    name = first.value if isinstance(first, ast.Constant) else ""
    return name if isinstance(name, str) and not re.search(r"[\\/]", name) else ""


def test_no_program_is_started_by_a_bare_name() -> None:
    """Windows looks for one in the current folder first, where a server's files can be."""
    assert _bare_name(ast.parse("subprocess.run(['taskkill', '/T'])", mode="eval").body)
    package = Path(m2m_ssh_client.__file__).parent
    calls = [
        (path.name, _bare_name(node))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if _starts_a_program(node)
    ]
    assert len(calls) >= len(STARTING)
    assert [each for each in calls if each[1]] == []


def test_a_shell_is_named_where_one_is_meant_only() -> None:
    package = Path(m2m_ssh_client.__file__).parent
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for text in [path.read_text("utf-8")]
        if re.search(r"\bshell=True", text) or "/bin/sh" in text or "COMSPEC" in text
    }
    assert found == {name for name, what in STARTING.items() if "shell" in what.split("without")[0]}
