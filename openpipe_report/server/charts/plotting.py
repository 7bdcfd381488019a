"""
The parts of pygal that draw charts.

Importing pygal puts a finder for its maps into `sys.meta_path` that has no `find_spec()`: up to
Python 3.11 every later import of the process warns of it (pygal 3.1.3). It is taken out again.
Charts are trees of the standard library, also where lxml is installed, which pygal would use.
"""

from __future__ import annotations

import sys

from pygal import Line, StackedBar
from pygal.etree import etree
from pygal.style import Style

__all__ = ["Line", "StackedBar", "Style"]

etree.to_etree()
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]
