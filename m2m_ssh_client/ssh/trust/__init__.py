"""The identity of the machine: known_hosts, certificates, key server."""
