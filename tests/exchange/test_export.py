import json
import math
import os
import subprocess
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardranker.errors import UserError
from rewardranker.exchange.export import Format, export
from rewardranker.exchange.rows import ROWS, Form
from rewardranker.files import write_json, write_jsonl
from rewardranker.mining import MinedProgram, initial_groups
from rewardranker.problems.candidate import ExecutedCandidate
from rewardranker.problems.completions import read_executed
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.problems.preferences import load_preferences
from rewardranker.problems.problem import Problem
from rewardranker.problems.rows import read_rows
from rewardranker.recipe import load_recipe, to_toml
from rewardranker.run import environment
from rewardranker.tables import parquet_rows, read_table, write_table

PEER = Path.home() / ".cache" / "rewardranker" / "peers" / "trl-1.16.0"

PROBLEMS = [
    Problem("add", "python", "def add(a, b):\n", "add()", reference="    return a + b\n", split="pool"),
    Problem("2020-01-01", "cpp", "int f() {\n", "}", split="pool"),
    Problem("dev", "python", "def dev():\n", "dev()", split="development"),
    Problem("test", "python", "def test():\n", "test()", split="test"),
    Problem("java/HumanEval_0", "java", "class A {\n", "}", split="test", evaluation_only=True),
]


def candidate(problem_id: str, index: int, text: str, status: str, policy: str = "sft") -> ExecutedCandidate:
    reason = "" if status == "passed" else status
    return ExecutedCandidate(problem_id, index, text, -1.5, 4, "eos", policy, status, status, reason)


SAMPLED = [
    candidate(problem_id, index, text, status)
    for problem_id in ("add", "2020-01-01", "dev", "test", "java/HumanEval_0")
    for index, (text, status) in enumerate(
        [
            ("right", "passed"),
            ("wrong", "failed"),
            ("wrong", "failed"),
            ("slow", "timeout"),
            ("?", "unavailable"),
        ]
    )
]


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    """Candidates and their problems."""
    write_table(tmp_path / "problems.parquet", Problem, PROBLEMS)
    write_table(tmp_path / "candidates.parquet", ExecutedCandidate, SAMPLED)
    return tmp_path / "candidates.parquet", tmp_path / "problems.parquet"


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(path)]


def front_matter(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "README.md").read_text("utf-8").split("---\n")[1])
    return found


@pytest.mark.parametrize("file_format", get_args(Format))
def test_every_form_of_a_table_of_candidates(
    tables: tuple[Path, Path], tmp_path: Path, file_format: Format
) -> None:
    candidates, problems = tables
    out = tmp_path / "out"
    contents = export(candidates, out, problems=problems, file_format=file_format)
    files = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    assert files == {"README.md"} | {
        f"{form}/{split}.{file_format}" for form in Form for split in ("train", "validation", "test")
    }
    (first, *_) = rows_of(out / "preference" / f"train.{file_format}")
    assert first == {
        "prompt": "def add(a, b):\n",
        "chosen": "    return a + b\n",
        "rejected": "wrong",
        "problem_id": "add",
        "chosen_source": "reference",
        "rejected_source": "sft",
        "source": "initial",
        "weight": 1.0,
        "language": "python",
    }
    unpaired = rows_of(out / "unpaired-preference" / f"validation.{file_format}")
    assert [(row["completion"], row["label"]) for row in unpaired] == [
        ("right", True),
        ("wrong", False),
        ("slow", False),
    ]
    assert {"prompt", "completion", "label"} < unpaired[0].keys()
    assert [row["completion"] for row in rows_of(out / "prompt-completion" / f"train.{file_format}")] == [
        "    return a + b\n",
        "right",
        "right",
    ]
    for (form, split), n in contents.rows.items():
        written = rows_of(out / contents.files[form, split])
        assert len(written) == n
        assert all(list(row) == [f.name for f in fields(ROWS[form])] for row in written)
        assert f"| `{form}` | {split} | {n} |" in (out / "README.md").read_text()
    expected = [g for g in initial_groups(PROBLEMS, SAMPLED) if g.problem_id in ("add", "2020-01-01")]
    assert load_preferences(out) == expected


