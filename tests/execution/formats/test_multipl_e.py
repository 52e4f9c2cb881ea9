import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewardranker.execution.formats.multipl_e import CompletionsJob
from rewardranker.execution.formats.recognise import open_job
from rewardranker.execution.judging import not_run
from rewardranker.execution.pool import run

DATA = Path(__file__).parents[3] / ".." / "shared" / "data" / "formats" / "multipl-e"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"no {DATA}: evaluation/test_inputs of git clone github.com/nuprl/MultiPL-E"
)
PROBLEM = {
    "name": "HumanEval_0_f",
    "language": "py",
    "temperature": 0.2,
    "prompt": "def f():\n",
    "tests": "assert f() == 1\n",
    "completions": ["    return 1\ndef g(): oops(", "    return 2\n", "    return 3"],
    "stop_tokens": ["\ndef"],
}
ENDED = replace(not_run("passed", ""), exit_code=0, phase="run")


def write(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = document if isinstance(document, str) else json.dumps(document)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def read(path):
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)


def without_times(document):
    """Results as far as two runs must agree."""
    return {
        **document,
        "results": [{k: v for k, v in r.items() if k != "timestamp"} for r in document["results"]],
    }


def test_results_have_upstreams_fields(tmp_path):
    path = write(tmp_path / "f.json", PROBLEM)
    job = open_job(path)
    verdicts = [
        ENDED,
        replace(ENDED, status="failed", strict_status="failed", exit_code=-11, stdout="o", stderr="e"),
        not_run("timeout", "no end after 15 s"),
    ]
    for i, verdict in enumerate(verdicts):
        assert not (tmp_path / "f.results.json").exists()
        job.record(i, verdict)
    results = read(tmp_path / "f.results.json")
    assert list(results) == ["name", "language", "temperature", "prompt", "tests", "stop_tokens", "results"]
    assert {k: results[k] for k in results if k != "results"} == {
        k: v for k, v in PROBLEM.items() if k != "completions"
    }
    first = results["results"][0]
    assert list(first) == ["program", "timestamp", "stdout", "stderr", "exit_code", "status"]
    assert first["program"] == "def f():\n    return 1\nassert f() == 1\n"  # cut before "\ndef"
    assert isinstance(first["timestamp"], int)
    assert [(r["status"], r["exit_code"]) for r in results["results"]] == [
        ("OK", 0),
        ("Exception", -11),
        ("Timeout", -1),
    ]
    assert (results["results"][1]["stdout"], results["results"][1]["stderr"]) == ("o", "e")


@pytest.mark.parametrize(
    ("language", "status", "stderr", "expected"),
    [
        ("js", "failed", "code: 'ERR_ASSERTION'", "AssertionError"),
        ("ts", "failed", "ReferenceError: x", "ReferenceError"),
        ("javascript", "syntax_error", "SyntaxError: x", "SyntaxError"),
        ("js", "failed", "TypeError: x", "Exception"),
        ("py", "failed", "ReferenceError: x", "Exception"),
    ],
)
def test_node_failures_have_names(tmp_path, language, status, stderr, expected):
    path = write(tmp_path / "f.json", {**PROBLEM, "language": language, "completions": [""]})
    job = open_job(path)
    job.record(0, replace(ENDED, status=status, strict_status=status, exit_code=1, stderr=stderr))
    assert read(tmp_path / "f.results.json")["results"][0]["status"] == expected


@pytest.mark.parametrize("status", ["unavailable", "error"])
def test_what_was_not_run_gets_no_results(tmp_path, status):
    path = write(tmp_path / "f.json", PROBLEM)
    job = open_job(path)
    for i, verdict in enumerate([ENDED, not_run(status, "why"), ENDED]):
        job.record(i, verdict)
    assert job.faults == [f"{path}: {status}: why; no results are written"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_keeps_its_shape_under_another(tmp_path):
    root, out = tmp_path / "in", tmp_path / "out"
    write(root / "a.json", PROBLEM)
    write(root / "py" / "a.json.gz", PROBLEM)
    write(root / "old.results.json", {"results": []})
    write(root / "none.json", {**PROBLEM, "completions": []})
    job = open_job(root, out=out)
    assert len(job.programs) == 6
    for i in reversed(range(6)):
        job.record(i, ENDED)
    assert sorted(p.relative_to(out) for p in out.rglob("*.json*")) == [
        Path("a.results.json"),
        Path("py/a.results.json.gz"),
    ]
    assert len(read(out / "py/a.results.json.gz")["results"]) == 3


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ('{\n"name": \n', ":3: not JSON (Expecting value at column 1)"),
        ('{"language":\n' + "9" * 5000 + "}", ": not JSON that can be read (an integer of more than"),
        ("[" * 99999, ": not JSON that can be read (nested too deeply)"),
        ([PROBLEM], ": expected a JSON object, found list"),
        ({k: v for k, v in PROBLEM.items() if k != "tests"}, ": tests: field required"),
        ({**PROBLEM, "completions": ["", 1]}, ": completions.1: Input should be a valid string"),
        ({**PROBLEM, "stop_tokens": [""]}, ": stop_tokens: an empty stop token would cut every completion"),
    ],
)
def test_a_file_that_is_wrong_is_told_of_and_the_others_run(tmp_path, document, fault):
    bad = write(tmp_path / "bad.json", document)
    write(tmp_path / "good.json", PROBLEM)
    job = open_job(tmp_path)
    assert len(job.programs) == 3
    (told,) = job.faults
    assert told.startswith(f"{bad}{fault}")


