"""A host of one protocol era with a server of the other; loaded when such a pair meets."""
