"""`rewardranker evaluate`: a generator, a server or candidates that exist, on problems with tests."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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

if TYPE_CHECKING:
    from rewardranker.evaluation.existing import Existing, ExistingCandidate
    from rewardranker.evaluation.language_table import LanguageTable
    from rewardranker.models.answers import Answers
    from rewardranker.models.upstream import Upstream
    from rewardranker.recipe import Recipe

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
    ranker: Annotated[Path | None, typer.Option("--ranker", help="Folder of a ranker.")] = None,
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
    read from --candidates. Writes metrics.json, table.md, table.tex, candidates.parquet and outcomes.parquet,
    which `rewardranker compare` reads. Until then a server's answers are kept in <out>.answers.jsonl: the
    same command, repeated, asks only for the rest.

    Example: rewardranker evaluate problems.jsonl --generator ./my-model --ranker ./ranker -o out

    Example: rewardranker evaluate problems.jsonl --upstream http://localhost:8000/v1 --model qwen -o out

    Example: rewardranker evaluate --candidates completions/ -o out --format markdown
    """
    from rewardranker.errors import UserError
    from rewardranker.evaluation.existing import read_existing
    from rewardranker.models.answers import kept_answers
    from rewardranker.recipe import load_recipe

    if (generator is not None) + bool(upstream) + (candidates is not None) != 1:
        raise UserError(
            "give one of --generator or --upstream (candidates are sampled) and --candidates (they exist)"
        )
    check_out(out, folder=True)
    if candidates is None and not problems:
        raise UserError("to sample, name problems: rewardranker evaluate PROBLEMS ... -o OUT")
    if generator is not None:
        _sampled(generator, problems or [], out, ranker, prompt, recipe, assignments)
        return
    config = load_recipe(recipe, tuple(assignments))
    if candidates is not None:
        given = read_existing(candidates, *problems or [], policy=policy, temperature=temperature)
        source: dict[str, object] = {"candidates_file": str(candidates)}
        name = candidates.name.split(".")[0]
        _measured(given, source, name, out, ranker, runs, timeout_s, shown, config)
        return
    server = open_upstream(upstream, model, requests, patience_s)
    with kept_answers(out) as answers:
        given = _asked(server, problems or [], answers, requests, prompt == "chat", config)
        source = {"upstream": server.url, "model": model}
        _measured(given, source, model, out, ranker, "all", timeout_s, shown, config)


def _asked(
    server: "Upstream", problems: list[Path], answers: "Answers", requests: int, chat: bool, config: "Recipe"
) -> "Existing":
    from math import isnan

    from rewardranker import progress
    from rewardranker.evaluation.existing import (
        MULTIPL_E_TIMEOUT_S,
        SAMPLES_TIMEOUT_S,
        Existing,
        ExistingCandidate,
    )
    from rewardranker.models.answers import sample_remote
    from rewardranker.problems.loaders import load_problems

    known = load_problems(*problems)
    with progress.task("sample", len(known) * (config.evaluation.n + 1)) as bar:
        drawn = sample_remote(
            server,
            known,
            answers,
            n=config.evaluation.n,
            temperature=config.evaluation.temperature,
            max_new_tokens=config.sampling.max_new_tokens,
            seed=config.seed,
            at_once=requests,
            greedy=True,
            chat=chat,
            on_progress=bar.advance,
        )
    return Existing(
        known,
        [
            ExistingCandidate(
                c.problem_id,
                c.index,
                c.text,
                whole=d.whole,
                policy=c.policy,
                temperature=d.temperature,
                logprob_sum=None if isnan(c.logprob_sum) else c.logprob_sum,
                n_tokens=c.n_tokens,
            )
            for d in drawn
            for c in [d.candidate]
        ],
        MULTIPL_E_TIMEOUT_S if any(p.evaluation_only for p in known) else SAMPLES_TIMEOUT_S,
    )


def _measured(
    given: "Existing",
    source: dict[str, object],
    name: str,
    out: Path,
    ranker: Path | None,
    runs: Literal["all", "visible", "nothing"],
    timeout_s: float | None,
    shown: Format,
    config: "Recipe",
) -> None:
    from contextlib import closing

    from rewardranker.evaluation.judging import evaluated, judge_candidates
    from rewardranker.evaluation.language_table import language_table
    from rewardranker.evaluation.records import EvaluatedCandidate, ScoredCandidate
    from rewardranker.evaluation.selection import Outcome, compare_selectors
    from rewardranker.execution.cache import VerdictCache
    from rewardranker.files import atomic_directory, write_json, write_text
    from rewardranker.tables import write_table

    chosen = _scored(given, ranker, config) if ranker is not None else given.candidates
    limits = config.execution.model_copy(update={"timeout_s": timeout_s or given.timeout_s})
    with closing(VerdictCache()) as cache:
        judged = judge_candidates(given.problems, chosen, limits, cache=cache, runs=runs)
    selection = compare_selectors(
        given.problems, judged, resamples=config.evaluation.bootstrap, seed=config.seed
    )
    summary = {
        **source,
        "without_candidates": given.without_candidates,
        **selection.summary,
    }
    table = language_table(summary)
    rows = evaluated(judged, default_policy=name)
    with atomic_directory(out) as folder:
        write_table(folder / "candidates.parquet", EvaluatedCandidate, rows)
        if ranker is not None:
            scored = [
                ScoredCandidate(row.policy, row.problem_id, row.index, 1, c.score, c.probability)
                for row, c in zip(rows, chosen, strict=True)
                if c.score is not None and c.probability is not None
            ]
            write_table(folder / "scores.parquet", ScoredCandidate, scored)
        write_table(folder / "outcomes.parquet", Outcome, selection.outcomes)
        write_json(folder / "metrics.json", summary)
        write_text(folder / "table.md", table.markdown())
        write_text(folder / "table.tex", table.latex())
    _print(summary, table, shown)
    _tell(summary)


