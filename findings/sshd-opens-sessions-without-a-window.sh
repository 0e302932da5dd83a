#!/usr/bin/env bash
# OpenSSH's sshd opens a session channel with a window of no bytes, until it has started the program.
#
# Guess:  an SSH client can save a round trip: it sends the request for a command and the first input in one go, because the
#         confirmation of the channel grants a window (RFC 4254, section 5.1), as other servers do: 2 MiB with asyncssh.
# Seen:   OpenSSH 9.2 confirms with 0 bytes, and grants 2 MiB together with the reply to the request. So nobody may send
#         input before that reply, `ssh` included.
# Why it matters: whoever pipelines finds that it brings nothing with the server that nearly everybody has, and a client that
#         does not look at the window breaks the protocol there.
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
venv/bin/pip install -q paramiko==5.1.0 asyncssh==2.24.1
mkdir -p /run/sshd

cat >try.py <<'PYTHON'
import asyncio
import pathlib
import subprocess
import sys
import time

import asyncssh
import paramiko

folder = pathlib.Path(sys.argv[1])


def windows(port):
    transport = paramiko.Transport(("127.0.0.1", port))
    transport.start_client(timeout=10)
    transport.auth_publickey("root", paramiko.Ed25519Key(filename=str(folder / "key")))
    channel = transport.open_session(timeout=10)
    opened = channel.out_window_size
    channel.exec_command("cat")
    end = time.monotonic() + 5
    while not channel.out_window_size and time.monotonic() < end:
        time.sleep(0.01)
    started = channel.out_window_size
    transport.close()
    return opened, started


class Open(asyncssh.SSHServer):
    def public_key_auth_supported(self):
        return True

    def validate_public_key(self, username, key):
        return True


async def main():
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(folder / "key")
    (folder / "key").chmod(0o600)
    key.write_public_key(folder / "key.pub")
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Open, server_host_keys=[key], process_factory=lambda process: None
    )
    other = await asyncio.to_thread(windows, server.sockets[0].getsockname()[1])
    server.close()

    port = int(sys.argv[2])
    config = [f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {folder}/key", "UsePAM no", "StrictModes no"]
    config += [f"AuthorizedKeysFile {folder}/key.pub", f"PidFile {folder}/pid"]
    (folder / "config").write_text("\n".join(config) + "\n")
    sshd = subprocess.Popen([folder / "usr/sbin/sshd", "-D", "-f", folder / "config"], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                openssh = await asyncio.to_thread(windows, port)
                break
            except (OSError, paramiko.SSHException):
                await asyncio.sleep(0.1)
    finally:
        sshd.terminate()
        sshd.wait()
    print(f"window at the confirmation, and after the request: OpenSSH {openssh}, asyncssh {other}")
    assert openssh[0] == 0 and openssh[1] > 0
    assert other[0] > 0


asyncio.run(asyncio.wait_for(main(), 60))
PYTHON
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
timeout 90 venv/bin/python try.py "$folder" "$port"