def test_candidates_keep_all_their_fields_and_are_read_back(
    tables: tuple[Path, Path], tmp_path: Path
) -> None:
    candidates, problems = tables
    export(candidates, tmp_path / "out", problems=problems)
    by_id = {p.id: p for p in PROBLEMS}
    for split, names in (("train", {"add", "2020-01-01"}), ("validation", {"dev"}), ("test", {"test"})):
        path = tmp_path / "out" / "candidates" / f"{split}.parquet"
        expected = [c for c in SAMPLED if c.problem_id in names]
        assert read_table(path, ExecutedCandidate) == read_executed(path, PROBLEMS) == expected
        for row in parquet_rows(path):
            problem = by_id[row["problem_id"]]
            assert (row["prompt"], row["language"]) == (problem.prompt, problem.language)
            assert (row["score"], row["ranker"], row["temperature"]) == (None, None, None)


def test_rows_of_execute_and_rank_keep_their_score_and_what_they_lack_is_null(tmp_path: Path) -> None:
    rows = [
        {
            "problem_id": "p",
            "text": "x",
            "strict_status": "passed",
            "score": 0.5,
            "probability": 0.75,
            "rank": 1,
            "program": "x",
        }
    ]
    write_jsonl(tmp_path / "x.jsonl.gz", rows)
    write_jsonl(tmp_path / "p.jsonl", [{"id": "p", "prompt": "def", "tests": ""}])
    export(tmp_path / "x.jsonl.gz", tmp_path / "out", problems=tmp_path / "p.jsonl")
    (row,) = parquet_rows(tmp_path / "out" / "candidates" / "train.parquet")
    assert [row[name] for name in ("score", "probability", "policy", "n_tokens")] == [0.5, 0.75, None, None]
    assert not (tmp_path / "out" / "preference").exists()  # nothing wrong is known


def test_programs_that_do_not_continue_their_prompts_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"problem_id": "p", "strict_status": "passed", "whole": True}
    rows = [{**row, "text": "def f(): ..."}, {**row, "text": "other"}]
    write_jsonl(tmp_path / "x.jsonl", [*rows, {**row, "text": "mine", "whole": False}])
    write_jsonl(tmp_path / "p.jsonl", [{"id": "p", "prompt": "def", "tests": ""}])
    contents = export(tmp_path / "x.jsonl", tmp_path / "out", problems=tmp_path / "p.jsonl")
    for form, column in ((Form.CANDIDATES, "text"), (Form.UNPAIRED_PREFERENCE, "completion")):
        written = parquet_rows(tmp_path / "out" / form / "train.parquet")
        assert [r[column] for r in written] == [" f(): ...", "mine"]
    assert contents.verdicts == {("train", "python", "passed"): 2}
    said = "".join(capsys.readouterr().err.split())  # lines are wrapped
    assert said.endswith("x.jsonl:1programsthatdon'tcontinuetheirpromptsareleftout")


def test_what_is_for_evaluation_only_is_left_out_and_counted(
    tables: tuple[Path, Path], tmp_path: Path
) -> None:
    candidates, problems = tables
    contents = export(candidates, tmp_path / "out", problems=problems)
    assert (contents.left_out_problems, contents.left_out_candidates) == ({"java/HumanEval_0"}, 5)
    told = "Left out: 5 candidates of 1 problems for evaluation only"
    assert told in (tmp_path / "out" / "README.md").read_text()
    for path in (tmp_path / "out").rglob("*.*"):
        assert b"class A" not in path.read_bytes()
    (groups,) = [initial_groups(PROBLEMS, SAMPLED)]
    write_table(tmp_path / "groups.parquet", PreferenceGroup, groups)
    contents = export(tmp_path / "groups.parquet", tmp_path / "again", problems=problems)
    assert (contents.left_out_problems, contents.left_out_groups) == ({"java/HumanEval_0"}, 1)
    assert load_preferences(tmp_path / "again") == [
        g for g in groups if g.problem_id in ("add", "2020-01-01")
    ]
    only = [c for c in SAMPLED if c.problem_id == "java/HumanEval_0"]
    write_table(candidates, ExecutedCandidate, only)
    with pytest.raises(
        UserError, match="nothing to export: all are 5 candidates of 1 problems for evaluation"
    ):
        export(candidates, tmp_path / "none", problems=problems)
    assert not [p for p in tmp_path.iterdir() if "none" in p.name]


