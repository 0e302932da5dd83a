"""OpenSSH's client configuration: ssh_config(5) read, and resolved for one host."""

from m2m_ssh_client.ssh.config.resolving import resolve
from m2m_ssh_client.ssh.config.result import HostConfig
from m2m_ssh_client.ssh.config.values import Jump

__all__ = ["HostConfig", "Jump", "resolve"]
