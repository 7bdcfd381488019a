"""
A Chromium.

It is started anew for each module: while one runs, no asynchronous test can. So tests with it are
in modules of their own.
"""

from __future__ import annotations

import pytest
from support.chromium import chromium


@pytest.fixture(scope="module")
def browser():
    """Chromium, for which all names below .example are this machine."""
    with chromium("--host-resolver-rules=MAP *.example 127.0.0.1") as launched:
        yield launched
