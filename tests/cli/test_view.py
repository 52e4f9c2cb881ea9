import os
import re
import signal
import subprocess
import sys
import urllib.request

from synthetic_run import make_run

COMMAND = [sys.executable, "-c", "from rewardranker.cli import main; main()", "view"]


def test_view_of_two_runs_is_written_served_and_ended_by_an_interrupt(tmp_path):
    first, second = (
        make_run(tmp_path / name, problems=20, draws=draws) for name, draws in (("one", 0), ("two", 1))
    )
    process = subprocess.Popen(
        [*COMMAND, first, "--compare", second, "--port", "0"],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert process.stdout.readline().strip() == str(first / "report-with-two" / "index.html")
        url = process.stdout.readline().split()[0]
        with urllib.request.urlopen(url) as answer:
            page = answer.read().decode()
        assert "on the 20 problems that both have" in page
        bundle = re.search(r'data-bundle="(data-[0-9a-f]{16})"', page)[1]
        with urllib.request.urlopen(f"{url}{bundle}/compare.js") as answer:
            assert answer.read().startswith(b'rewardranker("compare",')
        assert not (first / "report").exists()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_what_evaluate_wrote_is_viewed(rewardranker, workshop, tmp_path):
    command = ("evaluate", workshop.folder / "problems.jsonl", "--candidates", workshop.ranked)
    assert rewardranker(*command, "-o", tmp_path / "out").code == 0
    process = subprocess.Popen(
        [*COMMAND, tmp_path / "out", "--port", "0"],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert process.stdout.readline().strip() == str(tmp_path / "out" / "report" / "index.html")
        with urllib.request.urlopen(process.stdout.readline().split()[0]) as answer:
            assert "staged" in answer.read().decode()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
