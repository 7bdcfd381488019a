"""
`span` and `with_context` as users import them: they know the streams that openai's clients return.
"""

from __future__ import annotations

from openpipe_report._context.decorators import with_context
from openpipe_report._context.returned_work import register_classes
from openpipe_report._context.span import span
from openpipe_report._openai.returned_streams import find_wrapper

__all__ = ["span", "with_context"]

register_classes(find_wrapper)
