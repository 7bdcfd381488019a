"""
HTML and XML pages -> one line of text, in time linear in the page.

Proxies and gateways answer with such pages where an API was expected.
"""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKUP = re.compile(r"(?i)<(?:!doctype|html|head|title|body|center|h1|div|p|\?xml)\b")
_DOCUMENT = re.compile(r"(?i)<(?:!doctype|html|head|body|\?xml)\b")
_TYPES = re.compile(r"(?i)\s*(?:text/html|application/xhtml\+xml|(?:text|application)/xml)\b")
_NAME = re.compile(r"[\w:]*")
_BLANK = "\ufeff \t\r\n"
_BEGINNING = 1000
"""Characters in which the first tag of a page is looked for."""
_LONGEST_PAGE = 256 * 1024
_LONGEST_LINE = 500
_TELLING = ("title", "message", "h1")
"""Elements whose text says what the page is, the best one first."""
_END_OF_CODE = {
    "script": re.compile("(?i)</script"),
    "style": re.compile("(?i)</style"),
}


def is_page(text: str, content_type: str) -> bool:
    """Return whether a body is an HTML or XML page, by its type and its first tag."""
    start = text[:_BEGINNING].lstrip(_BLANK)
    if not start.startswith("<") or content_type.lower().lstrip().startswith("image/"):
        return False
    return bool(_TYPES.match(content_type) or _DOCUMENT.match(start))


def replace_page(text: str) -> str:
    """Replace the page that a message contains, if any, by its title or text."""
    found = _DOCUMENT.search(text, 0, _BEGINNING)
    return _replace_from(text, found.start()) if found else text


def read_body(text: str, content_type: str) -> str:
    """Return a body that is text without the page in it, which may lack its `<html>`."""
    if is_page(text, content_type):
        return _replace_from(text, text.index("<"))
    found = _MARKUP.search(text, 0, _BEGINNING)
    return _replace_from(text, found.start()) if found else text


def _replace_from(text: str, start: int) -> str:
    telling: dict[str, str] = {}
    texts = [text[:start].strip(_BLANK)]
    for name, inner in _texts_of(text[start : start + _LONGEST_PAGE]):
        if inner and not inner.isspace():
            texts.append(inner)
            if name in _TELLING:
                telling.setdefault(name, inner)
    for name in _TELLING:
        if name in telling:
            texts[1:] = [telling[name]]
            break
    return " ".join(unescape(" ".join(texts)[: 8 * _LONGEST_LINE]).split())[:_LONGEST_LINE]


def _texts_of(page: str) -> Iterator[tuple[str, str]]:
    """Yield each text of a page after the name of the tag before it; it begins with a tag."""
    # No regular expression or HTML parser: those take quadratic time on some broken pages.
    end = 0
    name = ""
    while end < len(page):
        start = end
        if page.startswith("<!--", start):
            name, close = "", "-->"
        elif page.startswith("<![CDATA[", start):
            close = "]]>"
            end = _find(page, close, start)
            yield name, page[start + 9 : end]
        else:
            found = _NAME.match(page, start + 1)
            name, close = found[0].lower() if found else "", ">"
        start = _find(page, close, start) + len(close)
        end = _find(page, "<", start)
        if name in _END_OF_CODE:
            ending = _END_OF_CODE[name].search(page, start)
            end = ending.start() if ending else len(page)
        else:
            yield name, page[start:end]


def _find(page: str, part: str, start: int) -> int:
    found = page.find(part, start)
    return len(page) if found < 0 else found
