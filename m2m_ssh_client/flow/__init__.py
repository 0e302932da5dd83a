"""The way of lines between a host and a remote server."""
