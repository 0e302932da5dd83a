"""The thread that writes reports: shortly after the connection changes, and else now and then.

Nothing is done for a message, and nothing before the session has been open for half a second.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from m2m_ssh_client import threads
from m2m_ssh_client.errors import reason

if TYPE_CHECKING:
    from m2m_ssh_client.status.report import Report

logger = logging.getLogger(__name__)

# Seconds.
_PAUSE = 0.5  # from a change to the report: more changes often follow
_BEAT = 5.0  # between looks at what is no change, such as the requests in flight
_END_TIME = 0.2  # for the removal of the file


class Reporter:
    """Writes reports in a thread of its own, soon after `changed` is set, and until `stop`.

    `prepare` is called in that thread, and returns the function that makes the reports. A report
    that is like the last one is not written, and one that cannot be written does no harm.
    """

    def __init__(
        self, prepare: Callable[[], Callable[[], Report]], changed: threading.Event
    ) -> None:
        self._prepare = prepare
        self._changed = changed
        self._stopped = threading.Event()
        self._thread = threads.start("status", self._work)

    def stop(self) -> None:
        """End the thread and remove the file; do not wait long for that."""
        self._stopped.set()
        self._changed.set()
        self._thread.join(_END_TIME)

    def _work(self) -> None:
        try:
            self._changed.wait(_BEAT)
            if not self._stopped.wait(_PAUSE):
                self._write_all()
        except Exception as exc:  # a fault of ours, which the relay must survive
            logger.info("details", exc_info=exc)

    def _write_all(self) -> None:
        # Imported here, so that a relay starts without them.
        from m2m_ssh_client.status.report import encoded
        from m2m_ssh_client.status.report_file import ReportFile

        with closing(ReportFile()) as file:
            make = self._prepare()
            before: Report | None = None
            while True:
                self._changed.clear()
                report = make()
                if report != before:
                    try:
                        file.write(encoded(report))
                        before = report
                    except (OSError, RuntimeError) as exc:  # a full disk may have room again later
                        logger.debug("the status cannot be written: %s", reason(exc))
                self._changed.wait(_BEAT)
                if self._stopped.wait(_PAUSE):
                    return


@contextmanager
def reporting(
    prepare: Callable[[], Callable[[], Report]], changed: threading.Event
) -> Iterator[None]:
    """Write reports within the context, whenever `changed` was set and now and then."""
    reporter = Reporter(prepare, changed)
    try:
        yield
    finally:
        reporter.stop()
