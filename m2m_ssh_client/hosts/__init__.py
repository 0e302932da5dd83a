"""MCP hosts: their configuration files, and edits of the server entries in them."""
