"""The process that holds an SSH connection for several entries (`--share`)."""
