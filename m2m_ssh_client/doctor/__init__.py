"""Check a connection step by step, for the `doctor` command: findings and advice."""