def test_the_card_says_what_is_there(tables: tuple[Path, Path], tmp_path: Path) -> None:
    candidates, problems = tables
    out = tmp_path / "out"
    export(candidates, out, problems=problems)
    card = front_matter(out)
    for config in card["configs"]:
        for file in config["data_files"]:
            assert (out / file["path"]).is_file()
    assert [c["config_name"] for c in card["configs"]] == list(Form)
    assert [c["config_name"] for c in card["configs"] if c.get("default")] == ["preference"]
    assert card["size_categories"] == ["n<1K"] and card["license"] == "unknown"
    assert "| train | cpp | timeout | 1 |" in (out / "README.md").read_text()


def test_the_card_gives_lines_of_json_their_types(tables: tuple[Path, Path], tmp_path: Path) -> None:
    candidates, problems = tables
    export(candidates, tmp_path / "out", problems=problems, file_format="jsonl")
    found = front_matter(tmp_path / "out")["dataset_info"]
    assert [info["config_name"] for info in found] == list(Form)
    for info in found:
        assert [f["name"] for f in info["features"]] == [f.name for f in fields(ROWS[info["config_name"]])]
    types = {f["name"]: f.get("dtype") or [f["sequence"]] for info in found for f in info["features"]}
    assert {types[name] for name in ("label", "weight", "index", "score", "prompt")} == {
        "bool",
        "float64",
        "int64",
        "string",
    }
    assert types["chosen_sources"] == ["string"]


def a_run(folder: Path, variant: str = "selftraining") -> list[PreferenceGroup]:
    """The tables of a run of two iterations; returns the groups that its last ranker learnt from."""
    recipe = load_recipe("tiny", ("iterations=2", f"variant={variant}"))
    fresh = variant == "fresh"
    policy = "sft" if fresh else "aligned-1"
    (folder / "problems").mkdir(parents=True)
    (folder / "recipe.toml").write_text(to_toml(recipe))
    write_json(folder / "environment.json", environment(recipe))
    write_table(folder / "problems" / "problems.parquet", Problem, PROBLEMS)
    first = [c for c in SAMPLED if c.problem_id in ("add", "2020-01-01")]
    later = [replace(c, text=f"{c.text} 2", policy=policy) for c in first]
    mined = [
        PreferenceGroup("add", PROBLEMS[0].prompt, ("right",), ("wrong 2",), ("sft",), (policy,), "hard-1")
    ]
    for name, candidates in (
        ("0-sample", first),
        ("1-sample-sft" if fresh else "1-sample", later),
        ("2-sample", SAMPLED),
    ):
        (folder / name).mkdir()
        write_table(folder / name / "candidates.parquet", ExecutedCandidate, candidates)
    (folder / "1-mine").mkdir()
    write_table(folder / "1-mine" / "groups.parquet", PreferenceGroup, mined)
    program = MinedProgram("add", "wrong 2", "hard negative", policy, 1, 0.25, 1, "failed")
    write_table(folder / "1-mine" / "mined.parquet", MinedProgram, [program])
    return initial_groups(PROBLEMS, first) + mined


