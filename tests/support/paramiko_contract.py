"""Everything that ssh/library/ uses of paramiko's and that paramiko's documentation does not promise.

`tests/ssh/library/test_contract.py` holds paramiko to it, and `tests/test_imports.py` keeps it out of all other rooms.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import paramiko
from paramiko.auth_handler import AuthHandler
from paramiko.buffered_pipe import BufferedPipe
from paramiko.channel import Channel
from paramiko.kex_gex import KexGexSHA256
from paramiko.packet import Packetizer


class Method(NamedTuple):
    """A method that can be called with these arguments, given by position."""

    arguments: int = 0


class Keywords(NamedTuple):
    """A method that paramiko calls with at least these keywords."""

    names: tuple[str, ...]


class Property(NamedTuple):
    """A property of the class, which a subclass may replace."""


class Value(NamedTuple):
    """An attribute of one of these types, in a fresh instance."""

    types: tuple[type, ...]


class Table(NamedTuple):
    """A dictionary with at least these keys."""

    keys: tuple[object, ...]


Expectation = Method | Keywords | Property | Value | Table

_NOTHING_YET = type(None)
_LOCK: Any = type(threading.Lock())
_NUMBER = (int, float)

CONTRACT: dict[type, dict[str, Expectation]] = {
    paramiko.Transport: {
        "_channel_handler_table": Table((98, 99, 100)),  # a request, a success, a failure
        "_channels": Value((object,)),
        "_cipher_info": Table(("aes128-gcm@openssh.com", "aes128-ctr")),
        "_compression_info": Table(("zlib@openssh.com", "none")),
        "_handler_table": Table((92,)),  # a channel was not opened
        "_kex_info": Table(("curve25519-sha256@libssh.org", "ecdh-sha2-nistp256")),
        "_mac_info": Table(("hmac-sha2-256", "hmac-sha2-256-etm@openssh.com")),
        "_parse_disconnect": Method(1),
        "_parse_ext_info": Method(1),
        "_parse_global_request": Method(1),
        "_parse_newkeys": Method(1),
        "_really_parse_kex_init": Method(2),
        "_parse_request_failure": Method(1),
        "_parse_request_success": Method(1),
        "_sanitize_packet_size": Method(1),
        "_send_kex_init": Method(),
        "_send_user_message": Method(1),
        "_verify_key": Method(2),
        "auth_handler": Value((_NOTHING_YET,)),
        "auth_timeout": Value(_NUMBER),
        "banner_timeout": Value(_NUMBER),
        "channel_timeout": Value(_NUMBER),
        "clear_to_send": Value((threading.Event,)),
        "clear_to_send_timeout": Value(_NUMBER),
        "default_window_size": Value((int,)),
        "get_exception": Method(),
        "handshake_timeout": Value(_NUMBER),
        "host_key_type": Value((_NOTHING_YET,)),
        "in_kex": Value((bool,)),
        "initial_kex_done": Value((bool,)),
        "kex_engine": Value((_NOTHING_YET,)),
        "local_cipher": Value((str,)),
        "local_mac": Value((_NOTHING_YET,)),
        "packetizer": Value((Packetizer,)),
        "preferred_kex": Property(),
        "preferred_keys": Property(),
        "remote_version": Value((str,)),
        "server_extensions": Value((dict,)),
        "session_id": Value((_NOTHING_YET,)),
        "sock": Value((object,)),
    },
    Channel: {
        "_event_pending": Method(),
        "_wait_for_event": Method(),
        "_handle_request": Method(1),
        "chanid": Value((int,)),
        "closed": Value((bool, int)),
        "eof_received": Value((bool, int)),
        "eof_sent": Value((bool, int)),
        "exit_status": Value((int,)),
        "in_buffer": Value((BufferedPipe,)),
        "in_stderr_buffer": Value((BufferedPipe,)),
        "in_window_size": Value((int,)),
        "lock": Value((_LOCK,)),
        "out_buffer_cv": Value((threading.Condition,)),
        "out_max_packet_size": Value((int,)),
        "out_window_size": Value((int,)),
        "remote_chanid": Value((int,)),
        "status_event": Value((threading.Event,)),
        "transport": Value((_NOTHING_YET,)),
    },
    Packetizer: {
        "REKEY_BYTES": Value((int,)),
        "REKEY_BYTES_OVERFLOW_MAX": Value((int,)),
        "_Packetizer__sequence_number_in": Value((int,)),
        "_Packetizer__sequence_number_out": Value((int,)),
        "_trigger_rekey": Method(),
        "close": Method(),
        "closed": Property(),
        "complete_handshake": Method(),
        "handshake_timed_out": Method(),
        "need_rekey": Method(),
        "read_all": Method(2),
        "read_message": Method(),
        "readline": Method(1),
        "send_message": Method(1),
        "set_inbound_cipher": Keywords(("block_engine", "aead", "iv_in")),
        "set_inbound_compressor": Method(1),
        "set_outbound_cipher": Keywords(("block_engine", "aead", "iv_out")),
        "set_outbound_compressor": Method(1),
        "write_all": Method(1),
    },
    BufferedPipe: {
        "__len__": Method(),
        "close": Method(),
        "feed": Method(1),
    },
    AuthHandler: {
        "_client_handler_table": Property(),
        "_parse_userauth_success": Method(1),
        "abort": Method(),
        "auth_method": Value((str,)),
        "transport": Value((object,)),
        "username": Value((_NOTHING_YET,)),
    },
    KexGexSHA256: {
        "min_bits": Value((int,)),
        "name": Value((str,)),
        "parse_next": Method(2),
        "preferred_bits": Value((int,)),
    },
}

# Words that other classes use too, ours among them, with meanings of their own.
_COMMON = {
    *("abort", "close", "closed", "get_exception", "lock", "name", "transport", "username"),
    *(
        "auth_method",
        "feed",
        "read_all",
        "readline",
        "write_all",
        "send_message",
        "__len__",
        "sock",
    ),
    *("read_message", "exit_status", "session_id"),
}
NAMES = frozenset(name for names in CONTRACT.values() for name in names)
FOR_THE_LIBRARY_ALONE = NAMES - _COMMON
"""Names that nothing outside of ssh/library/ may use, whatever they are used of."""
