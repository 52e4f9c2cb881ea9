"""`rewardranker evaluate`: a generator, with or without a ranker, on problems with tests."""

from pathlib import Path
from typing import Annotated

import typer

from rewardranker.cli.options import (
    GeneratorOption,
    OutOption,
    ProblemsArgument,
    RecipeOption,
    SetOption,
    check_out,
)


def evaluate(
    problems: ProblemsArgument,
    generator: GeneratorOption,
    out: OutOption,
    ranker: Annotated[Path | None, typer.Option("--ranker", help="Folder of a ranker.")] = None,
    recipe: RecipeOption = "micro",
    assignments: SetOption = [],  # noqa: B006 - typer reads the default, nobody mutates it
) -> None:
    """Sample, execute, select: pass@1, best of n by every selector, oracle, with intervals.

    Settings are those of the recipe's sections evaluation, sampling and execution.

    Example: rewardranker evaluate problems.jsonl --generator ./my-model --ranker ./ranker -o out
    """
    from rich.console import Console

    from rewardranker.evaluation.policy import evaluated_candidates, scored_candidates
    from rewardranker.evaluation.records import EvaluatedCandidate, ScoredCandidate
    from rewardranker.evaluation.summary import Policy, summarise
    from rewardranker.files import atomic_directory, write_json
    from rewardranker.models.generator import Generator
    from rewardranker.models.lora import weights_dtype
    from rewardranker.models.ranker import RewardRanker
    from rewardranker.problems.loaders import load_problems
    from rewardranker.recipe import load_recipe
    from rewardranker.report.table import table
    from rewardranker.tables import write_table

    config = load_recipe(recipe, tuple(assignments))
    check_out(out, folder=True)
    known = load_problems(problems)
    dtype = weights_dtype(config.compute, trained=False)
    model = Generator.from_pretrained(
        generator, config.generator.prompt, config.generator.system, dtype=dtype
    )
    judge = RewardRanker.from_pretrained(ranker, dtype=dtype) if ranker else None
    candidates = evaluated_candidates(
        model,
        "sft",
        known,
        evaluation=config.evaluation,
        sampling=config.sampling,
        execution=config.execution,
        seed=config.seed,
    )
    main = [c for c in candidates if c.temperature == config.evaluation.temperature]
    scores = scored_candidates(judge, 1, known, main) if judge else []
    metrics = summarise(
        known,
        candidates,
        scores,
        policies=[Policy("sft", "sft", 0)],
        variant=None,
        align=None,
        temperature=config.evaluation.temperature,
        cool_temperature=config.evaluation.cool_temperature,
        bootstrap=config.evaluation.bootstrap,
        seed=config.seed,
    )
    with atomic_directory(out) as folder:
        write_table(folder / "candidates.parquet", EvaluatedCandidate, candidates)
        write_table(folder / "scores.parquet", ScoredCandidate, scores)
        write_json(folder / "metrics.json", metrics)
    Console().print(table(metrics))
