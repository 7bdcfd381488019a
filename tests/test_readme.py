"""What README.md and docs/ say is so."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from support.scripted_openai import Reply
from support.shapes import chat_completion, completion

from openpipe_report import Settings
from openpipe_report._context.scope import scope
from openpipe_report._environment import variable_of

README = Path(__file__).parent.parent / "README.md"
PAGES = [README, *sorted((README.parent / "docs").glob("*.md"))]
SNIPPETS = {
    f"{page.stem}-{number}": snippet
    for page in PAGES
    for number, snippet in enumerate(
        re.findall(r"<!-- run -->\n```python\n(.*?)```", page.read_text(), re.DOTALL), 1
    )
}
LINKS = [
    (page, target)
    for page in PAGES
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
]


def settings_table():
    """The table as the code would write it; docstrings under the fields are its last column."""
    source = (README.parent / "openpipe_report" / "_settings.py").read_text()
    texts = dict(re.findall(r'^    (\w+): .*?^    """(.*?)"""', source, re.MULTILINE | re.DOTALL))
    rows = ["| setting | environment variable | default | |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, frozenset):
            default = ", ".join(sorted(default))
        shown = "" if default is None else f"`{default}`"
        variable = f"`{variable_of(name)}`" if variable_of(name) else ""
        rows.append(f"| `{name}` | {variable} | {shown} | {texts[name]} |")
    return "\n".join(rows)


def test_settings_table():
    """The table of settings is the code's."""
    text = README.read_text()
    between = re.search(r"<!-- settings -->\n(.*?)\n<!-- /settings -->", text, re.DOTALL)
    assert between[1] == settings_table()


def test_there_are_snippets():
    """The pattern that finds the examples finds them."""
    assert len(SNIPPETS) == 14


@pytest.mark.parametrize("page, target", LINKS)
def test_links(page, target):
    """A link to another file leads to one."""
    assert (page.parent / target).exists()


@pytest.mark.parametrize("snippet", SNIPPETS.values(), ids=SNIPPETS)
def test_snippet(snippet, scripted, reports, monkeypatch):
    """An example runs as it is pasted."""

    def answer(request):
        body = completion() if "chat" not in request.path else chat_completion("Hello")
        encoded = json.dumps(body).encode()
        return Reply([encoded], headers=[("Content-Type", "application/json")], length=len(encoded))

    scripted.otherwise = answer
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", scripted.base_url)
    namespace = {}
    before = scope.get()
    exec(compile(snippet, "a page", "exec"), namespace)
    scope.set(before)
    if "handler" in namespace:
        assert namespace["handler"]({"question": "Hi"}, None) == "Hello"
    if "shut_down_gracefully" in namespace:
        asyncio.run(namespace["shut_down_gracefully"]())
    captured = [*reports, *namespace.get("reports", ())]
    assert len(captured) >= len(scripted.requests)
    if "client" in namespace:
        namespace["client"].close()


def test_changelog_has_the_version():
    """The newest version of the changelog is the package's, or still unreleased."""
    headings = re.findall(r"^## (.+)$", (README.parent / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"


if __name__ == "__main__":
    print(settings_table())
