import io
import json

import pytest
from rich.console import Console

from rewardranker.report.table import findings, headline, languages, points, result_rows, system_name, table


@pytest.fixture(scope="module")
def metrics(run_dir):
    return json.loads((run_dir / "metrics.json").read_text())


def rendered(metrics, width=100):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(table(metrics))
    return console.export_text()


def test_the_table_fits_100_columns_and_has_every_policy(metrics):
    text = rendered(metrics)
    for policy in ("sft", "sft-longer", "aligned-1", "aligned-2"):
        assert policy in text
    for column in ("greedy", "T=0.5", "T=1", "log-prob", "majority", "ranker", "pass@10"):
        assert column in text
    assert "…" not in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_the_table_shows_the_rows_numbers(metrics):
    (row,) = [r for r in metrics["rows"] if (r["policy"], r["selector"]) == ("aligned-2", "oracle")]
    low, high = row["ci95"]
    assert f"{100 * row['value']:.1f}±{50 * (high - low):.1f}" in rendered(metrics)


def test_the_newest_ranker_is_shown(metrics):
    (newest,) = [
        r for r in metrics["rows"] if (r["policy"], r["selector"], r["ranker"]) == ("sft", "ranker", 2)
    ]
    row = result_rows(metrics, "python")[0]
    assert (row.policy, row.ranker, row.cells["ranker"].value) == ("sft", 2, newest["value"])
    assert row.best != "oracle"


def test_findings_are_the_decisive_differences(metrics):
    title, *lines = findings(metrics)
    decisive = [p for p in metrics["paired"] if p["decisive"]]
    assert len(lines) == len(decisive)
    assert "aligned-2 with ranker 2 over sft-longer greedy" in lines[0]
    assert points(decisive[0]["difference"]) in lines[0]
    assert all(len(line) <= 100 for line in (title, *lines))


def test_an_interval_that_includes_0_is_called_unclear(metrics):
    pair = {**metrics["paired"][0], "decisive": True, "difference": 0.01, "ci95": [-0.01, 0.03]}
    assert findings({"paired": [pair]})[1].endswith("unclear")
    assert findings({"paired": []}) == []


def test_headline_names_the_final_system_and_the_control(metrics):
    text = headline(metrics)
    assert text.startswith("Ranker 2 picks a correct program out of 10 by aligned-2")
    assert "longer fine-tuning" in text
    assert "Over sft-longer greedy" in text


def test_headline_without_a_ranker(metrics):
    rows = [r for r in metrics["rows"] if r["policy"] == "sft" and r["selector"] != "ranker"]
    assert "no ranker" in headline({**metrics, "rows": rows, "paired": []})


def test_all_languages_come_first():
    rows = [{"language": language} for language in ("cpp", "all", "python")]
    assert languages({"rows": rows}) == ["all", "cpp", "python"]


@pytest.mark.parametrize(
    ("share", "text"), [(0.031, "+3.1"), (-0.004, "\u22120.4"), (0.0001, "0.0"), (-0.0001, "0.0")]
)
def test_points(share, text):
    assert points(share) == text


def test_system_name():
    assert system_name({"policy": "sft", "selector": "ranker", "ranker": 1}) == "sft with ranker 1"
    assert system_name({"policy": "sft", "selector": "logprob", "ranker": None}) == "sft by log-prob"
