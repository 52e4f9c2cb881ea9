import doctest
import json
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
FILE = re.compile(r"^`([^`\n]+)`\n\n```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A file that a page shows: its name, an empty line, its content."""


@pytest.mark.parametrize("page", ["how-to/problems.md", "how-to/preferences.md"])
def test_the_examples_of_a_page_work_as_written(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (DOCS / page).read_text("utf-8")
    for name, content in FILE.findall(text):
        for line in content.splitlines():
            json.loads(line)
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    examples = doctest.DocTestParser().get_doctest(text, {}, page, page, 0)
    assert len(examples.examples) > 3
    report: list[str] = []
    doctest.DocTestRunner(verbose=False).run(examples, out=report.append)
    assert not report, "".join(report)


def test_links_between_pages_lead_somewhere() -> None:
    root = DOCS.parent
    for page in (*DOCS.rglob("*.md"), *root.glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(root)}: {target}"
