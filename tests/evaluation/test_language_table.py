import pytest

from rewardranker.evaluation.judging import JudgedCandidate
from rewardranker.evaluation.language_table import language_table
from rewardranker.evaluation.records import ExistingCandidate
from rewardranker.evaluation.selection import compare_selectors
from rewardranker.problems.problem import Problem


def table(languages, n=2):
    problems = [Problem(f"{x}/p{i}", x, "", "t") for x in languages for i in range(4)]
    candidates = []
    for p in problems:
        for i in range(n):
            status = "passed" if (i + int(p.id[-1])) % 2 else "failed"
            candidates.append(
                JudgedCandidate(ExistingCandidate(p.id, i, f"{i}", score=float(i)), status, status)
            )
    return language_table(compare_selectors(problems, candidates, resamples=50).summary)


def test_columns_are_those_of_table_1_then_others_then_the_average():
    shown = table(["javascript", "ruby", "bash", "python", "csharp", "cpp"])
    assert shown.columns == ["Python", "C++", "C#", "Bash", "JS", "ruby", "avg", "±"]
    assert all(len(cells) == len(shown.columns) for _, cells in shown.rows)


def test_one_language_has_no_average_and_one_candidate_no_selectors():
    assert table(["python"]).columns == ["Python", "±"]
    assert [name for name, _ in table(["python"], n=1).rows] == ["sample (pass@1)"]


def test_pass_at_10_stands_between_the_samples_and_the_oracle():
    names = [name for name, _ in table(["python"], n=12).rows]
    assert names[0] == "sample (pass@1)" and names[-2:] == ["pass@10", "oracle (pass@12)"]


def test_the_greedy_answer_is_shown_beside_one_sample():
    problem = Problem("python/p", "python", "", "t")
    drawn = [ExistingCandidate(problem.id, 0, "x", temperature=t) for t in (0.0, 0.8)]
    judged = [JudgedCandidate(c, "passed", "passed") for c in drawn]
    shown = language_table(compare_selectors([problem], judged, resamples=50).summary)
    assert [name for name, _ in shown.rows] == ["sample (pass@1)", "greedy"]


def test_problems_with_fewer_candidates_are_not_hidden():
    problems = [Problem(f"python/p{i}", "python", "", "t") for i in range(2)]
    judged = [
        JudgedCandidate(ExistingCandidate(p.id, i, str(i), score=float(i)), "passed", "passed")
        for p, n in zip(problems, (3, 12), strict=True)
        for i in range(n)
    ]
    shown = language_table(compare_selectors(problems, judged, resamples=50).summary)
    assert [name for name, _ in shown.rows][1:] == [
        "ranker, best of up to 12",
        "staged, best of up to 12",
        "oracle of up to 12",
    ]


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_markdown_and_latex_have_the_same_cells(form):
    shown = table(["python", "csharp"])
    text = getattr(shown, form)()
    separator = {"markdown": " | ", "latex": " & "}[form]
    for name, cells in shown.rows:
        assert separator.join([name, *cells]) in text
    if form == "latex":
        assert r"\% solved & Python & C\# & avg & $\pm$ \\" in text
        assert text.count("{") == text.count("}")
