#!/usr/bin/env bash
# ssh gives a silent server one interval more than its manual says.
#
# Guess:  with ServerAliveInterval I and ServerAliveCountMax C, dead after I × C seconds: ssh_config(5) gives "approximately
#         45 seconds" for 15 and 3.
# Seen:   I × (C + 1) with OpenSSH 9.2: the first message goes out after I seconds of silence, each further one I later, and
#         the last one gets an interval, too. So 60 seconds for 15 and 3, and 12 instead of 9 for 3 and 3 (less what is
#         left of a second: ssh counts whole ones).
# Why it matters: a client that counts as the manual does gives up a link that ssh would keep.
#
# Needs a Debian 12 with its package mirror, Python 3.10 or newer and PyPI. Installs nothing outside of a temporary folder.
set -euo pipefail

folder=$(mktemp -d)
server=
cleanup() {
    [[ -z $server ]] || kill -KILL "$server" 2>/dev/null || true
    rm -rf "$folder"
}
trap cleanup EXIT
cd "$folder"
apt-get -qq download openssh-client=1:9.2p1-2+deb12u10 2>/dev/null
dpkg -x openssh-client_*.deb .
python3 -m venv venv
venv/bin/pip install -q asyncssh==2.21.1

cat >server.py <<'PYTHON'
import asyncio, sys
import asyncssh

class Open(asyncssh.SSHServer):
    def begin_auth(self, username):
        return False

async def ready(process):
    process.stdout.write("ready\n")
    await asyncio.sleep(600)

async def main():
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.listen("127.0.0.1", 0, server_host_keys=[key], server_factory=Open, process_factory=ready)
    print(server.get_port(), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
PYTHON

failed=0
for count in 1 3; do
    coproc SERVER { exec venv/bin/python server.py 2>/dev/null; }
    server=$SERVER_PID
    read -r port <&"${SERVER[0]}"
    began=
    # It says "ready", and then it is stopped: the connection stays, and nobody answers.
    while read -r line; do
        [[ $line == ready* ]] || continue
        kill -STOP "$server"
        began=$(date +%s%N)
    done < <(timeout 30 usr/bin/ssh -F none -T -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
        -o ServerAliveInterval=3 -o "ServerAliveCountMax=$count" -p "$port" someone@127.0.0.1 </dev/null 2>/dev/null)
    tenths=$((($(date +%s%N) - began) / 100000000))
    echo "interval 3 s, count $count: dead after $((tenths / 10)).$((tenths % 10)) s"
    ((tenths > 30 * count + 15 && tenths < 30 * (count + 1) + 15)) || failed=1
    kill -KILL "$server"
    wait "$server" 2>/dev/null || true
    server=
done
exit $failed
