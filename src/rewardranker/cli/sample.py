"""`rewardranker sample`: candidates for problems from a generator or a server."""

from pathlib import Path
from typing import Annotated

import typer

from rewardranker.cli.options import (
    ModelOption,
    OutOption,
    PatienceOption,
    ProblemsArgument,
    RequestsOption,
    SeedOption,
    UpstreamOption,
    check_out,
    open_upstream,
)
from rewardranker.errors import UserError
from rewardranker.recipe import PromptForm


def sample(
    problems: ProblemsArgument,
    out: OutOption,
    generator: Annotated[
        Path | None, typer.Option("--generator", help="Folder of a Hugging Face causal LM.")
    ] = None,
    upstream: UpstreamOption = "",
    model: ModelOption = "",
    n: Annotated[int, typer.Option("-n", help="Candidates a problem.", min=1)] = 10,
    temperature: Annotated[float, typer.Option(help="0 is greedy, with n = 1.", min=0)] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 256,
    batch_size: Annotated[int, typer.Option(help="Rows that a generator decodes together.", min=1)] = 64,
    requests: RequestsOption = 16,
    patience_s: PatienceOption = 600,
    seed: SeedOption = 1,
    prompt: Annotated[
        PromptForm | None,
        typer.Option(
            help="How a model is shown prompts: chat asks for the program, and takes it out of a server's "
            "answer; default: as a generator's folder says, completion for a server."
        ),
    ] = None,
) -> None:
    """Sample n candidates a problem; the rows can be given to `execute`, `rank` and `mine`.

    Until all are there a server's answers are kept in <out>.answers.jsonl, a generator's candidates in a
    hidden file beside <out>: the same command, repeated, asks only for the rest.

    Example: rewardranker sample problems.jsonl --generator runs/micro/0-sft/model -n 10 -o samples.jsonl

    Example: rewardranker sample problems.jsonl --upstream http://localhost:8000/v1 --model m -o samples.jsonl
    """
    from dataclasses import asdict

    from rewardranker import progress
    from rewardranker.files import digests, write_jsonl
    from rewardranker.problems.completions import completion_rows
    from rewardranker.problems.loaders import load_problems

    if (generator is None) == (not upstream):
        raise UserError("give either --generator FOLDER or --upstream URL --model NAME")
    if generator is not None and temperature == 0 and n != 1:
        raise UserError("greedy decoding gives one candidate a problem: give -n 1 or a --temperature")
    check_out(out)
    known = load_problems(problems)
    if generator is not None:
        from rewardranker.evaluation.drawing import drawn_candidates
        from rewardranker.models.generator import Generator
        from rewardranker.recipe import Sampling
        from rewardranker.run import checkpointed

        local = Generator.from_pretrained(generator, prompt)
        decisive = [digests(generator), prompt, n, temperature, max_new_tokens, seed]
        with checkpointed(out, [*decisive, *map(asdict, known)]) as checkpoint:
            drawn = drawn_candidates(
                local,
                generator.name,
                known,
                {temperature: n},
                sampling=Sampling(max_new_tokens=max_new_tokens, batch_size=batch_size),
                seed=seed,
                checkpoint=checkpoint,
            )
            candidates = [c for _, c in drawn]
            write_jsonl(out, completion_rows(known, candidates))
    else:
        from rewardranker.models.answers import kept_answers, sample_remote

        server = open_upstream(upstream, model, requests, patience_s)
        with kept_answers(out) as answers, progress.task("sample", len(known) * n) as bar:
            answered = sample_remote(
                server,
                known,
                answers,
                n=n,
                temperature=temperature,
                max_new_tokens=max_new_tokens,
                seed=seed,
                at_once=requests,
                chat=prompt == "chat",
                on_progress=bar.advance,
            )
            candidates = [d.candidate for d in answered]
            write_jsonl(out, completion_rows(known, candidates, [d.whole for d in answered]))
    typer.echo(f"wrote {len(candidates)} candidates of {len(known)} problems to {out}", err=True)
