"""Configurations and whether they lead into a real sshd: `ssh` and this client must come to the same end.

What a case does not say is said behind it, by `REST`, so that everything is right but for the case. The places in
braces are the server's; `{stranger}` is a key that it does not accept, `{other_hosts}` a known_hosts file with another
key for it, `{tunnel}` a command that connects to it.
"""

from __future__ import annotations

REST = """
Host *
  HostName {address}
  Port {port}
  User {user}
  IdentityFile {key}
  IdentityAgent none
  UserKnownHostsFile {known_hosts}
  GlobalKnownHostsFile none
  ConnectTimeout 10
"""

CASES = {
    "nothing of its own": "",
    "all in its block": "Host alias\n HostName {address}\n Port {port}\n User {user}\n",
    "a block for another host": "Host other\n Port 1\n",
    "a pattern": "Host al*s\n Port 1\n",
    "a pattern of one character": "Host alia?\n Port 1\n",
    "a negated pattern": "Host * !alias\n Port 1\n",
    "a negated pattern for another": "Host !other *\n Port 1\n",
    "the wrong port": "Port 1\n",
    "the first port wins": "Port {port}\nPort 1\n",
    "an equals sign": "Port={port}\nUser = {user}\n",
    "quotes": 'Port "{port}"\nUser "{user}"\n',
    "keywords in capitals": "PORT {port}\nUSER {user}\n",
    "a comment behind a value": "Port {port} # right\n",
    "the wrong user": "User nobody-of-that-name\n",
    "a name that does not exist": "HostName no-such-host.invalid\n",
    "the alias in the name": "HostName %h.invalid\n",
    "an address by its name": "HostName localhost\nHostKeyAlias [{address}]:{port}\n",
    "an unknown keyword": "Prot {port}\n",
    "an unknown keyword to be ignored": "IgnoreUnknown Prot\nProt 1\n",
    "a bad value": "Port many\n",
    "a bad value in another block": "Host other\n Compression maybe\n",
    "an empty value": "User\n",
    "an open quote": 'User "{user}\n',
    "Match host": "Match host {address}\n Port 1\n",
    "Match originalhost": "Match originalhost alias\n Port 1\n",
    "Match originalhost of another": "Match originalhost other\n Port 1\n",
    "Match user": "User {user}\nMatch user {user}\n Port 1\n",
    "Match localuser": "Match localuser !{local_user},*\n Port 1\n",
    "Match exec that succeeds": "Match exec true\n Port 1\n",
    "Match exec that fails": "Match exec false\n Port 1\n",
    "Match exec with tokens": "Match exec \"test %n = alias\"\n Port 1\n",
    "Match all": "Match all\n Port 1\n",
    "Match final": "Match final\n Port 1\nMatch all\n Port {port}\n",
    "Match final alone": "Match final all\n User nobody-of-that-name\n",
    "Match negated": "Match !host {address}\n Port 1\n",
    "an include": "Include {folder}/wrong-port\n",
    "an include by pattern": "Include {folder}/wrong-*\n",
    "an include in a block for another": "Host other\n Include {folder}/wrong-port\n",
    "an include that is missing": "Include {folder}/missing\n",
    "a key that is not accepted": "IdentityFile {stranger}\nIdentitiesOnly yes\n",
    "the right key second": "IdentityFile {stranger}\nIdentityFile {key}\n",
    "a key that is missing": "IdentityFile {folder}/missing\n",
    "a key named by a variable": "IdentityFile ${{CASE_KEY}}\n",
    "a key named by tokens": "IdentityFile {folder}/%n_%r\n",
    "an encrypted key, then the right one": "IdentityFile {encrypted}\n",
    "only a public key": "IdentityFile {key}.pub\n",
    "six wrong keys before the right one": "".join(f"IdentityFile {{folder}}/k{n}\n" for n in range(6)),
    "a certificate": "CertificateFile {key}-none.pub\n",
    "no known_hosts": "UserKnownHostsFile none\n",
    "known_hosts of another": "UserKnownHostsFile {other_hosts}\n",
    "two known_hosts files": "UserKnownHostsFile {folder}/missing {known_hosts}\n",
    "known_hosts for everybody": "UserKnownHostsFile none\nGlobalKnownHostsFile {known_hosts}\n",
    "HostKeyAlias": "HostKeyAlias known-as\n",
    "HostKeyAlias that nobody knows": "HostKeyAlias unknown\n",
    "unknown and accept-new": "StrictHostKeyChecking accept-new\nUserKnownHostsFile {folder}/new\n",
    "unknown and no": "StrictHostKeyChecking no\nUserKnownHostsFile {folder}/new\n",
    "unknown and off": "StrictHostKeyChecking off\nUserKnownHostsFile {folder}/new\n",
    "unknown and ask": "StrictHostKeyChecking ask\nUserKnownHostsFile {folder}/new\n",
    "unknown and hashed": "StrictHostKeyChecking no\nHashKnownHosts yes\nUserKnownHostsFile {folder}/new\n",
    "changed and accept-new": "StrictHostKeyChecking accept-new\nUserKnownHostsFile {other_hosts}\n",
    "changed and no": "StrictHostKeyChecking no\nUserKnownHostsFile {other_hosts}\n",
    "a revoked key": "RevokedHostKeys {folder}/revoked\n",
    "one cipher": "Ciphers aes256-ctr\n",
    "an old cipher": "Ciphers aes128-cbc\n",
    "an old cipher beside the others": "Ciphers +aes128-cbc\n",
    "a cipher that nobody knows": "Ciphers rot13\n",
    "no cipher is left": "Ciphers -*\n",
    "one MAC": "Ciphers aes128-ctr\nMACs hmac-sha2-512\n",
    "one key exchange": "KexAlgorithms ecdh-sha2-nistp384\n",
    "key exchanges without the fastest": "KexAlgorithms -curve25519*,sntrup*\n",
    "one host key algorithm": "HostKeyAlgorithms rsa-sha2-512\n",
    "a host key algorithm that the server lacks": "HostKeyAlgorithms ecdsa-sha2-nistp521\n",
    "keys of another type only": "PubkeyAcceptedAlgorithms rsa-sha2-512\n",
    "keys of the right type only": "PubkeyAcceptedAlgorithms ssh-ed25519\n",
    "an RSA host key that is too small": "HostKeyAlgorithms rsa-sha2-512\nRequiredRSASize 4096\n",
    "an RSA host key that is large enough": "HostKeyAlgorithms rsa-sha2-512\nRequiredRSASize 2048\n",
    "compression": "Compression yes\n",
    "IPv4": "AddressFamily inet\n",
    "IPv6 where there is none": "AddressFamily inet6\n",
    "a local address": "BindAddress 127.0.0.1\n",
    "a local address that is not ours": "BindAddress 192.0.2.1\n",
    "two attempts": "ConnectionAttempts 2\n",
    "no keepalives": "TCPKeepAlive no\nServerAliveInterval 0\n",
    "keepalives": "ServerAliveInterval 5\nServerAliveCountMax 2\n",
    "an environment": "SetEnv CASE=x\nSendEnv LC_*\n",
    "a ProxyCommand": "ProxyCommand {tunnel} %h %p\n",
    "a ProxyCommand that fails": "ProxyCommand exit 3\n",
    "a ProxyCommand that is none": "ProxyCommand none\n",
    "a jump host": "Host alias\n ProxyJump jump\nHost jump\n HostKeyAlias known-as\n",
    "a jump host with a wrong port": "Host alias\n ProxyJump {user}@localhost:1\n",
    "a jump host that is unknown": "Host alias\n ProxyJump jump\nHost jump\n HostKeyAlias unknown\n",
    "two jump hosts": "Host alias\n ProxyJump one,two\nHost one two\n HostKeyAlias known-as\n",
    "a jump host of its own": "Host alias\n ProxyJump a\nHost a\n ProxyJump b\nHost a b\n HostKeyAlias known-as\n",
    "a jump host that is none": "Host alias\n ProxyJump none\nMatch all\n ProxyJump nowhere.invalid\n",
    "a jump host, another key": "Host alias\n ProxyJump a\nHost a\n HostKeyAlias known-as\n IdentityFile {stranger}\n",
    "the machine itself as jump host": "ProxyJump {user}@{address}:{port}\n",
}  # fmt: skip
