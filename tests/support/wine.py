"""Wine in place of Windows, and what it cannot do."""

from __future__ import annotations

import sys

import pytest

if sys.platform == "win32":
    import ctypes

    UNDER_WINE = hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")
else:
    UNDER_WINE = False


def not_under_wine(reason: str) -> pytest.MarkDecorator:
    """Leave a test out under Wine, which lacks something that Windows has."""
    return pytest.mark.skipif(UNDER_WINE, reason=f"Wine: {reason}")
