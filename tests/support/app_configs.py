"""Configuration files as applications and users write them; their secrets must stay hidden."""

from __future__ import annotations

SECRET = "sk-do-not-show-me"

CLAUDE_DESKTOP = """\
{
  "globalShortcut": "Alt+Space",
  "mcpServers": {
    "filesystem": {
      "command": "npx",
      "args": [
        "-y",
        "@modelcontextprotocol/server-filesystem",
        "/Users/ada/Desktop"
      ]
    },
    "github": {
      "command": "docker",
      "args": ["run", "-i", "--rm", "-e", "GITHUB_TOKEN=sk-do-not-show-me", "ghcr.io/github/github-mcp-server"],
      "env": {
        "GITHUB_PERSONAL_ACCESS_TOKEN": "sk-do-not-show-me"
      }
    }
  }
}"""

CLAUDE_CODE = """\
{
  "numStartups": 184,
  "installMethod": "native",
  "autoUpdates": false,
  "tipsHistory": {
    "new-user-warmup": 3
  },
  "projects": {
    "/home/ada/src": {
      "allowedTools": [],
      "history": [
        {
          "display": "was ist \\u00fcber „mcpServers“ bekannt?",
          "pastedContents": {}
        }
      ],
      "mcpServers": {}
    }
  },
  "oauthAccount": {
    "emailAddress": "ada@example.org"
  },
  "mcpServers": {
    "sentry": {
      "type": "http",
      "url": "https://mcp.sentry.dev/mcp?key=sk-do-not-show-me",
      "headers": {
        "Authorization": "Bearer sk-do-not-show-me"
      }
    }
  },
  "primaryApiKey": "sk-do-not-show-me"
}
"""

CURSOR = """\
{"mcpServers": {"linear": {"url": "https://mcp.linear.app/sse"}, "db": {"command": "uvx", "args": ["db", "--password", "sk-do-not-show-me"]}}}
"""  # noqa: E501 - as one line is what it is about

VSCODE = """\
{
\t// See https://code.visualstudio.com/docs/copilot/reference/mcp-configuration
\t"inputs": [
\t\t{
\t\t\t"type": "promptString",
\t\t\t"id": "perplexity-key",
\t\t\t"description": "Perplexity API Key",
\t\t\t"password": true
\t\t},
\t],
\t"servers": {
\t\t/* asks for the key once */
\t\t"Perplexity": {
\t\t\t"type": "stdio",
\t\t\t"command": "npx",
\t\t\t"args": ["-y", "server-perplexity-ask"],
\t\t\t"env": {
\t\t\t\t"PERPLEXITY_API_KEY": "sk-do-not-show-me", // "${input:perplexity-key}"
\t\t\t},
\t\t},
\t\t// "off": { "command": "x" },
\t},
}
""".replace("\n", "\r\n")

WINDSURF = """\
{
    "mcpServers": {}
}
"""

ZED = """\
// Zed settings
//
// For information on how to configure Zed, see the Zed
// documentation: https://zed.dev/docs/configuring-zed
{
  "ui_font_size": 16,
  "theme": {
    "mode": "system", // follow the desktop
    "light": "One Light",
    "dark": "One Dark",
  },
  "languages": {
    "Python": { "tab_size": 4, "formatter": { "external": { "command": "ruff", "arguments": ["format", "-"] } } },
  },
}
"""

CODEX = (
    """\
# Codex, as of 2026
model = "gpt-5.5"   # the usual one
notify = ["notify-send", "Codex", "sk-do-not-show-me"]

[projects."/home/ada/src"]
trust_level = "trusted"

[mcp_servers.docs]
command = "npx"
args = [
    "-y",
    "docs-mcp", # the [newest]
    "--api-key=sk-do-not-show-me",
]
env = { TOKEN = "sk-do-not-show-me" }
# startup_timeout_sec = 30

[mcp_servers.figma]
url = 'https://mcp.figma.com/mcp'
http_headers = { Authorization = '''Bearer "sk-do-not-show-me"''' }

[mcp_servers.figma.env_http_headers]
X-Region = "FIGMA_REGION"

# How it looks
[tui]
theme = """
    '"""'
    """
sk-do-not-show-me
[mcp_servers.lab]
"""
    '"""'
    """
"""
)

GEMINI = """\
{
  // chosen with /theme
  "ui": { "theme": "GitHub" },
  "security": { "auth": { "selectedType": "oauth-personal" } },
  "mcpServers": {
    "db": { "command": "uvx", "args": ["db", "--token", "sk-do-not-show-me"], "timeout": 30000 }
  }
}
"""

COPILOT = """\
{
  "mcpServers": {
    "context7": {
      "tools": [
        "*"
      ],
      "type": "local",
      "command": "npx",
      "args": ["-y", "@upstash/context7-mcp"],
      "env": {
        "CONTEXT7_API_KEY": "sk-do-not-show-me"
      }
    }
  }
}"""

OPENCODE = """\
{
  "$schema": "https://opencode.ai/config.json",
  "theme": "opencode", // the default
  "mcp": {
    "search": {
      "type": "local",
      "command": ["bunx", "search-mcp", "--key", "sk-do-not-show-me"],
      "environment": {
        "TOKEN": "sk-do-not-show-me",
      },
    },
  },
}
"""

GOOSE = """\
GOOSE_PROVIDER: anthropic   # or openai
GOOSE_MODEL: 'claude-opus-5'
extensions:
  developer:
    enabled: true
    type: builtin
    name: developer
    timeout: 300
    bundled: true
  # found in a shop
  github:
    enabled: false
    type: stdio
    name: github
    cmd: npx
    args: [-y, "@modelcontextprotocol/server-github", --token=sk-do-not-show-me]
    envs:
      GITHUB_TOKEN: sk-do-not-show-me
    description: >-
      sk-do-not-show-me
      over two lines
    available_tools: []
  # off: { type: stdio }

# What it may do
GOOSE_MODE: smart_approve
"""

CONTINUE = """\
name: Local Config
version: 1.0.0
schema: v1
models:
- &small
  name: small
  provider: ollama
  apiKey: sk-do-not-show-me
- <<: *small
  name: "large"
mcpServers:
# for questions about the database
- name: sqlite
  command: uvx
  args:
  - mcp-server-sqlite
  - --api-key
  - sk-do-not-show-me # changes in May
  env: {TOKEN: "sk-do-not-show-me"}
rules: |
  Answer in German.

  # not a comment
"""

CLINE = """\
{
  "mcpServers": {
    "files": {
      "transport": {
        "type": "stdio",
        "command": "npx",
        "args": ["files", "--token", "sk-do-not-show-me"],
        "env": {"TOKEN": "sk-do-not-show-me"}
      },
      "disabled": true
    }
  }
}
"""

OF_APP = {
    "claude-desktop": CLAUDE_DESKTOP,
    "claude-code": CLAUDE_CODE,
    "cursor": CURSOR,
    "vscode": VSCODE,
    "windsurf": WINDSURF,
    "vscode-insiders": VSCODE,
    "zed": ZED,
    "codex": CODEX,
    "gemini": GEMINI,
    "copilot": COPILOT,
    "opencode": OPENCODE,
    "kilo": OPENCODE,
    "goose": GOOSE,
    "continue": CONTINUE,
    "cline": CLINE,
    "roo": WINDSURF,
    "lm-studio": CURSOR,
    "kiro": CLAUDE_DESKTOP,
    "amazon-q": CLAUDE_DESKTOP,
}
