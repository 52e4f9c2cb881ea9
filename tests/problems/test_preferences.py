import ast
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardranker.errors import UserError
from rewardranker.problems.debugbench import normalise
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.problems.preferences import load_preferences, write_preferences
from rewardranker.tables import write_table

DEBUGBENCH = Path(__file__).parents[2] / ".." / "shared" / "data" / "pairs" / "debugbench.tar.gz"
needs_data = pytest.mark.skipif(not DEBUGBENCH.exists(), reason="no ../shared/data/pairs/debugbench.tar.gz")

PAIR = {"prompt": "p", "chosen": "right", "rejected": "wrong"}
BUG = {
    "slug": "two-sum",
    "description": 'Say """ and \\n.',
    "examples": ["Input: 1", "Input: 2"],
    "constraints": "n < 3",
    "oracle_code": "class Solution:\n    # why\n    def f(self):\n\n        return '#'",
    "buggy_code": "\nclass Solution:\n    def f(self):\n        return '# no'   \n",
}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def error(path: Path, language: str | None = None) -> str:
    with pytest.raises(UserError) as e:
        load_preferences(path, language)
    return str(e.value)


def test_rows_of_one_prompt_make_one_group(tmp_path: Path) -> None:
    path = write(
        tmp_path / "pairs.jsonl",
        PAIR,
        {**PAIR, "rejected": "worse"},
        {**PAIR, "prompt": "q", "score_chosen": 1},
    )
    first, second = load_preferences(path)
    assert (first.chosen, first.rejected) == (("right",), ("wrong", "worse"))
    assert first.problem_id.startswith("prompt-") and first.problem_id != second.problem_id
    assert first.source == "pairs.jsonl" and first.rejected_sources == ("pairs.jsonl", "pairs.jsonl")


def test_conversations_are_read_when_they_are_one_turn(tmp_path: Path) -> None:
    row = {
        "prompt": [{"role": "user", "content": "p"}],
        "chosen": [{"role": "assistant", "content": "right"}],
        "rejected": [{"role": "assistant", "content": "wrong"}],
    }
    assert load_preferences(write(tmp_path / "c.jsonl", row)) == [
        g.__class__(**{**{s: getattr(g, s) for s in g.__slots__}, "source": "c.jsonl",
                       "chosen_sources": ("c.jsonl",), "rejected_sources": ("c.jsonl",)})
        for g in load_preferences(write(tmp_path / "p.jsonl", PAIR))
    ]  # fmt: skip
    two = {**row, "prompt": [{"role": "system", "content": "s"}, *row["prompt"]]}
    assert "prompt: a conversation must be one message with role 'user'" in error(
        write(tmp_path / "2.jsonl", two)
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "p"}], ":1: not a known format of preferences (its fields: prompt)"),
        ([PAIR, {**PAIR, "rejected": None}], ":2: rejected: Input should be a valid string"),
        ([PAIR, {"prompt": "p", "chosen": "wrong", "rejected": "x"}], ":2: this problem's 'wrong' is both"),
        (
            [{**PAIR, "problem_id": "a"}, {**PAIR, "problem_id": "a", "prompt": "q"}],
            ":2: prompt differs from",
        ),
        ([PAIR, {**PAIR, "weight": 2}], ":2: weight differs from"),
        ([{**PAIR, "weight": 0}], ":1: weight: Input should be greater than 0"),
        ([], ": no preferences in it"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, rows: list[object], message: str) -> None:
    path = write(tmp_path / "pairs.jsonl", *rows)
    assert error(path).startswith(f"{path}{message}")


