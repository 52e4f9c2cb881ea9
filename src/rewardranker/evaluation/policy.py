"""What a policy proposes: sampled, executed, scored."""

from collections.abc import Sequence

from rewardranker.evaluation.best_of_n import ranker_input, score_all
from rewardranker.evaluation.drawing import drawn_candidates
from rewardranker.evaluation.judging import verdicts
from rewardranker.evaluation.records import EvaluatedCandidate, ScoredCandidate
from rewardranker.execution.program import Program
from rewardranker.models.generator import Generator
from rewardranker.models.scores import Ranker
from rewardranker.problems.candidate import ExecutedCandidate
from rewardranker.problems.problem import Problem
from rewardranker.recipe import Evaluation, Execution, Sampling
from rewardranker.run import Checkpoint


def executed_candidates(
    generator: Generator,
    name: str,
    problems: Sequence[Problem],
    *,
    n: int,
    sampling: Sampling,
    execution: Execution,
    seed: int,
    checkpoint: Checkpoint | None = None,
) -> list[ExecutedCandidate]:
    """What policy `name` proposes: `n` candidates a problem at the recipe's temperature, all executed."""
    draws = {sampling.temperature: n}
    drawn = [
        c
        for _, c in drawn_candidates(
            generator, name, problems, draws, sampling=sampling, seed=seed, checkpoint=checkpoint
        )
    ]
    by_id = {p.id: p for p in problems}
    programs = [Program.of(by_id[c.problem_id], c.text, execution.judge) for c in drawn]
    return [
        ExecutedCandidate(
            problem_id=c.problem_id,
            index=c.index,
            text=c.text,
            logprob_sum=c.logprob_sum,
            n_tokens=c.n_tokens,
            finish_reason=c.finish_reason,
            policy=c.policy,
            status=v.status,
            strict_status=v.strict_status,
            reason=v.reason,
        )
        for c, v in zip(drawn, verdicts(programs, execution, f"run {name}"), strict=True)
    ]


def evaluated_candidates(
    generator: Generator,
    name: str,
    problems: Sequence[Problem],
    *,
    evaluation: Evaluation,
    sampling: Sampling,
    execution: Execution,
    seed: int,
    checkpoint: Checkpoint | None = None,
) -> list[EvaluatedCandidate]:
    """What policy `name` proposes: n candidates a problem at the main temperature, n cool ones, a greedy one.

    All are executed. Where every problem has an output probe, what each candidate of the main temperature
    returns is recorded too (`behaviour`), for the selector "majority".
    """
    by_id = {p.id: p for p in problems}
    draws = {evaluation.temperature: evaluation.n, evaluation.cool_temperature: evaluation.n, 0.0: 1}
    drawn = drawn_candidates(
        generator, name, problems, draws, sampling=sampling, seed=seed, checkpoint=checkpoint
    )
    owners = [by_id[c.problem_id] for _, c in drawn]
    programs = [Program.of(p, c.text, execution.judge) for p, (_, c) in zip(owners, drawn, strict=True)]
    if evaluation.majority and all(p.output_probe for p in problems):
        programs += [
            Program(p.language, p.probe(c.text))
            for p, (temperature, c) in zip(owners, drawn, strict=True)
            if temperature == evaluation.temperature
        ]
    found = verdicts(programs, execution, f"run {name}")
    printed = [v.stdout for v in found[len(drawn) :]]  # the main temperature's candidates come first
    return [
        EvaluatedCandidate(
            problem_id=c.problem_id,
            policy=name,
            temperature=temperature,
            index=c.index,
            text=c.text,
            logprob_sum=c.logprob_sum,
            n_tokens=c.n_tokens,
            finish_reason=c.finish_reason,
            status=verdict.status,
            strict_status=verdict.strict_status,
            reason=verdict.reason,
            stderr=verdict.stderr,
            behaviour=printed[i] if i < len(printed) else "",
            failed_test=verdict.failed_test,
        )
        for i, ((temperature, c), verdict) in enumerate(zip(drawn, found[: len(drawn)], strict=True))
    ]


def scored_candidates(
    ranker: Ranker,
    iteration: int,
    problems: Sequence[Problem],
    candidates: Sequence[EvaluatedCandidate],
) -> list[ScoredCandidate]:
    """What the ranker of `iteration` says of each candidate."""
    by_id = {p.id: p for p in problems}
    owners = [by_id[c.problem_id] for c in candidates]
    inputs = [
        (p.prompt, ranker_input(p, c.text, False, ranker)) for p, c in zip(owners, candidates, strict=True)
    ]
    raw, probability = score_all(ranker, inputs, f"score with ranker {iteration}")
    return [
        ScoredCandidate(c.policy, c.problem_id, c.index, iteration, r, p)
        for c, r, p in zip(candidates, raw.tolist(), probability.tolist(), strict=True)
    ]
