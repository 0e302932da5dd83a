"""What OpenSSH's own `ssh` decides about a server's host key, we decide, and what it writes, we write."""

from __future__ import annotations

import base64
import hmac
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import paramiko
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ssh.trust.known_hosts_cases import CASES, CERTIFICATES, HOST, Case
from support import programs
from support.sshd import make_privilege_separation_folder

from m2m_ssh_client.errors import HostKeyError, KnownHostsError
from m2m_ssh_client.ssh.settings import StrictHostKeyChecking, Trust
from m2m_ssh_client.ssh.trust.known_hosts import KnownHosts, on_file
from m2m_ssh_client.ssh.trust.verifier import HostVerifier

pytestmark = pytest.mark.interop

PLAIN = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"]
SK = base64.b64encode(
    b"\0\0\0\x1ask-ssh-ed25519@openssh.com" + b"\0\0\0\x20" + b"\x01" * 32 + b"\0\0\0\x04ssh:"
).decode()


def keygen(*arguments: str | Path) -> None:
    program = programs.require("ssh-keygen")
    subprocess.run([program, "-q", *arguments], check=True, capture_output=True, timeout=60)


class Keys:
    """The keys of the server and of authorities, and certificates: made once, when first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def key(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            kinds = [kind for kind in ("rsa", "ecdsa", "dsa") if kind in name.split("_")]
            keygen("-t", kinds[0] if kinds else "ed25519", "-N", "", "-C", name, "-f", path)
        return path

    def public(self, name: str) -> str:
        """`type base64`."""
        return " ".join(self.key(name).with_suffix(".pub").read_text().split()[:2])

    def certificate(self, name: str) -> Path:
        path = self.folder / f"{name}-certificate"
        if not path.exists():
            key, authority, options = CERTIFICATES[name]
            copy = self.folder / f"{name}.pub"
            shutil.copy(self.key(key).with_suffix(".pub"), copy)
            keygen("-s", self.key(authority), "-I", "an id", *options.split(), copy)
            (self.folder / f"{name}-cert.pub").rename(path)
        return path

    def filled_in(self, text: str) -> str:
        """The text with keys and hashed names in place of what stands for them."""
        return re.sub(r"{([a-z0-9_]+)(?::(.+?))?}", self._value, text)

    def _value(self, match: re.Match[str]) -> str:
        name, detail = match.groups()
        if name == "hash":
            return hashed(detail)
        if name == "sk":
            return f"sk-ssh-ed25519@openssh.com {SK}"
        if name == "cert":
            return " ".join(self.certificate("good").read_text().split()[:2])
        return self.public(name).split()[1] if detail == "base64" else self.public(name)

    def sshd_argv(self, server: str, certificate: str) -> list[str]:
        """An sshd that speaks on its stdin and stdout to one client, whom it does not let in."""
        config = self.folder / f"config-{server.replace(' ', '-')}-{certificate}"
        # Written once: another sshd may be reading it, and without HostKey would take the machine's own.
        if not config.exists():
            lines = [f"HostKey {self.key(name)}" for name in server.split()]
            if certificate:
                lines.append(f"HostCertificate {self.certificate(certificate)}")
            lines += ["UsePAM no", "LogLevel QUIET", "StrictModes no"]
            config.write_text("\n".join([*lines, ""]))
        return [str(programs.require("sshd")), "-i", "-f", str(config)]


def hashed(name: str, salt: bytes = b"0123456789abcdefghij") -> str:
    digest = hmac.digest(salt, name.encode(), "sha1")
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    make_privilege_separation_folder()
    return Keys(tmp_path_factory.mktemp("host-keys"))


@pytest.fixture(scope="session")
def openssh_version() -> tuple[int, int]:
    done = subprocess.run(
        [programs.require("ssh"), "-V"], capture_output=True, text=True, timeout=20
    )
    match = re.search(r"OpenSSH\w*_(\d+)\.(\d+)", done.stderr)
    assert match, done.stderr
    return int(match[1]), int(match[2])


@dataclass
class Files:
    """The files of one case, for one of the two to read and to write."""

    user: list[Path]
    system: list[Path]
    revoked: Path | None

    @classmethod
    def write(cls, case: Case, keys: Keys, folder: Path) -> Files:
        folder.mkdir(parents=True)

        def written(name: str, text: str) -> Path:
            path = folder / name
            if text != "MISSING":
                path.write_bytes(keys.filled_in(text).encode())
            return path

        user = [written("user", case.file)] if case.file != "NONE" else []
        if case.second is not None:
            user.append(written("second", case.second))
        system = [] if case.system is None else [written("system", case.system)]
        revoked = None if case.revoked is None else written("revoked", case.revoked)
        return cls(user, system, revoked)

    @property
    def contents(self) -> list[bytes]:
        return [path.read_bytes() if path.exists() else b"" for path in self.user]


def ssh_options(case: Case, files: Files) -> dict[str, object]:
    return {
        "BatchMode": "yes",
        "PreferredAuthentications": "none",
        "KexAlgorithms": "curve25519-sha256",  # the quickest
        "StrictHostKeyChecking": case.strict,
        "UserKnownHostsFile": " ".join(map(str, files.user)) or "none",
        "GlobalKnownHostsFile": " ".join(map(str, files.system)) or "none",
        "HashKnownHosts": "yes" if case.hashed else "no",
        **({"HostKeyAlias": case.alias} if case.alias else {}),
        **({"RevokedHostKeys": files.revoked} if files.revoked else {}),
    }


@contextmanager
def ssh(case: Case, keys: Keys, files: Files) -> Iterator[subprocess.Popen[str]]:
    """`ssh` under way to that server."""
    sshd = " ".join(keys.sshd_argv(case.server, case.certificate))
    options = {**ssh_options(case, files), "ProxyCommand": sshd}
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    argv = [str(programs.require("ssh")), "-F", "none", *words, "-p", str(case.port)]
    process = subprocess.Popen(
        [*argv, f"nobody@{case.host}", "true"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ssh_decision(process: subprocess.Popen[str]) -> str:
    _, told = process.communicate(timeout=50)
    if "Permission denied" in told:  # that is after the host key
        return "accept"
    assert "Host key verification failed" in told, told
    return "refuse"


class Client(paramiko.Transport):
    """A transport that offers just these algorithms for host keys."""

    algorithms: tuple[str, ...] = ()

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        return self.algorithms


def shown(algorithms: list[str], sshd: list[str]) -> bytes:
    """The key or certificate that the server shows, and proves to hold, when these are offered."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        sshd, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.DEVNULL
    )
    theirs.close()
    client = Client(ours)
    client.algorithms = tuple(algorithms)
    client.banner_timeout = client.handshake_timeout = 30  # sshd starts slowly on a busy machine
    try:
        client.start_client(timeout=30)
        key = client.get_remote_server_key()
        blob = getattr(key, "public_blob", None)
        return key.asbytes() if blob is None else bytes(blob.key_blob)
    finally:
        client.close()
        ours.close()
        process.kill()
        process.wait(10)


