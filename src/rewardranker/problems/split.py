"""Giving problems that come without a split one of their own."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from rewardranker.errors import UserError
from rewardranker.problems.problem import Problem, Split
from rewardranker.recipe import Problems


def assign_splits(problems: Sequence[Problem], config: Problems, seed: int) -> list[Problem]:
    """`problems` with a split each: their own, or one drawn at random by the config's shares.

    What is neither development nor test becomes "reference" when it has a reference program, else "pool".

    Raises:
        UserError: two problems have one id.
    """
    ids = [p.id for p in problems]
    if len(set(ids)) < len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise UserError(f"problem id {twice!r} occurs twice; ids must be unique over all files of a recipe")
    drawn = [p.id for p in problems if not p.split]
    Random(seed).shuffle(drawn)
    n_test, n_development = round(config.test * len(drawn)), round(config.development * len(drawn))
    split: dict[str, Split] = dict.fromkeys(drawn[:n_test], "test")
    split |= dict.fromkeys(drawn[n_test : n_test + n_development], "development")

    def of(problem: Problem) -> Split:
        return (
            problem.split or split.get(problem.id) or ("pool" if problem.reference is None else "reference")
        )

    return [replace(p, split=of(p)) for p in problems]


def refuse_evaluation_only(problems: Sequence[Problem]) -> None:
    """Check that the licences of `problems` allow training on them.

    Raises:
        UserError: some are marked `evaluation_only`, such as those of MultiPL-E.
    """
    forbidden = [p.id for p in problems if p.evaluation_only]
    if forbidden:
        raise UserError(
            f"{len(forbidden)} problems, the first {forbidden[0]!r}, are for evaluation only: the licence of "
            "their data (as of MultiPL-E) forbids training on them; give other problems"
        )


def training_problems(problems: Sequence[Problem]) -> list[Problem]:
    """Those of `problems` that may be trained on: what is not of the splits development and test.

    Raises:
        UserError: some are for evaluation only, or none is left.
    """
    refuse_evaluation_only(problems)
    left = [p for p in problems if p.split not in ("development", "test")]
    if not left:
        splits = " and ".join(sorted({p.split for p in problems}))
        raise UserError(
            f"no problem to train on: all {len(problems)} are of the split {splits}, for choices and claims "
            "(as HumanEval and MBPP's problems 11 to 600); give others, or rows of your own without a split"
        )
    return left