def _scored(given: "Existing", ranker: Path, config: "Recipe") -> "list[ExistingCandidate]":
    """The candidates with what the ranker says of them; identical ones are scored once."""
    from dataclasses import replace

    from rewardranker import progress
    from rewardranker.models.lora import weights_dtype
    from rewardranker.models.ranker import RewardRanker

    model = RewardRanker.from_pretrained(ranker, dtype=weights_dtype(config.compute, trained=False))
    prompts = {p.id: p.prompt for p in given.problems}
    unique = list(dict.fromkeys((prompts[c.problem_id], c.text) for c in given.candidates))
    with progress.task("score", len(unique)) as bar:
        raw = model.score([p for p, _ in unique], [t for _, t in unique], on_progress=bar.advance)
    said = dict(zip(unique, zip(raw, model.probability(raw), strict=True), strict=True))
    scored = []
    for c in given.candidates:
        score, probability = said[prompts[c.problem_id], c.text]
        scored.append(replace(c, score=float(score), probability=float(probability)))
    return scored


def _print(summary: dict[str, object], table: "LanguageTable", shown: Format) -> None:
    import json

    from rich.console import Console

    if shown == "json":
        typer.echo(json.dumps(summary, indent=2))
    elif shown == "markdown":
        typer.echo(table.markdown(), nl=False)
    elif shown == "latex":
        typer.echo(table.latex(), nl=False)
    else:
        typer.echo(table.title)
        Console().print(table.terminal())


def _tell(summary: dict[str, object]) -> None:
    """What a reader of the table must know, on stderr."""
    missing, labels = summary["without_candidates"], summary["labels"]
    if missing:
        assert isinstance(missing, list)
        typer.echo(
            f"{len(missing)} problems have no candidates and are left out: {missing[0]}, ...", err=True
        )
    if summary["unjudged"]:
        typer.echo(
            f"{summary['unjudged']} candidates could not be executed and count as wrong: rewardranker doctor",
            err=True,
        )
    if labels:
        assert isinstance(labels, dict)
        typer.echo(
            f"verdicts agree with the file's labels on {labels['agree']} of {labels['compared']}", err=True
        )


def _sampled(
    generator: Path,
    problems: list[Path],
    out: Path,
    ranker: Path | None,
    prompt: PromptForm | None,
    recipe: str,
    assignments: list[str],
) -> None:
    from rich.console import Console

    from rewardranker.evaluation.existing import ExistingCandidate
    from rewardranker.evaluation.judging import judge_candidates
    from rewardranker.evaluation.language_table import language_table
    from rewardranker.evaluation.policy import evaluated_candidates, scored_candidates
    from rewardranker.evaluation.records import EvaluatedCandidate, ScoredCandidate
    from rewardranker.evaluation.selection import Outcome, compare_selectors
    from rewardranker.evaluation.summary import Policy, summarise
    from rewardranker.files import atomic_directory, write_json, write_text
    from rewardranker.models.generator import Generator
    from rewardranker.models.lora import weights_dtype
    from rewardranker.models.ranker import RewardRanker
    from rewardranker.problems.loaders import load_problems
    from rewardranker.recipe import load_recipe
    from rewardranker.report.table import table
    from rewardranker.tables import write_table

    config = load_recipe(recipe, tuple(assignments))
    known = load_problems(*problems)
    dtype = weights_dtype(config.compute, trained=False)
    model = Generator.from_pretrained(
        generator, prompt or config.generator.prompt, config.generator.system, dtype=dtype
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
    said = {(s.problem_id, s.index): s for s in scores}
    known_of = [
        ExistingCandidate(
            c.problem_id,
            c.index,
            c.text,
            label=c.strict_status,
            policy=c.policy,
            temperature=c.temperature,
            logprob_sum=c.logprob_sum,
            n_tokens=c.n_tokens,
            score=said[c.problem_id, c.index].raw if judge and c.temperature else None,
        )
        for c in candidates
        if c.temperature in (0.0, config.evaluation.temperature)
    ]
    selection = compare_selectors(
        known,
        judge_candidates(known, known_of, config.execution, runs="visible"),
        resamples=config.evaluation.bootstrap,
        seed=config.seed,
    )
    by_language = language_table(selection.summary)
    with atomic_directory(out) as folder:
        write_table(folder / "candidates.parquet", EvaluatedCandidate, candidates)
        write_table(folder / "scores.parquet", ScoredCandidate, scores)
        write_table(folder / "outcomes.parquet", Outcome, selection.outcomes)
        write_json(folder / "metrics.json", metrics)
        write_text(folder / "table.md", by_language.markdown())
        write_text(folder / "table.tex", by_language.latex())
    Console().print(table(metrics))
