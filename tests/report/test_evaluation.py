"""The viewer of what `evaluate` writes: every view, of candidates of which little or much is known."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_run import HOSTILE

from rewardranker.errors import UserError
from rewardranker.evaluation.benchmark import measure_existing
from rewardranker.evaluation.comparison import compare_outcomes, read_outcomes
from rewardranker.evaluation.existing import Existing, read_existing
from rewardranker.evaluation.records import EvaluatedCandidate, ExistingCandidate, ScoredCandidate
from rewardranker.problems.problem import Problem
from rewardranker.recipe import load_recipe
from rewardranker.report.attempts import read_attempts
from rewardranker.report.bundle import SHOWN_TESTS, failing_test, shown_tests, visible
from rewardranker.report.evaluation import VIEWS
from rewardranker.report.page import write_report
from rewardranker.tables import read_table

DATA = Path(__file__).parents[3] / "shared" / "data"
NEEDS_DATA = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is absent; it is not part of the project")
CONFIG = load_recipe("tiny", ("evaluation.bootstrap=50",))
PROBLEMS = [
    Problem("python/add", "python", "def add(a, b):\n", "assert add(1, 2) == 3\n"),
    Problem("cpp/add", "cpp", "long add(long a, long b) {\n", "}\nint main() { assert(add(1, 2) == 3); }\n"),
    Problem(
        "python/sum",
        "python",
        "# Print the sum of the numbers.\n",
        "",
        tests_beside=json.dumps({"tests": [{"input": "1 2\n", "output": "3\n"}]}),
    ),
]
"""One task in two languages, and one whose tests stand beside its programs."""


def given(score=None, probability=None, logprob=None, greedy=False, text=""):
    """Four candidates a problem: the second and the third pass."""
    candidates = [
        ExistingCandidate(
            p.id,
            i,
            f"    return {i % 3}{text}\n",
            label="passed" if i in (1, 2) else "failed",
            policy="model",
            logprob_sum=None if logprob is None else float(logprob(i)),
            n_tokens=0 if logprob is None else 3,
            score=None if score is None else score(i),
            probability=None if probability is None else probability(i),
            temperature=0.8 if greedy else None,
        )
        for p in PROBLEMS
        for i in range(4)
    ]
    if greedy:
        candidates += [replace(c, index=0, temperature=0.0, score=99.0) for c in candidates if c.index == 3]
    return Existing(PROBLEMS, candidates)


def measured(folder, existing):
    source = {"candidates_file": "pool.jsonl"}
    measure_existing(existing, folder, CONFIG, name="pool", source=source, runs="nothing")
    return folder


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A calibrated ranker that prefers the third candidate, and greedy answers that fail."""
    existing = given(lambda i: float(i % 3), lambda i: (i % 3) / 3, lambda i: -i, greedy=True)
    return measured(tmp_path_factory.mktemp("evaluations") / "scored", existing)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Programs and labels, no more."""
    return measured(tmp_path_factory.mktemp("evaluations") / "plain", given())


def test_greedy_answers_have_no_scores_of_their_own(scored):
    rows = read_table(scored / "scores.parquet", ScoredCandidate)
    assert len(rows) == 12 and max(row.raw for row in rows) == 2
    run = read_attempts(scored, None)
    attempts = run.policies["model"]["cpp/add"]
    assert not attempts.greedy.passed
    assert attempts.picked(1).passed and not attempts.picked(None).passed
    assert (attempts.task, attempts.order(1), attempts.order(None)) == ("add", "ranker 1", "log-prob")
    assert run.outcomes["ranker"]["cpp/add"] == 1


def test_without_score_or_logprob_the_most_frequent_comes_first(plain, tmp_path):
    assert not (plain / "scores.parquet").exists()
    attempts = read_attempts(plain, None).policies["model"]["cpp/add"]
    assert attempts.order(None) == "same text"
    assert attempts.values(None) == [2, 1, 1, 2]
    sampled = [replace(c, behaviour=b) for c, b in zip(attempts.sampled, ["", "3", "3", ""], strict=True)]
    behaving = replace(attempts, sampled=tuple(sampled))
    assert behaving.order(None) == "majority"
    assert behaving.values(None) == [1, 2, 2, 1]


def test_a_ranker_that_is_not_calibrated_or_could_not_read_a_candidate(tmp_path):
    def score(i):
        return None if i == 3 else float(i)

    folder = measured(tmp_path / "raw", given(score))
    raws = [(s.raw, s.probability) for s in read_table(folder / "scores.parquet", ScoredCandidate)]
    assert raws[3][0] == -math.inf and all(math.isnan(p) for _, p in raws)
    html = write_report(folder).read_text()
    assert "No ranker stated a probability" in html
    assert "This ranker states no probabilities" in html
    assert "Score of ranker 1 against length" in html and "characters, less the mean" in html


def test_greedy_answers_are_no_choice_among_samples(tmp_path):
    """The headline's best is a selector's; where problems have fewer candidates it says so."""
    existing = given(greedy=True, text="")
    few = [replace(c, text=f"{c.text}#{c.index}", score=None) for c in existing.candidates[1:]]
    html = write_report(measured(tmp_path / "few", replace(existing, candidates=few))).read_text()
    assert "a perfect pick out of up to 4 would solve" in html and "by “greedy”" not in html
    assert "<td>up to 4</td>" in html


def test_whole_programs_stay_whole(tmp_path):
    existing = given()
    whole = [replace(c, whole=True) for c in existing.candidates]
    folder = measured(tmp_path / "whole", replace(existing, candidates=whole))
    assert all(c.whole for c in read_table(folder / "candidates.parquet", EvaluatedCandidate))
    again = read_existing(folder / "candidates.parquet", folder / "problems.parquet")
    assert all(c.whole for c in again.candidates)
    row = read_table(folder / "candidates.parquet", EvaluatedCandidate)[0]
    assert failing_test(PROBLEMS[0], replace(row, stderr="line 3")) == "assert add(1, 2) == 3"


def test_tests_beside_programs_are_shown():
    assert shown_tests(PROBLEMS[0]) == PROBLEMS[0].tests
    assert shown_tests(PROBLEMS[2]) == "--- input 1\n1 2\n--- output 1\n3"
    calls = [{"arguments": [i, "x" * 5000], "result": [i]} for i in range(SHOWN_TESTS + 3)]
    beside = json.dumps({"entry_point": "f", "tests": calls})
    lines = shown_tests(replace(PROBLEMS[2], tests_beside=beside)).splitlines()
    assert lines[0].startswith("f(0, 'xxx") and lines[0].endswith("more characters")
    assert lines[-1] == "... and 3 more tests" and len(lines) == SHOWN_TESTS + 1
    short = json.dumps({"entry_point": "f", "tests": [{"arguments": [1, "x"], "result": [2]}]})
    assert shown_tests(replace(PROBLEMS[2], tests_beside=short)) == "f(1, 'x') == [2]"


def test_the_failing_test_is_the_one_that_was_judged_from_outside():
    wrong = EvaluatedCandidate(
        "python/sum", "model", 0.8, 0, "", 0.0, 1, "eos", "failed", "failed", "", "", "", failed_test=0
    )
    assert failing_test(PROBLEMS[2], wrong) == "--- input 1\n1 2\n--- output 1\n3"
    inside = replace(PROBLEMS[0], tests="assert add(0, 0) == 0\nassert add(1, 2) == 3\n", entry_point="add")
    assert failing_test(inside, replace(wrong, failed_test=1)) == "add(1, 2) == 3"


def test_a_folder_without_its_problems_is_the_users_to_mend(plain, tmp_path):
    for name in ("metrics.json", "candidates.parquet", "outcomes.parquet"):
        (tmp_path / name).write_bytes((plain / name).read_bytes())
    with pytest.raises(UserError, match=r"problems.parquet: no such file; write it anew"):
        write_report(tmp_path)


def test_every_view_opens(tab, scored):
    page = write_report(scored).as_uri()
    shown = {
        "summary": ("Best of 4 by “staged”: 100.0", "out of 4 would solve 100.0", "greedy", "C++"),
        "problems": ("3 of 3 problems", "ranker 1"),
        "candidates": ("Best of k: mean over languages", "Best of k: Python", "gap closed"),
        "calibration": ("ECE", "Reliability over model"),
        "hacking": ("mean stated probability", "tokens, less the mean", "python/sum"),
        "compare": ("This is one run",),
    }
    assert list(shown) == list(VIEWS)
    for width in (1100, 390):
        tab.size(width, 800)
        for view, texts in shown.items():
            tab.open(f"{page}#{view}")
            assert [text for text in texts if text not in tab.text(f"#{view}")] == []
            assert tab.js("document.documentElement.scrollWidth") <= width, view
    tab.size(1100, 800)


def test_problems_are_filtered_and_read(tab, scored):
    tab.open(write_report(scored).as_uri() + "#problems")
    assert tab.texts("#problem-rows tr:first-child td") == ["✗", "✓", "✓", "2/4"]
    tab.choose("filter", "gain")
    assert len(tab.texts("#problem-rows tr")) == 3
    tab.choose("filter", "wrong-solvable")
    assert tab.texts("#problem-rows tr") == []
    tab.choose("filter", "all")
    tab.press("/")
    tab.type("numbers")
    tab.click("#problem-rows a")
    assert "python/sum" in tab.text("#problem h2")
    assert "score 2.00 · probability 0.67" in tab.text("#problem .program")
    tab.click("#problem > details summary")
    tab.wait("document.querySelector('#problem > details pre')")
    assert "--- input 1\n1 2\n--- output 1\n3" in tab.text("#problem > details pre")


def test_little_is_known_and_nothing_is_made_up(tab, plain):
    page = write_report(plain).as_uri()
    tab.open(page + "#problems")
    assert "best of n, same text" in tab.text("#pick-column").replace("\n", " ")
    assert tab.texts("#problem-rows tr:first-child td") == ["–", "✗", "✓", "2/4"]  # noqa: RUF001
    assert not {"gain", "loss", "newer"} & set(
        tab.js("[...document.querySelectorAll('#filter option')].map(o => o.value)")
    )
    tab.click("#problem-rows a")
    assert "log-prob" not in tab.text("#problem") and "tokens" not in tab.text("#problem")
    assert "From the pick" in tab.text("#problem")
    tab.open(page + "#calibration")
    assert "No ranker stated a probability" in tab.text("#calibration")
    tab.open(page + "#hacking")
    assert "No ranker scored these candidates" in tab.text("#hacking")


def test_two_evaluations_compared_as_by_the_command_line(tab, scored, plain, tmp_path):
    worse = measured(tmp_path / "worse", given(lambda i: -float(i % 3)))
    tab.open(write_report(scored, other=worse).as_uri() + "#compare")
    assert "A is scored, B is worse, on the 3 problems" in tab.text("#compare")
    told = compare_outcomes(read_outcomes(scored, "ranker"), read_outcomes(worse, "ranker"))
    assert tab.text("#difference").startswith("A − B: +100.0 points")  # noqa: RUF001
    assert told.p_value == 0.5  # two tasks, though three problems flipped
    assert tab.text("#difference").endswith("only A solves 3 problems, only B 0; McNemar p = 0.5.")
    flipped = [flip.problem_id for flip in told.only_a]
    assert sorted(tab.texts("#flip-rows code")) == sorted(flipped)
    tab.choose("flips", "worse")
    assert tab.texts("#flip-rows code") == []


def test_hostile_candidates_are_text(tab, tmp_path):
    folder = measured(tmp_path / "<b>hostile", given(float, text=HOSTILE))
    page = write_report(folder).as_uri()
    tab.open(f"{page}#problem/0")
    assert visible(HOSTILE) in tab.text("#problem .program pre")
    assert tab.js("document.querySelectorAll('#problem :is(script, img, svg)').length") == 0
    assert tab.js("document.title") == "<b>hostile · RewardRanker"


@NEEDS_DATA
def test_a_published_pool_in_several_languages(tab, tmp_path):
    rows = tmp_path / "gpt"
    rows.mkdir()
    for path in (DATA / "pools" / "multipl-e-gpt").glob("*.jsonl"):
        (rows / path.name).write_text("".join(path.read_text().splitlines(keepends=True)[:3]))
    folder = measured(tmp_path / "out", read_existing(rows))
    tab.open(write_report(folder).as_uri() + "#summary")
    assert "mean over languages" in tab.text("#summary") and "Bash" in tab.text("#summary")
    tab.click("nav a[href='#problems']")
    tab.click("#problem-rows a")
    tab.click("#problem > details summary")
    tab.wait("document.querySelector('#problem > details pre')")
    assert len(tab.text("#problem > details pre")) > 50