def test_a_run_gives_the_groups_that_its_ranker_learns_from(tmp_path: Path) -> None:
    groups = a_run(tmp_path / "run")
    contents = export(tmp_path / "run", tmp_path / "out")
    assert load_preferences(tmp_path / "out") == groups
    assert load_preferences(tmp_path / "out" / "preference" / "train.parquet") == groups
    rows = list(parquet_rows(tmp_path / "out" / "candidates" / "train.parquet"))
    assert Counter(row["policy"] for row in rows) == {
        "sft": 10,
        "aligned-1": 10,
    }  # 2-sample is of no iteration
    assert [(r["text"], r["score"], r["ranker"]) for r in rows if r["score"] is not None] == [
        ("wrong 2", 0.25, "1-reward")
    ]
    unpaired = rows_of(tmp_path / "out" / "unpaired-preference" / "train.parquet")
    assert {r["completion"] for r in unpaired if r["problem_id"] == "add" and r["label"]} == {
        "    return a + b\n",
        "right",
        "right 2",
    }
    assert "| `timeout_s` | 3.0 |" in contents.made and "| `rewardranker` |" in contents.made


def test_scores_are_of_the_candidates_that_were_mined_not_of_their_namesakes(tmp_path: Path) -> None:
    a_run(tmp_path / "run", variant="fresh")  # whose new candidates are the SFT policy's, as the first ones
    export(tmp_path / "run", tmp_path / "out")
    rows = parquet_rows(tmp_path / "out" / "candidates" / "train.parquet")
    assert [(r["text"], r["score"]) for r in rows if r["score"] is not None] == [("wrong 2", 0.25)]


@pytest.mark.parametrize("pairs", [1, 2, 3, 100])
def test_pairs_of_a_problem_are_drawn_over_all_its_groups(tmp_path: Path, pairs: int) -> None:
    groups = a_run(tmp_path / "run")
    sizes: Counter[str] = Counter()
    for group in groups:
        sizes[group.problem_id] += len(group.chosen) * len(group.rejected)
    assert max(sizes.values()) == 5
    drawn = {}
    for seed in range(12):
        out = tmp_path / f"{seed}"
        export(tmp_path / "run", out, forms=[Form.PREFERENCE], pairs=pairs, seed=seed)
        drawn[seed] = (out / "preference" / "train.parquet").read_bytes()
        rows = rows_of(out / "preference" / "train.parquet")
        assert Counter(r["problem_id"] for r in rows) == {p: min(n, pairs) for p, n in sizes.items()}
        assert len({(r["problem_id"], r["chosen"], r["rejected"]) for r in rows}) == len(rows)
    export(tmp_path / "run", tmp_path / "again", forms=[Form.PREFERENCE], pairs=pairs, seed=3)
    assert (tmp_path / "again" / "preference" / "train.parquet").read_bytes() == drawn[3]
    assert (len(set(drawn.values())) == 1) == (pairs == 100)


def test_limit_takes_the_first_problems_whole(tmp_path: Path) -> None:
    groups = a_run(tmp_path / "run")
    export(tmp_path / "run", tmp_path / "out", limit=1)
    assert load_preferences(tmp_path / "out") == [g for g in groups if g.problem_id == "add"]
    rows = list(parquet_rows(tmp_path / "out" / "candidates" / "train.parquet"))
    assert Counter(r["problem_id"] for r in rows) == {"add": 10}


programs = st.text(st.characters(codec="utf-8"), max_size=6)


@st.composite
def group(draw: st.DrawFn, number: int) -> PreferenceGroup:
    texts = draw(st.lists(programs, min_size=1, max_size=6, unique=True))
    cut = draw(st.integers(0, len(texts)))
    source = st.sampled_from(["reference", "sft", "aligned-1"])
    return PreferenceGroup(
        problem_id=f"problem-{number // 2}",  # some have two
        prompt=f"prompt {number // 2}",
        chosen=tuple(texts[:cut]),
        rejected=tuple(texts[cut:]),
        chosen_sources=tuple(draw(source) for _ in texts[:cut]),
        rejected_sources=tuple(draw(source) for _ in texts[cut:]),
        source=f"source {number % 2}",
        weight=draw(st.floats(0.1, 10)),
    )


