"""A process on the remote machine."""
