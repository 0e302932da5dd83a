"""Another program as the way to the remote server (`--via`), in place of our own SSH."""
