"""What a session remembers. Sans-I/O."""
