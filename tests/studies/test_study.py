"""The engine on arms that only count: order, resuming, budget, what is missing."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from rewardranker.errors import UserError
from rewardranker.recipe import Recipe, changed, load_recipe
from rewardranker.run import Run, processor
from rewardranker.studies import study as study_module
from rewardranker.studies.page import write_page
from rewardranker.studies.seed import Measured, Seed
from rewardranker.studies.study import Arm, Point, Results, Study, run_study
from rewardranker.studies.summary import summarise

PROBLEMS = 40


class Counting:
    """Two arms, the second of which solves a tenth more; every call is noted."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, str]] = []
        self.broken: set[int] = set()
        self.study = Study(
            "Does it count?\n\nAn arm that\ncounts.",
            (
                Arm("plain", lambda seed: self.measure(seed, "plain"), points=(Point("effort", 1),)),
                Arm("more", lambda seed: self.measure(seed, "more"), ("plain",), (Point("effort", 2),)),
            ),
            claims=("greedy",),
            within=(("ranker", "greedy"),),
        )

    def measure(self, seed: Seed, name: str) -> Measured:
        number = seed.recipe.seed
        self.calls.append((number, name))
        if number in self.broken:
            raise UserError("the generator solved nothing")
        solved = np.random.default_rng(number).random(PROBLEMS) * 0.5
        greedy = solved + (0.1 if name == "more" else 0.0)
        seed.run.stage("shared", lambda folder, cost, _: setattr(cost, "tokens", 7), config=1)
        if name == "more":
            seed.run.stage("own", lambda folder, cost, _: setattr(cost, "tokens", 5), config=1)
        losses = {"loss": [3.0 * number, 2.0, 1.0][: 3 if number == 1 else 2]}
        return Measured({"greedy": greedy, "ranker": greedy + 0.2}, {"bytes": 10.0 * number}, losses)


@pytest.fixture
def counting() -> Counting:
    return Counting()


RECIPE = load_recipe("tiny-study")


def run(counting: Counting, directory: Path, recipe: Recipe = RECIPE, **options: float) -> Results:
    return run_study(counting.study, recipe, directory, "counting", **{"seeds": 2, **options})  # type: ignore[arg-type]


def test_seeds_one_after_the_other_and_nothing_twice(counting: Counting, tmp_path: Path) -> None:
    run(counting, tmp_path, seeds=1)
    assert counting.calls == [(1, "plain"), (1, "more")]
    results = run(counting, tmp_path)
    assert counting.calls[2:] == [(2, "plain"), (2, "more")]
    assert set(results.found) == {(s, a) for s in (1, 2) for a in ("plain", "more")}
    run(counting, tmp_path)
    assert len(counting.calls) == 4