def verifier(case: Case, files: Files) -> HostVerifier:
    return HostVerifier(
        Trust(
            name=case.alias or case.host,
            port=None if case.alias else case.port,
            user_files=tuple(files.user),
            global_files=tuple(files.system),
            strict=case.strict,
            hash_names=case.hashed,
            revoked_files=(files.revoked,) if files.revoked else (),
        )
    )


def our_decision(case: Case, keys: Keys, files: Files) -> str:
    judge = verifier(case, files)
    blob = shown(judge.key_algorithms(PLAIN), keys.sshd_argv(case.server, case.certificate))
    try:
        judge.verify(blob)
    except (HostKeyError, KnownHostsError):
        return "refuse"
    return "accept"


HASHED_NAMES = [HOST, f"[{HOST}]:2222", "box", "Box"]  # all that the table hashes


def unhashed(contents: list[bytes]) -> list[str]:
    """The contents with hashes, whose salt is random, replaced by which of the names they are for."""

    def name_of(match: re.Match[str]) -> str:
        salt, digest = map(base64.b64decode, match.groups())
        return next(n for n in HASHED_NAMES if hmac.digest(salt, n.encode(), "sha1") == digest)

    pattern = r"\|1\|(\S+?)\|(\S+)"
    return [re.sub(pattern, lambda m: f"hashed {name_of(m)}", each.decode()) for each in contents]


def expected_content(case: Case, keys: Keys) -> bytes:
    """What the first user file has afterwards."""
    before = "" if case.file in ("MISSING", "NONE") else keys.filled_in(case.file)
    if not case.added:
        return before.encode()
    name, key = case.added.split()
    newline = "\n" if before and not before.endswith("\n") else ""
    name = f"hashed {name}" if case.hashed else name
    return f"{before}{newline}{name} {keys.public(key)}\n".encode()


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_we_decide_and_write_as_ssh_does(
    case: Case, keys: Keys, tmp_path: Path, openssh_version: tuple[int, int]
) -> None:
    theirs = Files.write(case, keys, tmp_path / "ssh")
    ours = Files.write(case, keys, tmp_path / "ours")
    with ssh(case, keys, theirs) as process:  # both at once
        assert our_decision(case, keys, ours) == case.outcome
        assert (
            unhashed(ours.contents)[:1]
            == unhashed([expected_content(case, keys)])[: len(ours.user)]
        )
        if case.since <= openssh_version < case.before:
            assert ssh_decision(process) == (case.ssh_says or case.outcome)
            if not case.ssh_says:
                assert unhashed(ours.contents) == unhashed(theirs.contents)


