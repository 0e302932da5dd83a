"""Counterparts of POSIX, imported on Windows alone, and only when they are needed."""
