"""One line of MCP: reading, repairing and writing it."""
