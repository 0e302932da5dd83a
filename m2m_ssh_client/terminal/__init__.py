"""Common parts of the commands that use a remote server: session, arguments, output."""
