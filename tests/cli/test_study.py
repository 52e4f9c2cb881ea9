"""What `rewardranker study` says without measuring anything; tests/studies runs the studies."""

from rewardranker.studies.catalogue import STUDIES
from rewardranker.studies.study import Results


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


def test_the_page_of_another_recipe_is_told_when_it_is_replaced(rewardranker, tmp_path, monkeypatch):
    found = Results((1,), {}, {(1, "SFT"): "some reason"})
    monkeypatch.setattr("rewardranker.studies.study.run_study", lambda *_, **__: found)
    words = ("study", "cost", "--small", "--dir", tmp_path)
    assert "In place of" not in rewardranker(*words).err
    assert "In place of" not in rewardranker(*words, "--seeds", "2").err
    told = rewardranker(*words, "--set", "sft.epochs=1").err
    assert "In place of the page of another recipe; its results are kept: rewardranker study cost" in told
    assert told.rstrip().endswith("--seeds 2 --small --budget 0")
