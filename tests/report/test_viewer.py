"""The viewer in a real browser: open, filter, read a problem, keys, hostile candidates."""

import threading

import pytest
from synthetic_run import HOSTILE, LONG_LINE, make_run

from rewardranker.evaluation import metrics
from rewardranker.report.attempts import read_attempts
from rewardranker.report.bundle import visible
from rewardranker.report.comparison import compare
from rewardranker.report.page import write_report
from rewardranker.report.server import report_server
from rewardranker.report.table import points


@pytest.fixture(scope="module")
def page(run_dir):
    return write_report(run_dir).as_uri()


@pytest.fixture(scope="module")
def run(run_dir):
    return read_attempts(run_dir, 1.0)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A page on which every problem and candidate carries HTML, scripts and characters that hide."""
    return write_report(make_run(tmp_path_factory.mktemp("hostile") / "micro", problems=5, hostile=True))


def expected(run, fits, policy="aligned-2"):
    """Names of the problems whose attempts by `policy` fit."""
    return [p.id for p in run.problems if fits(run.policies[policy][p.id])]


def listed(tab):
    """Names of all problems in the list, the pages to come included."""
    while not tab.js("document.getElementById('more').hidden"):
        tab.click("#more")
    return tab.texts("#problem-rows code")


def test_one_view_at_a_time(tab, page):
    tab.open(page)
    assert "picks a correct program" in tab.text()
    for link in tab.js("[...document.querySelectorAll('nav a')].map(a => a.hash)"):
        tab.click(f"nav a[href='{link}']")
        assert tab.js("[...document.querySelectorAll('.view')].filter(v => !v.hidden).map(v => v.id)") == [
            link[1:]
        ]
        assert tab.texts("nav a[aria-current]") == [tab.text(f"nav a[href='{link}']")]


def test_the_list_begins_with_the_final_policy(tab, page, run):
    tab.open(page + "#problems")
    assert tab.js("document.getElementById('policy').selectedOptions[0].text") == "aligned-2"
    assert "200 of 200 problems" in tab.text("#count")
    assert listed(tab) == [p.id for p in run.problems]
    cells = tab.texts("#problem-rows tr:first-child td")
    first = run.policies["aligned-2"][run.problems[0].id]
    marks = [first.greedy.passed, first.picked(2).passed, any(c.passed for c in first.sampled)]
    assert cells == [*("✓" if m else "✗" for m in marks), f"{sum(c.passed for c in first.sampled)}/10"]


def test_filters(tab, page, run):
    tab.open(page + "#problems")
    solvable = expected(run, lambda a: not a.picked(2).passed and any(c.passed for c in a.sampled))
    assert 0 < len(solvable) < 200
    tab.choose("filter", "wrong-solvable")
    assert listed(tab) == solvable
    assert f"{len(solvable)} of 200" in tab.text("#count")
    tab.choose("filter", "differ")
    answers = {
        p.id: {by[p.id].picked(by[p.id].newest).passed for by in run.policies.values()} for p in run.problems
    }
    assert listed(tab) == [name for name, verdicts in answers.items() if len(verdicts) == 2]
    tab.choose("filter", "newer")
    assert listed(tab) == expected(run, lambda a: a.picked(2).passed and not a.picked(1).passed)
    tab.choose("policy", "0")
    tab.choose("filter", "none")
    assert listed(tab) == expected(run, lambda a: not any(c.passed for c in a.sampled), "sft")


def test_sort_and_search(tab, page, run):
    tab.open(page + "#problems")
    tab.choose("sort", "hard")
    rates = [int(row.split("/")[0]) for row in tab.texts("#problem-rows td:last-child")]
    assert rates == sorted(rates)
    tab.press("/")
    tab.type("SQUARE each test/1")
    words = [p.id for p in run.problems if "square each" in p.prompt and "test/1" in p.id]
    assert sorted(listed(tab)) == sorted(words) != []
    tab.js("document.getElementById('q').select()")
    tab.type("nothing has this")
    assert listed(tab) == []
    assert "0 of 200" in tab.text("#count")


def test_a_problem_with_its_diff_failing_test_and_stderr(tab, page, run):
    wrong = expected(run, lambda a: not a.picked(2).passed and any(c.passed for c in a.sampled))
    tab.open(page + "#problems?filter=wrong-solvable")
    tab.click("#problem-rows a")
    assert wrong[0] in tab.text("#problem h2")
    assert f"1 of {len(wrong)}" in tab.text("#problem")
    attempts = run.policies["aligned-2"][wrong[0]]
    assert "xs" in tab.text("#problem pre")
    removed, added = tab.texts("#problem .diff .del"), tab.texts("#problem .diff .add")
    assert removed and added
    assert all(line[2:] in attempts.picked(2).text for line in removed)
    assert "failed" in tab.text("#problem .program")
    assert "Failing test: assert solve([]) == 0" in tab.text("#problem .program")
    tab.click("#problem .program summary")
    tab.wait("document.querySelector('#problem .program details pre')")
    assert "Traceback" in tab.text("#problem .program details")
    facts = [text for text in tab.texts("#problem .program p") if "score " in text]
    scores = [float(text.split("score ")[1].split(" ")[0].replace("\u2212", "-")) for text in facts]
    assert scores == sorted(scores, reverse=True)
    assert tab.texts("#problem .program.passed")
    assert "Greedy answer" in tab.text("#problem")


def test_another_policy_of_the_same_problem(tab, page):
    tab.open(page + "#problem/3")
    tab.js("document.querySelector('#problem select').value = 0")
    tab.js("document.querySelector('#problem select').dispatchEvent(new Event('change'))")
    tab.settle()
    assert tab.js("document.querySelector('#problem select').selectedOptions[0].text") == "sft"
    assert "micro/test/3" in tab.text("#problem h2")


def test_keys(tab, page, run):
    names = [p.id for p in run.problems]
    tab.open(page)
    tab.press("2")
    assert tab.js("location.hash").startswith("#problems")
    tab.press("j")
    tab.press("j")
    tab.press("ArrowDown")
    tab.press("k")
    assert tab.js("document.activeElement.querySelector('code').innerText") == names[1]
    tab.press("Enter")
    assert names[1] in tab.text("#problem h2")
    for key, name in (("n", names[2]), ("ArrowRight", names[3]), ("p", names[2]), ("ArrowLeft", names[1])):
        tab.press(key)
        assert name in tab.text("#problem h2")
    tab.press("j")
    assert tab.js("document.activeElement.className").startswith("program")
    tab.press("Escape")
    assert tab.js("location.hash").startswith("#problems")
    tab.press("?")
    assert tab.js("document.getElementById('keys').open")
    tab.click("#keys button")
    assert not tab.js("document.getElementById('keys').open")
    tab.press("/")
    tab.type("j2")  # letters, while typing
    assert tab.js("document.activeElement.value") == "j2"


def test_on_a_phone_nothing_is_wider_than_the_screen(tab, page):
    tab.size(390, 844)
    try:
        for view in ("summary", "problems", "problem/0", "iterations", "calibration", "hacking", "compare"):
            tab.open(f"{page}#{view}")
            assert tab.js("document.documentElement.scrollWidth") <= 390, view
    finally:
        tab.size(1100, 800)


def test_served_as_from_disk(tab, run_dir, page):
    with report_server(run_dir, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            tab.open(f"http://127.0.0.1:{server.server_address[1]}/#problem/7")
            assert "micro/test/7" in tab.text("#problem h2")
        finally:
            server.shutdown()
            thread.join()


def test_candidates_are_loaded_when_they_are_looked_at_and_rows_as_they_are_reached(tab, tmp_path):
    page = write_report(make_run(tmp_path / "run", problems=450))
    for chunk in page.parent.glob("data-*/chunk-*.js"):
        chunk.rename(chunk.with_suffix(".away"))
    tab.open(page.as_uri() + "#problems")  # without any candidate
    assert "450 of 450" in tab.text("#count")
    assert len(tab.texts("#problem-rows tr")) == 200
    tab.choose("sort", "easy")
    tab.js("document.querySelector('#problem-rows tr:last-child').scrollIntoView()")
    tab.wait("document.querySelectorAll('#problem-rows tr').length === 400")
    assert len(listed(tab)) == 450
    for chunk in page.parent.glob("data-*/chunk-*.away"):
        chunk.rename(chunk.with_suffix(".js"))
    tab.click("#problem-rows tr:last-child a")
    assert tab.texts("#problem .program")


def test_a_missing_data_file_is_told(tab, page, run_dir, tmp_path):
    copy = tmp_path / "index.html"
    copy.write_bytes((run_dir / "report" / "index.html").read_bytes())
    tab.call("Page.navigate", url=copy.as_uri() + "#problems")
    tab.wait("document.querySelector('[role=alert]')")
    assert "index.js" in tab.text("[role=alert]")
    tab.errors.clear()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A run and another whose candidates differ, on the same problems."""
    folder = tmp_path_factory.mktemp("two")
    return [
        make_run(folder / name, problems=60, draws=draws) for name, draws in (("first", 0), ("second", 9))
    ]


