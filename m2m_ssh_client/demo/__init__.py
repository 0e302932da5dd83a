"""An SSH server, a key server and a sample MCP server for loopback, to try the client and to test it."""
