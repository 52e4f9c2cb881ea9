import json
import shutil
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoModelForSequenceClassification

from rewardranker.models.ranker import RewardRanker

MULTIPL_E = {
    "name": "HumanEval_1_f",
    "language": "cpp",
    "prompt": "long f(long x) {\n",
    "tests": "}\nint main() {\n    return f(1) != 2;\n}\n",
    "stop_tokens": ["\n}"],
    "completions": ["    return x +", "    return x + 1;", "    return (x) + 1;\n}\nint g() {", "\x1b[31m{"],
    "temperature": 0.2,
}


@pytest.fixture
def completions(tmp_path):
    """A folder of MultiPL-E completions, as its generator leaves it."""
    folder = tmp_path / "cpp-model"
    folder.mkdir()
    (folder / "HumanEval_1_f.json").write_text(json.dumps(MULTIPL_E))
    (folder / "HumanEval_2_f.json").write_text(json.dumps({**MULTIPL_E, "name": "HumanEval_2_f"}))
    return folder


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_folder_of_completions_and_a_ranker_is_all_it_needs(rewardranker, workshop, completions, tmp_path):
    result = rewardranker("rank", completions, "--ranker", workshop.ranker)
    assert result.code == 0, result.err
    assert "broken" in result.out and "cpp/HumanEval_1_f" in result.out
    assert "ranked 8 candidates of 2 problems\n4 candidates do not parse (broken) and rank last" in result.err
    out = tmp_path / "ranked.jsonl"
    assert rewardranker("rank", completions, "--ranker", workshop.ranker, "-o", out).code == 0
    found = rows(out)
    assert [r["rank"] for r in found] == [1, 2, 3, 4] * 2
    assert [r["parses"] for r in found] == [True, True, False, False] * 2
    assert {r["text"] for r in found[:2]} == {"    return x + 1;", "    return (x) + 1;"}  # cut at "\n}"
    for pair in (found[:2], found[2:4]):
        assert pair[0]["score"] >= pair[1]["score"] and 0 <= pair[0]["probability"] <= 1
    assert {r["index"] for r in found[:4]} == {0, 1, 2, 3}


def test_without_the_check_nothing_is_said_of_syntax(rewardranker, workshop, completions, tmp_path):
    out = tmp_path / "ranked.jsonl"
    assert rewardranker("rank", completions, "--no-syntax", "--ranker", workshop.ranker, "-o", out).code == 0
    found = rows(out)[:4]
    assert [r["parses"] for r in found] == [None] * 4
    assert [r["score"] for r in found] == sorted((r["score"] for r in found), reverse=True)


def test_answers_of_a_chat_are_ranked_by_their_programs(rewardranker, workshop, tmp_path):
    problem = {"id": "p", "prompt": "def f(x):\n", "tests": "assert f(1) == 2", "entry_point": "f"}
    (tmp_path / "problems.jsonl").write_text(json.dumps(problem) + "\n")
    answers = ["Sure!\n```python\ndef f(x):\n    return x + 1\n```\n", "I can't."]
    (tmp_path / "answers.jsonl").write_text(
        "".join(json.dumps({"problem_id": "p", "text": text, "note": 1}) + "\n" for text in answers)
    )
    out = tmp_path / "ranked.jsonl"
    command = ("rank", tmp_path / "problems.jsonl", tmp_path / "answers.jsonl", "--chat")
    result = rewardranker(*command, "--ranker", workshop.ranker, "-o", out)
    assert result.code == 0, result.err
    best, other = rows(out)
    assert best["text"] == "    return x + 1\n" and best["answer"] == answers[0] and best["note"] == 1
    assert (best["parses"], best["whole"], other["parses"]) == (True, False, False)
    again = rewardranker("rank", tmp_path / "problems.jsonl", out, "--ranker", workshop.ranker, "-o", out)
    assert again.code == 0 and [r["text"] for r in rows(out)] == [best["text"], other["text"]]


