"""The program of `--via` in place of a connection: one for each process that is asked for."""

from __future__ import annotations

from dataclasses import replace

from m2m_ssh_client.parameters import Parameters
from m2m_ssh_client.ssh.settings import Request
from m2m_ssh_client.ssh.via import process_carrier
from m2m_ssh_client.ssh.via.process_carrier import ProcessCarrier
from m2m_ssh_client.ssh.via.program_line import program_line


def without_ssh_configuration(params: Parameters) -> Parameters:
    """Return the parameters for what is still ours: the request, and times."""
    return replace(params, ssh_config="none", ssh_options=())


class Programs:
    """Starts carriers. For one thread; `close` from any."""

    def __init__(self, params: Parameters) -> None:
        self._params = params
        self._carriers: list[ProcessCarrier] = []

    def channel(self, request: Request) -> ProcessCarrier:
        """Start the program for this request. Raises UsageError, UnreachableError."""
        carrier = process_carrier.start(program_line(self._params, request), request)
        self._carriers.append(carrier)
        return carrier

    def close(self) -> None:
        """End all that was started."""
        for each in self._carriers:
            each.close()
