"""`rewardranker mine`: hard negatives and new positives from executed candidates."""

from pathlib import Path
from typing import Annotated

import typer

from rewardranker.cli.options import OutOption, ProblemsArgument, RankerOption, SeedOption, check_out
from rewardranker.recipe import Variant


def mine(
    problems: ProblemsArgument,
    candidates: Annotated[Path, typer.Argument(help="Rows of `sample` that went through `execute`.")],
    ranker: RankerOption,
    out: OutOption,
    earlier: Annotated[Path | None, typer.Option(help="Executed candidates that were known before.")] = None,
    variant: Annotated[Variant, typer.Option(help="What to add.")] = "selftraining",
    top: Annotated[
        int, typer.Option(help="A failure is hard when it ranks so high among its problem's.", min=1)
    ] = 4,
    seed: SeedOption = 1,
) -> None:
    """Make preference groups of what the ranker scores high and fails, and of what newly passes.

    Writes a Parquet table that `train-reward` reads.

    Example: rewardranker mine problems.jsonl executed.jsonl --ranker ./ranker -o groups.parquet
    """
    from rewardranker import mining, progress
    from rewardranker.errors import UserError
    from rewardranker.models.ranker import RewardRanker
    from rewardranker.problems.completions import read_executed
    from rewardranker.problems.loaders import load_problems
    from rewardranker.problems.preference import PreferenceGroup
    from rewardranker.problems.split import training_problems
    from rewardranker.recipe import Mining
    from rewardranker.tables import write_table

    check_out(out)
    known = load_problems(problems)
    trainable = training_problems(known)
    prompts = {p.id: p.prompt for p in trainable}
    read = read_executed(candidates, known)
    sampled = [c for c in read if c.problem_id in prompts]
    before = read_executed(earlier, known) if earlier else []
    model = RewardRanker.from_pretrained(ranker)
    with progress.task("score", len(sampled)) as bar:
        scores = model.score(
            [prompts[c.problem_id] for c in sampled], [c.text for c in sampled], on_progress=bar.advance
        )
    groups, mined = mining.mine(
        trainable, before, sampled, list(scores), Mining(top=top), variant=variant, source=variant, seed=seed
    )
    if not groups:
        raise UserError(
            f"{candidates}: nothing to mine: no problem has both a failure and a program that passed; "
            "give --earlier, or sample more candidates"
        )
    if len(sampled) < len(read):
        typer.echo(
            f"left out: {len(read) - len(sampled)} candidates of development and test problems", err=True
        )
    write_table(out, PreferenceGroup, groups)
    typer.echo(f"wrote {len(groups)} groups with {len(mined)} mined programs to {out}", err=True)