def test_samples_of_evalplus_with_whole_solutions(rewardranker, workshop, tmp_path):
    problem = {"id": "p", "prompt": "def f(x):\n", "tests": "assert f(1) == 2"}
    (tmp_path / "problems.jsonl").write_text(json.dumps(problem) + "\n")
    solutions = [{"task_id": "p", "solution": s} for s in ("def f(x): return (", "def f(x): return x")]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in solutions))
    command = ("rank", tmp_path / "problems.jsonl", tmp_path / "samples.jsonl")
    result = rewardranker(*command, "--ranker", workshop.ranker, "-o", tmp_path / "out.jsonl")
    assert result.code == 0, result.err
    assert [(r["index"], r["whole"], r["parses"]) for r in rows(tmp_path / "out.jsonl")] == [
        (1, True, True),
        (0, True, False),
    ]


def test_a_reward_model_of_others_and_a_server_rank_too(rewardranker, workshop, completions, tmp_path):
    ours = RewardRanker.from_pretrained(workshop.ranker)
    config = ours.model.config
    config.num_labels = 1
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "theirs")
    ours.tokenizer.save_pretrained(tmp_path / "theirs")
    out = tmp_path / "ranked.jsonl"
    result = rewardranker("rank", completions, "--ranker", tmp_path / "theirs", "-o", out)
    assert result.code == 0, result.err
    assert {r["probability"] for r in rows(out)} == {None}

    class Longest(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            data = [{"index": i, "score": float(len(text))} for i, text in enumerate(body["documents"])]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"data": data, "model": body["model"]}).encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Longest)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/score"
    try:
        result = rewardranker("rank", completions, "--ranker", url, "--model", "m", "-o", out)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert result.code == 0, result.err
    assert [len(r["text"]) for r in rows(out)[:2]] == [19, 17]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("samples", "--ranker", "ranker"), "rewardranker rank PROBLEMS"),
        (("completions", "--ranker", "nowhere"), "no ranker here"),
        (("completions", "--ranker", "http://127.0.0.1:9/v1"), "ends in /score, /rerank or /classify"),
        (("empty", "--ranker", "ranker"), "no candidates in this folder"),
    ],
)
def test_mistakes_are_named(rewardranker, workshop, completions, tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    places = {
        "samples": workshop.samples,
        "completions": completions,
        "ranker": workshop.ranker,
        "empty": tmp_path / "empty",
        "nowhere": tmp_path / "nowhere",
    }
    result = rewardranker("rank", *(places.get(word, word) for word in words))
    assert result.code == 2 and message in result.err


def test_two_models_in_one_folder_are_told_apart(rewardranker, workshop, completions, tmp_path):
    shutil.move(completions / "HumanEval_2_f.json", tmp_path / "HumanEval_2_f.json")
    other = tmp_path / "all"
    shutil.copytree(completions, other / "one")
    (other / "two").mkdir()
    shutil.move(tmp_path / "HumanEval_2_f.json", other / "two")
    command = ("rank", other, "--ranker", workshop.ranker)
    refused = rewardranker(*command)
    assert refused.code == 2 and "--policy one" in refused.err
    assert rewardranker(*command, "--policy", "two").code == 0


def test_an_exported_ranker_ranks_as_before(rewardranker, workshop, completions, tmp_path):
    result = rewardranker("export", workshop.ranker, "-o", tmp_path / "shared")
    assert result.code == 0, result.err
    assert f"rewardranker rank CANDIDATES --ranker {tmp_path / 'shared'}" in result.out
    metrics = json.loads((tmp_path / "shared" / "metrics.json").read_text())
    assert metrics["train_problems"] and "## Training" in (tmp_path / "shared" / "README.md").read_text()
    for ranker in (workshop.ranker, tmp_path / "shared"):
        out = tmp_path / f"{ranker.name}.jsonl"
        assert rewardranker("rank", completions, "--ranker", ranker, "-o", out).code == 0
    assert rows(tmp_path / "shared.jsonl") == rows(tmp_path / f"{workshop.ranker.name}.jsonl")


def test_a_generator_is_exported_and_other_folders_are_not_models(rewardranker, workshop, tmp_path):
    result = rewardranker("export", workshop.sft, "-o", tmp_path / "shared")
    assert result.code == 0 and "vllm serve" in result.out
    result = rewardranker("export", tmp_path / "shared", "--model", "ranker", "-o", tmp_path / "no")
    assert result.code == 2 and "rewardranker.json is missing" in result.err
    (tmp_path / "empty").mkdir()
    result = rewardranker("export", tmp_path / "empty", "--model", "ranker", "-o", tmp_path / "no")
    assert result.code == 2 and "no ranker here" in result.err and not (tmp_path / "no").exists()


def test_an_empty_completion_is_ranked_as_the_others_are(rewardranker, workshop, completions, tmp_path):
    path = completions / "HumanEval_1_f.json"
    path.write_text(json.dumps({**MULTIPL_E, "completions": ["", "    return x + 1;"]}))
    out = tmp_path / "ranked.jsonl"
    assert rewardranker("rank", completions, "--ranker", workshop.ranker, "-o", out).code == 0
    assert {r["text"] for r in rows(out)[:2]} == {"", "    return x + 1;"}


def test_rows_of_several_policies_are_told_and_chosen_with_all_their_fields(rewardranker, workshop, tmp_path):
    problem = {"id": "p", "prompt": "def f(x):\n", "tests": "assert f(1) == 2"}
    (tmp_path / "problems.jsonl").write_text(json.dumps(problem) + "\n")
    table = pa.Table.from_pylist(
        [
            {
                "problem_id": "p",
                "text": f"    return {i}\n",
                "policy": "ab"[i % 2],
                "temperature": float("nan"),
                "made": datetime(2026, 1, i, tzinfo=UTC),
            }
            for i in range(1, 5)
        ]
    )
    pq.write_table(table, tmp_path / "candidates.parquet")
    out = tmp_path / "ranked.jsonl"
    words = (
        "rank",
        tmp_path / "problems.jsonl",
        tmp_path / "candidates.parquet",
        "--ranker",
        workshop.ranker,
    )
    result = rewardranker(*words, "-o", out)
    assert result.code == 0, result.err
    assert "candidates of a, b are ranked together; --policy and --temperature choose" in result.err
    assert len(rows(out)) == 4 and all("temperature" not in r for r in rows(out))  # not known: no NaN in JSON
    assert rewardranker(*words, "-o", out, "--policy", "b").code == 0
    assert sorted((r["policy"], r["made"][:10]) for r in rows(out)) == [
        ("b", "2026-01-01"),
        ("b", "2026-01-03"),
    ]
    assert "no candidates of policy 'c'" in rewardranker(*words, "--policy", "c").err


def rank_one(rewardranker, workshop, folder, row, *words):
    """`rank` of a problem's one candidate; the row that it writes."""
    problem = {"id": "p", "prompt": "def f(x):\n", "tests": "assert f(1) == 2"}
    (folder / "problems.jsonl").write_text(json.dumps(problem) + "\n")
    (folder / "s.jsonl").write_text(json.dumps({"problem_id": "p"} | row) + "\n")
    places = (folder / "problems.jsonl", folder / "s.jsonl", "--ranker", workshop.ranker)
    result = rewardranker("rank", *places, "-o", folder / "ranked.jsonl", *words)
    assert result.code == 0, result.err
    (found,) = rows(folder / "ranked.jsonl")
    return found


def test_half_a_surrogate_pair_is_written_as_json_can(rewardranker, workshop, tmp_path):
    text = "    return '\ud83d'\n"
    assert rank_one(rewardranker, workshop, tmp_path, {"text": text})["text"] == text


def test_a_temperature_that_is_no_number_is_not_known(rewardranker, workshop, tmp_path):
    row = {"text": "    return 1\n", "policy": 5, "temperature": "hot"}
    assert rank_one(rewardranker, workshop, tmp_path, row, "--policy", "5")["temperature"] == "hot"
