"""Candidates from a server, and that what was answered is never asked for again."""

import asyncio
import json
from math import isnan

import pytest
from servers import Scripted, completions

from rewardranker.errors import UserError
from rewardranker.models.answers import Answers, kept_answers, sample_remote
from rewardranker.models.upstream import Upstream, UpstreamChoice, UpstreamError
from rewardranker.problems.problem import Problem

PROBLEMS = [
    Problem(name, "python", f"def {name}():\n", "", stop_tokens=("\ndef",)) for name in ("a", "b", "c")
]


def sample(url, out, problems=PROBLEMS, *, n=2, at_once=1, temperature=1.0, greedy=False, seen=None):
    with kept_answers(out) as answers:
        return sample_remote(
            Upstream(url, "m", limit=asyncio.Semaphore(at_once), attempts=1),
            problems,
            answers,
            n=n,
            temperature=temperature,
            max_new_tokens=7,
            seed=1,
            at_once=at_once,
            greedy=greedy,
            on_progress=None if seen is None else seen.append,
        )


def echo(server, request, _):
    """The request's own words, with the stop token that this server leaves in."""
    text = f"    return {request['prompt'][4]!r}, {request['temperature']}\ndef next"
    return completions(*[text] * request["n"])


def test_candidates(tmp_path):
    seen = []
    with Scripted(echo) as server:
        drawn = sample(server.url, tmp_path / "out", greedy=True, at_once=4, seen=seen)
    found = [(d.temperature, d.candidate) for d in drawn]
    assert [(t, c.problem_id, c.index, c.text, c.policy) for t, c in found] == [
        *((1.0, p.id, i, f"    return '{p.id}', 1.0", "m") for p in PROBLEMS for i in range(2)),
        *((0.0, p.id, 0, f"    return '{p.id}', 0.0", "m") for p in PROBLEMS),
    ]
    assert all(isnan(c.logprob_sum) and c.finish_reason == "stop" for _, c in found)
    assert {(r["max_tokens"], *r["stop"]) for r in server.requests} == {(7, "\ndef")}
    assert len({r["seed"] for r in server.requests}) == 6
    assert sorted(seen) == [0, 1, 1, 1, 2, 2, 2]
    assert list(tmp_path.iterdir()) == []


def test_a_repeated_command_asks_only_for_the_rest(tmp_path):
    def fails_at_b(server, request, handler):
        if request["prompt"].startswith("def b"):
            return (404, {}, b"gone") if len(server.requests) > 2 else completions("kept")
        return echo(server, request, handler)

    with Scripted(fails_at_b) as server:
        with pytest.raises(UpstreamError, match=r"problem b: .*gone\n.*out.answers.jsonl: the same command"):
            sample(server.url, tmp_path / "out")
    assert [r["prompt"][4] for r in server.requests] == ["a", "b", "b"]  # and c is not begun
    kept = tmp_path / "out.answers.jsonl"
    kept.write_bytes(kept.read_bytes() + b'{"question": "x')  # as a kill may leave it

    with Scripted(echo) as again:
        drawn = sample(again.url, tmp_path / "out")
    assert [(r["prompt"][4], r["n"]) for r in again.requests] == [("b", 1), ("c", 2)]
    assert again.requests[0]["seed"] not in {r["seed"] for r in server.requests}
    assert [d.candidate.text for d in drawn if d.candidate.problem_id == "b"] == [
        "kept",
        "    return 'b', 1.0",
    ]
    assert not kept.exists()


def test_answers_to_other_questions_stay(tmp_path):
    answers = Answers(tmp_path / "out.answers.jsonl")
    answers.add("another model's", [UpstreamChoice("a", "stop")])
    answers.close(done=False)
    with Scripted(echo) as server:
        sample(server.url, tmp_path / "out")
    assert len(answers.path.read_text().splitlines()) == 1 + 6
    with Scripted(echo) as server:
        sample(server.url, tmp_path / "out")
    assert not server.requests


@pytest.mark.parametrize("line", ["1", "{}", json.dumps({"question": "a", "text": "", "what": 1})])
def test_another_file_in_the_place_of_the_answers(tmp_path, line):
    path = tmp_path / "out.answers.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(UserError, match=r"answers.jsonl:1"):
        Answers(path)
    assert path.read_text() == line + "\n"
