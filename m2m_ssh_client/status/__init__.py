"""The state of the running relays: a small file for each, its writer and its readers."""