USER = {"role": "user", "content": "p"}
ANSWERS = {
    name: [USER, {"role": "assistant", "content": text}]
    for name, text in (("chosen", "right"), ("rejected", "wrong"))
}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "p", "prompt_id": "1", **ANSWERS, "messages": [], "score_chosen": 9.0},
        {"prompt": [USER], **ANSWERS},
        {**ANSWERS, "score_chosen": 9.0, "score_rejected": 1.0},
    ],
    ids=["ultrafeedback_binarized", "prompt is a conversation", "implicit prompt"],
)
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_answers_may_repeat_the_question(tmp_path: Path, row: dict[str, Any], name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([row]), path)
    else:
        write(path, row)
    (group,) = load_preferences(path)
    assert (group.prompt, group.chosen, group.rejected) == ("p", ("right",), ("wrong",))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "q", **ANSWERS}, "chosen: the user's message is not the prompt"),
        (
            {**ANSWERS, "rejected": [USER, *ANSWERS["rejected"]]},
            "rejected: a conversation must be one message with role 'assistant', or one with role 'user' and "
            "its answer; this one is user, user, assistant",
        ),
        ({**ANSWERS, "chosen": []}, "chosen: a conversation must be one message"),
        ({"chosen": "pq", "rejected": "pr"}, "prompt: field required"),
        (
            {**ANSWERS, "chosen": [{"role": "assistant"}], "prompt": "p"},
            "chosen: Input should be a valid str",
        ),
    ],
)
def test_conversations_that_are_more_than_a_question_and_its_answer_are_refused(
    tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "x.jsonl", {**PAIR, "prompt": "other"}, row)
    assert error(path).startswith(f"{path}:2: {message}")


def labelled(text: str, label: object, **fields: object) -> dict[str, object]:
    return {"prompt": "p", "completion": text, "label": label, **fields}


def test_unpaired_rows_are_grouped_and_what_is_one_sided_is_left(tmp_path: Path) -> None:
    alone = labelled("alone", True, prompt="q")
    rows = [labelled("a", True), labelled("b", False, completion_source="sft"), labelled("c", True), alone]
    (group,) = load_preferences(write(tmp_path / "kto.jsonl", *rows))
    assert (group.prompt, group.chosen, group.rejected) == ("p", ("a", "c"), ("b",))
    assert (group.chosen_sources, group.rejected_sources) == (("kto.jsonl",) * 2, ("sft",))


def test_candidates_with_prompt_and_verdict_are_grouped(tmp_path: Path) -> None:
    row = {"problem_id": "a", "prompt": "p", "policy": "sft"}
    verdicts = [("x", "timeout"), ("y", "passed"), ("z", "unavailable"), ("x", "passed"), ("w", "failed")]
    path = write(tmp_path / "c.jsonl", *({**row, "text": t, "strict_status": s} for t, s in verdicts))
    (group,) = load_preferences(path)
    assert (group.problem_id, group.chosen, group.rejected) == ("a", ("y", "x"), ("w",))
    assert group.chosen_sources == ("sft", "sft")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([labelled("a", True), labelled("a", False)], ":2: this problem's 'a' is both right and wrong"),
        ([labelled("a", 1)], ":1: label: Input should be a valid boolean"),
        ([labelled("a", True)], ": no problem has both a right and a wrong program"),
        (
            [labelled("a", True, problem_id="x"), labelled("b", False, problem_id="x", prompt="q")],
            ":2: prompt differs from",
        ),
        ([{"problem_id": "a", "text": "", "strict_status": "failed"}], ":1: not a known format"),
    ],
)
def test_errors_of_labelled_rows(tmp_path: Path, rows: list[object], message: str) -> None:
    path = write(tmp_path / "x.jsonl", *rows)
    assert error(path).startswith(f"{path}{message}")


programs = st.text(st.characters(codec="utf-8"), max_size=6)


@st.composite
def group(draw: st.DrawFn, number: int) -> PreferenceGroup:
    texts = draw(st.lists(programs, min_size=2, max_size=6, unique=True))
    cut = draw(st.integers(1, len(texts) - 1))
    source = st.sampled_from(["reference", "sft", "aligned-1"])
    return PreferenceGroup(
        problem_id=f"problem-{number}",
        prompt=draw(programs),
        chosen=tuple(texts[:cut]),
        rejected=tuple(texts[cut:]),
        chosen_sources=tuple(draw(source) for _ in texts[:cut]),
        rejected_sources=tuple(draw(source) for _ in texts[cut:]),
        source=draw(st.sampled_from(["initial", "random-1"])),
        weight=draw(st.floats(0.1, 10)),
    )


@settings(max_examples=50)
@given(st.integers(1, 4).flatmap(lambda n: st.tuples(*map(group, range(n)))))
def test_trl_rows_and_parquet_hold_the_groups_whole(
    tmp_path_factory: pytest.TempPathFactory, groups: tuple[PreferenceGroup, ...]
) -> None:
    folder = tmp_path_factory.mktemp("groups")
    write_preferences(folder / "pairs.jsonl.gz", groups)
    write_table(folder / "pairs.parquet", PreferenceGroup, groups)
    assert load_preferences(folder / "pairs.jsonl.gz") == list(groups)
    assert load_preferences(folder / "pairs.parquet") == list(groups)


