"""One target under atheris: `python -m fuzz.one TARGET [ARGUMENT…]`, with the arguments of libFuzzer."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile


def main() -> None:
    name, *arguments = sys.argv[1:]
    atheris = importlib.import_module("atheris")  # which not every platform has
    with atheris.instrument_imports(include=["m2m_ssh_client", "urllib3", "http"]):
        check = importlib.import_module("fuzz.targets").TARGETS[name].load()
    logging.disable()
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(HOME=home, XDG_STATE_HOME=home, SHELL="/bin/false", SSH_AUTH_SOCK="")
        for variable in ("SSH_ASKPASS", "HTTP_PROXY", "http_proxy"):
            os.environ.pop(variable, None)
        atheris.Setup([sys.argv[0], *arguments], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
