"""What to reach and how: plain data, checked once, no I/O."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

DEFAULT_HOST = "localhost"
DEFAULT_PORT = 8022
DEFAULT_USERNAME = "mcp"
DEFAULT_CLIENT_KEY = Path("~/.ssh/m2m_mcp_server_ssh_client")
DEFAULT_KNOWN_HOSTS = Path("~/.ssh/known_hosts")
DEFAULT_KEY_SERVER_PORT = 8000
DEFAULT_CONNECT_TIMEOUT = 25.0
DEFAULT_KEEPALIVE = 15.0
DEFAULT_KEEPALIVE_COUNT = 3
DEFAULT_HOLD_TIMEOUT = 20.0
DEFAULT_MAX_MESSAGE_SIZE = 256 * 1024 * 1024

# base64 of the 32 bytes of a SHA-256, without padding, as `ssh-keygen -l` prints it.
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")
_NUL_OR_NEWLINE = re.compile(r"[\0\r\n]")


class SSHServerParameters(BaseModel):
    """A remote MCP server: which machine, who we are there, whom we trust, what to run.

    `command` empty and `subsystem` unset means a shell request. A `command` of one element is a command
    line for the remote user's shell as it stands; of several, each is quoted for a POSIX shell.
    `connect_timeout` is in seconds and covers everything up to the open channel.
    `max_message_size` is in bytes, for one JSON-RPC line in either direction.

    A link on which nothing was heard for `keepalive` × `keepalive_count` seconds is lost (ssh_config(5),
    ServerAliveInterval; 0 switches it off). A lost link is made again, for `reconnect_timeout` seconds (None: for ever)
    unless `reconnect` is off; requests wait for it for `hold_timeout` seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(default=DEFAULT_HOST, min_length=1, max_length=255)
    port: int = Field(default=DEFAULT_PORT, ge=1, le=65535)
    username: str = Field(default=DEFAULT_USERNAME, min_length=1)
    client_key: Path = DEFAULT_CLIENT_KEY
    passphrase: SecretStr | None = None
    known_hosts: Path = DEFAULT_KNOWN_HOSTS
    host_key: str | None = None
    disable_host_key_checking: bool = False
    use_key_server: bool = False
    key_server_port: int = Field(default=DEFAULT_KEY_SERVER_PORT, ge=1, le=65535)
    command: tuple[str, ...] = ()
    subsystem: str | None = Field(default=None, min_length=1)
    connect_timeout: float = Field(default=DEFAULT_CONNECT_TIMEOUT, gt=0, le=3600)
    keepalive: float = Field(default=DEFAULT_KEEPALIVE, ge=0, le=86400)
    keepalive_count: int = Field(default=DEFAULT_KEEPALIVE_COUNT, ge=1, le=1000)
    reconnect: bool = True
    reconnect_timeout: float | None = Field(default=None, gt=0)
    hold_timeout: float = Field(default=DEFAULT_HOLD_TIMEOUT, gt=0)
    retry_tool_calls: bool = False
    max_message_size: int = Field(default=DEFAULT_MAX_MESSAGE_SIZE, ge=1024)

    @field_validator("host", "username", "subsystem")
    @classmethod
    def _one_line(cls, value: str | None) -> str | None:
        if value is not None and (_NUL_OR_NEWLINE.search(value) or value != value.strip()):
            raise ValueError("no line breaks and no spaces around it, please")
        return value

    @field_validator("host_key")
    @classmethod
    def _fingerprint(cls, value: str | None) -> str | None:
        if value is not None and not _FINGERPRINT.fullmatch(value):
            raise ValueError("not a SHA256:… fingerprint as `ssh-keygen -l` prints it")
        return None if value is None else value.rstrip("=")

    @model_validator(mode="after")
    def _no_contradiction(self) -> SSHServerParameters:
        if self.command and self.subsystem is not None:
            raise ValueError("a remote command and a subsystem exclude one another")
        if self.disable_host_key_checking and (self.use_key_server or self.host_key):
            raise ValueError(
                "disable_host_key_checking excludes the key server and a pinned host key"
            )
        return self

    def command_line(self) -> str | None:
        """What an SSH exec request carries, or None if none is to be made."""
        if not self.command:
            return None
        return self.command[0] if len(self.command) == 1 else shlex.join(self.command)
