import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser

import pytest
from synthetic_run import HOSTILE, make_run

from rewardranker.errors import UserError
from rewardranker.report import measures
from rewardranker.report.attempts import read_attempts
from rewardranker.report.bundle import visible
from rewardranker.report.page import VIEWS, write_report


class Page(HTMLParser):
    """Elements and texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.open, self.text = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text += data


@pytest.fixture(scope="module")
def html(run_dir):
    return write_report(run_dir).read_text()


def test_the_page_has_every_part(html):
    text = Page(html).text
    for part in (
        "Problems solved, percent", "Differences on the same problems", "More candidates", "The rankers",
        "Reliability over aligned-2", "Longer SFT", "RFT 1", "True pass rate", "hard negative", "Cost",
        "Versions and machine", "AMD EPYC",
    ):  # fmt: skip
        assert part in text
    assert "is absent" not in text


def test_the_page_shows_the_numbers_of_metrics_json(html, run_dir):
    metrics = json.loads((run_dir / "metrics.json").read_text())
    text = Page(html).text
    for row in metrics["rows"]:
        assert f"{100 * row['value']:.1f}" in text
    for ranker in metrics["ranker"]:
        assert f"{ranker['auc']:.3f}" in text


def test_the_page_needs_no_network_and_runs_its_own_script_alone(html):
    page = Page(html)
    assert page.tags.count("script") == 1
    assert "link" not in page.tags
    assert not {"src", "style"} & set(page.attributes)
    links = re.findall(r' href="([^"]*)"', html)
    assert [a for a in links if not a.startswith("#problem/")] == [f"#{view}" for view in VIEWS]
    assert not [a for a in page.attributes if a.startswith("on")]
    assert "http://" not in html
    assert "https://" not in html
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    for kind, text in re.findall(r"<(style|script)>(.*?)</\1>", html, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy


def test_an_earlier_reports_data_is_removed(run_dir, tmp_path):
    shutil.copytree(run_dir, tmp_path / "run")
    stale = tmp_path / "run" / "report" / "data-0000000000000000"
    stale.mkdir(parents=True)
    page = write_report(tmp_path / "run")
    assert not stale.exists()
    (kept,) = page.parent.glob("data-*")
    assert f'data-bundle="{kept.name}"' in page.read_text()


def test_the_page_is_the_same_each_time(html, run_dir):
    assert write_report(run_dir).read_text() == html


def test_score_pass_rate_and_kl_of_ppo_are_drawn_for_every_round_that_was_measured(html, run_dir):
    history = json.loads((run_dir / "1-ppo" / "history.json").read_text())
    for field, name in (("score", "Ranker's score"), ("pass", "True pass rate"), ("kl", "KL to the start")):
        for number in [row["round"] for row in history if row[field] is not None]:
            points = re.findall(f"<title>{name}[^<]*, round {number}: ", html)
            assert len(points) == 2  # of two iterations


def test_pass_rates_of_ppo_have_wilson_intervals_over_the_checked_problems(html, run_dir):
    history = json.loads((run_dir / "1-ppo" / "history.json").read_text())
    rate = history[10]["pass"]
    interval = measures.wilson(rate, 64)
    shown = f"round 10: {100 * rate:.4g} ({100 * interval.low:.4g} to {100 * interval.high:.4g})"
    assert f"True pass rate, {shown}" in html
    assert f"({100 * interval.low:.4g} to {100 * interval.high:.4g}), round 10" in html  # against the score


def test_iterations_show_gap_mined_and_kl(html, run_dir):
    text = " ".join(Page(html).text.split())
    attempts = read_attempts(run_dir, 1.0).policies["aligned-2"]
    gap = measures.gap_closed(measures.ranked(attempts, 2), 2)
    point = f"ranker 2, iteration of the policy 2: {gap.value:.4g} ({gap.low:.4g} to {gap.high:.4g})"
    assert point in text
    assert "Solved by iteration" in text
    assert "5,120" in text
    assert "KL to the policy that PPO began with" in text


def test_sure_failures_lead_to_their_problems(html, run_dir):
    run = read_attempts(run_dir, 1.0)
    (surest, *_) = measures.sure_failures(run.policies["aligned-2"], 2)
    number = [p.id for p in run.problems].index(surest.problem_id)
    policy = list(run.policies).index("aligned-2")
    assert f'href="#problem/{number}?policy={policy}&amp;filter=all"><code>{surest.problem_id}<' in html


def test_parts_that_the_run_lacks_are_named(run_dir, tmp_path):
    for name in ("recipe.toml", "environment.json", "cost.json"):
        shutil.copy(run_dir / name, tmp_path / name)
    metrics = json.loads((run_dir / "metrics.json").read_text())
    rows = [r for r in metrics["rows"] if r["selector"] != "ranker" and r["system"] == "sft"]
    curves = [c for c in metrics["curves"] if c["selector"] != "ranker" and c["policy"] == "sft"]
    small = {**metrics, "rows": rows, "curves": curves, "paired": [], "ranker": [], "ppo": []}
    (tmp_path / "metrics.json").write_text(json.dumps(small))
    text = " ".join(Page(write_report(tmp_path).read_text()).text.split())
    for file in (
        "0-sft/history.json",
        "1-ppo/history.json",
        "1-mine/summary.json",
        "problems/problems.parquet",
    ):
        assert file in text
    assert "No ranker scored anything" in text


@pytest.mark.parametrize("name", ["recipe.toml", "environment.json", "metrics.json", "cost.json"])
def test_a_run_that_is_not_finished(run_dir, tmp_path, name):
    for file in {"recipe.toml", "environment.json", "metrics.json", "cost.json"} - {name}:
        shutil.copy(run_dir / file, tmp_path / file)
    with pytest.raises(UserError, match=name):
        write_report(tmp_path)


def test_a_damaged_file_is_named_with_its_line(run_dir, tmp_path):
    shutil.copytree(run_dir, tmp_path / "run")
    (tmp_path / "run" / "cost.json").write_text('{\n "stages": [}')
    with pytest.raises(UserError, match=r"cost\.json:2: not JSON"):
        write_report(tmp_path / "run")


def test_neighbours_stand_beside_with_their_command(run_dir, html):
    metrics = json.loads((run_dir / "metrics.json").read_text())
    page = write_report(
        run_dir, [{**metrics, "recipe": "micro-ppo", "command": "rewardranker run micro-ppo"}]
    )
    text = Page(page.read_text()).text
    assert "Neighbour: micro-ppo" in text
    assert "rewardranker run micro-ppo" in text
    write_report(run_dir)


def test_several_languages_have_a_table_each(run_dir, tmp_path):
    shutil.copytree(run_dir, tmp_path / "run")
    metrics = json.loads((run_dir / "metrics.json").read_text())
    rows = [{**r, "language": language} for language in ("python", "cpp", "all") for r in metrics["rows"]]
    (tmp_path / "run" / "metrics.json").write_text(json.dumps({**metrics, "rows": rows}))
    text = Page(write_report(tmp_path / "run").read_text()).text
    assert text.index("All languages, 200 problems") < text.index("cpp, 200 problems")


def test_hostile_programs_are_no_markup(tmp_path):
    page = write_report(make_run(tmp_path / "run", problems=5, hostile=True))
    found = Page(page.read_text())
    assert found.tags.count("script") == 1
    assert "img" not in found.tags
    assert not [a for a in found.attributes if a.startswith("on")]
    assert visible(HOSTILE)[:200] in found.text  # why the surest failures fail
    scripts = list(page.parent.glob("data-*/*.js"))
    assert len(scripts) >= 3
    for script in scripts:
        text = script.read_text("ascii")
        assert "\\u202e" not in text.lower()
        name = script.stem
        json.loads(
            text.removeprefix(f'rewardranker("{name}",').removesuffix(");\n")
        )  # nothing beside the data
