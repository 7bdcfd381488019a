"""
The parts of pygal that draw charts.

Importing pygal puts a finder for its maps into `sys.meta_path` that has no `find_spec()`: up to
Python 3.11 every later import of the process warns of it (pygal 3.1.3). It is taken out again.
"""

from __future__ import annotations

import sys

from pygal import Line, StackedBar
from pygal.style import Style

__all__ = ["Line", "StackedBar", "Style"]

sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]
