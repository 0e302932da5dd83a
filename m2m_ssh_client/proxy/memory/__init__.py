"""The memory of a host's session: it survives the loss of a connection. Sans-I/O throughout."""
