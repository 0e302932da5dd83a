"""An SSH server, a key server and a sample MCP server on loopback, for the demo and the tests."""
