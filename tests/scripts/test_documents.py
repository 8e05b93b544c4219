"""Links of all documents: each leads to a file of the repository, and to a heading in it."""

import re
from pathlib import Path

import pytest

from dashboard.settings.snippets import SNIPPETS
from tests.support.programs import ROOT

FOLDERS = (".", ".github", "benchmarks", "deploy", "docs", "docs/decisions", "docs/model")
DOCUMENTS = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.md"))
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)")


def anchors(document: Path) -> set[str]:
    """The fragments that link to the headings, as GitHub forms them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_document__links__lead_to_files_and_headings(document: Path) -> None:
    for path, anchor in LINK.findall(document.read_text()):
        target = document.parent / path if path else document
        assert target.exists(), path
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{path}#{anchor}"


def test_index__every_document__is_linked() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    for document in (ROOT / "docs").glob("*.md"):
        assert f"({document.name})" in index or document.name == "README.md", document.name


def test_sdks__code__is_that_of_the_dashboard() -> None:
    """The dashboard's code is run by ``tests/e2e/test_snippets.py``."""
    code = re.findall(r"^```(?:js|python)\n(.*?)\n```$", (ROOT / "docs/sdks.md").read_text(), re.MULTILINE | re.DOTALL)
    rendered = {snippet.rendered("http://localhost:8000", "KEY", "SERVER_KEY").text for snippet in SNIPPETS}
    assert len(code) == 7
    assert set(code) <= rendered
