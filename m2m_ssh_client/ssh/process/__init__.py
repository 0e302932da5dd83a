"""A process on the machine."""
