"""Whether it is the right machine."""
