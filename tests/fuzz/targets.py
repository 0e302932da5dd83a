"""All targets by name: whatever parses bytes that somebody else wrote."""

from __future__ import annotations

from fuzz.target import Target

_JSON_RPC = (
    '{"jsonrpc":"2.0",', '"id":1', '"id":"m2m-1"', '"method":"', "initialize", "server/discover", "tools/list",
    "tools/call", "subscriptions/listen", "notifications/cancelled", "notifications/progress", '"params":{',
    '"result":{', '"error":{', '"requestId":', '"progressToken":', '"_meta":{', "notifications/initialized",
    "resources/subscribe", "logging/setLevel", "io.modelcontextprotocol/subscriptionId", '"capabilities":{',
    "\\u2028", "\\ud800", "NaN", "1e999", "null", "true", "m2m-1:", "notifications/subscriptions/acknowledged",
)  # fmt: skip
_LONG_LINES = (
    '"result":{"content":[{"type":"text","text":"',
    '"params":{"arguments":{"text":"',
    '"}]}}\\x0a',
    "\\\\u",
)
_KEYS = (
    "ssh-ed25519 ", "ssh-rsa ", "ecdsa-sha2-nistp256 ", "-cert-v01@openssh.com", "sk-ssh-ed25519@openssh.com ",
    "AAAAC3NzaC1lZDI1NTE5AAAAI", "@revoked ", "@cert-authority ", "|1|", "host.example", "[host.example]:2222",
    "rsa-sha2-512 ", "*", "!", "#", "\\x00",
)  # fmt: skip
_CONFIG = (
    "Host ", "Match ", "exec ", "final", "canonical", "originalhost ", "localnetwork ", "Include more", "HostName ",
    "ProxyJump ", "ProxyCommand ", "none", "IdentityFile ", "%h", "%%", "%C", "${HOME}", "~/",
    "CanonicalizeHostname yes", "CanonicalDomains ", "SetEnv A=", "SendEnv -", "IgnoreUnknown ",
    "HostKeyAlgorithms +", "ssh://", "alias", "Port ", "ConnectTimeout 1w", "IdentityAgent $",
    "GlobalKnownHostsFile ", "HostKeyAlias ", "RefuseConnection ",
)  # fmt: skip
_JSONC = (
    '{"mcpServers":{', '"lab":{', '"command":"', '"args":[', "//", "/*", "*/", "\\u006cab", '"env":{', "S3CRET", "},",
    "\\x0d\\x0a", "\\xef\\xbb\\xbf", "null", "1e5", '"url":"http://', "\\x09",
)  # fmt: skip
_TOML = (
    "[mcp_servers.lab]\\x0a", "[mcp_servers]\\x0a", "[[mcp_servers.lab]]\\x0a", 'command = "x"\\x0a', "args = [",
    "lab.command = ", "mcp_servers.lab = {", '"""', "'''", "# c\\x0a", "\\x0d\\x0a", "1979-05-27T07:32:00Z",
    "0x1f", "inf", "\\u006c", ".env]\\x0a",
)  # fmt: skip
_YAML = (
    "extensions:\\x0a", "mcpServers:\\x0a", "  lab:\\x0a", "  - name: lab\\x0a", "    command: x\\x0a",
    "    args:\\x0a", "      - a\\x0a", "# c\\x0a", "---\\x0a", "...\\x0a", "&a ", "*a", "<<: *a", "{}", "[]",
    "? ", ": ", "|\\x0a", ">-\\x0a", "!!str ", "\\x0d\\x0a", "\\xe2\\x80\\xa8", "~", "'",
)  # fmt: skip
_HTTP = (
    "HTTP/1.1 200 OK\\x0d\\x0a", "HTTP/1.0 ", "Content-Length: ", "Transfer-Encoding: chunked\\x0d\\x0a",
    "Location: http://", "Content-Encoding: gzip\\x0d\\x0a", "Content-Encoding: deflate\\x0d\\x0a", "Retry-After: ",
    "Set-Cookie: ", "\\x0d\\x0a\\x0d\\x0a", "Connection: close\\x0d\\x0a",
    "HTTP/1.1 100 Continue\\x0d\\x0a\\x0d\\x0a", "HTTP/1.1 302 ",
)  # fmt: skip
_ANSWER = (
    '{"server_pub_key":"ssh-ed25519 AAAA',
    '{"status":"success"}',
    '{"error":"',
    "429 5\\x0a",
)
_PEM = (
    "-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN EC PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED",
    "DEK-Info: AES-128-CBC,", "-----BEGIN ENCRYPTED PRIVATE KEY-----",
)  # fmt: skip

TARGETS = {
    "lines": Target("frames.check_line", _JSON_RPC, share=3),
    "splitter": Target("frames.check_splitter", longest=600),
    "session": Target("sessions.check", ("\\x0a>", "\\x0a<", "\\x0a+", "\\x0a-\\x0a+", *_JSON_RPC), 4096, share=8),
    "long_answers": Target("long_lines.check_answers", _JSON_RPC + _LONG_LINES, longest=1200, share=3),
    "long_requests": Target("long_lines.check_requests", _JSON_RPC + _LONG_LINES, longest=1200, share=2),
    "known_hosts": Target("host_keys.check_known_hosts", _KEYS, share=3),
    "host_name": Target("host_keys.check_host_name", _KEYS, longest=200),
    "revoked_keys": Target("host_keys.check_revoked_keys", _KEYS),
    "host_key": Target("host_keys.check_host_key", _KEYS, share=2),
    "certificate": Target("host_keys.check_certificate", _KEYS, share=2),
    "private_key": Target("client_keys.check_private_key", _PEM, longest=4096, share=3),
    "public_key": Target("client_keys.check_public_key", _KEYS),
    "passphrase": Target("client_keys.check_passphrase", longest=1100),
    "agent": Target("client_keys.check_agent", ("ssh-ed25519", "\\x0c", "\\x0e"), share=2),
    "ssh_config": Target("ssh_config.check", _CONFIG, share=4),
    "key_server": Target("key_servers.check_answer", _ANSWER + _KEYS, share=2),
    "http": Target("key_servers.check_http", _HTTP, share=3),
    "json": Target("host_apps.check_json", _JSONC),
    "host_apps": Target("host_apps.check_edit", _JSONC, share=3),
    "toml": Target("host_documents.check_toml", _TOML, longest=600, share=2),
    "yaml": Target("host_documents.check_yaml", _YAML, longest=600),
    "doctor": Target("results.check_doctor", ("\\x0a!", *_JSON_RPC), longest=4096, share=2),
    "saved_file": Target("results.check_saved_file", ("file:///", "%2e%2e%2f", "../", "image/png", "con."), 400),
    "page": Target("results.check_page", ("https://", "http://[::1]", "@", "%2f", "xn--", ":443", "?"), 300),
    "greeting": Target("packets.check_greeting", ("SSH-2.0-x", "\\x0d\\x0a"), longest=600),
    "packets": Target("packets.check_packets", longest=1024, share=2),
    "text": Target("texts.check_text", ("\\x1b[2J", "\\xe2\\x80\\xa8", "\\xc2\\x9b")),
    "marker": Target("texts.check_marker", ("m2m:0123:begin", "\\x0d\\x0a"), longest=400),
}  # fmt: skip
