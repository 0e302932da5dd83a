"""Hiding secrets in command lines."""

from __future__ import annotations

import pytest

from m2m_ssh_client.hosts.entries import is_ours
from m2m_ssh_client.masking import masked, masked_argv

OURS = "/opt/bin/m2m-mcp-server-ssh-client"


def hidden(argv: list[str]) -> list[str]:
    return masked_argv(argv, ours=is_ours(argv))


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("serve --all /srv", "serve --all /srv"),
        ("TOKEN=hidden serve", "TOKEN=… serve"),
        ("env A='hid den' B=\"hid den\" serve", "env A=… B=… serve"),
        ("env 'TOKEN=hid den' serve", "env 'TOKEN=…' serve"),
        ("serve --api-key hidden --root=/srv", "serve --api-key … --root=/srv"),
        ("serve --auth-token=hidden", "serve --auth-token=…"),
        ("git clone https://me:hidden@host/x", "git clone https://…@host/x"),
        ("serve --db-pwd hidden --pwd=hidden", "serve --db-pwd … --pwd=…"),
        ("serve --pat hidden --path /srv --compat x", "serve --pat … --path /srv --compat x"),
        ("serve ghp_0123456789ab {'t':'sk-abcdefgh-12'}", "serve … {'t':'…'}"),
        ("curl -u me:hidden https://h/", "curl -u … https://h/"),
        ("curl --user=me:hid -ume:hid --user-agent x", "curl --user=… -u… --user-agent x"),
        ("serve -u --user me", "serve -u --user me"),
        ("""serve '{"api_token": "hid den", "a": 1}'""", """serve '{"api_token": "…", "a": 1}'"""),
        (r'serve "{\"secret\":\"hidden\"}"', r'serve "{\"secret\":\"…\"}"'),
    ],
)
def test_what_may_be_secret_in_a_command_is_left_out(command: str, shown: str) -> None:
    assert masked(command) == shown


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (f"{OURS} --client-key /k --host-key SHA256:x", f"{OURS} --client-key /k --host-key SHA256:x"),
        (f"{OURS} --passphrase hush --port 22", f"{OURS} --passphrase … --port 22"),
        (f"{OURS} --passphrase=hush", f"{OURS} --passphrase=…"),
        (f"{OURS} --host h -- env API_KEY=hush serve", f"{OURS} --host h -- env API_KEY=… serve"),
        (f"{OURS} --env A=hush --env=B=hush --env C", f"{OURS} --env A=… --env=B=… --env C"),
        (f"{OURS} -o SetEnv=A=hush -oSetEnv=A=hush", f"{OURS} -o SetEnv=… -oSetEnv=…"),
        (f"{OURS} --ssh-option=setenv=A=hush -o User=u", f"{OURS} --ssh-option=setenv=… -o User=u"),
        (f"{OURS} -o ProxyCommand=hush -F /c", f"{OURS} -o ProxyCommand=… -F /c"),
        (f"{OURS} -o SetEnvs=A=hush -oProxyCommands=hush", f"{OURS} -o SetEnvs=… -oProxyCommands=…"),
        ("npx server --pat hush --path /srv", "npx server --pat … --path /srv"),
        (f"{OURS} --host h -- --env A=b", f"{OURS} --host h -- --env A=b"),
        ("npx server --api-key hush -y", "npx server --api-key … -y"),
        ("npx server --token=hush", "npx server --token=…"),
        ("npx server --token=hush /srv", "npx server --token=… /srv"),
        ("npx server --no-auth --verbose", "npx server --no-auth --verbose"),
        ("docker run -e GITHUB_TOKEN=hush -e GITHUB_TOKEN x", "docker run -e GITHUB_TOKEN=… -e GITHUB_TOKEN x"),
        ("https://me:hush@h/mcp?key=hush", "https://…h/mcp…"),
        ("npx server /srv/keys", "npx server /srv/keys"),
        ("npx server --pwd hush xoxb-01234567-x task-abcdefghij", "npx server --pwd … … task-abcdefghij"),
        (f"{OURS} --host h -- serve AKIA0123456789ABCDEF", f"{OURS} --host h -- serve …"),
        ("curl -u me:hush -ume:hush --user=me:hush -u me", "curl -u … … … -u me"),
        (f"{OURS} --host h -- curl -u me:hush", f"{OURS} --host h -- curl -u …"),
        (f"{OURS} -l u --host h:22", f"{OURS} -l u --host h:22"),
        ('serve {"token":"hush","a":1}', 'serve {"token":"…","a":1}'),
    ],
)  # fmt: skip
def test_what_may_be_a_secret_is_hidden(argv: str, shown: str) -> None:
    assert hidden(argv.split()) == shown.split()


def test_a_header_is_hidden_as_one_argument() -> None:
    argv = ["npx", "mcp-remote", "--header", "Authorization: Bearer hush"]
    assert hidden(argv) == ["npx", "mcp-remote", "--header", "…"]


@pytest.mark.parametrize(
    "piece",
    [
        *("x", "key", "-", "a-", "key-", "'A=", "a=", ":", "key:", "key/", "sk-", "ghp_"),
        *("-u ", " -u", '"key":"', '\\"', '"key', "-a-b"),
    ],
)
def test_a_long_text_takes_linear_time(piece: str) -> None:
    """The limit for a test ends this one if the time is quadratic."""
    text = piece * (500_000 // len(piece)) + "!"
    masked(text)
    masked_argv([text, f"--{text}", f"{text}=x"], ours=False)
    masked_argv([text, f"-o{text}", f"--env={text}"], ours=True)
