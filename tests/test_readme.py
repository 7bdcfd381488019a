"""What README.md says is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scripted_openai import Reply
from shapes import chat_completion, completion

from openpipe_report import Settings
from openpipe_report._settings import variable_of

README = Path(__file__).parent.parent / "README.md"
SNIPPETS = re.findall(r"<!-- run -->\n```python\n(.*?)```", README.read_text(), re.DOTALL)


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
    assert len(SNIPPETS) == 4


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_snippet(snippet, scripted, reports, monkeypatch):
    """An example runs as it is pasted."""

    def answer(request):
        body = completion() if "chat" not in request.path else chat_completion()
        import json

        encoded = json.dumps(body).encode()
        return Reply([encoded], headers=[("Content-Type", "application/json")], length=len(encoded))

    scripted.otherwise = answer
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", scripted.base_url)
    namespace = {}
    exec(compile(snippet, "README.md", "exec"), namespace)
    if "client" in namespace:
        namespace["client"].close()
        assert len(reports) > 0


def test_changelog_has_the_version():
    """The newest version of the changelog is the package's, or still unreleased."""
    headings = re.findall(r"^## (.+)$", (README.parent / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"


if __name__ == "__main__":
    print(settings_table())