def finish(path, out, status="passed"):
    job = CompletionsJob({path: out})
    for i in range(len(job.programs)):
        job.record(i, replace(ENDED, status=status, strict_status=status))
    return job


def test_a_file_with_its_results_is_left_alone(tmp_path):
    path, out = write(tmp_path / "f.json", PROBLEM), tmp_path / "f.results.json"
    finish(path, out)
    before = out.stat().st_mtime_ns
    job = CompletionsJob({path: out})
    assert (job.programs, job.outputs, job.faults, job.n_done_before) == ([], [], [], 1)
    assert out.stat().st_mtime_ns == before


def test_only_what_has_no_results_is_run(tmp_path):
    path, out = write(tmp_path / "f.json", PROBLEM), tmp_path / "f.results.json"
    finish(path, out)
    write(
        path,
        {**PROBLEM, "completions": [PROBLEM["completions"][0], "    changed", "    return 3", "    new"]},
    )
    job = finish(path, out, status="failed")
    assert [p.source.split("\n")[1] for p in job.programs] == ["    changed", "    new"]
    assert [r["status"] for r in read(out)["results"]] == ["OK", "Exception", "OK", "Exception"]


@pytest.mark.parametrize(
    ("results", "fault"),
    [
        (
            {"results": [{"program": "", "status": "OK"}] * 4},
            "has results of 4 completions, more than the 3 of",
        ),
        ({"results": [{}]}, "not a file of MultiPL-E results"),
        ('{"results": [', ":1: not JSON"),
    ],
)
def test_results_that_do_not_belong_here_are_not_overwritten(tmp_path, results, fault):
    path, out = write(tmp_path / "f.json", PROBLEM), write(tmp_path / "f.results.json", results)
    before = out.read_bytes()
    job = CompletionsJob({path: out})
    assert job.programs == []
    (told,) = job.faults
    assert told.startswith(str(out)) and fault in told
    assert out.read_bytes() == before


documents = st.fixed_dictionaries(
    {
        "language": st.just("py"),
        "prompt": st.text(),
        "tests": st.text(),
        "completions": st.lists(st.text(), min_size=1, max_size=4),
    },
    optional={"stop_tokens": st.lists(st.text(min_size=1), max_size=2), "extra": st.integers()},
)


def verdict_on(program):
    status = ("passed", "failed", "syntax_error", "timeout")[len(program.source) % 4]
    return replace(ENDED, status=status, strict_status=status, stdout=program.source[:9])


@given(st.lists(documents, min_size=1, max_size=4), st.data())
def test_killed_anywhere_and_run_again_is_as_if_never_killed(tmp_path_factory, written, data):
    folder = tmp_path_factory.mktemp("killed")
    places = {}
    for i, document in enumerate(written):
        path = write(folder / f"{i}.json{'.gz' * (i % 2)}", document)
        places[path] = folder / "whole" / path.name

    whole = CompletionsJob(places)
    for i in data.draw(st.permutations(range(len(whole.programs)))):
        whole.record(i, verdict_on(whole.programs[i]))

    again = {path: folder / "again" / path.name for path in places}
    killed = CompletionsJob(again)
    order = data.draw(st.permutations(range(len(killed.programs))))
    for i in order[: data.draw(st.integers(0, len(order)))]:
        killed.record(i, verdict_on(killed.programs[i]))
    resumed = CompletionsJob(again)
    for i, program in enumerate(resumed.programs):
        resumed.record(i, verdict_on(program))

    for path, out in places.items():
        assert without_times(read(again[path])) == without_times(read(out))
        assert len(read(out)["results"]) == len(read(path)["completions"])
    assert CompletionsJob(again).programs == []


@pytest.mark.slow
@needs_data
@pytest.mark.usefixtures("isolation")
def test_verdicts_are_upstreams(tmp_path):
    """On every file here that upstream's evaluator was run on and whose toolchain is on this machine."""
    job = open_job(DATA / "completions", out=tmp_path)
    for i, verdict in run(job.programs, timeout_s=job.timeout_s, workers=2):
        job.record(i, verdict)
    ours = {p.name: read(p) for p in tmp_path.iterdir()}
    assert ours
    for name, result in ours.items():
        assert [r["status"] == "OK" for r in result["results"]] == [True, False]
        theirs = DATA / "results" / name
        if not theirs.exists():
            continue
        expected = read(theirs)
        assert {k: v for k, v in result.items() if k != "results"} == {
            k: v for k, v in expected.items() if k != "results"
        }
        for a, b in zip(result["results"], expected["results"], strict=True):
            assert list(a) == list(b)
            for field in ("program", "exit_code", "status"):  # upstream loses output that comes with the exit
                assert a[field] == b[field]


@needs_data
def test_upstreams_results_are_not_made_again():
    results = {
        p: DATA / "results" / p.name.replace(".json", ".results.json") for p in DATA.glob("completions/*")
    }
    there = {path: out for path, out in results.items() if out.exists()}
    job = CompletionsJob(there)
    assert (len(there), job.programs, job.faults, job.n_done_before) == (8, [], [], 8)