@settings(max_examples=30)
@given(
    st.integers(1, 4).flatmap(lambda n: st.tuples(*map(group, range(n)))), st.sampled_from(get_args(Format))
)
def test_groups_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, groups: tuple[PreferenceGroup, ...], suffix: Format
) -> None:
    folder = tmp_path_factory.mktemp("groups")
    write_table(folder / "groups.parquet", PreferenceGroup, groups)
    export(folder / "groups.parquet", folder / "out", file_format=suffix)
    assert load_preferences(folder / "out") == list(groups)
    paired = [g for g in groups if g.chosen and g.rejected]
    if paired:
        pairs = folder / "out" / "preference" / f"train.{suffix}"
        assert load_preferences(pairs) == paired
        export(pairs, folder / "again", forms=[Form.GROUPS])
        assert load_preferences(folder / "again") == paired


def test_each_form_alone_can_be_learnt_from(tables: tuple[Path, Path], tmp_path: Path) -> None:
    candidates, problems = tables
    expected = {
        g.problem_id: (set(g.chosen), set(g.rejected)) for g in initial_groups(PROBLEMS[:2], SAMPLED[:10])
    }
    for form in set(Form) - {Form.PROMPT_COMPLETION}:
        out = tmp_path / form
        export(candidates, out, forms=[form], problems=problems)
        found = {g.problem_id: (set(g.chosen), set(g.rejected)) for g in load_preferences(out)}
        if form == Form.CANDIDATES:  # has no reference programs
            found["add"][0].add("    return a + b\n")
        assert found == expected


def test_splits_for_choices_and_claims_are_not_learnt_from_by_accident(
    tables: tuple[Path, Path], tmp_path: Path
) -> None:
    candidates, problems = tables
    write_table(candidates, ExecutedCandidate, [c for c in SAMPLED if c.problem_id in ("dev", "test")])
    export(candidates, tmp_path / "out", problems=problems)
    with pytest.raises(UserError, match=r"out: nothing in this data set is of the split train"):
        load_preferences(tmp_path / "out")
    (group,) = load_preferences(tmp_path / "out" / "groups" / "test.parquet")
    assert group.problem_id == "test"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"problem_id": "p", "text": "x", "strict_status": "passed", "index": "0"},
            ":2: index: Input should be",
        ),
        (
            {"problem_id": "q", "text": "x", "strict_status": "passed"},
            ":2: problem 'q' is not in the problems file",
        ),
        ({"problem_id": "p", "text": "x"}, ":2: strict_status: field required"),
        ("{", ":2: not JSON"),
    ],
)
def test_errors_name_file_and_line_and_leave_nothing(tmp_path: Path, row: object, message: str) -> None:
    good = {"problem_id": "p", "text": "x", "strict_status": "passed"}
    rows = [json.dumps(good), row if isinstance(row, str) else json.dumps(row)]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(rows))
    write_jsonl(tmp_path / "p.jsonl", [{"id": "p", "prompt": "def", "tests": ""}])
    with pytest.raises(UserError) as e:
        export(path, tmp_path / "out", problems=tmp_path / "p.jsonl")
    assert str(e.value).startswith(f"{path}{message}")
    assert {p.name for p in tmp_path.iterdir()} == {"x.jsonl", "p.jsonl"}


def test_scores_that_are_no_numbers_are_unknown(tmp_path: Path) -> None:
    row = {
        "problem_id": "p",
        "text": "x",
        "strict_status": "failed",
        "score": -math.inf,
        "logprob_sum": math.nan,
    }
    write_jsonl(tmp_path / "x.jsonl", [row])
    write_jsonl(tmp_path / "p.jsonl", [{"id": "p", "prompt": "def", "tests": ""}])
    export(tmp_path / "x.jsonl", tmp_path / "out", problems=tmp_path / "p.jsonl", file_format="jsonl")
    (found,) = rows_of(tmp_path / "out" / "candidates" / "train.jsonl")
    assert (found["score"], found["logprob_sum"]) == (None, None)


