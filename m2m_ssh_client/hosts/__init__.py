"""The applications that are MCP hosts: where each keeps its list of servers, and how an entry gets in and out."""
