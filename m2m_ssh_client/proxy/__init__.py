"""The MCP side: frames, the session's memory and the relay. It knows MCP, not SSH."""
