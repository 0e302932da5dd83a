"""A remote server that outlives its connection: the keeper there, and our end of it."""
