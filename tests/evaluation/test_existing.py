import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from rewardranker.errors import UserError
from rewardranker.evaluation.existing import read_existing

DATA = Path(__file__).parents[3] / "shared" / "data"
PROBLEM = {
    "name": "HumanEval_0_one",
    "language": "py",
    "prompt": "def one():\n",
    "tests": "assert one() == 1",
}
COMPLETIONS = {**PROBLEM, "stop_tokens": ["\ndef"], "completions": ["    return 1\ndef x", "    return 2"]}
HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": 'def one():\n    """\n    >>> one()\n    1\n    """\n',
    "entry_point": "one",
    "test": "def check(candidate):\n    assert candidate() == 1\n",
}


def write(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture
def problems(tmp_path):
    return write(tmp_path / "HumanEval.jsonl", {**HUMANEVAL, "canonical_solution": "    return 1\n"})


@pytest.mark.parametrize("name", ["HumanEval_0_one.json", "HumanEval_0_one.json.gz"])
def test_multipl_e_completions_are_cut_at_stop_tokens(tmp_path, name):
    found = read_existing(write(tmp_path / name, COMPLETIONS))
    assert [p.id for p in found.problems] == ["python/HumanEval_0_one"]
    assert [(c.index, c.text, c.label) for c in found.candidates] == [
        (0, "    return 1", ""),
        (1, "    return 2", ""),
    ]
    assert found.timeout_s == 15
    problem = found.problems[0]
    assert found.candidates[0].program(problem).source == problem.program("    return 1")


def test_multipl_e_results_are_labels_counted_as_upstream_counts_them(tmp_path):
    program = "def one():\n    return 1\nassert one() == 1"
    results = [
        {"program": program, "status": "OK", "exit_code": 0},
        {"program": program, "status": "OK", "exit_code": 1},
        {"program": "something else", "status": "Exception", "exit_code": 1},
        {"program": program, "status": "Timeout", "exit_code": -1},
        {"program": program, "status": "SyntaxError", "exit_code": 1},
    ]
    document = {**PROBLEM, "stop_tokens": [], "results": results, "temperature": 0.8}
    found = read_existing(write(tmp_path / "a.results.json", document))
    assert [c.label for c in found.candidates] == ["passed", "failed", "failed", "timeout", "syntax_error"]
    assert [(c.text, c.whole) for c in found.candidates[1:3]] == [
        ("    return 1", False),
        ("something else", True),
    ]
    assert {c.temperature for c in found.candidates} == {0.8}


def test_a_folder_gives_the_completions_and_results_only_where_they_are_missing(tmp_path):
    write(tmp_path / "m" / "a.json", COMPLETIONS)
    results = [{"program": "x", "status": "OK", "exit_code": 0}]
    document = {k: v for k, v in COMPLETIONS.items() if k != "completions"}
    write(tmp_path / "m" / "a.results.json", {**document, "results": results})
    write(tmp_path / "m" / "b.results.json.gz", {**document, "name": "b", "results": results})
    found = read_existing(tmp_path / "m")
    assert Counter(c.problem_id for c in found.candidates) == {"python/HumanEval_0_one": 2, "python/b": 1}


def test_a_folder_of_rows_is_all_of_them(tmp_path):
    row = {**PROBLEM, "completion": "    return 1"}
    write(tmp_path / "m" / "py.jsonl", row)
    write(tmp_path / "m" / "js.jsonl.gz", {**row, "language": "js"})
    found = read_existing(tmp_path / "m")
    assert sorted(p.language for p in found.problems) == ["javascript", "python"]


def test_rows_of_a_problem_need_not_follow_one_another(tmp_path):
    row = {**PROBLEM, "completion": "    return 1"}
    rows = [row, {**row, "name": "other"}, {**row, "completion": "    return 2"}, {**row, "name": "other"}]
    found = read_existing(write(tmp_path / "m.jsonl", *rows))
    assert [p.id for p in found.problems] == ["python/HumanEval_0_one", "python/other"]
    assert [(c.problem_id[-3:], c.index) for c in found.candidates] == [
        ("one", 0),
        ("her", 0),
        ("one", 1),
        ("her", 1),
    ]
    with pytest.raises(
        UserError, match=r"m.jsonl:3: python/HumanEval_0_one has another prompt or other tests"
    ):
        read_existing(write(tmp_path / "m.jsonl", *rows[:2], {**row, "tests": "assert one() == 2"}))


def test_two_models_in_one_folder_are_not_mixed(tmp_path):
    write(tmp_path / "m" / "one" / "a.json", COMPLETIONS)
    write(tmp_path / "m" / "two" / "a.json", COMPLETIONS)
    with pytest.raises(UserError, match="give the folder of one model"):
        read_existing(tmp_path / "m")


@pytest.mark.parametrize(
    "row",
    [
        {"task_id": "HumanEval/0", "completion": "    return 1\n"},
        {"task_id": "HumanEval/0", "solution": HUMANEVAL["prompt"] + "    return 1\n"},
        {"task_id": "HumanEval/0", "completion": "    return 1\n", "passed": True, "result": "passed"},
        {"problem_id": "HumanEval/0", "text": "    return 1\n", "logprob_sum": -2.0, "n_tokens": 4},
    ],
)
def test_rows_of_samples(tmp_path, problems, row):
    found = read_existing(write(tmp_path / "samples.jsonl", row, row), problems)
    assert [(c.problem_id, c.index, c.text, c.whole) for c in found.candidates] == [
        ("HumanEval/0", i, "    return 1\n", False) for i in range(2)
    ]
    assert {c.label for c in found.candidates} == {"passed" if "passed" in row else ""}


def test_a_solution_with_another_beginning_is_a_whole_program(tmp_path, problems):
    row = {"task_id": "HumanEval/0", "solution": "one = lambda: 1"}
    found = read_existing(write(tmp_path / "samples.jsonl", row), problems)
    (candidate,) = found.candidates
    assert candidate.program(found.problems[0]).source == f"one = lambda: 1\n{found.problems[0].tests}"


def test_evalplus_folder_of_solutions(tmp_path, problems):
    for i in range(2):
        path = tmp_path / "solutions" / "HumanEval_0" / f"{i}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"def one():\n    return {i}\n")
    found = read_existing(tmp_path / "solutions", problems)
    assert [c.text for c in found.candidates] == ["def one():\n    return 0\n", "def one():\n    return 1\n"]


@pytest.mark.parametrize(("plus", "labels"), [(False, ["passed", "passed"]), (True, ["passed", "timeout"])])
def test_evalplus_results_are_labels_of_the_tests_that_the_problems_have(tmp_path, plus, labels):
    test = HUMANEVAL["test"] + ("\ndef assertion(out, exp, atol): pass\n" if plus else "")
    row = {**HUMANEVAL, "test": test, "canonical_solution": ""}
    results = [
        {"task_id": "HumanEval/0", "solution": f"{HUMANEVAL['prompt']}    return {i}\n", **statuses}
        for i, statuses in enumerate(
            (
                {"base_status": "pass", "plus_status": "pass"},
                {"base_status": "pass", "plus_status": "timeout"},
            )
        )
    ]
    path = tmp_path / "samples.eval_results.json"
    path.write_text(json.dumps({"date": "", "hash": "", "eval": {"HumanEval/0": results}}))
    found = read_existing(path, write(tmp_path / "problems.jsonl", row))
    assert [(c.text, c.label) for c in found.candidates] == [
        (f"    return {i}\n", label) for i, label in enumerate(labels)
    ]
    with pytest.raises(UserError, match="without their problems"):
        read_existing(path)
    path.write_text(json.dumps({"eval": {"HumanEval/0": {"base": [["pass", []]], "plus": []}}}))
    with pytest.raises(UserError, match=r"HumanEval/0: result 1: has no solution"):
        read_existing(path, tmp_path / "problems.jsonl")


def test_a_pool_of_human_eval_shows_the_examples_that_its_models_did_not_see(tmp_path):
    row = {
        **HUMANEVAL,
        "prompt": "def one():\n",
        "prompt_with_examples": HUMANEVAL["prompt"],
        "completions": ["    return 1", "    return 2"],
        "labels": [True, False],
        "status": ["passed", "failed_assert"],
    }
    found = read_existing(write(tmp_path / "pool.jsonl.gz", row))
    assert found.problems[0].prompt == "def one():\n"
    assert found.problems[0].visible_tests == "assert (one()) == 1\n"
    assert [c.label for c in found.candidates] == ["passed", "failed"]


def test_a_labelled_program_counts_once_for_each_of_its_origins(tmp_path):
    candidates = [
        {"code": "a", "status": "passed", "passed": True, "origins": ["x", "y"]},
        {"code": "b", "status": "failed_exception", "passed": False, "origins": ["z"]},
    ]
    row = {"task_id": "HumanEval/0", "language": "php", "prompt": "", "candidates": candidates}
    found = read_existing(write(tmp_path / "pool.jsonl", row))
    assert [(c.text, c.label) for c in found.candidates] == [
        ("a", "passed"),
        ("a", "passed"),
        ("b", "failed"),
    ]
    assert found.problems[0].id == "php/HumanEval/0" and not found.problems[0].tests


def test_problems_choose_and_those_without_candidates_are_told(tmp_path):
    row = {**PROBLEM, "completion": "    return 1", "status": "passed"}
    pool = write(tmp_path / "pool.jsonl", row, {**row, "name": "other"})
    wanted = [{**PROBLEM, "stop_tokens": [], "name": n} for n in ("HumanEval_0_one", "absent")]
    found = read_existing(pool, write(tmp_path / "problems.jsonl", *wanted))
    assert [p.id for p in found.problems] == ["python/HumanEval_0_one"]
    assert found.without_candidates == ["python/absent"]


def test_policies_and_temperatures_are_chosen_and_greedy_ones_come_along(tmp_path, problems):
    rows = [
        {"problem_id": "HumanEval/0", "text": f"{p}{t}", "policy": p, "temperature": t}
        for p in ("sft", "aligned")
        for t in (1.0, 0.5, 0.0)
    ]
    path = write(tmp_path / "candidates.jsonl", *rows)
    with pytest.raises(UserError, match="aligned, sft; choose one: --policy aligned"):
        read_existing(path, problems)
    with pytest.raises(UserError, match=r"temperatures 0.5, 1; choose one: --temperature 1"):
        read_existing(path, problems, policy="sft")
    found = read_existing(path, problems, policy="sft", temperature=0.5)
    assert [c.text for c in found.candidates] == ["sft0.5", "sft0.0"]
    with pytest.raises(UserError, match="no candidates of policy 'x'"):
        read_existing(path, problems, policy="x")
    with pytest.raises(UserError, match="no candidates at temperature 2"):
        read_existing(path, problems, policy="sft", temperature=2)


def test_problems_without_a_candidate_of_the_chosen_policy_are_told(tmp_path, problems):
    lines = problems.read_text()
    problems.write_text(lines + lines.replace("HumanEval/0", "HumanEval/1"))
    rows = [{"problem_id": f"HumanEval/{i}", "text": "", "policy": "ab"[i]} for i in range(2)]
    found = read_existing(write(tmp_path / "s.jsonl", *rows), problems, policy="b")
    assert [p.id for p in found.problems] == ["HumanEval/1"]
    assert found.without_candidates == ["HumanEval/0"]


@pytest.mark.parametrize(
    ("status", "label"),
    [
        ("OK", "passed"),
        ("Exception", "failed"),
        ("AssertionError", "failed"),
        ("Timeout", "timeout"),
        ("SyntaxError", "syntax_error"),
        ("pass", "passed"),
        ("fail", "failed"),
        ("failed_assert", "failed"),
        ("failed: boom", "failed"),
        ("timed out", "timeout"),
        ("timeout", "timeout"),
        ("unavailable", "unavailable"),
        ("", ""),
    ],
)
def test_labels_in_the_words_of_others(tmp_path, problems, status, label):
    pool = write(tmp_path / "m.jsonl", {**PROBLEM, "completion": "    return 1", "status": status})
    assert [c.label for c in read_existing(pool).candidates] == [label]
    row = {"problem_id": "HumanEval/0", "text": "", "strict_status": status}
    assert [c.label for c in read_existing(write(tmp_path / "s.jsonl", row), problems).candidates] == [label]


def test_a_log_probability_without_its_tokens_says_nothing_of_their_mean(tmp_path, problems):
    row = {"problem_id": "HumanEval/0", "text": "x", "logprob_sum": -2.0}
    found = read_existing(write(tmp_path / "s.jsonl", row, {**row, "n_tokens": 4}), problems)
    assert [c.logprob_sum for c in found.candidates] == [None, -2.0]


def test_a_problem_with_nothing_but_a_greedy_candidate_is_named(tmp_path, problems):
    lines = problems.read_text()
    problems.write_text(lines + lines.replace("HumanEval/0", "HumanEval/1"))
    rows = [
        {"problem_id": f"HumanEval/{i}", "text": "", "temperature": t}
        for i, t in ((0, 0.0), (0, 1.0), (1, 0.0))
    ]
    with pytest.raises(UserError, match="problem HumanEval/1 has a candidate at temperature 0 only"):
        read_existing(write(tmp_path / "s.jsonl", *rows), problems)
    greedy = read_existing(write(tmp_path / "s.jsonl", rows[0], rows[2]), problems)
    assert len(greedy.candidates) == 2


def test_what_is_wrong_is_named(tmp_path, problems):
    sample = {"task_id": "HumanEval/0", "completion": ""}
    with pytest.raises(UserError, match=r"come without their problems.*evaluate PROBLEMS --candidates"):
        read_existing(write(tmp_path / "s.jsonl", sample))
    with pytest.raises(UserError, match=r"s.jsonl:2: problem 'x' is not in the problems file"):
        read_existing(write(tmp_path / "s.jsonl", sample, {**sample, "task_id": "x"}), problems)
    with pytest.raises(UserError, match=r"s.jsonl:1: text: field required"):
        read_existing(write(tmp_path / "s.jsonl", {"task_id": "HumanEval/0"}), problems)
    with pytest.raises(UserError, match="no candidates"):
        read_existing(write(tmp_path / "s.jsonl", ""), problems)
    with pytest.raises(UserError, match="1 labels for 2 completions"):
        row = {**HUMANEVAL, "completions": ["", ""], "labels": [True]}
        read_existing(write(tmp_path / "pool.jsonl", row))
    with pytest.raises(UserError, match=r"s.jsonl:1: unknown status 'Passed'; write one of passed, failed"):
        row = {"problem_id": "HumanEval/0", "text": "", "strict_status": "Passed"}
        read_existing(write(tmp_path / "s.jsonl", row), problems)
    with pytest.raises(UserError, match=r"s.jsonl:1: probability: Input should be less than or equal to 1"):
        row = {"problem_id": "HumanEval/0", "text": "", "score": 1.0, "probability": 70.0}
        read_existing(write(tmp_path / "s.jsonl", row), problems)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no candidates in this folder"):
        read_existing(tmp_path / "empty")
    write(tmp_path / "other" / "a.json", {"a": 1})
    with pytest.raises(UserError, match="not one of MultiPL-E's"):
        read_existing(tmp_path / "other")
    with pytest.raises(UserError, match="name the problems' file"):
        (tmp_path / "solutions" / "HumanEval_0").mkdir(parents=True)
        (tmp_path / "solutions" / "HumanEval_0" / "0.py").write_text("")
        read_existing(tmp_path / "solutions")


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is absent; it is not part of the project")
def test_public_pools_are_read_whole():
    pools = DATA / "pools"
    codet = read_existing(pools / "codet_codegen16B_humaneval_even.jsonl.gz")
    assert (len(codet.problems), len(codet.candidates)) == (82, 8200)
    assert sum(c.label == "passed" for c in codet.candidates) == 1990
    unique = {"php": (2592, 1177), "javascript": (2180, 1164)}
    for language, counts in unique.items():
        pool = read_existing(pools / f"polyhumaneval_{language}.jsonl.gz")
        assert set(Counter(c.problem_id for c in pool.candidates).values()) == {26}
        programs = {(c.problem_id, c.text): c.label for c in pool.candidates}
        assert (len(programs), sum(x == "passed" for x in programs.values())) == counts
    gpt = read_existing(pools / "multipl-e-gpt" / "cpp.jsonl", DATA / "multipl-e" / "humaneval-cpp.jsonl")
    assert {p.language for p in gpt.problems} == {"cpp"}
    assert len(gpt.candidates) + len(gpt.without_candidates) == 161
