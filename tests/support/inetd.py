"""Give each connection to a program of its own, as stdin and stdout: PORT PROGRAM [ARGUMENT...]."""

import socket
import subprocess
import sys

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
children: list[subprocess.Popen[bytes]] = []
while True:
    connection, _ = listener.accept()
    with connection:
        both = connection.fileno()
        children.append(subprocess.Popen(sys.argv[2:], stdin=both, stdout=both))
    children = [child for child in children if child.poll() is None]