@pytest.mark.parametrize("file_format", get_args(Format))
def test_half_a_surrogate_pair_is_a_question_mark(tmp_path: Path, file_format: Format) -> None:
    row = {"problem_id": "p", "text": "é\ud800", "strict_status": "failed"}
    (tmp_path / "x.jsonl").write_text(json.dumps(row))
    write_jsonl(tmp_path / "p.jsonl", [{"id": "p", "prompt": "def", "tests": ""}])
    out = tmp_path / "out"
    export(tmp_path / "x.jsonl", out, problems=tmp_path / "p.jsonl", file_format=file_format)
    (found,) = rows_of(out / "candidates" / f"train.{file_format}")
    assert found["text"] == "é?"


def test_groups_must_be_of_the_problems_that_are_given(tmp_path: Path) -> None:
    one = PreferenceGroup("p", "def", ("a",), ("b",), ("s",), ("s",), "x")
    for prompt, groups, message in (
        ("def", [one, replace(one, problem_id="q")], "problem 'q' is not in the problems file"),
        ("other", [one], "problem 'p' has two prompts"),
        (None, [one, replace(one, prompt="other")], "problem 'p' has two prompts"),
    ):
        write_table(tmp_path / "g.parquet", PreferenceGroup, groups)
        if prompt is not None:
            write_jsonl(tmp_path / "p.jsonl", [{"id": "p", "prompt": prompt, "tests": ""}])
        with pytest.raises(UserError, match=message):
            export(
                tmp_path / "g.parquet", tmp_path / "out", problems=tmp_path / "p.jsonl" if prompt else None
            )


def test_what_is_no_source_is_told_what_to_do(tmp_path: Path) -> None:
    executed = {"problem_id": "p", "text": "x", "strict_status": "passed"}
    write_jsonl(tmp_path / "executed.jsonl", [executed])
    sampled = {k: v for k, v in executed.items() if k != "strict_status"} | {"n_tokens": 1}
    write_jsonl(tmp_path / "sampled.jsonl", [sampled])
    write_jsonl(tmp_path / "pairs.jsonl", [{"prompt": "p", "chosen": "a", "rejected": "b"}])
    (tmp_path / "empty").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").write_text(to_toml(load_recipe("tiny")))
    for words, message in (
        (["executed.jsonl"], "give the problems that these are candidates of: --problems FILE"),
        (["sampled.jsonl"], "sampled.jsonl:1: no verdict; run it first: rewardranker execute"),
        (["none.jsonl"], "none.jsonl: cannot read it"),
        (["run"], "nothing sampled in this run yet"),
        (["empty"], "empty: no file of DebugBench in it .*; nor is it a run directory"),
        (["pairs.jsonl", Form.CANDIDATES], "holds groups, no candidates"),
    ):
        with pytest.raises(UserError, match=message):
            export(tmp_path / words[0], tmp_path / "out", forms=words[1:])
    with pytest.raises(UserError, match="has its own problems; leave out --problems"):
        export(tmp_path / "run", tmp_path / "out", problems=tmp_path / "pairs.jsonl")


@pytest.mark.slow
@pytest.mark.skipif(
    not (PEER / "ready").exists(),
    reason="no TRL with datasets; python benchmarks/ranker_training.py makes its environment",
)
@pytest.mark.parametrize("file_format", get_args(Format))
def test_datasets_and_trl_take_the_folder(
    tables: tuple[Path, Path], tmp_path: Path, file_format: Format
) -> None:
    candidates, problems = tables
    folder = tmp_path / "shared"
    contents = export(candidates, folder, problems=problems, file_format=file_format)
    work = tmp_path / "work"
    work.mkdir()
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    command = [PEER / "bin" / "python", Path(__file__).with_name("accept.py"), folder, work]
    done = subprocess.run(command, env=environ, cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for (form, split), n in contents.rows.items():
        columns, rows, first = found[form][split]
        assert rows == n
        written = rows_of(folder / contents.files[form, split])[0]
        assert first == written and columns == list(written)
    for trainer in ("DPOTrainer", "RewardTrainer", "KTOTrainer", "SFTTrainer"):
        assert found[trainer] > 0
