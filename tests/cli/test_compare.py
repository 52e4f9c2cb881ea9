import json

import pytest

from rewardranker.evaluation.selection import Outcome
from rewardranker.tables import write_table


@pytest.fixture
def folders(tmp_path):
    for name, values in (("a", [1.0, 1.0, 0.0, 1.0]), ("b", [1.0, 0.0, 1.0, 0.0])):
        (tmp_path / name).mkdir()
        rows = [
            Outcome(f"p{i}", "python", selector, 10, value if selector == "ranker" else 0.25)
            for selector in ("sample", "ranker")
            for i, value in enumerate(values)
        ]
        write_table(tmp_path / name / "outcomes.parquet", Outcome, rows)
    return tmp_path / "a", tmp_path / "b"


def test_two_folders(rewardranker, folders):
    result = rewardranker("compare", *folders, "--selector", "ranker")
    assert result.code == 0, result.err
    assert "A - B  +25.0 points" in result.out and "McNemar p = 1" in result.out
    assert "only A solves 2:\n  p1  1.00 against 0.00\n  p3  1.00 against 0.00\n" in result.out
    assert "only B solves 1:\n  p2  0.00 against 1.00\n" in result.out


def test_two_selectors_of_one_folder_as_json(rewardranker, folders):
    result = rewardranker(
        "compare", folders[0], folders[0], "--selector", "ranker", "--selector-b", "sample", "--json"
    )
    found = json.loads(result.out)
    assert (found["selector_a"], found["selector_b"], found["difference"]) == ("ranker", "sample", 0.5)
    assert [flip["problem_id"] for flip in found["only_a"]] == ["p0", "p1", "p3"]


def test_other_problems_are_the_users_to_mend(rewardranker, folders):
    write_table(folders[1] / "outcomes.parquet", Outcome, [Outcome("other", "python", "sample", 10, 1.0)])
    result = rewardranker("compare", *folders)
    assert result.code == 2
    assert "a paired comparison needs the same problems" in result.err and not result.out
