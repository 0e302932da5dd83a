"""Parameters for Python programs: those of the command, type-checked and converted by pydantic."""

from __future__ import annotations

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from m2m_ssh_client.parameters import Parameters


@dataclass(frozen=True, config=ConfigDict(extra="forbid", hide_input_in_errors=True))
class SSHServerParameters(Parameters):
    __doc__ = (Parameters.__doc__ or "").replace("ParametersError", "pydantic's ValidationError")
