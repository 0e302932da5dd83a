"""Our identity: keys, agent, passphrases, and the login itself."""
