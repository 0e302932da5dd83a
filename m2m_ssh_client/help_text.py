"""The text of `--help`, written by docs/reference.py."""

HELP = """\
usage: m2m-mcp-server-ssh-client [HOST] [options] [-- REMOTE COMMAND ...]
       m2m-mcp-server-ssh-client COMMAND [--help] ...

Use an MCP server on another machine, over SSH, as if it were local: a stdio
MCP server for Claude Desktop, Cursor, VS Code and other hosts.

commands, each with its own --help:
  tools       list the tools of a remote server
  resources   list its resources
  prompts     list its prompts
  call        call a tool
  read        read a resource
  prompt      get a prompt, filled in
  setup       set up a remote server, step by step
  trust       show the host keys of a machine and add them to known_hosts
  doctor      find out why a connection fails
  install     write an entry into the configuration of an MCP host
  uninstall   remove an entry
  list        show the entries
  status      show the relays that are running
  logs        show the log, of one entry too
  kept        show the servers that live on without a connection, or end them
  demo        show the client at work on this machine
  completion  print the completion for a shell

options:
  -h, --help            show this help message and exit

the remote machine:
  HOST                  the machine, as --host names it
  --host [USER@]HOST    name, address, or alias from the SSH configuration
                        (default: localhost)
  -p, --port PORT       port of the SSH server (default: 22; without a remote
                        command 8022)
  -l, --username NAME   remote user (default: your name here; without a remote
                        command mcp)
  -J, --jump HOST[,HOST...]
                        jump hosts on the way, as for `ssh -J`
  -F, --ssh-config FILE
                        OpenSSH client configuration, or `none` (default:
                        ~/.ssh/config, then /etc/ssh/ssh_config)
  -o, --ssh-option KEYWORD=VALUE
                        configuration line that overrides the files, as for
                        `ssh -o` (may be repeated)
  --via COMMAND         let this program carry in place of our own SSH: `ssh`,
                        or a command line with the places {destination},
                        {host}, {port}, {user}, and {command} or {words}
  --share               use one SSH connection for all entries with the same
                        machine, user and options, held by a process that ends
                        with the last of them (default: as ControlMaster says)
  --no-share            have a connection of its own, whatever ControlMaster
                        and ControlPath say
  --connect-timeout SECONDS
                        time limit for all attempts and jump hosts, up to the
                        open session (default: 25)
  --subsystem NAME      request this SSH subsystem

the remote command:
  --env NAME[=VALUE]    environment variable for the remote command; without a
                        value, the local one is sent (may be repeated)
  --env-in-command      set these variables in the remote command line, for
                        SSH servers that accept none; visible to other users
                        there
  --cwd DIR             folder in which the remote command runs
  --login-shell         run it in the user's login shell, with the PATH set
                        there; what the shell itself prints is dropped
                        (default: only if its program is not found otherwise)
  --no-login-shell      never run it in the login shell

login:
  -i, --client-key FILE
                        private key file, or the public half of a key that the
                        agent holds (default: the keys of the SSH
                        configuration and of the agent,
                        ~/.ssh/m2m_mcp_server_ssh_client, ~/.ssh/id_*)
  --key-fingerprint SHA256:...
                        use only the client key with this fingerprint
  --passphrase-file FILE
                        file whose single line is the passphrase of encrypted
                        keys
  --passphrase PASSPHRASE
                        visible to other users of this machine: prefer
                        --passphrase-file or the environment variable
                        M2M_SSH_PASSPHRASE

trust:
  --host-key SHA256:...
                        accept only the host key with this fingerprint
  --key-server-port PORT
                        port of the key server, over plain HTTP (default:
                        8000)
  --key-server-url URL  URL of the key server, if not on the host; https://
                        never falls back to http://
  --known-hosts FILE    file of trusted host keys (default:
                        ~/.ssh/known_hosts)
  --disable-host-key-checking
                        accept any host key (INSECURE: only for development on
                        your own machine)
  --use-key-server      first exchange keys with the key server of m2m-mcp-
                        server-ssh-server

when the network fails:
  --keepalive SECONDS   send a keepalive after this many idle seconds; 0
                        disables (default: 15)
  --keepalive-count N   give the connection up after N unanswered keepalives
                        in a row (default: 3)
  --ping SECONDS        with --via PROGRAM: after this many silent seconds,
                        ping the server, and start the program again after
                        --keepalive-count pings without an answer (default:
                        never)
  --keep [SECONDS]      let the remote server live on for this time when the
                        connection is lost, and go on with it afterwards;
                        needs python3 there (default without SECONDS: 600)
  --no-reconnect        exit when the connection is lost, instead of
                        reconnecting
  --reconnect-timeout SECONDS
                        stop reconnecting after this time (default: never)
  --hold-timeout SECONDS
                        how long a request waits for a reconnect before it
                        fails (default: 20)
  --retry-tool-calls    after a reconnect, repeat calls of tools annotated
                        readOnlyHint or idempotentHint

a part of the server:
  --tool PATTERN        offer only the tools whose names match, such as
                        `git_*` (may be repeated; default: all)
  --ignore-tool PATTERN
                        leave out the tools whose names match, and refuse
                        calls of them (may be repeated)

a host and a server of different protocol versions:
  --bridge {auto,off,modern}
                        translate between MCP before and from 2026-07-28 where
                        host and server share no version: auto, off, or modern
                        for a host that speaks the newer one only (default:
                        auto)

other:
  --max-message-size BYTES
                        longest JSON-RPC message to relay (default: 268435456,
                        256 MiB)
  --log-level {DEBUG,INFO,WARNING,ERROR,CRITICAL}
                        level of stderr and the log file (default: WARNING on
                        stderr, INFO in the file)
  --log-payloads        with --log-level DEBUG, log messages too, cut to 500
                        characters; may contain secrets
  --log-file FILE       append log lines to this file, or `none` (default: the
                        one that `logs` shows)
  --version             show program's version number and exit

The command after `--` starts the MCP server on the remote machine. A single argument is a
command line for the shell there; several arguments are quoted one by one. Without a command
(and without --subsystem) a shell is requested, as m2m-mcp-server-ssh-server expects.

examples:
  m2m-mcp-server-ssh-client --host lab -- uvx mcp-server-git --repository /srv/repo
  m2m-mcp-server-ssh-client --host ada@lab.example --login-shell -- 'cd /srv && ./serve'
  m2m-mcp-server-ssh-client --host lab.example --use-key-server
"""
