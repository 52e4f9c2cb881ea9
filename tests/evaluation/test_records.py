from rewardranker.evaluation.records import EvaluatedCandidate, ScoredCandidate
from rewardranker.tables import read_table, write_table

CANDIDATE = EvaluatedCandidate(
    problem_id="p", policy="aligned-1", temperature=1.0, index=3, text="  return 1\n", logprob_sum=-2.5,
    n_tokens=5, finish_reason="eos", status="passed", strict_status="failed", reason="exit 0 before the end",
    stderr="", behaviour="[1]",
)  # fmt: skip


def test_records_survive_parquet(tmp_path):
    score = ScoredCandidate(policy="sft", problem_id="p", index=3, ranker=2, raw=-1.25, probability=0.5)
    write_table(tmp_path / "candidates.parquet", EvaluatedCandidate, [CANDIDATE])
    write_table(tmp_path / "scores.parquet", ScoredCandidate, [score])
    assert read_table(tmp_path / "candidates.parquet", EvaluatedCandidate) == [CANDIDATE]
    assert read_table(tmp_path / "scores.parquet", ScoredCandidate) == [score]


def test_the_strict_verdict_decides():
    assert not CANDIDATE.passed
    assert CANDIDATE.judged
    assert CANDIDATE.mean_logprob == -0.5
