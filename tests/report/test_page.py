import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from synthetic_run import HOSTILE, make_run

from rewardranker.errors import UserError
from rewardranker.report.page import CASES, visible, write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


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
        if "style" not in self.open:
            self.text += data


@pytest.fixture(scope="module")
def html(run_dir):
    return write_report(run_dir).read_text()


def test_the_page_has_every_part(html):
    text = Page(html).text
    for part in (
        "Problems solved, percent", "Differences on the same problems", "More candidates", "The rankers",
        "Reliability over aligned-2", "Longer SFT", "RFT 1", "True pass rate", "hard negative", "Cost",
        "Problems and their candidates", "Versions and machine", "AMD EPYC",
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


def test_the_page_needs_no_network_and_no_script(html):
    page = Page(html)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert not {"src", "href", "style"} & set(page.attributes)
    assert not [a for a in page.attributes if a.startswith("on")]
    assert "http://" not in html
    assert "https://" not in html
    assert "Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-" in html


def test_the_page_is_the_same_each_time(html, run_dir):
    assert write_report(run_dir).read_text() == html


def test_twenty_problems(html):
    assert html.count("<code>micro/test/") == CASES


def test_score_pass_rate_and_kl_of_ppo_are_drawn_for_every_round_that_was_measured(html, run_dir):
    history = json.loads((run_dir / "1-ppo" / "history.json").read_text())
    for field, name in (("score", "Ranker's score"), ("pass", "True pass rate"), ("kl", "KL to the start")):
        for number in [row["round"] for row in history if row[field] is not None]:
            points = re.findall(f"<title>{name}[^<]*, round {number}: ", html)
            assert len(points) == 2  # of two iterations


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


def test_what_cannot_be_seen_is_spelled_out():
    assert visible("a\tb\n\u202ec\x00") == "a\tb\n⟨U+202E⟩c⟨U+0000⟩"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A page on which every problem shown carries HTML and scripts."""
    run = make_run(tmp_path_factory.mktemp("hostile"), problems=5, hostile=True)
    return write_report(run)


def test_hostile_programs_are_shown_and_never_markup(hostile):
    html = hostile.read_text()
    page = Page(html)
    assert not {"script", "img"} & set(page.tags)
    assert not [a for a in page.attributes if a.startswith("on")]
    assert page.text.count(visible(HOSTILE)) > 5 * 4  # prompt, tests, and each program with its reason


@pytest.mark.skipif(CHROMIUM is None, reason="no browser: apt-get install chromium")
def test_hostile_programs_run_nothing_in_a_browser(hostile, tmp_path):
    without_policy = tmp_path / "without-policy.html"
    html = hostile.read_text()
    without_policy.write_text(html.replace("http-equiv", "data-removed"))
    control = tmp_path / "control.html"
    control.write_text(f"<title>calm</title><pre>{HOSTILE}</pre>")
    with_policy_only = tmp_path / "policy-only.html"
    start = html.index("<meta http-equiv")
    with_policy_only.write_text(html[start : html.index(">", start) + 1] + control.read_text())

    # The control shows that this browser runs such text; escaping alone and the policy alone each stop it.
    assert title(control, tmp_path) == "hacked"
    assert title(hostile, tmp_path) == "micro · RewardRanker"
    assert title(without_policy, tmp_path) == "micro · RewardRanker"
    assert title(with_policy_only, tmp_path) == "calm"


def title(page, tmp_path):
    """The document's title after a browser has loaded the page and run what it runs."""
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000",
            "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout.split("<title>", 1)[1].split("</title>", 1)[0]
