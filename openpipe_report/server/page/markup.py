"""
Text of payloads as HTML: Markdown, and code with the classes of its tokens.

The results are safe to put into a page: Markdown's own HTML is off, links run no script, and no
image is loaded, for the address of one would tell another site that the answer is being read.
"""

from __future__ import annotations

import functools
import io
import json
import time
from typing import TYPE_CHECKING, Any

from markdown_it import MarkdownIt
from markupsafe import Markup, escape
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

    from markdown_it.renderer import RendererProtocol
    from markdown_it.token import Token
    from markdown_it.utils import OptionsDict
    from pygments.lexer import Lexer

MAX_MARKDOWN = 20_000
"""Characters of a text that is taken as Markdown; a longer one is shown as it is."""
MAX_HIGHLIGHTED = 20_000
"""Characters of code whose tokens are told apart."""
MAX_SECONDS = 0.5
"""Seconds that the markup of one page may take."""

_LINK = {"rel": "noopener noreferrer nofollow", "target": "_blank"}


class Stopwatch:
    """
    The time that may be spent on the markup of one page.

    Some texts take time that grows with the square of their length, and all threads wait for it.
    """

    def __init__(self, seconds: float = MAX_SECONDS) -> None:
        self._end: float | None = None
        self._left = seconds

    def __enter__(self) -> None:
        self._end = time.perf_counter() + self._left

    def __exit__(self, *_: object) -> None:
        if self._end is not None:
            self._left = self._end - time.perf_counter()
        self._end = None

    def is_over(self) -> bool:
        """Whether no time is left."""
        left = self._left if self._end is None else self._end - time.perf_counter()
        return left <= 0


def to_markdown(text: str, stopwatch: Stopwatch) -> Markup:
    """Return a text as Markdown, or as it is where it is too long or no time is left."""
    if len(text) > MAX_MARKDOWN or stopwatch.is_over():
        return Markup('<div class="plain">{}</div>').format(text)
    with stopwatch:
        return Markup(_markdown().render(text, {"stopwatch": stopwatch}))  # noqa: S704 - HTML is off


def to_code(text: str, language: str, stopwatch: Stopwatch) -> Markup:
    """Return code with its tokens as classes, or as it is where no time is left."""
    if len(text) > MAX_HIGHLIGHTED or stopwatch.is_over():
        return escape(text)
    with stopwatch:
        return _to_code(text, language, stopwatch)


def _to_code(text: str, language: str, stopwatch: Stopwatch) -> Markup:
    lexer = _lexer(language)
    if lexer is None or len(text) > MAX_HIGHLIGHTED:
        return escape(text)
    tokens: list[tuple[Any, str]] = []
    for token in lexer.get_tokens(text):
        if stopwatch.is_over():
            return escape(text)
        tokens.append(token)
    written = io.StringIO()
    _FORMATTER.format(tokens, written)
    return Markup(written.getvalue().removesuffix("\n"))  # noqa: S704 - the formatter escapes


def to_json_text(value: Any) -> str:
    """Return a value as indented JSON text."""
    return json.dumps(value, indent=2, ensure_ascii=False)


_FORMATTER: HtmlFormatter[str] = HtmlFormatter(nowrap=True)


@functools.lru_cache(maxsize=64)
def _lexer(language: str) -> Lexer | None:
    try:
        found: Lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
    return found


@functools.cache
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "maxNesting": 20})
    markdown.enable(["table", "strikethrough"])
    for name, rule in _RULES.items():
        markdown.add_render_rule(name, rule)
    return markdown


def _code(
    _renderer: RendererProtocol,
    tokens: Sequence[Token],
    index: int,
    _options: OptionsDict,
    environment: MutableMapping[str, Any],
) -> str:
    token = tokens[index]
    language = (token.info.split() or [""])[0][:40].lower()
    stopwatch: Stopwatch = environment["stopwatch"]
    body = _to_code(token.content, language, stopwatch) if language else escape(token.content)
    name = Markup(' data-language="{}"').format(language) if language else ""
    # A plain string: an older renderer adds it to its own text, which a Markup would escape.
    return str(
        Markup('<pre class="code" tabindex="0"{}><code>{}</code></pre>\n').format(name, body)
    )


def _image(
    _renderer: RendererProtocol,
    tokens: Sequence[Token],
    index: int,
    _options: OptionsDict,
    _environment: MutableMapping[str, Any],
) -> str:
    token = tokens[index]
    source, name = str(token.attrs.get("src", "")), token.content or "image"
    if not source.lower().startswith(("http://", "https://")):
        return str(Markup('<span class="media-name">{}</span>').format(name))
    link = Markup(
        '<a class="media-name" href="{}" rel="noopener noreferrer nofollow" target="_blank">'
        "image: {}</a>"
    )
    return str(link.format(source, name))


def _link(
    renderer: RendererProtocol,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    environment: MutableMapping[str, Any],
) -> str:
    token = tokens[index]
    if not str(token.attrs.get("href", "")).lower().startswith(("http://", "https://", "mailto:")):
        # A link within this site could be made to look as if it were the page's own.
        token.attrs.pop("href", None)
    token.attrs |= _LINK
    return str(renderer.renderToken(tokens, index, options, environment))  # type: ignore[attr-defined]


def _heading(
    _renderer: RendererProtocol,
    tokens: Sequence[Token],
    index: int,
    _options: OptionsDict,
    _environment: MutableMapping[str, Any],
) -> str:
    # Not <h1>: an answer's headings are none of the page's.
    token = tokens[index]
    return f'<p class="heading {token.tag}">' if token.nesting == 1 else "</p>\n"


def _table(
    _renderer: RendererProtocol,
    tokens: Sequence[Token],
    index: int,
    _options: OptionsDict,
    _environment: MutableMapping[str, Any],
) -> str:
    if tokens[index].nesting == 1:
        # A wide table scrolls by itself, by keyboard too.
        return '<div class="wide" role="group" aria-label="Table" tabindex="0"><table>\n'
    return "</table></div>\n"


_RULES = {
    "table_open": _table,
    "table_close": _table,
    "fence": _code,
    "code_block": _code,
    "image": _image,
    "link_open": _link,
    "heading_open": _heading,
    "heading_close": _heading,
}
