"""The files that the viewer loads as they are needed: an index of the problems, and the problems in chunks.

Each file is a script with one call, `rewardranker(name, value)`, where value is JSON: a page that was opened
from disk may load scripts, but not fetch files. Keys of JSON objects are ours; what others wrote (programs,
prompts, messages, names) is only ever a value, as a string, with control characters spelled out.
"""

import hashlib
import json
import math
import re
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rewardranker.evaluation.records import EvaluatedCandidate
from rewardranker.files import atomic_directory
from rewardranker.problems import plain_data
from rewardranker.problems.problem import Problem
from rewardranker.problems.row_tests import read_row_tests
from rewardranker.problems.tests import CallTests, StdinTests, calls_of_asserts
from rewardranker.report.attempts import Attempts, RunAttempts
from rewardranker.report.comparison import Comparison, comparison_data

CHUNK_BYTES = 250_000
"""A chunk is closed when it holds as much: it is read in a moment, and holds dozens of usual problems."""
TITLE_CHARACTERS = 160
"""Of a prompt, shown in the list of problems."""
SHOWN_TESTS, SHOWN_TEST_CHARACTERS = 100, 2000
"""Of tests that stand beside programs, which may be megabytes."""

_ASCII_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def visible(text: str) -> str:
    """`text` with control and direction-changing characters spelled out, so that code reads as it runs.

    Example:
        >>> visible("a\\u202eb")
        'a⟨U+202E⟩b'
    """
    if text.isascii() and not _ASCII_CONTROL.search(text):
        return text  # nearly all programs
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in _UNSEEN else f"⟨U+{ord(c):04X}⟩" for c in text
    )


@dataclass(frozen=True, slots=True)
class ShownPolicy:
    """A policy as readers see it."""

    label: str
    """What they call it."""
    attempts: Mapping[str, Attempts]
    """By problem id; problems that it has not tried are absent."""
    other: bool = False
    """It is of the run that this one is compared with."""


def shown_policies(run: RunAttempts, comparison: Comparison | None = None) -> list[ShownPolicy]:
    """The run's policies, then those of the run that it is compared with."""
    shown = [ShownPolicy(policy, attempts) for policy, attempts in run.policies.items()]
    if comparison is not None:
        shown += [
            ShownPolicy(f"{comparison.name_b}: {policy}", attempts, other=True)
            for policy, attempts in comparison.b.policies.items()
        ]
    return shown


def write_bundle(
    folder: Path,
    problems: Sequence[Problem],
    policies: Sequence[ShownPolicy],
    comparison: Comparison | None = None,
) -> str:
    """Write index, prompts, chunks and the comparison into a folder below `folder`; return its name.

    The folder is named by its content, so a page that is open keeps finding what it was made with.
    `remove_other_bundles` takes the earlier ones away once the new page is in its place.
    """
    chunks, chunk_of = _chunks(problems, policies)
    files: dict[str, Any] = {"index": _index(problems, policies, chunk_of)}
    files["prompts"] = [visible(_one_line(p.prompt)) for p in problems]
    files |= {f"chunk-{i}": chunk for i, chunk in enumerate(chunks)}
    if comparison is not None:
        numbers = {p.id: i for i, p in enumerate(problems)}
        files["compare"] = comparison_data(comparison, numbers)
    scripts = {name: _script(name, value) for name, value in files.items()}
    content = hashlib.sha256("".join(scripts.values()).encode()).hexdigest()[:16]
    path = folder / f"data-{content}"
    if not path.exists():
        with atomic_directory(path) as temporary:
            for name, script in scripts.items():
                (temporary / f"{name}.js").write_text(script, encoding="ascii")
    return path.name


def remove_other_bundles(folder: Path, kept: str | None) -> None:
    """Remove the data folders in `folder` but `kept`."""
    for path in folder.glob("data-*"):
        if path.name != kept:
            shutil.rmtree(path)


