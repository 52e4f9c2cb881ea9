"""`sample` and `evaluate` with a server in place of a generator."""

import json

import pytest
from servers import Scripted, completions

RIGHT, WRONG = "    return x + 1\n", "    return x - 1\n"
PROBLEM = {
    "id": "inc",
    "prompt": "def inc(x):\n",
    "tests": "assert inc(1) == 2\n",
    "visible_tests": "assert inc(1) == 2\n",
    "stop_tokens": ["\ndef"],
}


@pytest.fixture
def problems(tmp_path):
    path = tmp_path / "problems.jsonl"
    path.write_text(json.dumps(PROBLEM) + "\n")
    return path


def halves(server, request, _):
    """One right, the others wrong; wrong at temperature 0."""
    wrong = completions(RIGHT + "\ndef next", *[WRONG] * (request["n"] - 1))
    return completions(WRONG) if request["temperature"] == 0 else wrong


def test_sample(rewardranker, problems, tmp_path):
    out = tmp_path / "samples.jsonl"
    with Scripted(halves) as server:
        words = ("sample", problems, "--upstream", server.url, "--model", "m", "-n", 3, "-o", out)
        result = rewardranker(*words)
    assert result.code == 0, result.err
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(r["problem_id"], r["index"], r["text"], r["policy"]) for r in rows] == [
        ("inc", 0, RIGHT, "m"),
        ("inc", 1, WRONG, "m"),
        ("inc", 2, WRONG, "m"),
    ]
    assert "logprob_sum" not in rows[0]  # this server doesn't say
    assert not list(tmp_path.glob("*answers*"))


def test_evaluate(rewardranker, isolation, problems, tmp_path):
    settings = [
        word
        for setting in ("evaluation.n=4", "execution.workers=1", "evaluation.bootstrap=50")
        for word in ("--set", setting)
    ]

    def seedless(server, request, _):
        return (
            (400, {}, {"error": "no such field: seed"}) if "seed" in request else halves(server, request, _)
        )

    with Scripted(seedless) as server:
        words = ("evaluate", problems, "--upstream", server.url, "--model", "org/m", *settings)
        result = rewardranker(*words, "-o", tmp_path / "out")
    assert result.code == 0, result.err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["upstream"], metrics["model"], metrics["unseeded"]) == (server.url, "org/m", True)
    assert result.err.count("takes no seed") == 1
    values = {row["selector"]: row["value"] for row in metrics["rows"]}
    assert {k: values[k] for k in ("sample", "greedy", "visible", "oracle")} == {
        "sample": 0.25,
        "greedy": 0,
        "visible": 1,
        "oracle": 1,
    }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "problems.jsonl"]


def chatting(server, request, _):
    """The completion and a whole program, in blocks; wrong at temperature 0."""
    texts = [f"Sure:\n```python\ndef inc(x):\n{RIGHT}```\nDone.", "```python\ninc = lambda x: x + 1\n```"]
    if request["temperature"] == 0:
        texts = ["I can't."]
    return {"choices": [{"message": {"role": "assistant", "content": text}} for text in texts]}


def test_chat(rewardranker, isolation, problems, tmp_path):
    samples, executed = tmp_path / "samples.jsonl", tmp_path / "executed.jsonl"
    with Scripted(chatting) as server:
        words = (problems, "--upstream", server.url, "--model", "m", "--prompt", "chat", "-n", 2)
        result = rewardranker("sample", *words, "-o", samples)
    assert result.code == 0, result.err
    (turn,) = server.requests[0]["messages"]
    assert turn["role"] == "user" and "```\ndef inc(x):\n```" in turn["content"]
    assert "stop" not in server.requests[0]
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    assert [(r["text"].strip(), r.get("whole")) for r in rows] == [
        ("return x + 1", None),
        ("inc = lambda x: x + 1", True),
    ]
    result = rewardranker("execute", samples, "-o", executed, "--workers", 1)
    assert result.code == 0, result.err
    rows = [json.loads(line) for line in executed.read_text().splitlines()]
    assert [r["strict_status"] for r in rows] == ["passed", "passed"]

    settings = ("--set", "evaluation.n=2", "--set", "execution.workers=1", "--set", "evaluation.bootstrap=50")
    with Scripted(chatting) as server:
        words = (problems, "--upstream", server.url, "--model", "m", "--prompt", "chat", *settings)
        result = rewardranker("evaluate", *words, "-o", tmp_path / "out")
    assert result.code == 0, result.err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    values = {row["selector"]: row["value"] for row in metrics["rows"]}
    assert (values["sample"], values["greedy"]) == (1, 0)


def test_mistakes(rewardranker, problems, tmp_path):
    out = tmp_path / "out"
    for words, message in (
        (("sample", problems), "give either --generator FOLDER or --upstream URL --model NAME"),
        (("sample", problems, "--upstream", "http://127.0.0.1:1/v1"), "needs --model NAME"),
        (("sample", problems, "--upstream", "host", "--model", "m"), "not the URL of a server"),
        (("evaluate", problems), "give one of --generator or --upstream"),
        (("evaluate", "--upstream", "http://127.0.0.1:1/v1", "--model", "m"), "to sample, name problems"),
    ):
        result = rewardranker(*words, "-o", out)
        assert (result.code, result.out) == (2, "")
        assert message in result.err
    with Scripted(lambda *_: (401, {}, b"no key")) as server:
        result = rewardranker("sample", problems, "--upstream", server.url, "--model", "m", "-o", out)
    assert result.code == 2 and "problem inc: " in result.err and "status 401: no key" in result.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["problems.jsonl"]
