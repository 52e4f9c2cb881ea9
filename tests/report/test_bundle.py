import json
from dataclasses import replace

import pytest

from rewardranker.evaluation.records import EvaluatedCandidate, ScoredCandidate
from rewardranker.problems.problem import Problem
from rewardranker.report.attempts import group_attempts, read_attempts
from rewardranker.report.bundle import (
    CHUNK_BYTES,
    failing_test,
    remove_other_bundles,
    shown_policies,
    visible,
    write_bundle,
)

PROBLEM = Problem("p", "python", "def f(x):\n", "assert f(1) == 1\nassert f(2) == 2\n")


def candidate(problem_id, index, text, passed, logprob, **more):
    status = "passed" if passed else "failed"
    row = EvaluatedCandidate(
        problem_id=problem_id, policy="sft", temperature=1.0, index=index, text=text, logprob_sum=logprob,
        n_tokens=1, finish_reason="eos", status=status, strict_status=status, reason="", stderr="",
        behaviour="",
    )  # fmt: skip
    return replace(row, **more)


def grouped(rows, rankers=(1,), problems=None, tokens=lambda text: 1):
    """rows: problem -> [(text, passed, logprob, score of each ranker...)]"""
    candidates, scores = [], []
    for p, programs in rows.items():
        for i, (text, passed, logprob, *raws) in enumerate(programs):
            candidates.append(candidate(p, i, text, passed, logprob, n_tokens=tokens(text)))
            scores += [
                ScoredCandidate("sft", p, i, r, raw, 0.5) for r, raw in zip(rankers, raws, strict=True)
            ]
    return group_attempts(problems or [replace(PROBLEM, id=p) for p in rows], candidates, scores, 1.0)


def written(run, folder):
    """The files of a bundle: name -> value."""
    name = write_bundle(folder, run.problems, shown_policies(run))
    found = {}
    for path in (folder / name).iterdir():
        text = path.read_text("ascii")
        assert text.startswith(f'rewardranker("{path.stem}",')
        found[path.stem] = json.loads(text.removeprefix(f'rewardranker("{path.stem}",').removesuffix(");\n"))
    return found


def test_identical_programs_are_shown_once_the_favourite_first(tmp_path):
    run = grouped({"p": [("a", True, -2, 1.0), ("b", False, -1, 0.0), ("a", True, -2, 1.0)]})
    (policy,) = written(run, tmp_path)["chunk-0"][0]["policies"]
    assert [(p["text"], p["count"], p["score"], p["first"]) for p in policy["programs"]] == [
        ("a", 2, 1.0, None),
        ("b", 1, 0.0, None),
    ]


def test_the_index_says_whose_picks_pass(tmp_path):
    run = grouped(
        {
            "newer": [("a", True, -2, 0.0, 1.0), ("b", False, -1, 1.0, 0.0)],
            "wrong": [("a", True, -2, 1.0, 0.0), ("b", False, -1, 0.0, 1.0)],
            "none": [("a", False, -1, 1.0, 1.0), ("b", False, -2, 0.0, 1.0)],
        },
        rankers=(1, 2),
    )
    index = written(run, tmp_path)["index"]
    assert index["id"] == ["newer", "wrong", "none"]
    (policy,) = index["policies"]
    assert policy["by"] == "ranker 2"
    assert policy["picked"] == [1, 0, 0]
    assert policy["first"] == [0, 1, 0]
    assert policy["likeliest"] == [0, 0, 0]
    assert (policy["passed"], policy["n"]) == ([1, 1, 0], [2, 2, 2])


def test_without_a_ranker_the_likeliest_is_the_pick(tmp_path):
    files = written(grouped({"p": [("a", True, -2), ("b", False, -1)]}, rankers=()), tmp_path)
    assert files["index"]["policies"][0]["picked"] == [0]
    (policy,) = files["chunk-0"][0]["policies"]
    assert [(p["text"], p["score"]) for p in policy["programs"]] == [("b", None), ("a", None)]


def test_every_problem_is_in_the_chunk_that_the_index_names(run_dir, tmp_path):
    run = read_attempts(run_dir, 1.0)
    files = written(run, tmp_path)
    chunks = files["index"]["chunk"]
    assert len(set(chunks)) > 1
    for number, chunk in enumerate(chunks):
        (problem,) = [p for p in files[f"chunk-{chunk}"] if p["problem"] == number]
        assert problem["prompt"] == run.problems[number].prompt
    assert max(len(json.dumps(files[f"chunk-{c}"])) for c in chunks) < 2 * CHUNK_BYTES


def test_a_bundle_is_named_by_its_content(tmp_path):
    first = grouped({"p": [("a", True, -1, 1.0)]})
    second = grouped({"p": [("b", True, -1, 1.0)]})
    names = [write_bundle(tmp_path, r.problems, shown_policies(r)) for r in (first, first, second)]
    assert names[0] == names[1] != names[2]
    remove_other_bundles(tmp_path, names[2])
    assert [p.name for p in tmp_path.iterdir()] == [names[2]]


def test_names_that_mean_something_to_a_script_are_values(tmp_path):
    run = grouped({"__proto__": [("constructor", True, -1, 1.0)]})
    assert written(run, tmp_path)["index"]["id"] == ["__proto__"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\n\u202ec\x00", "a\tb\n⟨U+202E⟩c⟨U+0000⟩"),
        ("\u2028\u2066x\u200b\r", "⟨U+2028⟩⟨U+2066⟩x⟨U+200B⟩⟨U+000D⟩"),
        ("ä 漢 \U0001f600", "ä 漢 \U0001f600"),
        ("plain\n", "plain\n"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(text, shown):
    assert visible(text) == shown


def test_the_failing_test_is_the_one_that_stderr_names():
    stderr = 'Traceback:\n  File "program.py", line 2, in f\n  File "program.py", line 5, in <module>\n'
    wrong = candidate("p", 0, "    y = x\n    return 1\n", False, -1, stderr=stderr.replace("5", "6"))
    assert failing_test(PROBLEM, wrong) == "assert f(2) == 2"
    other = replace(wrong, stderr="program.rb:6:in `<main>'")
    assert failing_test(PROBLEM, other) == "assert f(2) == 2"
    for stderr in ("", "line 99", "line 2", "line 99999999999999999999"):
        assert failing_test(PROBLEM, replace(wrong, stderr=stderr)) is None
    assert failing_test(PROBLEM, replace(wrong, strict_status="passed")) is None
