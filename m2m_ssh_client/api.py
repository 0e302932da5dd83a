"""Parameters for Python programs: those of the command, type-checked and converted by pydantic."""

from __future__ import annotations

from pydantic import ConfigDict, field_validator
from pydantic.dataclasses import dataclass

from m2m_ssh_client.parameters import Parameters


@dataclass(frozen=True, config=ConfigDict(extra="forbid", hide_input_in_errors=True))
class SSHServerParameters(Parameters):
    __doc__ = (Parameters.__doc__ or "").replace(
        "ParametersError", "pydantic's ValidationError"
    ) + "\n    `command` may be a str, too: a command line for the remote user's shell.\n"

    @field_validator("command", mode="before")
    @classmethod
    def _command_line(cls, value: object) -> object:
        if not isinstance(value, str):
            return tuple(value) if isinstance(value, list) else value
        if not value.strip():
            raise ValueError("must not be empty")
        return (value,)
