"""What the commands share that use a remote server from a terminal: a session, arguments, and how results are shown."""
