"""One SSH connection for several processes: those that use it, and where it is found."""