def test_the_table_is_sound() -> None:
    assert len(CASES) > 100
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(case.why for case in CASES if case.ssh_says)
    assert {case.certificate for case in CASES} == {"", *CERTIFICATES}
    assert all(not case.added or case.outcome == "accept" for case in CASES)


NAMES = [HOST, f"[{HOST}]:2222", "other.example.com", "*.example.com", "*", "?ode.example.com"]
NAMES += [f"!{HOST}", f"![{HOST}]:2222", "!*.org", "NODE.example.com", "", "[*]:2222", "x" * 1030]
KEYS = ["{ed25519}", "{rsa}", "{ecdsa}", "{other}", "{other_rsa}", "{ca}", "{sk}", "{cert}"]
KEYS += ["ssh-ed25519", "ssh-ed25519 AAAA", "ssh-rsa {ed25519:base64}", "# {ed25519}", ""]

STRICT: list[StrictHostKeyChecking] = ["yes", "accept-new"]

name_lists = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(",".join)
hashes = st.sampled_from([f"{{hash:{HOST}}}", f"{{hash:[{HOST}]:2222}}", "|1|AAAA|BBBB", "|"])
lines = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "", "", "", " ", "\t", "#"]),
        st.sampled_from(["", "", "", "", "", "@revoked ", "@cert-authority ", "@x "]),
        st.one_of(name_lists, name_lists, hashes),
        st.sampled_from([" ", " ", " ", "\t", "  ", ""]),
        st.sampled_from(KEYS),
        st.sampled_from(["", "", " me@home", " a b", " "]),
        st.sampled_from(["\n", "\n", "\n", "\r\n", "\n\n", "\0x\n"]),
    ),
)
files = st.lists(lines, max_size=6).map("".join)
some = settings(
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def found_by_keygen(file: Path, name: str) -> list[int]:
    """The numbers of the lines with a key that `ssh-keygen -F` finds for the name."""
    argv = [str(programs.require("ssh-keygen")), "-l", "-F", name, "-f", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    return [
        int(number) for number in re.findall(r"^# Host .* found: line (\d+)", done.stdout, re.M)
    ]


@settings(some, max_examples=60)
@given(content=files, name=st.sampled_from([HOST, f"[{HOST}]:2222"]))
def test_ssh_keygen_finds_the_lines_that_we_find(keys: Keys, content: str, name: str) -> None:
    file = keys.folder / "random"
    file.write_text(keys.filled_in(content), newline="")
    ours = [entry.line for entry in KnownHosts.load([file]).entries_for(name)]
    assert ours == found_by_keygen(file, name)


patterns = st.text(alphabet="node.example*?![]:2,|", max_size=12)


@settings(some, max_examples=60)
@given(names=st.lists(patterns, min_size=1, max_size=8), name=st.just("node.example") | patterns)
def test_ssh_keygen_finds_what_we_find_by_any_pattern(
    keys: Keys, names: list[str], name: str
) -> None:
    """For a name that a machine can have."""
    name = re.sub(r"[*?!,|\s]", "", name) or "n"
    file = keys.folder / "patterns"
    spelt = [*names, name, name.upper(), name[:1] + "*", f"{name},!*{name[-1]}", f"?{name[1:]}"]
    file.write_text("".join(f"{each} {keys.public('ed25519')}\n" for each in spelt), newline="")
    ours = [entry.line for entry in KnownHosts.load([file]).entries_for(on_file(name))]
    assert ours == found_by_keygen(file, name)


@settings(some, max_examples=40)
@given(
    content=files,
    port=st.sampled_from([22, 2222]),
    strict=st.sampled_from(STRICT),
    certificate=st.sampled_from(["", "good", "expired"]),
)
def test_ssh_decides_as_we_do_whatever_the_file(
    keys: Keys, content: str, port: int, strict: StrictHostKeyChecking, certificate: str
) -> None:
    case = Case("random", "", content, port=port, strict=strict, certificate=certificate)
    folder = keys.folder / "random-files"
    shutil.rmtree(folder, ignore_errors=True)
    theirs = Files.write(case, keys, folder / "ssh")
    ours = Files.write(case, keys, folder / "ours")
    with ssh(case, keys, theirs) as process:
        decision = our_decision(case, keys, ours)
        assert (decision, ours.contents) == (ssh_decision(process), theirs.contents)