def test_two_runs_compared(tab, two):
    runs = [read_attempts(path, 1.0) for path in two]
    tab.open(write_report(two[0], other=two[1]).as_uri() + "#compare")
    assert "A is first, B is second, on the 60 problems" in tab.text("#compare")
    chosen = "document.getElementById('system-{}').selectedOptions[0].text"
    assert tab.js(chosen.format("a")) == tab.js(chosen.format("b")) == "aligned-2 with ranker 2"
    found = compare("first", runs[0], "second", runs[1])
    for systems in (("aligned-2 with ranker 2",) * 2, ("sft greedy", "aligned-1 greedy")):
        for side, names, system in zip("ab", (found.systems_a, found.systems_b), systems, strict=True):
            tab.choose(f"system-{side}", str(list(names).index(system)))
        pair = found.pairs[systems]
        told, (low, high) = tab.text("#difference"), pair.difference.ci95
        assert f"A − B: {points(pair.difference.difference)} points" in told  # noqa: RUF001
        assert f"interval {points(low)} to {points(high)}" in told
        assert f"only A solves {pair.only_a} problems, only B {pair.only_b};" in told
        assert float(told.split("McNemar p = ")[1].rstrip(".")) == pytest.approx(pair.p_value, rel=0.06)
        values = found.systems_a[systems[0]], found.systems_b[systems[1]]
        flipped = metrics.flips(*values)
        for flips, wanted in (
            ("better", flipped > 0),
            ("worse", flipped < 0),
            ("both", flipped != 0),
            ("any", values[0] != values[1]),
        ):
            tab.choose("flips", flips)
            names = [i for i, shown in zip(found.common, wanted, strict=True) if shown]
            assert sorted(tab.texts("#flip-rows code")) == sorted(names) != []
    name = tab.text("#flip-rows code")
    tab.click("#flip-rows a")
    assert name in tab.text("#problem h2")
    policies = tab.texts("#problem select option")
    assert policies == [*runs[0].policies, *(f"second: {policy}" for policy in runs[1].policies)]
    other = runs[1].policies["sft"][name]
    tab.js(f"document.querySelector('#problem select').value = {policies.index('second: sft')}")
    tab.js("document.querySelector('#problem select').dispatchEvent(new Event('change'))")
    tab.settle()
    assert tab.text("#problem .program pre").strip() == other.picked(2).text.strip()


