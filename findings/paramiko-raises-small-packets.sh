#!/usr/bin/env bash
# paramiko sends larger packets than the server takes, if the server takes only small ones.
#
# Guess:  a paramiko client sends channel data in pieces of the server's maximum packet size, as RFC 4254, section 5.1 demands:
#         a server that confirms a channel with 1,000 bytes gets pieces of 1,000 bytes or fewer.
# Seen:   paramiko 5.1.0. Sizes below 4,096 are raised to that: one `sendall` of 3,000 bytes comes as one piece of 3,000.
# Why it matters: small devices and Twisted Conch with a small window confirm such sizes, and may end the connection. A client
#         built on paramiko must lower the size itself.
#
# Needs Python 3.10 or newer with venv, and PyPI. Installs nothing outside of a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q paramiko==5.1.0 asyncssh==2.24.1

cat > "$folder/try.py" <<'PYTHON'
import asyncio

import asyncssh
import paramiko

PIECE, SIZE = 1000, 3000
pieces = []


class Session(asyncssh.SSHServerSession):
    def exec_requested(self, command):
        return True

    def data_received(self, data, datatype):
        pieces.append(len(data))

    def eof_received(self):
        self.channel.exit(0)

    def connection_made(self, channel):
        self.channel = channel


class Server(asyncssh.SSHServer):
    def connection_made(self, connection):
        self.connection = connection

    def begin_auth(self, username):
        return False

    def session_requested(self):
        channel = self.connection.create_server_channel(encoding=None, max_pktsize=PIECE)
        return channel, Session()


def talk(port):
    transport = paramiko.Transport(("127.0.0.1", port))
    transport.start_client(timeout=10)
    transport.auth_none("ada")
    channel = transport.open_session(timeout=10)
    channel.exec_command("any")
    channel.sendall(b"x" * SIZE)
    channel.shutdown_write()
    channel.recv_exit_status()
    transport.close()


async def main():
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.listen("127.0.0.1", 0, server_factory=Server, server_host_keys=[key])
    await asyncio.to_thread(talk, server.sockets[0].getsockname()[1])
    server.close()


asyncio.run(asyncio.wait_for(main(), 30))
print(asyncssh.__version__, paramiko.__version__, "pieces", pieces)
assert sum(pieces) == SIZE
assert max(pieces) > PIECE
PYTHON
timeout 60 "$folder/venv/bin/python" "$folder/try.py"
