#!/usr/bin/env bash
# OpenSSH's sshd has Nagle's algorithm on until it starts a program, so that it confirms a session only 40 ms later.
#
# Guess:  on loopback, sshd confirms the first session of a connection within a few milliseconds of the request for it.
#         It cares for latency: it sets TCP_NODELAY, and so does the client.
# Seen:   OpenSSH 9.2 takes at least 40 ms. It sets TCP_NODELAY when it starts the program and not before. After the login
#         it announces its host keys (hostkeys-00@openssh.com), so the confirmation is a second small packet, which waits
#         for the acknowledgement of the first. Linux delays that by 40 ms, as the client has nothing to send meanwhile.
#         A client that sets TCP_QUICKACK after each receive gets the confirmation within a few milliseconds.
# Why it matters: the delay is a sixth of a whole `ssh -T` on a fast network, for each connection, and any client on Linux
#         can save it with one system call.
#
# Needs root on a Debian 12 with its package mirror, Python 3.10 or newer and PyPI. Installs nothing outside of a temporary
# folder; sshd wants the empty folder /run/sshd.
set -euo pipefail

folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq download openssh-server=1:9.2p1-2+deb12u10 2>/dev/null
dpkg -x openssh-server_*.deb .
python3 -m venv venv
venv/bin/pip install -q paramiko==5.1.0
mkdir -p /run/sshd
ssh-keygen -q -t ed25519 -N "" -f key

cat >try.py <<'PYTHON'
import pathlib
import socket
import subprocess
import sys
import time

import paramiko

folder, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])


class Prompt(socket.socket):
    def recv(self, size, flags=0):
        data = super().recv(size, flags)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data


def confirmed(kind):
    sock = kind(socket.AF_INET, socket.SOCK_STREAM)
    sock.connect(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = paramiko.Transport(sock)
    transport.start_client(timeout=10)
    transport.auth_publickey("root", paramiko.Ed25519Key(filename=str(folder / "key")))
    begun = time.perf_counter()
    transport.open_session(timeout=10)
    took = time.perf_counter() - begun
    transport.close()
    return took * 1000


config = [f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {folder}/key", "UsePAM no", "StrictModes no"]
config += [f"AuthorizedKeysFile {folder}/key.pub", f"PidFile {folder}/pid"]
(folder / "config").write_text("\n".join(config) + "\n")
sshd = subprocess.Popen([folder / "usr/sbin/sshd", "-D", "-f", folder / "config"], stderr=subprocess.DEVNULL)
try:
    for _ in range(100):
        try:
            confirmed(socket.socket)
            break
        except (OSError, paramiko.SSHException):
            time.sleep(0.1)
    # In turn, and the least of ten: a busy machine only adds.
    plain, prompt = (min(each) for each in zip(*((confirmed(socket.socket), confirmed(Prompt)) for _ in range(10))))
finally:
    sshd.terminate()
    sshd.wait()
print(f"a session is confirmed after {plain:.0f} ms, with TCP_QUICKACK after {prompt:.0f} ms")
assert plain > 35
assert prompt < 20
PYTHON
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
timeout 90 venv/bin/python try.py "$folder" "$port"
