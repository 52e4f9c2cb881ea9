"""The studies' pages that are published say what their published outcomes come to."""

import json
from pathlib import Path

import pytest

from rewardranker.recipe import Recipe
from rewardranker.studies.catalogue import STUDIES
from rewardranker.studies.page import html, markdown
from rewardranker.studies.study import Results, read_results
from rewardranker.studies.summary import summarise

PUBLISHED = Path(__file__).parents[2] / "docs" / "results" / "studies"
WITHOUT_OUTCOMES = {"table1"}
"""Measured before outcomes were kept."""


def test_every_page_has_its_outcomes() -> None:
    without = {name for name in STUDIES if not (PUBLISHED / name / "results").is_dir()}
    assert without == WITHOUT_OUTCOMES and (PUBLISHED / "table1" / "table1.md").is_file()


@pytest.mark.parametrize("name", sorted(STUDIES.keys() - WITHOUT_OUTCOMES))
def test_a_page_says_what_its_outcomes_come_to(name: str) -> None:
    page = json.loads((PUBLISHED / name / f"{name}.json").read_text())
    study = STUDIES[name](Recipe.model_validate(page["recipe"]))
    files = sorted((PUBLISHED / name / "results").iterdir())
    read = {int(path.name.partition("-")[0]): read_results(path)[0] for path in files}
    assert len(read) == len(files)  # of one recipe and code
    found = {(seed, arm): result for seed, results in read.items() for arm, result in results.items()}
    seeds = (*page["seeds"], *map(int, page["incomplete"]))
    summary = summarise(study, Results(tuple(sorted(seeds)), found, {}))
    assert {name: page[name] for name in summary} == json.loads(json.dumps(summary))
    assert (PUBLISHED / name / f"{name}.md").read_text() == markdown(page)
    assert (PUBLISHED / name / f"{name}.html").read_text() == html(study, page)
