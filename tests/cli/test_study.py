"""What `rewardranker study` says without measuring anything; tests/studies runs the studies."""

from rewardranker.studies.catalogue import STUDIES


def test_without_a_name_the_studies_are_listed(rewardranker):
    listed = rewardranker("study")
    assert listed.code == 0
    for line, name in zip(listed.out.splitlines(), STUDIES, strict=True):
        assert line.startswith(name) and line.endswith("?")


def test_an_unknown_study_is_named_with_those_that_there_are(rewardranker):
    result = rewardranker("study", "scalign")
    assert result.code == 2
    assert "no study is called 'scalign'; there are iterations, negatives" in result.err


def test_a_budget_of_nothing_writes_a_page_that_says_what_is_missing(rewardranker, tmp_path):
    result = rewardranker("study", "cost", "--small", "--budget", "0", "--seeds", "2", "--dir", tmp_path)
    assert result.code == 0
    assert (
        "**Missing.** Seed 2: SFT, SFT + ranker 1" in result.out and "Nothing was measured yet." in result.out
    )
    assert (tmp_path / "cost" / "cost.html").is_file()
    assert not (tmp_path / "seeds").exists()
