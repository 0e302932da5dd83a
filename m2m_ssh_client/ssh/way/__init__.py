"""The way to the machine: sockets, jump hosts, ProxyCommand."""
