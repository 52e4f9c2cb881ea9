"""`rewardranker evaluate`: a generator, a server or candidates that exist, on problems with tests."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from rewardranker.cli.options import (
    ModelOption,
    OutOption,
    PatienceOption,
    RecipeOption,
    RequestsOption,
    SetOption,
    UpstreamOption,
    check_out,
    open_upstream,
)
from rewardranker.recipe import PromptForm

Format = Literal["terminal", "json", "markdown", "latex"]


def evaluate(
    out: OutOption,
    problems: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PROBLEMS]...",
            help="HumanEval, MBPP, MultiPL-E or own rows. Candidates that bring their problems need none; "
            "of these, only those of PROBLEMS are evaluated.",
        ),
    ] = None,
    generator: Annotated[
        Path | None, typer.Option("--generator", help="Folder of a Hugging Face causal LM that samples.")
    ] = None,
    upstream: UpstreamOption = "",
    model: ModelOption = "",
    requests: RequestsOption = 16,
    patience_s: PatienceOption = 600,
    prompt: Annotated[
        PromptForm | None,
        typer.Option(
            help="How a model is shown prompts: chat asks for the program, and takes it out of a server's "
            "answer; default: as the recipe and a generator's folder say, completion for a server."
        ),
    ] = None,
    candidates: Annotated[
        Path | None,
        typer.Option(
            "--candidates",
            help="Existing candidates instead: MultiPL-E's completions or results (file or folder), "
            "HumanEval's or EvalPlus' samples, CodeT's or PolyHumanEval's pools, rows of sample, execute or "
            "rank, or a candidates.parquet.",
        ),
    ] = None,
    ranker: Annotated[
        str,
        typer.Option(
            "--ranker",
            help="Folder of a ranker, or of any scalar reward model; or the URL of one on a server.",
        ),
    ] = "",
    runs: Annotated[
        Literal["all", "visible", "nothing"],
        typer.Option(
            "--run",
            help="What of existing candidates is executed: all tests; only those that the statement shows; "
            "or nothing. Without all, the file's own labels are the verdicts.",
        ),
    ] = "all",
    timeout_s: Annotated[
        float | None,
        typer.Option(
            "--timeout", min=0.01, help="Seconds a program may take: as upstream, 3, for MultiPL-E 15."
        ),
    ] = None,
    policy: Annotated[str, typer.Option(help="Which policy's candidates, where there are several.")] = "",
    temperature: Annotated[
        float | None, typer.Option(help="Candidates of which temperature, where there are several.", min=0)
    ] = None,
    shown: Annotated[Format, typer.Option("--format", help="How the table is printed.")] = "terminal",
    recipe: RecipeOption = "micro",
    assignments: SetOption = [],  # noqa: B006 - typer reads the default, nobody mutates it
) -> None:
    """Execute and select: pass@k, best of n by every selector, with intervals, a language and on average.

    Candidates are sampled from --generator or --upstream by the recipe's sections evaluation and sampling, or
    read from --candidates. Writes metrics.json, table.md, table.tex, problems.parquet, candidates.parquet and
    outcomes.parquet, which `rewardranker view` shows and `rewardranker compare` compares. Until then a
    server's answers are kept in <out>.answers.jsonl, a generator's candidates in a hidden file beside <out>:
    the same command, repeated, asks only for the rest.

    Example: rewardranker evaluate problems.jsonl --generator ./my-model --ranker ./ranker -o out

    Example: rewardranker evaluate problems.jsonl --upstream http://localhost:8000/v1 --model qwen -o out

    Example: rewardranker evaluate --candidates completions/ -o out --format markdown
    """
    from rewardranker.errors import UserError
    from rewardranker.evaluation.benchmark import measure_existing, sampled_by_generator, sampled_by_server
    from rewardranker.evaluation.existing import read_existing
    from rewardranker.models.load import load_ranker
    from rewardranker.problems.loaders import load_problems
    from rewardranker.recipe import load_recipe

    if (generator is not None) + bool(upstream) + (candidates is not None) != 1:
        raise UserError(
            "give one of --generator or --upstream (candidates are sampled) and --candidates (they exist)"
        )
    check_out(out, folder=True)
    if candidates is None and runs != "all":
        raise UserError("--run is for --candidates, which have labels: what is sampled is executed")
    if candidates is None and not problems:
        raise UserError("to sample, name problems: rewardranker evaluate PROBLEMS ... -o OUT")
    config = load_recipe(recipe, tuple(assignments))
    files = problems or []
    source: dict[str, Any]
    with ExitStack() as kept:
        if generator is not None:
            from dataclasses import asdict

            from rewardranker.files import digests
            from rewardranker.models.generator import Generator
            from rewardranker.models.lora import weights_dtype
            from rewardranker.run import checkpointed

            name, source = generator.resolve().name, {"generator": str(generator)}
            known = load_problems(*files)  # its mistakes are told of before a model is loaded
            dtype = weights_dtype(config.compute, trained=False)
            form = prompt or config.generator.prompt
            sampler = Generator.from_pretrained(generator, form, config.generator.system, dtype=dtype)
            judge = load_ranker(ranker, dtype=dtype) if ranker else None
            model_is = [digests(generator), form, config.generator.system, str(dtype)]
            draws = [config.evaluation.n, config.evaluation.temperature, config.sampling.max_new_tokens]
            decisive = [*model_is, *draws, config.seed, *map(asdict, known)]
            checkpoint = kept.enter_context(checkpointed(out, decisive))
            given = sampled_by_generator(sampler, known, config, name, checkpoint)
        elif candidates is not None:
            name, source = candidates.name.split(".")[0], {"candidates_file": str(candidates)}
            given = read_existing(candidates, *files, policy=policy, temperature=temperature)
            judge = load_ranker(ranker) if ranker else None
        else:
            from rewardranker.models.answers import kept_answers

            server = open_upstream(upstream, model, requests, patience_s)
            known = load_problems(*files)
            judge = load_ranker(ranker) if ranker else None
            answers = kept.enter_context(kept_answers(out))
            given = sampled_by_server(
                server, known, answers, config, requests=requests, chat=prompt == "chat"
            )
            name, source = model, {"upstream": server.url, "model": model, "unseeded": server.unseeded}
        summary = measure_existing(
            given, out, config, name=name, source=source, ranker=judge, runs=runs, timeout_s=timeout_s
        )
    _print(summary, shown)
    _tell(summary)


def _print(summary: dict[str, Any], shown: Format) -> None:
    import json

    from rich.console import Console

    from rewardranker.evaluation.language_table import language_table

    table = language_table(summary)
    if shown == "json":
        typer.echo(json.dumps(summary, indent=2))
    elif shown == "markdown":
        typer.echo(table.markdown(), nl=False)
    elif shown == "latex":
        typer.echo(table.latex(), nl=False)
    else:
        typer.echo(table.title)
        Console().print(table.terminal())


def _tell(summary: dict[str, Any]) -> None:
    """What a reader of the table must know, on stderr."""
    missing, labels = summary["without_candidates"], summary["labels"]
    if missing:
        typer.echo(
            f"{len(missing)} problems have no candidates and are left out: {missing[0]}, ...", err=True
        )
    if summary["unjudged"]:
        typer.echo(
            f"{summary['unjudged']} candidates could not be executed and count as wrong: rewardranker doctor",
            err=True,
        )
    if labels:
        typer.echo(
            f"verdicts agree with the file's labels on {labels['agree']} of {labels['compared']}", err=True
        )
