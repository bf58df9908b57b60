"""What the documents point to is there."""

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
DOCUMENTS = [
    TOP / "CONTRIBUTING.md",
    TOP / "deploy" / "README.md",
    *sorted((TOP / "docs").glob("*.md")),
    *sorted((TOP / "docs" / "decisions").glob("*.md")),
]
PATH = re.compile(r"`((?:shared|worker|gateway|deploy|docs|tests|examples)/[\w./-]*)`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(TOP)))
def test_paths_and_links_exist(document: Path) -> None:
    text = document.read_text()
    missing = [path for path in PATH.findall(text) if not (TOP / path).exists()]
    missing += [link for link in LINK.findall(text) if not (document.parent / link).exists()]
    assert missing == []


def test_decisions_have_their_parts_and_are_listed() -> None:
    index = (TOP / "docs" / "decisions" / "README.md").read_text()
    for page in sorted((TOP / "docs" / "decisions").glob("0*.md")):
        text = page.read_text()
        assert page.name in index
        for part in ("Context", "Decision", "Consequences", "Alternatives", "Shown by"):
            assert f"**{part}" in text, page.name
        assert len(text.splitlines()) <= 40, "one screen"