def test_hostile_candidates_are_shown_as_text_and_run_nothing(tab, hostile):
    for number in range(5):
        tab.open(f"{hostile.as_uri()}#problem/{number}")
        for summary in range(tab.js("document.querySelectorAll('#problem summary').length")):
            tab.js(f"document.querySelectorAll('#problem summary')[{summary}].click()")
        tab.wait("[...document.querySelectorAll('#problem details')].every(d => d.querySelector('pre'))")
        text = tab.text("#problem")
        assert text.count(visible(HOSTILE)) > 5
        assert "⟨U+202E⟩# evil⟨U+0000⟩⟨U+001B⟩[31m" in text
        assert not {"\u202e", "\x00", "\x1b"} & set(text)
        assert tab.js("document.querySelectorAll('#problem :is(script, img, svg)').length") == 0
        assert tab.js("document.title") == "micro · RewardRanker"
    tab.open(f"{hostile.as_uri()}#problems?q={'script'}")
    assert "5 of 5" in tab.text("#count")
    assert tab.js("document.title") == "micro · RewardRanker"


def test_a_line_of_a_megabyte_is_shown_in_part_and_whole_when_asked(tab, hostile):
    tab.open(f"{hostile.as_uri()}#problem/0")
    assert len(tab.text("#problem")) < 300_000
    tab.click("#problem button.all")
    longest = tab.js(
        "Math.max(...[...document.querySelectorAll('#problem pre')].map(p => p.textContent.length))"
    )
    assert longest > len(LONG_LINE)


def test_the_policy_of_the_page_alone_stops_scripts(tab, hostile, tmp_path):
    html = hostile.read_text()
    start = html.index("<meta http-equiv")
    control = tmp_path / "control.html"
    control.write_text(f"<title>calm</title><body data-drawn=''><pre>{HOSTILE}</pre>")
    with_policy = tmp_path / "policy-only.html"
    with_policy.write_text(html[start : html.index(">", start) + 1] + control.read_text())
    # The control shows that this browser runs such text.
    tab.open(control.as_uri())
    tab.wait("document.title === 'hacked'")
    tab.open(with_policy.as_uri())
    assert tab.js("new Promise(done => setTimeout(() => done(document.title), 300))") == "calm"
