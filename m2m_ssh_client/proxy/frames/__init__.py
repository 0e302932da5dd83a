"""The lines of MCP: how they are read, repaired and written."""
