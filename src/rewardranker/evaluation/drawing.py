"""Candidates of a generator, with progress; what an interrupted attempt drew is not drawn again."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial

from rewardranker import progress
from rewardranker.models.generator import Generator
from rewardranker.problems.candidate import Candidate
from rewardranker.problems.problem import Problem
from rewardranker.recipe import Sampling
from rewardranker.run import Checkpoint

Drawn = list[tuple[float, Candidate]]
"""Candidates with the temperatures that they were drawn at."""


def drawn_candidates(
    generator: Generator,
    name: str,
    problems: Sequence[Problem],
    draws: Mapping[float, int],
    *,
    sampling: Sampling,
    seed: int,
    checkpoint: Checkpoint | None = None,
) -> Drawn:
    """Candidates of policy `name`, ordered by temperature, problem and index.

    A problem's candidates depend on nothing but the problem and `seed` (`Generator.sample`), so those that
    `checkpoint` holds are the ones that would be drawn again.

    Args:
        generator: the policy.
        name: recorded in the candidates.
        problems: with ids of their own.
        draws: how many candidates a problem, by temperature.
        sampling: its `max_new_tokens` and `batch_size`.
        seed: of all draws.
        checkpoint: where they are kept, for it may be long until they are executed and written.
    """
    drawn = _kept(checkpoint)

    def keep(bar: progress.Task, temperature: float, batch: Sequence[Candidate]) -> None:
        drawn.extend((temperature, c) for c in batch)
        bar.advance(len(batch))
        if checkpoint is not None and checkpoint.is_due():
            _keep(checkpoint, drawn)

    for temperature, n in draws.items():
        known = Counter(c.problem_id for t, c in drawn if t == temperature)
        left = [p for p in problems if known[p.id] < n]
        drawn[:] = [(t, c) for t, c in drawn if t != temperature or known[c.problem_id] == n]
        with progress.task(f"sample {name} at T = {temperature:g}", len(problems) * n) as bar:
            bar.advance((len(problems) - len(left)) * n)
            generator.sample(
                left,
                n=n,
                temperature=temperature,
                max_new_tokens=sampling.max_new_tokens,
                seed=seed,
                policy=name,
                batch_size=sampling.batch_size,
                on_batch=partial(keep, bar, temperature),
            )
    if checkpoint is not None:
        _keep(checkpoint, drawn)
    order = {temperature: i for i, temperature in enumerate(draws)}
    place = {p.id: i for i, p in enumerate(problems)}
    return sorted(drawn, key=lambda d: (order[d[0]], place[d[1].problem_id], d[1].index))


def _kept(checkpoint: Checkpoint | None) -> Drawn:
    if checkpoint is None or not checkpoint.path.is_file():
        return []
    saved = json.loads(checkpoint.path.read_text("utf-8"))
    checkpoint.go_on_from(saved["cost"])
    return [(temperature, Candidate(**row)) for temperature, row in saved["drawn"]]


def _keep(checkpoint: Checkpoint, drawn: Drawn) -> None:
    with checkpoint.writing() as temporary:
        rows = [(temperature, asdict(c)) for temperature, c in drawn]
        temporary.write_text(json.dumps({"cost": vars(checkpoint.spent()), "drawn": rows}), "utf-8")
