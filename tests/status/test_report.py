from __future__ import annotations

import json

import pytest
from status.reports import REPORT

from m2m_ssh_client.status.report import decoded, encoded


def test_a_report_survives_its_file() -> None:
    assert decoded(encoded(REPORT)) == REPORT


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        encoded(REPORT)[:-3],
        b"[" * 100_000,
        b"\xff\xfe",
        encoded(REPORT).replace(b'"open"', b'"\\u001b[2J"'),
        json.dumps({**json.loads(encoded(REPORT)), "pid": "4711"}).encode(),
        json.dumps({**json.loads(encoded(REPORT)), "since": "yesterday"}).encode(),
    ],
)
def test_anything_else_is_none(data: bytes) -> None:
    assert decoded(data) is None
