"""The least SSH server with Twisted Conch that runs commands: PORT HOST_KEY AUTHORIZED_KEYS.

It wants new keys twice a second, and takes 32 KB at once in packets of 1 KB.
"""

import getpass
import os
import sys
from typing import Any

from twisted.conch import avatar, checkers  # type: ignore[import-not-found]  # in its own environment
from twisted.conch.interfaces import ISession  # type: ignore[import-not-found]
from twisted.conch.ssh import factory, keys, session  # type: ignore[import-not-found]
from twisted.cred.portal import Portal  # type: ignore[import-not-found]
from twisted.internet import reactor  # type: ignore[import-not-found]
from twisted.internet.task import LoopingCall  # type: ignore[import-not-found]
from twisted.python import components  # type: ignore[import-not-found]


class Session:
    """Runs commands as the server's own user."""

    def __init__(self, _avatar: Any) -> None:
        self._process: Any = None

    def execCommand(self, protocol: Any, command: bytes) -> None:  # noqa: N802 - Twisted's name
        argv = ["/bin/sh", "-c", command]
        self._process = reactor.spawnProcess(protocol, argv[0], argv, env=os.environ)
        transport = protocol.session.conn.transport
        self._rekeying = LoopingCall(transport.sendKexInit)
        self._rekeying.start(0.5, now=False)

    def eofReceived(self) -> None:  # noqa: N802 - Twisted's name
        self._process.closeStdin()

    def closed(self) -> None:
        self._rekeying.stop()


def narrow_session(**opened: Any) -> Any:
    return session.SSHSession(localWindow=32768, localMaxPacket=1024, **opened)


class User(avatar.ConchUser):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.channelLookup[b"session"] = narrow_session


class Realm:
    def requestAvatar(self, _name: bytes, _mind: Any, *interfaces: Any) -> Any:  # noqa: N802 - Twisted's name
        return interfaces[0], User(), lambda: None


components.registerAdapter(Session, User, ISession)
port, host_key, authorized = sys.argv[1:]
server = factory.SSHFactory()
key = keys.Key.fromFile(host_key)
server.publicKeys = {key.sshType(): key.public()}
server.privateKeys = {key.sshType(): key}
known = checkers.InMemorySSHKeyDB({getpass.getuser().encode(): [keys.Key.fromFile(authorized)]})
server.portal = Portal(Realm(), [checkers.SSHPublicKeyChecker(known)])
reactor.listenTCP(int(port), server, interface="127.0.0.1")
reactor.run()
