"""The headers of every page: what a browser may load and run for it, and who may hold a copy."""

from __future__ import annotations

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)
"""The Content-Security-Policy: nothing inline, nothing of another site."""

SECURITY = {
    "Content-Security-Policy": POLICY,
    # Not "no-referrer": with it, a form has no Origin that could be checked.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""The headers of all answers of this package."""

OF_PAGES = {**SECURITY, "Cache-Control": "no-store"}
"""Pages have prompts in them: nothing but the browser's window keeps one."""

OF_RAW_TEXT = {
    **OF_PAGES,
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
}
"""The headers of stored text that is sent as it is: it is of no origin and runs nothing."""