def _script(name: str, value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return f'rewardranker("{name}",{text});\n'


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _index(
    problems: Sequence[Problem], policies: Sequence[ShownPolicy], chunk_of: Sequence[int]
) -> dict[str, Any]:
    """What the list shows, filters and sorts by: columns, a value a problem; and the policy to begin with."""

    def by(policy: ShownPolicy) -> str:
        return ", ".join(dict.fromkeys(a.order(a.newest) for a in policy.attempts.values()))

    own = [i for i, policy in enumerate(policies) if not policy.other]
    ranked = [i for i in own if any(a.scores for a in policies[i].attempts.values())]
    return {
        "policy": (ranked or own)[-1],
        "id": [visible(p.id) for p in problems],
        "language": [p.language for p in problems],
        "title": [visible(_one_line(p.prompt))[:TITLE_CHARACTERS] for p in problems],
        "chunk": list(chunk_of),
        "policies": [
            {
                "name": visible(policy.label),
                "by": by(policy),
                **_columns([policy.attempts.get(p.id) for p in problems]),
            }
            for policy in policies
        ],
    }


def _columns(attempts: Sequence[Attempts | None]) -> dict[str, list[Any]]:
    """One policy's result on each problem; null where it has none."""

    def column(value: Any) -> list[Any]:
        return [None if a is None else value(a) for a in attempts]

    return {
        "greedy": column(lambda a: None if a.greedy is None else int(a.greedy.passed)),
        "passed": column(lambda a: sum(c.passed for c in a.sampled)),
        "n": column(lambda a: len(a.sampled)),
        "picked": column(lambda a: int(a.picked(a.newest).passed)),
        "likeliest": column(lambda a: int(a.picked(None).passed) if a.likelihood else None),
        "first": column(lambda a: int(a.picked(1).passed) if 1 in a.scores and a.newest != 1 else None),
    }


def _chunks(
    problems: Sequence[Problem], policies: Sequence[ShownPolicy]
) -> tuple[list[list[dict[str, Any]]], list[int]]:
    """The problems with their candidates in chunks, and which chunk each is in."""
    chunks: list[list[dict[str, Any]]] = [[]]
    chunk_of, size = [], 0
    for number, problem in enumerate(problems):
        if size >= CHUNK_BYTES:
            chunks.append([])
            size = 0
        shown = [_shown(problem, policy.attempts.get(problem.id)) for policy in policies]
        entry = {
            "problem": number,
            "prompt": visible(problem.prompt),
            "tests": visible(shown_tests(problem)),
            "reference": None if problem.reference is None else visible(problem.reference),
            "policies": shown,
        }
        size += len(problem.prompt) + len(problem.tests) + sum(_size(p) for p in shown)
        chunks[-1].append(entry)
        chunk_of.append(len(chunks) - 1)
    return chunks, chunk_of


def _size(shown: Mapping[str, Any] | None) -> int:
    return sum(len(p["text"]) + len(p["stderr"]) + 150 for p in shown["programs"]) if shown else 0


def _shown(problem: Problem, attempts: Attempts | None) -> dict[str, Any] | None:
    """One policy's distinct programs, the pick first, and its greedy answer."""
    if attempts is None:
        return None
    newest, values = attempts.newest, attempts.values(attempts.newest)
    has_first = newest not in (None, 1) and 1 in attempts.scores
    programs: dict[str, dict[str, Any]] = {}
    for i in sorted(range(len(values)), key=values.__getitem__, reverse=True):
        candidate = attempts.sampled[i]
        if candidate.text in programs:
            programs[candidate.text]["count"] += 1
            continue
        programs[candidate.text] = _program(problem, candidate) | {
            "score": None if newest is None else _finite(attempts.scores[newest][i].raw),
            "probability": None if newest is None else _finite(attempts.scores[newest][i].probability),
            "first": _finite(attempts.scores[1][i].raw) if has_first else None,
        }
    greedy = None if attempts.greedy is None else _program(problem, attempts.greedy)
    return {"programs": list(programs.values()), "greedy": greedy}


def _program(problem: Problem, candidate: EvaluatedCandidate) -> dict[str, Any]:
    return {
        "text": visible(candidate.text),
        "count": 1,
        "verdict": candidate.strict_status,
        "reason": visible(candidate.reason),
        "stderr": visible(candidate.stderr),
        "failing": failing_test(problem, candidate),
        "logprob": _finite(candidate.mean_logprob),
        "tokens": candidate.n_tokens or None,
    }


def _finite(x: float) -> float | None:
    """A number of JSON; None for NaN (not known) and infinity (a candidate that a ranker can't read)."""
    return round(x, 4) if math.isfinite(x) else None


def shown_tests(problem: Problem) -> str:
    """The tests of a problem as readers see them; those beside programs as calls, or as input and output."""
    if not problem.tests_beside:
        return problem.tests
    tests = _outside(problem)
    shown = [_test(tests, i) for i in range(min(len(tests), SHOWN_TESTS))]
    rest = len(tests) - len(shown)
    return "\n".join([*shown, *([f"... and {rest:,} more tests"] if rest else [])])


def _outside(problem: Problem) -> CallTests | StdinTests:
    """The tests of a problem that is judged from outside."""
    if problem.tests_beside:
        return _beside(problem.tests_beside)
    return calls_of_asserts(problem.tests, problem.entry_point)


@lru_cache(maxsize=4)  # of one problem for all that fail, and some of these tests take megabytes
def _beside(tests: str) -> CallTests | StdinTests:
    found = read_row_tests(json.loads(tests)).tests
    assert found is not None  # `Problem.tests_beside` has tests
    return found


def _test(tests: CallTests | StdinTests, i: int) -> str:
    if isinstance(tests, StdinTests):
        return f"--- input {i + 1}\n{_cut(tests.inputs[i])}\n--- output {i + 1}\n{_cut(tests.outputs[i])}"
    arguments, result = plain_data.decode(tests.arguments[i]), plain_data.decode(tests.results[i])
    return _cut(f"{tests.entry_point}({', '.join(map(repr, arguments))}) == {result!r}")


def _cut(text: str) -> str:
    left_out = len(text) - SHOWN_TEST_CHARACTERS
    return text.rstrip("\n") if left_out <= 0 else f"{text[:-left_out]} ... and {left_out:,} more characters"


_LINE_NUMBER = re.compile(r"(?:\bline |:)(\d{1,7})\b")


def failing_test(problem: Problem, candidate: EvaluatedCandidate) -> str | None:
    """The first test that failed, where it was judged from outside; else the line that stderr points to.

    None when it points to none. A program is prompt, completion and tests one after the other; interpreters
    name the line at which it ended. What stderr says is the candidate's to write, so this is a hint for
    readers and no verdict.
    """
    if candidate.failed_test is not None:
        return visible(_test(_outside(problem), candidate.failed_test))
    if candidate.passed or not candidate.stderr:
        return None
    before = f"{'' if candidate.whole else problem.prompt}{candidate.text}\n".count("\n")
    tests = problem.tests.split("\n")
    for number in _LINE_NUMBER.findall(candidate.stderr):
        inside = int(number) - before - 1
        if 0 <= inside < len(tests) and tests[inside].strip():
            return visible(tests[inside].strip())
    return None
