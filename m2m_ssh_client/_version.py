"""Name and version of this program, which nothing else holds, and the argument of its own use."""

__version__ = "0.2.0"
PROGRAM = "m2m-mcp-server-ssh-client"

HOLDER = "--hold-connection"
"""The argument with which it is the process that holds a shared connection."""
