"""Name and version of this program; nothing else holds them."""

__version__ = "0.2.0"
PROGRAM = "m2m-mcp-server-ssh-client"
