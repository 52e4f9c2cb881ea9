from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardranker.errors import UserError
from rewardranker.problems.candidate import Candidate
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.problems.problem import Problem, Split
from rewardranker.tables import (
    TableWriter,
    count_parquet,
    parquet_columns,
    parquet_rows,
    read_parquet,
    read_table,
    write_table,
)

text = st.text(st.characters(codec="utf-8"))
texts = st.lists(text, max_size=3).map(tuple)

problems = st.builds(
    Problem,
    id=text,
    language=text,
    prompt=text,
    tests=text,
    stop_tokens=texts,
    entry_point=text,
    visible_tests=text,
    output_probe=text,
    reference=st.none() | text,
    split=st.sampled_from(get_args(Split)),
    evaluation_only=st.booleans(),
)
candidates = st.builds(
    Candidate,
    problem_id=text,
    index=st.integers(0, 2**62),
    text=text,
    logprob_sum=st.floats(allow_nan=False),
    n_tokens=st.integers(0, 10**6),
    finish_reason=st.sampled_from(["eos", "stop", "length"]),
    policy=text,
)


@st.composite
def groups(draw: st.DrawFn) -> PreferenceGroup:
    chosen, rejected = draw(texts), draw(texts)
    return PreferenceGroup(
        problem_id=draw(text),
        prompt=draw(text),
        chosen=chosen,
        rejected=rejected,
        chosen_sources=("sft",) * len(chosen),
        rejected_sources=("sft",) * len(rejected),
        source=draw(text),
        weight=draw(st.floats(0, 9)),
    )


@settings(max_examples=60)
@given(
    st.one_of(
        st.tuples(st.just(Problem), st.lists(problems, max_size=3)),
        st.tuples(st.just(Candidate), st.lists(candidates, max_size=3)),
        st.tuples(st.just(PreferenceGroup), st.lists(groups(), max_size=3)),
    )
)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, table: tuple[type[Any], list[Any]]) -> None:
    row_type, rows = table
    path = tmp_path_factory.mktemp("table") / "rows.parquet"
    write_table(path, row_type, rows)
    again = read_table(path, row_type)
    assert again == rows
    for row in again:  # equal is not enough: a frozen dataclass with a list in it can't be hashed
        hash(row)


def test_a_table_is_written_as_its_rows_come_in_groups_of_bounded_size(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Row:
        name: str
        texts: tuple[str, ...]

    rows = [Row(str(n), ("x",) * (n % 3 * 2000)) for n in range(12)]
    writer = TableWriter(tmp_path / "x.parquet", Row)
    for row in rows:
        writer.write(asdict(row))
    writer.close()
    assert [(r["name"], tuple(r["texts"])) for r in parquet_rows(tmp_path / "x.parquet")] == [
        (row.name, row.texts) for row in rows
    ]
    written = pq.ParquetFile(tmp_path / "x.parquet")
    assert written.num_row_groups == 4 and count_parquet(tmp_path / "x.parquet") == 12
    assert parquet_columns(tmp_path / "x.parquet") == ["name", "texts"]


def test_an_empty_table_has_its_columns(tmp_path: Path) -> None:
    write_table(tmp_path / "x.parquet", Problem, [])
    assert pq.read_schema(tmp_path / "x.parquet").names == [f.name for f in fields(Problem)]
    assert read_table(tmp_path / "x.parquet", Problem) == []


CANDIDATE = Candidate("p", 0, "t", -1.5, 3, "eos", "sft")


def test_other_libraries_see_plain_columns(tmp_path: Path) -> None:
    folder = tmp_path / "kl=0.5"  # in the name of a folder this means a column to some readers, not to us
    write_table(folder / "x.parquet", Candidate, [CANDIDATE])
    assert read_parquet(folder / "x.parquet").to_pylist() == [asdict(CANDIDATE)]


def test_a_failed_write_leaves_the_old_table(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    old = [CANDIDATE]
    write_table(path, Candidate, old)
    with pytest.raises((pa.ArrowTypeError, pa.ArrowInvalid)):
        write_table(path, Candidate, [Candidate("p", "no number", "t", -1.5, 3, "eos", "sft")])  # type: ignore[arg-type]
    assert read_table(path, Candidate) == old


def test_errors_name_file_and_column(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read it"):
        read_table(tmp_path / "absent.parquet", Problem)
    (tmp_path / "x.parquet").write_text("no table")
    with pytest.raises(UserError, match="not a Parquet file"):
        read_table(tmp_path / "x.parquet", Problem)
    write_table(tmp_path / "c.parquet", Candidate, [])
    with pytest.raises(UserError, match=r"c.parquet: no column prompt, chosen.*columns: problem_id, index"):
        read_table(tmp_path / "c.parquet", PreferenceGroup)


def test_a_field_without_a_column_type_is_our_fault(tmp_path: Path) -> None:
    @dataclass
    class Odd:
        field: dict[str, int]

    assert get_type_hints(Odd)
    with pytest.raises(TypeError, match="no Parquet column"):
        write_table(tmp_path / "x.parquet", Odd, [])


def test_half_a_surrogate_pair_costs_that_character_and_not_the_table(tmp_path):
    candidate = Candidate("p", 0, "x = '\ud83d'", -1.0, 3, "eos", "sft")
    write_table(tmp_path / "a.parquet", Candidate, [candidate])
    writer = TableWriter(tmp_path / "b.parquet", Candidate)
    writer.write(asdict(candidate))
    writer.close()
    for name in ("a.parquet", "b.parquet"):
        assert [c.text for c in read_table(tmp_path / name, Candidate)] == ["x = '?'"]
