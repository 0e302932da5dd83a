"""Configurations for which OpenSSH and this client must come to the same result: one line, or one text, a case.

`{folder}` is the folder of the case's `files`. A case is either resolved alike by both, or refused by both. The
values are chosen so that a case can be made real by putting a server's into `{port}`, `{user}` and `{address}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Case(NamedTuple):
    """A configuration, and how it is asked for `host`."""

    name: str
    text: str
    host: str = "alias"
    options: tuple[str, ...] = ()
    user: str | None = None
    port: int | None = None
    files: Mapping[str, str] = {}

    def filled(self, **places: object) -> Case:
        """With the placeholders replaced, those that have a value."""

        def fill(text: str) -> str:
            for name, value in places.items():
                text = text.replace("{" + name + "}", str(value))
            return text

        files = {name: fill(text) for name, text in self.files.items()}
        options = tuple(fill(option) for option in self.options)
        return self._replace(text=fill(self.text), options=options, files=files)


# How a real server is reached, and what stands for it where there is none.
REAL = {"port": 2222, "user": "user", "address": "127.0.0.1"}
DEEP = {f"deep{n}": f"Include {{folder}}/deep{n + 1}\n" for n in range(1, 17)}

CASES = [
    # Lines, words and values
    Case("nothing at all", ""),
    Case("host, port and user", "Host alias\n  HostName {address}\n  Port {port}\n  User {user}\n"),
    Case("keywords in any case", "HOST alias\nhOsTnAmE {address}\nPORT {port}\nuser {user}\n"),
    Case("an equals sign", "HostName={address}\nPort = {port}\nUser  =  {user}\n"),
    Case("two equals signs in a row", "Port=={port}\n"),
    Case("two equals signs", "Port == {port}\n"),
    Case("tabs, form feeds and trailing blanks", "\tHostName\t{address} \t \f\r\n \t Port\t{port}  \n"),
    Case("carriage returns", "Host alias\r\n\tHostName {address}\r\n\tPort {port}\r\n"),
    Case("a carriage return in a word", "HostName a\rb\n"),
    Case("no newline at the end", "Port {port}"),
    Case("a quoted value", 'HostName "{address}"\nUser \'{user}\'\n'),
    Case("quotes inside a word", 'User {user}"a"\'b\'c\n'),
    Case("a quote of the other kind", "User \"it's\"\n"),
    Case("a quoted keyword", '"Port" {port}\n'),
    Case("a keyword that is half quoted", 'Po"rt" {port}\n'),
    Case("a quoted keyword, then an equals sign", '"Port" = {port}\n'),
    Case("a keyword with an open quote is passed over", '"Port {port}\nUser {user}\n'),
    Case("an open quote", 'User "{user}\n'),
    Case("an open quote in a command", "ProxyCommand echo it's\n"),
    Case("an escaped blank", "HostKeyAlias a\\ b\n"),
    Case("an escaped quote", 'HostKeyAlias a\\"b\n'),
    Case("an escaped backslash", "HostKeyAlias a\\\\b\n"),
    Case("a backslash as it is", "HostKeyAlias a\\nb\n"),
    Case("a backslash before a blank in quotes", 'HostKeyAlias "a\\ b"\n'),
    Case("a backslash before the end of a quote", 'HostKeyAlias "a\\"\n'),
    Case("a comment after a value", "Port {port} # the port\n"),
    Case("no value but a comment", "Port # {port}\n"),
    Case("a number sign inside a word", "HostKeyAlias a#b\n"),
    Case("a quoted number sign", 'HostKeyAlias "#a"\n'),
    Case("comments and empty lines", "# Port 1\n\n   # Port 2\n \t\n#\nPort {port}\n"),
    Case("a comment with an open quote", "# it's\nPort {port}\n"),
    Case("a NUL ends a line", "Port {port}\0 extra\n"),
    Case("a long line", "HostKeyAlias " + "a" * 20000 + "\nPort {port}\n"),
    Case("many words", "SendEnv " + "LC_X " * 500 + "\n"),
    Case("a keyword alone", "Port\n"),
    Case("an empty value", 'User ""\n'),
    Case("one word too many", "Port {port} 22\n"),
    Case("an unknown keyword", "Prot {port}\n"),
    Case("an unknown keyword in a block for another host", "Host other\n Prot {port}\n"),
    Case("an unknown keyword to be ignored", "IgnoreUnknown Use*,prot\nProt {port}\nUseX yes\n"),
    Case("an unknown keyword, to be ignored too late", "Prot {port}\nIgnoreUnknown prot\n"),
    Case("an unknown keyword and the wrong one ignored", "IgnoreUnknown port\nProt {port}\n"),
    Case("a keyword that is no longer", "RSAAuthentication yes\nProtocol 2\nPort {port}\n"),
    Case("letters beyond ASCII", "HostKeyAlias grüße\nUser ü{user}\n"),
    Case("the first value wins", "Port {port}\nPort 1\nHost *\nPort 2\nUser a\nUser b\n"),
    Case("a bad value in a block for another host", "Host other\n Port many\n"),
    # Kinds of values
    Case("a port of 0", "Port 0\n"),
    Case("a port that is too large", "Port 65536\n"),
    Case("a port with a sign", "Port +{port}\n"),
    Case("a port in octal is not", "Port 0022\n"),
    Case("a port with more behind it", "Port 22x\n"),
    Case("a port by the name of its service", "Port ssh\n"),
    Case("yes and no in any case", "Compression yes\nBatchMode YES\nTCPKeepAlive No\nIdentitiesOnly TRUE\n"),
    Case("true and false", "HashKnownHosts true\nTCPKeepAlive false\n"),
    Case("neither yes nor no", "IdentitiesOnly maybe\n"),
    Case("compression knows no true", "Compression true\n"),
    Case("a time", "ConnectTimeout 1m30s\nServerAliveInterval 2M\n"),
    Case("a time of one number", "ConnectTimeout 7\n"),
    Case("a long time", "ConnectTimeout 1w2d3h4m5s\n"),
    Case("a quoted time with a blank", 'ConnectTimeout "1m 5"\n'),
    Case("no time says nothing", "ConnectTimeout none\nConnectTimeout 5\n"),
    Case("a time that is none", "ConnectTimeout 5x\n"),
    Case("a time of a minus", "ConnectTimeout -5\n"),
    Case("a time beyond all bounds", "ConnectTimeout 9999999999\n"),
    *(
        Case(f"ControlPersist {word}", f"ControlPersist {word}\n")
        for word in ("yes", "TRUE", "no", "false", "0", "10m", "90", "none", "5x", "-1", "ask")
    ),
    *(
        Case(f"ControlMaster {word}", f"ControlMaster {word}\n")
        for word in ("yes", "NO", "auto", "ask", "autoask", "maybe")
    ),
    *(
        Case(f"ControlPath {word}", f"Port {{port}}\nControlPath {word}\n")
        for word in ("~/.ssh/%C", "none", "NONE", "/srv/%r@%h:%p-%n-%i-%l-%L-%u-%k-%d-%%", "x%T", "${SHORT}/x")
    ),
    Case("numbers", "ConnectionAttempts 3\nServerAliveCountMax 0\n"),
    Case("no attempts", "ConnectionAttempts 0\n"),
    Case("no attempts at another host", "Host other\nConnectionAttempts 0\n"),
    Case("a negative number", "ServerAliveCountMax -1\n"),
    Case("a number that is none", "ConnectionAttempts three\n"),
    Case("address families", "AddressFamily INET6\n"),
    Case("no address family", "AddressFamily ipv4\n"),
    *(
        Case(f"StrictHostKeyChecking {word}", f"StrictHostKeyChecking {word}\n")
        for word in ("yes", "no", "off", "ask", "accept-new", "True", "ACCEPT-NEW", "never")
    ),
    *(
        Case(f"LogLevel {word}", f"LogLevel {word}\n")
        for word in ("quiet", "INFO", "debug", "Debug1", "DEBUG3", "chatty")
    ),
    Case("bind address", "BindAddress 127.0.0.1\n"),
    Case("session", "SessionType subsystem\nRequestTTY no\nRemoteCommand ls -l # all\n"),
    Case("session types that are none", "SessionType shell\n"),
    Case("a terminal at any rate", "RequestTTY force\n"),
    Case("a remote command with tokens", "HostName h\nRemoteCommand echo %n %h %p %r %u %% %i %k %L\n"),
    Case("a remote command with a token that is none", "RemoteCommand echo %z\n"),
    Case("a remote command that ends in a percent sign", "RemoteCommand echo 5%\n"),
    Case("no remote command", "RemoteCommand none\n"),
    Case("SendEnv adds up", "SendEnv LANG LC_*\nSendEnv FOO\n"),
    Case("SendEnv takes away", "SendEnv LANG LC_A LC_B\nSendEnv -LC_* FOO\n"),
    Case("SendEnv with a value", "SendEnv A=b\n"),
    Case("SendEnv without a name", "SendEnv # A\n"),
    Case("SetEnv", 'SetEnv A=1 B="2 3" A=4 C=\nSetEnv D=5\n'),
    Case("SetEnv without a value", "SetEnv A\n"),
    Case("algorithms", "Ciphers aes128-ctr,aes256-ctr\nMACs hmac-sha2-256\nKexAlgorithms curve25519-sha256\n"),
    Case("algorithms of keys", "HostKeyAlgorithms ssh-ed25519\nPubkeyAcceptedKeyTypes ssh-ed25519\n"),
    Case("algorithms of authorities", "CASignatureAlgorithms ssh-ed25519\n"),
    Case("no algorithms", 'Ciphers ""\n'),
    # Files
    Case("identity files add up", "IdentityFile ~/a\nIdentityFile /b\nHost *\nIdentityFile ~/a\nIdentityFile c\n"),
    Case("an identity file that is none", "IdentityFile none\n"),
    Case("two identity files in one line", "IdentityFile a b\n"),
    Case("certificate files add up", "CertificateFile ~/a\nCertificateFile /b\n"),
    Case("several files of host keys", 'UserKnownHostsFile ~/a "/b c" /d\nUserKnownHostsFile /e\n'),
    Case("system-wide files of host keys", "GlobalKnownHostsFile /a /b%h\n"),
    Case("no files of host keys", "UserKnownHostsFile none\nGlobalKnownHostsFile NONE\n"),
    Case("none beside a file", "UserKnownHostsFile /a none\n"),
    Case("an empty file name", 'UserKnownHostsFile "" /a\n'),
    Case("files with tokens",
         "HostName h\nUser {user}\nPort {port}\nUserKnownHostsFile /%h/%n/%p/%r/%u/%k/%%/%i/%L/%l\n"),
    Case("files with the hash of the connection", "Port {port}\nUserKnownHostsFile /%C\n"),
    Case("files with the home", "UserKnownHostsFile %d/a ~/b ~root/c\n"),
    Case("files of nobody's home", "UserKnownHostsFile ~nobody-at-all/a\n"),
    Case("files with variables", "UserKnownHostsFile ${SHORT}/a /b${SHORT}${EMPTY}c$\n"),
    Case("files with a variable that is not set", "UserKnownHostsFile ${NOT_SET_AT_ALL}/a\n"),
    Case("files with an open variable", "UserKnownHostsFile ${SHORT\n"),
    Case("files with a token that is none", "UserKnownHostsFile /%z\n"),
    Case("the alias in tokens", "HostKeyAlias ALIAS\nUserKnownHostsFile /%k\n"),
    Case("an agent", "IdentityAgent ~/agent-%r\n"),
    Case("no agent", "IdentityAgent none\n"),
    Case("an agent of the environment", "IdentityAgent ${SHORT}/x\n"),
    Case("an agent of a variable that cannot be", "IdentityAgent $a-b\n"),
    # Ways
    Case("a jump", "ProxyJump bastion\n"),
    Case("a jump with all", "ProxyJump {user}@bastion:{port}\n"),
    Case("a chain of jumps", "ProxyJump a,b@c:22,ssh://d@e:33\n"),
    Case("a jump by its address", "ProxyJump u@[::1]:22\n"),
    Case("a jump by a URI", "ProxyJump ssh://u@bastion:22\n"),
    Case("a URI with a folder", "ProxyJump ssh://bastion/x\n"),
    Case("a jump with a bad port", "ProxyJump bastion:0\n"),
    Case("a jump to nowhere", "ProxyJump a,,b\n"),
    Case("a jump for nobody", "ProxyJump @bastion\n"),
    Case("a jump through itself", "ProxyJump alias\n"),
    Case("a jump through itself for somebody else", "ProxyJump a@alias\n"),
    Case("a jump through itself at another port", "Port {port}\nProxyJump alias\n"),
    Case("a chain through itself", "ProxyJump alias,b\n"),
    Case("no jump", "ProxyJump none\nProxyJump bastion\n"),
    Case("a proxy command", "ProxyCommand nc -x p:1080 a b # c\n"),
    Case("a proxy command with quotes", 'ProxyCommand sh -c "exec nc a b"\n'),
    Case("a proxy command behind an equals sign", "ProxyCommand=nc a b\n"),
    Case("no proxy command", "ProxyCommand none\nProxyCommand nc\n"),
    Case("the jump comes first", "ProxyJump a\nProxyCommand nc\n"),
    Case("the command comes first", "ProxyCommand nc\nProxyJump a\n"),
    Case("no command, then a jump", "ProxyCommand none\nProxyJump a\n"),
    Case("a jump for another host only", "Host other\nProxyJump a\nHost *\nProxyCommand nc\n"),
    # Hosts
    Case("a host name in capitals", "HostName EXAMPLE.Invalid\n"),
    Case("an alias in capitals", "Host alias\nPort 1\nHost ALIAS\nPort {port}\n", "ALIAS"),
    Case("a host name with the name as typed", "HostName %h.example.invalid\n"),
    Case("a host name with a percent sign", "HostName a%%b\n"),
    Case("a host name with a token that is none", "HostName %p\n"),
    Case("a short address", "HostName 127.1\n"),
    Case("a long address", "HostName 0:0::0:1\n"),
    Case("an address as typed", "", "127.1"),
    Case("a host key alias in capitals", "HostKeyAlias ALIAS\n"),
    Case("a pattern", "Host al?as\nPort {port}\nHost a*s\nUser {user}\n"),
    Case("several patterns", "Host a b alias c\nPort {port}\n"),
    Case("patterns with a comma", "Host alias,other\nPort 1\nHost *\nPort {port}\n"),
    Case("a negated pattern", "Host * !alias\nPort 1\nHost !other *\nPort {port}\n"),
    Case("a negated pattern alone", "Host !other\nPort 1\n"),
    Case("a pattern that needs a second try", "Host *a*b*c\nPort {port}\n", "xaxbxaxbxc"),
    Case("a bracket is a bracket", "Host ali[a]s\nPort 1\n"),
    Case("a quoted pattern", 'Host "alias"\nPort {port}\n'),
    Case("a host line with a comment", "Host other # alias\nPort 1\n"),
    Case("an empty pattern", 'Host "" alias\n'),
    Case("a host without a pattern", "Host\n"),
    Case("a host with an equals sign", "Host=alias\nPort {port}\n"),
    Case("host patterns are for the alias", "Host alias\nHostName h\nHost h\nPort 1\n"),
    # Match
    Case("match all", "Match all\nPort {port}\n"),
    Case("match not all", "Match !all\nPort 1\n"),
    Case("match all and more", "Match all host alias\n"),
    Case("match more and all", "Match host alias all\nPort {port}\n"),
    Case("match two and all", "Match host alias user x all\n"),
    Case("match host", "Match host other,al*\nPort {port}\n"),
    Case("match host in capitals", "Match host ALIAS\nPort {port}\n"),
    Case("match not host", "Match !host other\nPort {port}\nMatch !host alias\nUser x\n"),
    Case("match host with a negation", "Match host *,!alias\nPort 1\nMatch host !other,*\nUser {user}\n"),
    Case("match the real host", "HostName h\nMatch host h\nPort {port}\nMatch host alias\nUser x\n"),
    Case("match the original host", "HostName h\nMatch originalhost alias\nPort {port}\n"),
    Case("match user", "User {user}\nMatch user {user}\nPort {port}\n"),
    Case("match the user who is given", "User a\nMatch user b\nPort {port}\n", user="b"),
    Case("match the local user", "Match user root localuser root\nPort {port}\n"),
    Case("match not the local user", "Match !localuser nobody-at-all\nPort {port}\n"),
    Case("match several", "Match host alias user nobody-at-all\nPort 1\n"),
    Case("match in any case", "MATCH HOST alias OriginalHost alias\nPort {port}\n"),
    Case("match with equals signs", "Match host=alias\nPort {port}\nMatch originalhost=alias\nUser {user}\n"),
    Case("match a quoted argument", 'Match host "alias"\nPort {port}\n'),
    Case("match with a comment", "Match host alias # and more\nPort {port}\n"),
    Case("match nothing", "Match # all\n"),
    Case("match without an argument", "Match host\n"),
    Case("match what is unknown", "Match hots alias\n"),
    Case("match exec", "Match exec true\nPort {port}\nMatch exec false\nUser x\n"),
    Case("match not exec", "Match !exec false\nPort {port}\nMatch !exec true\nUser x\n"),
    Case("match exec with words", 'Match exec "test 1 = 1"\nPort {port}\n'),
    Case("match exec with tokens", 'Match exec "test %h%n%p%r = aliasalias22{user}"\nUser {user}\n', user="user"),
    Case("match exec with a token that is none", 'Match exec "test %z"\n'),
    Case("match exec ends by a signal", 'Match exec "kill -9 $$"\n'),
    Case("match exec in a block for another host", "Match host other exec false\nMatch all\nPort {port}\n"),
    Case("match canonical", "Match canonical\nPort 1\n"),
    Case("match not canonical", "Match !canonical\nPort {port}\n"),
    Case("match final", "Match final\nPort {port}\nMatch all\nUser {user}\n"),
    Case("match final after another port", "Match final\nPort 1\nMatch all\nPort {port}\n"),
    Case("match final all", "Match final all\nPort {port}\n"),
    Case("match final not all", "Match final !all\nPort 1\n"),
    Case("match not final", "Match !final\nPort {port}\n"),
    Case("match final host", "HostName h\nMatch final host h\nPort {port}\nMatch host alias\nUser x\n"),
    Case("host blocks in the final pass", "HostName h\nMatch final\nUser {user}\nHost h\nPort {port}\n"),
    Case("lists in the final pass", "SendEnv A\nIdentityFile /a\nMatch final\nIdentityFile /b\nSetEnv A=1\n"),
    Case("an identity of the final pass stands behind", "Match final\nIdentityFile /a\nMatch all\nIdentityFile /b\n"),
    Case("canonical names", "CanonicalizeHostname yes\nMatch canonical\nPort {port}\n", "alias.a.b.invalid"),
    Case("canonical names and HostName", "CanonicalizeHostname yes\nHostName h.a.b.invalid\nHost h.*\nPort {port}\n"),
    Case("canonical names behind a proxy", "CanonicalizeHostname yes\nProxyCommand nc\nCanonicalDomains invalid\n"),
    Case("a canonical domain that is none", "CanonicalDomains -x\n"),
    Case("a canonical domain with dots", "CanonicalDomains a..b\n"),
    Case("canonical names to an extent that is none", "CanonicalizeMaxDots x\n"),
    Case("permitted aliases", "ProxyCommand nc\nCanonicalizePermittedCNAMEs *.a:*.b,*.c\n"),
    Case("permitted aliases without a target", "CanonicalizePermittedCNAMEs *.a\n"),
    # Include
    Case("include", "Include {folder}/a\nPort 1\n", files={"a": "Port {port}\n"}),
    Case("include later", "Port {port}\nInclude {folder}/a\n", files={"a": "Port 1\nUser {user}\n"}),
    Case("include several", "Include {folder}/a {folder}/b\n", files={"a": "Port {port}\n", "b": "User {user}\n"}),
    Case("include in order", "Include {folder}/*.conf\n",
         files={"b.conf": "Port 1\n", "a.conf": "Port {port}\n", "B.conf": "Port 2\n"}),
    Case("include nothing", "Include {folder}/none-*\nInclude {folder}/none\nPort {port}\n"),
    Case("include a folder", "Include {folder}\nPort {port}\n"),
    Case("include in a block", "Host alias\nInclude {folder}/a\nPort 1\n", files={"a": "Port {port}\n"}),
    Case("include in a block for another host", "Host other\nInclude {folder}/a\n",
         files={"a": "Port 1\nHost *\nPort 2\nMatch all\nPort 3\n"}),
    Case("an include's blocks end with it", "Include {folder}/a\nPort {port}\n", files={"a": "Host other\nUser x\n"}),
    Case("an include's errors count", "Include {folder}/a\n", files={"a": "Prot 1\n"}),
    Case("an include's errors count in any block", "Host other\nInclude {folder}/a\n", files={"a": "Prot 1\n"}),
    Case("include a file with a blank", 'Include "{folder}/a b"\n', files={"a b": "Port {port}\n"}),
    Case("include by a class", "Include {folder}/[ab]\n", files={"a": "Port {port}\n", "c": "User x\n"}),
    Case("include hidden files", "Include {folder}/*\n", files={".a": "User x\n"}),
    Case("include without a file", "Include # none\n"),
    Case("include in itself", "Include {folder}/a\n", files={"a": "Include {folder}/a\n"}),
    Case("include sixteen deep", "Include {folder}/deep1\n", files={**DEEP, "deep16": "Port {port}\n"}),
    Case("include seventeen deep", "Include {folder}/deep1\n", files={**DEEP, "deep17": "Port {port}\n"}),
    Case("ignore what an include does not know", "IgnoreUnknown prot\nInclude {folder}/a\n",
         files={"a": "Prot 1\nPort {port}\n"}),
    # Options of the command line
    Case("an option", "Port 1\n", options=("Port={port}",)),
    Case("an option with a blank", "Port 1\n", options=("Port {port}",)),
    Case("options in order", "", options=("Port={port}", "Port=1")),
    Case("an option of no keyword", "", options=("Prot=1",)),
    Case("an option of a bad value", "", options=("Port=x",)),
    Case("an option without a value", "", options=("Port",)),
    Case("an empty option", "Port {port}\n", options=("",)),
    Case("an option for a host", "", options=("Host=alias",)),
    Case("an option that matches", "", options=("Match=all",)),
    Case("an option that includes", "", options=("Include={folder}/a",), files={"a": "Port 1\n"}),
    Case("options add to lists", "IdentityFile /b\nSendEnv B\n", options=("IdentityFile=/a", "SendEnv=A")),
    Case("an option for what is unknown", "Prot 1\n", options=("IgnoreUnknown=prot",)),
    Case("an option against a jump", "ProxyJump a\n", options=("ProxyJump=none",)),
    Case("an option instead of a jump", "ProxyJump a\n", options=("ProxyCommand=nc a b",)),
    Case("an option with quotes", "", options=('SetEnv=A="b c"',)),
    Case("the port and user of the command line", "Port 1\nUser x\n", port=2222, user="user"),
    Case("a host that is an option", "", "-oProxyCommand=x"),
    Case("a host with a blank", "", "a b"),
    Case("a host with a shell's signs", "", "a$b"),
    Case("a user with a shell's signs", "", user="a;b"),
]  # fmt: skip
