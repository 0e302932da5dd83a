"""Every keyword that OpenSSH knows (9.2 to 10.x, and distributions' own), with its reader."""

from __future__ import annotations

from m2m_ssh_client.ssh.config import values
from m2m_ssh_client.ssh.config.values import Reader

# Those whose lines add up; of all others the first line counts.
ADDING = frozenset(
    {
        "identityfile",
        "certificatefile",
        "sendenv",
        "localforward",
        "remoteforward",
        "dynamicforward",
    }
)

# Another name for the same thing.
ALIASES = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "dsaauthentication": "pubkeyauthentication",
    "hostbasedkeytypes": "hostbasedacceptedalgorithms",
    "identityfile2": "identityfile",
    "keepalive": "tcpkeepalive",
    "protocolkeepalives": "serveraliveinterval",  # Debian's
    "pubkeyacceptedkeytypes": "pubkeyacceptedalgorithms",
    "rsaminsize": "requiredrsasize",  # Fedora's
    "setuptimeout": "serveraliveinterval",  # Debian's
    "skeyauthentication": "kbdinteractiveauthentication",
    "smartcarddevice": "pkcs11provider",
    "tisauthentication": "kbdinteractiveauthentication",
}

READERS: dict[str, Reader] = {
    "addkeystoagent": values.anything,
    "addressfamily": values.choice("any", "inet", "inet6"),
    "batchmode": values.flag(),
    "bindaddress": values.text,
    "bindinterface": values.text,
    "canonicaldomains": values.domains,
    "canonicalizefallbacklocal": values.flag(),
    "canonicalizehostname": values.flag("always"),
    "canonicalizemaxdots": values.number,
    "canonicalizepermittedcnames": values.cnames,
    "casignaturealgorithms": values.key_algorithms,
    "certificatefile": values.text,
    "channeltimeout": values.texts,
    "checkhostip": values.flag(),
    "ciphers": values.algorithms,
    "clearallforwardings": values.flag(),
    "compression": values.choice("yes", "no"),
    "connectionattempts": values.number,
    "connecttimeout": values.seconds,
    "controlmaster": values.flag("auto", "ask", "autoask"),
    "controlpath": values.text,
    "controlpersist": values.persistence,
    "dynamicforward": values.text,
    "enableescapecommandline": values.flag(),
    "enablesshkeysign": values.flag(),
    "escapechar": values.text,
    "exitonforwardfailure": values.flag(),
    "fingerprinthash": values.choice("md5", "sha1", "sha256", "sha384", "sha512"),
    "forkafterauthentication": values.flag(),
    "forwardagent": values.text,
    "forwardx11": values.flag(),
    "forwardx11timeout": values.seconds,
    "forwardx11trusted": values.flag(),
    "gatewayports": values.flag(),
    "globalknownhostsfile": values.files,
    "gssapiauthentication": values.flag(),
    "gssapidelegatecredentials": values.flag(),
    "hashknownhosts": values.flag(),
    "hostbasedacceptedalgorithms": values.key_algorithms,
    "hostbasedauthentication": values.flag(),
    "hostkeyalgorithms": values.key_algorithms,
    "hostkeyalias": values.text,
    "hostname": values.text,
    "identitiesonly": values.flag(),
    "identityagent": values.agent,
    "identityfile": values.text,
    "ignoreunknown": values.text,
    "ipqos": values.texts,
    "kbdinteractiveauthentication": values.flag(),
    "kbdinteractivedevices": values.text,
    "kexalgorithms": values.algorithms,
    "knownhostscommand": values.command,
    "localcommand": values.command,
    "localforward": values.texts,
    "loglevel": values.log_level,
    "logverbose": values.files,
    "macs": values.algorithms,
    "nohostauthenticationforlocalhost": values.flag(),
    "numberofpasswordprompts": values.number,
    "obscurekeystroketiming": values.text,
    "passwordauthentication": values.flag(),
    "permitlocalcommand": values.flag(),
    "permitremoteopen": values.texts,
    "pkcs11provider": values.text,
    "port": values.port,
    "preferredauthentications": values.text,
    "proxycommand": values.command,
    "proxyjump": values.jumps,
    "proxyusefdpass": values.flag(),
    "pubkeyacceptedalgorithms": values.key_algorithms,
    "pubkeyauthentication": values.flag("unbound", "host-bound"),
    "refuseconnection": values.text,
    "rekeylimit": values.texts,
    "remotecommand": values.command,
    "remoteforward": values.texts,
    "requesttty": values.flag("force", "auto"),
    "requiredrsasize": values.number,
    "revokedhostkeys": values.files,
    "securitykeyprovider": values.text,
    "sendenv": values.variable_names,
    "serveralivecountmax": values.number,
    "serveraliveinterval": values.seconds,
    "sessiontype": values.choice("none", "subsystem", "default"),
    "setenv": values.variables,
    "stdinnull": values.flag(),
    "streamlocalbindmask": values.text,
    "streamlocalbindunlink": values.flag(),
    "stricthostkeychecking": values.strict,
    "syslogfacility": values.text,
    "tag": values.text,
    "tcpkeepalive": values.flag(),
    "tunnel": values.flag("point-to-point", "ethernet"),
    "tunneldevice": values.text,
    "updatehostkeys": values.flag("ask"),
    "user": values.text,
    "userknownhostsfile": values.files,
    "verifyhostkeydns": values.flag("ask"),
    "versionaddendum": values.command,
    "visualhostkey": values.flag(),
    "warnweakcrypto": values.texts,
    "xauthlocation": values.text,
}

# Keywords that OpenSSH ignores: removed ones, those of optional features, and those that
# distributions add.
IGNORED = frozenset(
    {
        *("afstokenpassing", "askpassgui", "cipher", "compressionlevel", "fallbacktorsh"),
        *("globalknownhostsfile2", "gssapiclientidentity", "gssapikexalgorithms"),
        *("gssapikeyexchange", "gssapirenewalforcesrekey", "gssapiserveridentity"),
        *("gssapitrustdns", "kerberosauthentication", "kerberostgtpassing", "protocol"),
        *("rhostsauthentication", "rhostsrsaauthentication", "rsaauthentication", "usekeychain"),
        *("useprivilegedport", "userknownhostsfile2", "useroaming", "usersh"),
    }
)


def reader(keyword: str) -> Reader | None:
    """Return the reader for the keyword (lower case, no alias); None if nobody knows it."""
    return values.anything if keyword in IGNORED else READERS.get(keyword)
