"""What is done with one program, step by step: build it, run it, judge what came of it."""

import secrets
import signal
from collections.abc import Generator
from dataclasses import replace
from typing import Any, NamedTuple

from rewardranker.execution.comparison import wrong_call, wrong_output
from rewardranker.execution.compilers.compiler import Built
from rewardranker.execution.compilers.prebuilt import fill_in
from rewardranker.execution.judging import judge
from rewardranker.execution.languages.language import Language
from rewardranker.execution.program import Program
from rewardranker.execution.sandbox.request import KEPT_BYTES, NO_LIMIT, NOT_STARTED, Request
from rewardranker.execution.slot import Outcome, SlotFailedError
from rewardranker.execution.verdict import Verdict
from rewardranker.problems.tests import CallTests, StdinTests

BUILD_S = 60.0
_BUILD_MEMORY_MB = 2048
_RESULT_BYTES = 1 << 20


class Run(NamedTuple):
    """A process to run in a slot."""

    request: Request
    body: bytes


class Compile(NamedTuple):
    """A program to compile in the warm compiler of its language."""

    files: dict[str, bytes]


Steps = Generator[Run | Compile, Any, Verdict]
"""Yields what is to be done next and is sent what came of it: an `Outcome`, or of `Compile` what was `Built`
(None if that compiler can't tell). All runs are done in one slot."""


def judged(
    program: Program, language: Language, timeout_s: float, memory_mb: int, *, is_prepared: bool
) -> Steps:
    """Build and run `program` under these limits, and judge it.

    `is_prepared`: what the language wants prebuilt is there.
    """
    key = secrets.token_hex(16)
    files = {name: _encoded(text) for name, text in language.files(program.source, key).items()}
    run = Request(
        command=[part.replace("{memory_mb}", str(memory_mb)) for part in language.run],
        files=_lengths(files),
        input_bytes=0,
        timeout_s=timeout_s,
        memory_mb=memory_mb,
        environment=dict(language.environment),
        reserves_memory=language.reserves_memory,
        key=key,
        sends_key=not language.key_is_in_files,
    )
    build_cpu_s = 0.0
    built: Built | None = None
    if language.warm and is_prepared:
        built = yield Compile(files)
    if built is not None:
        if built.returncode != 0:
            return judge(language, _failed(built), BUILD_S, _BUILD_MEMORY_MB)
        build_cpu_s = built.cpu_s
        files |= built.files
        run = run._replace(files=_lengths(files))
    elif language.build:
        options = fill_in(language.build_options(program.source), language) if is_prepared else []
        build = run._replace(
            command=[*language.build, *options],
            timeout_s=BUILD_S,
            memory_mb=_BUILD_MEMORY_MB,
            reserves_memory=True,
            sends_key=False,
            keeps=True,
        )
        outcome = yield Run(build, b"".join(files.values()))
        if outcome.limit == NO_LIMIT and _was_killed(outcome):  # by a machine that is short of memory, say
            raise SlotFailedError("the compiler was killed")
        if outcome.limit != NO_LIMIT or outcome.returncode != 0:
            return judge(language, replace(outcome, steps=NOT_STARTED), BUILD_S, _BUILD_MEMORY_MB)
        build_cpu_s = outcome.cpu_s
        files = {}
        run = run._replace(files=[], goes_on=True)
    content = b"".join(files.values())
    if isinstance(program.tests, StdinTests):
        verdict = yield from _on_stdin(language, program.tests, run, content)
    elif isinstance(program.tests, CallTests):
        verdict = yield from _by_calls(language, program.tests, run, content)
    else:
        outcome = yield Run(run, content)
        verdict = judge(language, outcome, timeout_s, memory_mb)
    return replace(verdict, cpu_s=verdict.cpu_s + build_cpu_s)


def _on_stdin(language: Language, tests: StdinTests, run: Request, content: bytes) -> Steps:
    """One run a test, until one fails."""
    wall_s = cpu_s = 0.0
    for i, text in enumerate(tests.inputs):
        given = _encoded(text)
        request = run._replace(
            input_bytes=len(given),
            kept_bytes=max(KEPT_BYTES, 2 * len(_encoded(tests.outputs[i])) + 4096),
            keeps=run.goes_on and i + 1 < len(tests),
        )
        outcome = yield Run(request, content + given)
        wall_s += outcome.wall_s
        cpu_s += outcome.cpu_s
        # Its end needs no proof: only a program that has printed what it can't know elsewhere passes.
        verdict = judge(language, outcome, run.timeout_s, run.memory_mb, from_outside=True)
        if verdict.passed and (wrong := wrong_output(tests, i, outcome.stdout)):
            verdict = replace(verdict, status="failed", strict_status="failed", reason=wrong)
        if not verdict.passed:
            if verdict.strict_status != "syntax_error":
                verdict = replace(verdict, failed_test=i)
            break
    return replace(verdict, wall_s=wall_s, cpu_s=cpu_s)


def _by_calls(language: Language, tests: CallTests, run: Request, content: bytes) -> Steps:
    """All calls in one run."""
    calls = "".join(f"{line}\n" for line in tests.arguments).encode()
    request = run._replace(
        input_bytes=len(calls),
        entry_point=tests.entry_point,
        kept_bytes=_RESULT_BYTES + 2 * sum(map(len, tests.results)),
    )
    outcome = yield Run(request, content + calls)
    verdict = judge(language, outcome, run.timeout_s, run.memory_mb)
    if verdict.strict_status == "syntax_error":
        return verdict
    wrong = wrong_call(tests, outcome.returned)
    if wrong is None:
        return verdict
    failed_test, how = wrong
    if failed_test < outcome.returned.count(b"\n"):  # whatever became of later calls
        verdict = replace(verdict, status="failed", strict_status="failed", reason=how)
    elif verdict.strict_status != "timeout":
        verdict = replace(verdict, status="failed", strict_status="failed", reason=verdict.reason or how)
    return replace(verdict, failed_test=failed_test)


def _failed(built: Built) -> Outcome:
    limit, returned = NO_LIMIT, b""
    stdout, stderr = built.stdout, built.stderr
    return Outcome(limit, NOT_STARTED, built.returncode, stdout, stderr, returned, built.wall_s, built.cpu_s)


def _was_killed(outcome: Outcome) -> bool:
    return outcome.returncode == -signal.SIGKILL or b"Killed signal terminated" in outcome.stderr


def _lengths(files: dict[str, bytes]) -> list[tuple[str, int]]:
    return [(name, len(content)) for name, content in files.items()]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
