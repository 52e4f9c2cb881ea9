"""`rewardranker rank`: candidates in order of their scores."""

from pathlib import Path
from typing import Annotated

import typer

from rewardranker.cli.options import OutOption, ProblemsArgument, RankerOption, check_out


def rank(
    problems: ProblemsArgument,
    completions: Annotated[
        Path, typer.Argument(help="JSONL rows with problem_id and text (or task_id, completion).")
    ],
    ranker: RankerOption,
    out: OutOption,
) -> None:
    """Score and order candidates: the input's rows, best first for each problem, with score and rank.

    Example: rewardranker rank problems.jsonl samples.jsonl --ranker runs/micro/2-reward/model -o ranked.jsonl
    """
    from collections import Counter
    from math import isfinite

    from rewardranker import progress
    from rewardranker.files import write_jsonl
    from rewardranker.models.ranker import RewardRanker
    from rewardranker.problems.completions import read_completions
    from rewardranker.problems.loaders import load_problems

    check_out(out)
    known = load_problems(problems)
    rows = read_completions(completions, known)
    model = RewardRanker.from_pretrained(ranker)
    prompts = {p.id: p.prompt for p in known}
    with progress.task("score", len(rows)) as bar:
        raw = model.score(
            [prompts[r["problem_id"]] for r in rows], [r["text"] for r in rows], on_progress=bar.advance
        )
    probability = model.probability(raw)
    number = {problem_id: i for i, problem_id in enumerate(dict.fromkeys(r["problem_id"] for r in rows))}
    order = sorted(range(len(rows)), key=lambda i: (number[rows[i]["problem_id"]], -raw[i]))
    scored = [
        {
            **rows[i],
            # What does not fit the ranker's context has none.
            "score": float(raw[i]) if isfinite(raw[i]) else None,
            "probability": float(probability[i]),
        }
        for i in order
    ]
    place: Counter[str] = Counter()
    for row in scored:
        place[row["problem_id"]] += 1
        row["rank"] = place[row["problem_id"]]
    write_jsonl(out, scored)
    typer.echo(f"ranked {len(scored)} candidates of {len(number)} problems; wrote {out}", err=True)
