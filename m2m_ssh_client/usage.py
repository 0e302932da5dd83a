"""How the commands present themselves: a parser whose help ends with examples."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def command_parser(
    program: str,
    description: str,
    examples: Sequence[str],
    *,
    words: str | None = None,
    remark: str = "",
) -> argparse.ArgumentParser:
    """`examples` go without the program's name; `words` is the usage behind it, where argparse's own would be too long.

    The lines of the `description`, and of a `remark` above the examples, stay as they are.
    """
    shown = "".join(f"  %(prog)s {example}\n" for example in examples)
    return argparse.ArgumentParser(
        prog=program,
        usage=words and f"%(prog)s {words}",
        description=description,
        epilog=f"{remark}examples:\n{shown}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