def test_a_group_without_pairs_leaves_no_row(tmp_path: Path) -> None:
    write_preferences(
        tmp_path / "x.jsonl", [PreferenceGroup("a", "p", ("right",), (), ("sft",), (), "initial")]
    )
    assert (tmp_path / "x.jsonl").read_text() == ""


def test_debugbench_file_folder_and_archive(tmp_path: Path) -> None:
    folder = tmp_path / "DebugBench" / "benchmark"
    folder.mkdir(parents=True)
    python = folder / "python3_other error.json"
    python.write_text(json.dumps([BUG, {**BUG, "buggy_code": "\nprint(1"}]))
    (folder / "cpp_double.json").write_text(
        json.dumps([{**BUG, "oracle_code": "a; // b", "buggy_code": "\nb;"}])
    )
    (folder.parent / "results.json").write_text("[1]")
    with tarfile.open(tmp_path / "d.tar.gz", "w:gz") as archive:
        archive.add(folder, "benchmark")
    (group,) = load_preferences(python)
    assert group.problem_id == "python/two-sum" and group.source == "debugbench"
    assert group.chosen == ("class Solution:\n    def f(self):\n        return '#'\n",)
    assert group.rejected == ("class Solution:\n    def f(self):\n        return '# no'\n", "print(1\n")
    assert (group.chosen_sources, group.rejected_sources) == (("leetcode",), ("other error", "other error"))
    assert ast.get_docstring(ast.parse(group.prompt), clean=False) == (
        '\nSay """ and \\n.\n\nInput: 1\n\nInput: 2\n\nn < 3\n'
    )
    for path in (folder.parent, folder, tmp_path / "d.tar.gz"):
        assert load_preferences(path, "py") == [group]
        assert {g.problem_id for g in load_preferences(path)} == {"python/two-sum", "cpp/two-sum"}
    assert "nothing in java; it has cpp, python" in error(folder, "java")
    assert "unknown language 'cobol'" in error(folder, "cobol")


def test_debugbench_errors(tmp_path: Path) -> None:
    assert "no file of DebugBench" in error(tmp_path)
    assert "rename it to <language>_<bug>.json" in error(write(tmp_path / "x.json", BUG))
    broken = tmp_path / "x.tar.gz"
    broken.write_bytes(b"no archive")
    assert f"{broken}: not a readable .tar.gz" in error(broken)
    (tmp_path / "java_double.json").write_text(json.dumps([{"slug": "s", "buggy_code": ""}]))
    assert "item 1: description: field required" in error(tmp_path / "java_double.json", "java")


@pytest.mark.parametrize(
    ("language", "code", "expected"),
    [
        ("python", '\n\tx = \'#\'  # note\n\n# all\ny = """#"""\n', '    x = \'#\'\ny = """#"""\n'),
        ("python", 'x = "unclosed # kept?\n', 'x = "unclosed\n'),
        ("cpp", '```cpp\nx("//"); // note\n/* a\nb */y;\n```\n', 'x("//");\ny;\n'),
    ],
)
def test_normalise(language: str, code: str, expected: str) -> None:
    assert normalise(code, language) == expected
    assert normalise(expected, language) == expected


@needs_data
@pytest.mark.parametrize(("language", "n_problems"), [("python", 225), ("cpp", 231), ("java", 220)])
def test_debugbench_layout_no_longer_tells_the_label(language: str, n_problems: int) -> None:
    groups = load_preferences(DEBUGBENCH, language)
    assert len(groups) == n_problems
    pairs = [(c, r) for g in groups for c in g.chosen for r in g.rejected]
    assert all(not set(g.chosen) & set(g.rejected) for g in groups)
    for text in (text for pair in pairs for text in pair):
        assert text == normalise(text, language) and text[0] != "\n" and text[-1] == "\n"
    # Length is what anyone would try first: the longer program is the right one about half the time.
    longer = sum((len(c) > len(r)) + 0.5 * (len(c) == len(r)) for c, r in pairs) / len(pairs)
    assert 0.4 < longer < 0.6


@needs_data
def test_right_python_of_debugbench_still_parses() -> None:
    for g in load_preferences(DEBUGBENCH, "python"):
        for code in g.chosen:
            ast.parse(g.prompt + code)
