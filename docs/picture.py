"""Draw the picture of the README: `python docs/picture.py` writes docs/picture.svg.

Colours follow the reader's light or dark mode; the panel behind them makes the picture readable
where a page has one mode and the browser the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

PICTURE = Path(__file__).with_name("picture.svg")

_WIDTH, _HEIGHT = 880, 190
_STYLE = """\
    text { font: 14px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
    text { fill: #1f2328; text-anchor: middle; }
    .name { font-weight: 600; }
    .small { font-size: 12px; fill: #59636e; }
    .panel { fill: #ffffff; }
    .machine { fill: #f6f8fa; stroke: #d1d9e0; }
    .program { fill: #ffffff; stroke: #818b98; }
    .ours { fill: #ddf4ff; stroke: #0969da; stroke-width: 2; }
    .arrow { stroke: #59636e; stroke-width: 2; }
    .ssh { stroke: #1a7f37; stroke-width: 4; }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc; }
      .small { fill: #9198a1; }
      .panel { fill: #0d1117; }
      .machine { fill: #151b23; stroke: #3d444d; }
      .program { fill: #0d1117; stroke: #9198a1; }
      .ours { fill: #121d2f; stroke: #4493f8; }
      .arrow { stroke: #9198a1; }
      .ssh { stroke: #3fb950; }
    }
"""


class Box(NamedTuple):
    """A rectangle from `left` to `right`; every program stands on the same line."""

    left: int
    right: int
    name: str
    remark: str
    kind: str

    @property
    def middle(self) -> int:
        return (self.left + self.right) // 2


_MACHINES = (
    Box(10, 452, "your machine", "", "machine"),
    Box(578, 870, "lab.example", "", "machine"),
)
_HOST = Box(26, 166, "MCP host", "Claude, VS Code, …", "program")
_CLIENT = Box(250, 436, "this client", "m2m-mcp-server-ssh-client", "ours")
_SSHD = Box(594, 674, "sshd", "as it is", "program")
_SERVER = Box(750, 854, "MCP server", "any command", "program")


def svg() -> str:
    parts = [
        f'<rect class="panel" width="{_WIDTH}" height="{_HEIGHT}" rx="8"/>',
        *(_machine(box) for box in _MACHINES),
        _arrow(_HOST, _CLIENT, "stdio", "arrow"),
        _arrow(_CLIENT, _SSHD, "SSH", "ssh"),
        _arrow(_SSHD, _SERVER, "stdio", "arrow"),
        *(_program(box) for box in (_HOST, _CLIENT, _SSHD, _SERVER)),
        _text(_WIDTH // 2, 178, "MCP messages pass unchanged in both directions", "small"),
    ]
    body = "\n".join(f"  {line}" for part in parts for line in part.splitlines())
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">
  <title>MCP host ⇄ this client ⇄ SSH ⇄ MCP server on another machine</title>
  <style>
{_STYLE}  </style>
{body}
</svg>
"""


def _machine(box: Box) -> str:
    return _rectangle(box, 12, 144) + "\n" + _text(box.middle, 34, box.name, "small")


def _program(box: Box) -> str:
    name = _text(box.middle, 90, box.name, "name")
    return f"{_rectangle(box, 62, 64)}\n{name}\n{_text(box.middle, 110, box.remark, 'small')}"


def _rectangle(box: Box, top: int, height: int) -> str:
    size = f'x="{box.left}" y="{top}" width="{box.right - box.left}" height="{height}"'
    return f'<rect class="{box.kind}" {size} rx="6"/>'


def _arrow(start: Box, end: Box, name: str, kind: str) -> str:
    """A line with a head at both ends, and its name above."""
    left, right, y = start.right + 8, end.left - 8, 94
    path = f"M{left} {y}H{right}M{left + 7} {y - 6}l-7 6 7 6M{right - 7} {y - 6}l7 6-7 6"
    line = f'<path class="{kind}" fill="none" d="{path}"/>'
    return line + "\n" + _text((left + right) // 2, y - 12, name, "small")


def _text(x: int, y: int, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{text}</text>'


if __name__ == "__main__":
    PICTURE.write_text(svg(), encoding="utf-8", newline="\n")
