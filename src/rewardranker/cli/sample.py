"""`rewardranker sample`: candidates for problems from a generator."""

from typing import Annotated

import typer

from rewardranker.cli.options import GeneratorOption, OutOption, ProblemsArgument, SeedOption, check_out
from rewardranker.recipe import PromptForm


def sample(
    problems: ProblemsArgument,
    generator: GeneratorOption,
    out: OutOption,
    n: Annotated[int, typer.Option("-n", help="Candidates a problem.", min=1)] = 10,
    temperature: Annotated[float, typer.Option(help="0 is greedy, with n = 1.", min=0)] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 256,
    batch_size: Annotated[int, typer.Option(help="Rows decoded together.", min=1)] = 64,
    seed: SeedOption = 1,
    prompt: Annotated[
        PromptForm | None,
        typer.Option(help="How the model is shown prompts; default: as its folder says."),
    ] = None,
) -> None:
    """Sample n candidates a problem; the rows can be given to `execute`, `rank` and `mine`.

    Example: rewardranker sample problems.jsonl --generator runs/micro/0-sft/model -n 10 -o samples.jsonl
    """
    from rewardranker import progress
    from rewardranker.files import write_jsonl
    from rewardranker.models.generator import Generator
    from rewardranker.problems.completions import completion_rows
    from rewardranker.problems.loaders import load_problems

    check_out(out)
    known = load_problems(problems)
    model = Generator.from_pretrained(generator, prompt)
    with progress.task("sample", len(known) * n) as bar:
        candidates = model.sample(
            known,
            n=n,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            seed=seed,
            policy=generator.name,
            batch_size=batch_size,
            on_progress=bar.advance,
        )
    write_jsonl(out, completion_rows(known, candidates))
    typer.echo(f"wrote {len(candidates)} candidates of {len(known)} problems to {out}", err=True)
