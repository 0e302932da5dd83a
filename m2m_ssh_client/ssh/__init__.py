"""The blocking SSH side: paramiko, keys and trust. It knows SSH, not MCP, and no event loop."""
