"""`evaluate`: candidates of a generator, a server or a file are executed, scored, compared and written.

What exists is measured without torch, and without httpx unless a server samples.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from math import inf, isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewardranker import progress
from rewardranker.evaluation.best_of_n import ranker_input, score_all
from rewardranker.evaluation.existing import SAMPLES_TIMEOUT_S, Existing
from rewardranker.evaluation.judging import Runs, evaluated, judge_candidates
from rewardranker.evaluation.language_table import language_table
from rewardranker.evaluation.published import MULTIPL_E_TIMEOUT_S
from rewardranker.evaluation.records import EvaluatedCandidate, ExistingCandidate, ScoredCandidate
from rewardranker.evaluation.selection import Outcome, Selection, compare_selectors
from rewardranker.execution.cache import VerdictCache
from rewardranker.files import atomic_directory, write_json, write_text
from rewardranker.models.scores import Ranker
from rewardranker.problems.candidate import Candidate
from rewardranker.problems.problem import Problem
from rewardranker.recipe import Recipe
from rewardranker.run import Checkpoint
from rewardranker.tables import write_table

if TYPE_CHECKING:
    from rewardranker.models.answers import Answers
    from rewardranker.models.generator import Generator
    from rewardranker.models.upstream import Upstream


def sampled_by_server(
    server: "Upstream",
    problems: Sequence[Problem],
    answers: "Answers",
    config: Recipe,
    *,
    requests: int,
    chat: bool,
) -> Existing:
    """A server's candidates, n and a greedy one a problem, by the recipe's sections evaluation and sampling.

    Args:
        server: samples.
        problems: what for.
        answers: those it gave before, and where it gives more.
        config: the recipe.
        requests: at most so many at the same time.
        chat: it is asked as a chat, and the programs are taken out of its answers.
    """
    from rewardranker.models.answers import sample_remote

    settings = config.evaluation
    with progress.task("sample", len(problems) * (settings.n + 1)) as bar:
        drawn = sample_remote(
            server,
            problems,
            answers,
            n=settings.n,
            temperature=settings.temperature,
            max_new_tokens=config.sampling.max_new_tokens,
            seed=config.seed,
            at_once=requests,
            greedy=True,
            chat=chat,
            on_progress=bar.advance,
        )
    candidates = [_given(d.candidate, d.temperature, whole=d.whole) for d in drawn]
    return Existing(list(problems), candidates, _upstream_s(problems))


def _upstream_s(problems: Sequence[Problem]) -> float:
    return MULTIPL_E_TIMEOUT_S if any(p.evaluation_only for p in problems) else SAMPLES_TIMEOUT_S


def _given(c: Candidate, temperature: float, *, whole: bool = False) -> ExistingCandidate:
    """A candidate that was sampled at `temperature`, as one that exists."""
    return ExistingCandidate(
        c.problem_id,
        c.index,
        c.text,
        whole=whole,
        policy=c.policy,
        temperature=temperature,
        logprob_sum=None if isnan(c.logprob_sum) else c.logprob_sum,
        n_tokens=c.n_tokens,
    )


def sampled_by_generator(
    generator: "Generator", problems: Sequence[Problem], config: Recipe, name: str, checkpoint: Checkpoint
) -> Existing:
    """A generator's candidates, n and a greedy one a problem, likewise.

    Args:
        generator: samples.
        problems: what for.
        config: the recipe.
        name: what its candidates' policy is called.
        checkpoint: where they are kept.
    """
    from rewardranker.evaluation.drawing import drawn_candidates

    draws = {config.evaluation.temperature: config.evaluation.n, 0.0: 1}
    drawn = drawn_candidates(
        generator, name, problems, draws, sampling=config.sampling, seed=config.seed, checkpoint=checkpoint
    )
    candidates = [_given(c, temperature) for temperature, c in drawn]
    return Existing(list(problems), candidates, _upstream_s(problems))


def measure_existing(
    given: Existing,
    out: Path,
    config: Recipe,
    *,
    name: str,
    source: Mapping[str, Any],
    ranker: Ranker | None = None,
    runs: Runs = "all",
    timeout_s: float | None = None,
) -> dict[str, Any]:
    """Execute candidates that exist, compare the selectors, write the folder `out`.

    Args:
        given: problems and candidates.
        out: metrics.json, table.md, table.tex, problems.parquet, candidates.parquet, outcomes.parquet, with
            scores also scores.parquet; `rewardranker view` shows it.
        config: its sections execution and evaluation, and its seed.
        name: policy of candidates that name none.
        source: where they are from, for metrics.json.
        ranker: one of the selectors; None: scores that candidates bring are used.
        runs: see `judge_candidates`.
        timeout_s: that a program gets; None: what it gets upstream.

    Returns:
        what metrics.json holds.
    """
    chosen = given.candidates if ranker is None else scored(given, ranker)
    limits = config.execution.model_copy(update={"timeout_s": timeout_s or given.timeout_s})
    with closing(VerdictCache()) as cache:
        judged = judge_candidates(given.problems, chosen, limits, cache=cache, runs=runs)
    selection = compare_selectors(
        given.problems, judged, resamples=config.evaluation.bootstrap, seed=config.seed
    )
    summary = {**source, "without_candidates": given.without_candidates, **selection.summary}
    rows = evaluated(judged, default_policy=name)
    _write(out, given.problems, rows, _score_rows(rows, chosen), selection, summary)
    return summary


def _score_rows(
    rows: Sequence[EvaluatedCandidate], given: Sequence[ExistingCandidate]
) -> list[ScoredCandidate]:
    """What the ranker says of candidates, greedy ones beside others left out; empty: none has a score."""
    if all(c.score is None for c in given):
        return []
    calibrated = any(c.probability is not None for c in given)
    only_greedy = all(c.temperature == 0 for c in given)
    return [
        ScoredCandidate(
            row.policy,
            row.problem_id,
            row.index,
            1,
            -inf if c.score is None else c.score,
            c.probability if c.probability is not None else 0.0 if calibrated else nan,
        )
        for row, c in zip(rows, given, strict=True)
        if c.temperature != 0 or only_greedy
    ]


def _write(
    out: Path,
    problems: Sequence[Problem],
    candidates: Sequence[EvaluatedCandidate],
    scores: Sequence[ScoredCandidate],
    selection: Selection,
    metrics: Mapping[str, Any],
) -> None:
    table = language_table(selection.summary)
    with atomic_directory(out) as folder:
        write_table(folder / "problems.parquet", Problem, problems)
        write_table(folder / "candidates.parquet", EvaluatedCandidate, candidates)
        if scores:
            write_table(folder / "scores.parquet", ScoredCandidate, scores)
        write_table(folder / "outcomes.parquet", Outcome, selection.outcomes)
        write_json(folder / "metrics.json", metrics)
        write_text(folder / "table.md", table.markdown())
        write_text(folder / "table.tex", table.latex())


def scored(given: Existing, ranker: Ranker) -> list[ExistingCandidate]:
    """The candidates with what the ranker says of them."""
    known = {p.id: p for p in given.problems}
    inputs = [
        (known[c.problem_id].prompt, ranker_input(known[c.problem_id], c.text, c.whole, ranker))
        for c in given.candidates
    ]
    raw, probability = score_all(ranker, inputs, "score")
    return [
        replace(c, score=r, probability=None if isnan(p) else p)
        for c, r, p in zip(given.candidates, raw.tolist(), probability.tolist(), strict=True)
    ]
