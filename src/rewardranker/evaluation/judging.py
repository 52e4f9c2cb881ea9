"""Existing candidates executed: on their tests, on the visible ones, and for what they return."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rewardranker import progress
from rewardranker.errors import UserError
from rewardranker.evaluation.records import EvaluatedCandidate, ExistingCandidate
from rewardranker.evaluation.visible import output_probe
from rewardranker.execution.cache import VerdictCache
from rewardranker.execution.pool import Program, execute
from rewardranker.execution.verdict import Verdict
from rewardranker.problems.problem import Problem
from rewardranker.recipe import Execution

Runs = Literal["all", "visible", "nothing"]
"""What of existing candidates is executed."""


@dataclass(frozen=True, slots=True)
class JudgedCandidate:
    """A candidate and what is known of it when it is to be selected, and after."""

    given: ExistingCandidate
    status: str
    """As MultiPL-E would judge it."""
    strict_status: str
    """What counts."""
    reason: str = ""
    stderr: str = ""
    executed: bool = True
    """False: the statuses are the file's label."""
    visible: bool | None = None
    """Whether it passes the visible tests; None: there are none, or they were not run."""
    behaviour: str = ""
    """What it returned on the visible inputs; empty: not known, or it raised on all."""
    failed_test: int | None = None
    """As of `EvaluatedCandidate`."""

    @property
    def passed(self) -> bool:
        """Right by the strict rule."""
        return self.strict_status == "passed"

    @property
    def agrees(self) -> bool | None:
        """Whether execution and the file's label both say that it passes, or both that it does not.

        None without a label, or where the candidate could not be executed here.
        """
        if not self.given.label or not self.executed or self.strict_status in ("unavailable", "error"):
            return None
        return self.passed == (self.given.label == "passed")


def verdicts(
    programs: Sequence[Program], execution: Execution, what: str, cache: VerdictCache | None = None
) -> list[Verdict]:
    """Run `programs` as the recipe says, with progress called `what`; `cache`: verdicts of earlier runs."""
    with progress.task(what, len(programs)) as bar:
        return execute(
            programs,
            timeout_s=execution.timeout_s,
            memory_mb=execution.memory_mb,
            workers=execution.workers,
            isolation=execution.isolation,
            cache=cache,
            on_progress=bar.advance,
        )


def judge_candidates(
    problems: Sequence[Problem],
    candidates: Sequence[ExistingCandidate],
    execution: Execution,
    *,
    cache: VerdictCache | None = None,
    runs: Runs = "all",
) -> list[JudgedCandidate]:
    """Run every candidate in the sandbox, with the tests of its problem and with what the statement shows.

    Candidates whose problem has no tests keep the label of their file.

    Args:
        problems: of the candidates.
        candidates: those to run.
        execution: limits of the sandbox.
        cache: verdicts of earlier runs.
        runs: "visible" runs the visible tests and inputs only, "nothing" not even those; candidates then keep
            the label of their file.

    Raises:
        UserError: a candidate has neither tests nor a label.
    """
    judged_by = {
        p.id: (p, p.by_visible_tests(), replace(p, tests=output_probe(p), tests_beside="")) for p in problems
    }
    run = {"all": (0, 1, 2), "visible": (1, 2), "nothing": ()}[runs]
    judges: tuple[Literal["inside", "outside"], ...] = (execution.judge, "inside", "inside")
    wanted: list[tuple[int, int, Program]] = []
    for i, c in enumerate(candidates):
        problem, *_ = variants = judged_by[c.problem_id]
        if not (runs == "all" and problem.has_tests) and not c.label:
            why = "neither tests nor a label" if runs == "all" else "no label and its tests are not to be run"
            raise UserError(f"problem {problem.id}: candidate {c.index} has {why}, so nothing is known of it")
        wanted += [
            (i, what, c.program(variants[what], judges[what])) for what in run if variants[what].has_tests
        ]
    found: dict[tuple[int, int], Verdict] = {}
    if wanted:
        judged = verdicts([program for _, _, program in wanted], execution, "execute", cache)
        found = {(i, what): v for (i, what, _), v in zip(wanted, judged, strict=True)}
    return [_judged(c, *(found.get((i, what)) for what in range(3))) for i, c in enumerate(candidates)]


def _judged(
    c: ExistingCandidate, verdict: Verdict | None, visible: Verdict | None, probe: Verdict | None
) -> JudgedCandidate:
    return JudgedCandidate(
        given=c,
        status=verdict.status if verdict else c.label,
        strict_status=verdict.strict_status if verdict else c.label,
        reason=verdict.reason if verdict else "",
        stderr=verdict.stderr if verdict else "",
        executed=verdict is not None,
        visible=None if visible is None else visible.passed,
        behaviour=probe.stdout if probe is not None and probe.passed else "",
        failed_test=verdict.failed_test if verdict else None,
    )


def evaluated(candidates: Sequence[JudgedCandidate], default_policy: str) -> list[EvaluatedCandidate]:
    """The candidates as rows of `candidates.parquet`; NaN stands for what the file doesn't say."""
    return [
        EvaluatedCandidate(
            problem_id=c.given.problem_id,
            policy=c.given.policy or default_policy,
            temperature=math.nan if c.given.temperature is None else c.given.temperature,
            index=c.given.index,
            text=c.given.text,
            logprob_sum=math.nan if c.given.logprob_sum is None else c.given.logprob_sum,
            n_tokens=c.given.n_tokens,
            finish_reason="",
            status=c.status,
            strict_status=c.strict_status,
            reason=c.reason,
            stderr=c.stderr,
            behaviour=c.behaviour,
            whole=c.given.whole,
            failed_test=c.failed_test,
        )
        for c in candidates
    ]