def test_results_of_another_recipe_are_measured_beside(
    counting: Counting, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(counting, tmp_path, seeds=1)
    (first,) = (tmp_path / "counting" / "results").iterdir()
    run(counting, tmp_path, load_recipe("tiny-study", ("sft.epochs=9",)), seeds=1)
    assert len(counting.calls) == 4
    assert f"seed 1: {first.name} left out: of another recipe" in " ".join(capsys.readouterr().err.split())
    run(counting, tmp_path, seeds=1)
    assert len(counting.calls) == 4  # the first ones are still there


def test_results_hold_for_the_files_that_the_recipe_names(counting: Counting, tmp_path: Path) -> None:
    file, same = tmp_path / "a.jsonl", tmp_path / "elsewhere.jsonl"
    file.write_text("one")
    same.write_text("one")
    for path, calls in ((file, 2), (same, 2), (file, 4)):
        recipe = changed(RECIPE, problems={"micro": None, "files": [str(path)]})
        run(counting, tmp_path, recipe, seeds=1)
        assert len(counting.calls) == calls
        if path == same:
            file.write_text("another")


def test_results_hold_for_the_code_that_arms_are_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(name: str) -> str:
        return study_module._keys({1: RECIPE}, name)[1]

    before = {name: key(name) for name in ("cost", "peft")}
    monkeypatch.setitem(study_module._CODE, "iterations", "another ranker_of")  # which cost imports
    monkeypatch.setitem(study_module._CODE, "page", "another page")
    assert key("cost") != before["cost"] and key("peft") == before["peft"]


def test_results_of_another_machine_are_gone_on_from(counting: Counting, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    found = run(counting, there, seeds=1).found
    shutil.copytree(there / "counting" / "results", here / "counting" / "results")
    assert counting.calls == [(1, "plain"), (1, "more")]
    results = run(counting, here).found
    assert counting.calls[2:] == [(2, "plain"), (2, "more")]
    for key, result in found.items():
        for measure, solved in result.solved.items():
            assert results[key].solved[measure] == pytest.approx(solved, abs=1e-6)
        assert results[key].stages == result.stages and results[key].processor == processor()


def test_an_arm_that_was_interrupted_leaves_the_others(counting: Counting, tmp_path: Path) -> None:
    def stops(_: Seed) -> Measured:
        raise KeyboardInterrupt

    plain = counting.study.arms[0]
    stopping = Study(counting.study.text, (plain, Arm("more", stops, ("plain",))), counting.study.claims)
    with pytest.raises(KeyboardInterrupt):
        run_study(stopping, RECIPE, tmp_path, "counting", seeds=1)
    results = run(counting, tmp_path, seeds=1)
    assert counting.calls == [(1, "plain"), (1, "more")] and len(results.found) == 2


def test_a_file_of_results_that_is_cut_off_is_named(counting: Counting, tmp_path: Path) -> None:
    run(counting, tmp_path, seeds=1)
    (file,) = (tmp_path / "counting" / "results").iterdir()
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match=re.escape(str(file))):
        run(counting, tmp_path, seeds=1)


def test_a_used_up_budget_begins_nothing_and_the_page_says_what_is_missing(
    counting: Counting, tmp_path: Path
) -> None:
    results = run(counting, tmp_path, seeds=1)
    results = run(counting, tmp_path, budget_s=0)
    assert len(counting.calls) == 2
    page = write_page(counting.study, results, RECIPE, tmp_path, "counting", "the command").read_text()
    assert "Seed 2 is incomplete and doesn't count: plain, more not measured yet." in page
    assert "1 seed (1), 40 test problems a seed" in page and "one seed says little" in page


def test_an_arm_that_fails_is_told_and_the_next_seed_goes_on(counting: Counting, tmp_path: Path) -> None:
    counting.broken = {1}
    summary = summarise(counting.study, run(counting, tmp_path))
    assert summary["seeds"] == [2]
    assert summary["failed"][0] == {"seed": 1, "arm": "plain", "reason": "the generator solved nothing"}


def test_an_arm_that_the_recipe_cannot_have_does_not_hold_up_the_others(
    counting: Counting, tmp_path: Path
) -> None:
    def fails(_: Seed) -> Measured:
        raise UserError("a checkpoint has one size")

    arms = (*counting.study.arms, Arm("wider", fails, ("plain",)))
    study = Study(counting.study.text, arms, counting.study.claims)
    summary = summarise(study, run_study(study, RECIPE, tmp_path, "counting", seeds=2))
    assert summary["seeds"] == [1, 2] and len(summary["arms"]) == 2
    assert {f["reason"] for f in summary["failed"]} == {"a checkpoint has one size"}
    again = run_study(study, RECIPE, tmp_path, "counting", seeds=2, budget_s=0)
    assert summarise(study, again) == summary  # also where nothing is tried


def test_a_partial_seed_is_not_said_to_be_several(counting: Counting, tmp_path: Path) -> None:
    plain = Study(counting.study.text, counting.study.arms[:1], counting.study.claims)
    run_study(plain, RECIPE, tmp_path, "counting", seeds=1)
    results = run(counting, tmp_path, seeds=5, budget_s=0)
    page = write_page(counting.study, results, RECIPE, tmp_path, "counting", "the command").read_text()
    assert "1 seed (1), 40 test problems" in page and "one seed says little" in page
    assert "Seed 1: more not measured yet." in page and "Seed 5 is incomplete and doesn't count" in page


def test_a_seed_that_another_process_works_on_is_left_to_it(counting: Counting, tmp_path: Path) -> None:
    other = Run(tmp_path / "seeds" / "tiny-study-1", side_by_side=True)
    results = run(counting, tmp_path)
    assert {seed for seed, _ in results.found} == {2}
    other.close()
    assert {seed for seed, _ in run(counting, tmp_path).found} == {1, 2}


def test_what_the_summary_says(counting: Counting, tmp_path: Path) -> None:
    summary = summarise(counting.study, run(counting, tmp_path))
    more = summary["arms"][1]
    assert more["cost"]["tokens"] == 12 and more["extra"]["tokens"] == 5
    assert summary["cost"]["tokens"] == 24  # of two seeds, what both arms need counted once
    assert more["numbers"]["bytes"] == {"mean": 15, "low": 10, "high": 20}
    assert more["curves"] == {"loss": [4.5, 2]}  # as far as both seeds go
    across, *within = summary["differences"]
    assert across["value"] == pytest.approx(0.1) and across["ci95"] == pytest.approx([0.1, 0.1])
    assert [d["value"] for d in within] == pytest.approx([0.2, 0.2])
    best, *findings = summary["findings"]
    assert best == "Most was solved by greedy answers of “more”, 35.2 %; the next is “plain”, 25.2 %."
    assert findings[0] == (
        "“more” raised greedy answers by 10.0 points over “plain” (+10.0 to +10.0; 2 of 2 seeds)."
    )
    assert findings[1].startswith("With “plain”, the ranker's pick came 20.0 points above greedy")


def test_the_page_has_tables_plots_and_no_script(counting: Counting, tmp_path: Path) -> None:
    page = write_page(counting.study, run(counting, tmp_path), RECIPE, tmp_path, "counting", "study <b>")
    text, html = page.read_text(), page.with_suffix(".html").read_text()
    assert text.startswith("# Does it count?\n") and "An arm that counts." in text
    assert "| more | 12 |" not in text and "| more | 0 | 0 | 12 | 0 | 0 |" in text
    assert "| loss, after epoch | 1 | 2 |" in text and "| more | 4.5 | 2 |" in text
    assert (
        "Learning curves" in html
        and "Solved, greedy" in html
        and "effort" in html
        and "&lt;b&gt;" in html
        and "<script" not in html
    )
    json.loads(page.with_suffix(".json").read_text())
