"""The way of a connection walked step by step, for the `doctor` command: what is found at each, and what to do."""
