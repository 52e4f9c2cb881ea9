"""`rewardranker train-sft | train-reward | train-ppo`: each training stage alone, on files.

Each goes on where it was killed when the same command is given again: what it needs for that lies beside what
it writes, in `.<out>.<key>.checkpoint`.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rewardranker.cli.options import (
    GeneratorOption,
    OutOption,
    ProblemsArgument,
    RankerOption,
    RecipeOption,
    SetOption,
    check_out,
)

if TYPE_CHECKING:
    from rewardranker.models.generator import Generator
    from rewardranker.recipe import Recipe

StartOption = Annotated[
    Path | None,
    typer.Option(
        "--generator", help="Checkpoint to start from; without it the recipe's decoder, from scratch."
    ),
]


def train_sft(
    problems: ProblemsArgument,
    out: OutOption,
    generator: StartOption = None,
    recipe: RecipeOption = "micro",
    assignments: SetOption = [],  # noqa: B006 - typer reads the default, nobody mutates it
) -> None:
    """Fine-tune a generator on the problems that have a reference program.

    Training that was stopped goes on where it was with the same command.

    Example: rewardranker train-sft problems.jsonl --generator ./my-model --set sft.epochs=3 -o sft
    """
    from rewardranker.errors import UserError
    from rewardranker.files import atomic_directory, write_json
    from rewardranker.problems.loaders import load_problems
    from rewardranker.problems.split import training_problems
    from rewardranker.recipe import load_recipe
    from rewardranker.run import checkpointed
    from rewardranker.training.sft import train_sft as train

    config = load_recipe(recipe, tuple(assignments))
    check_out(out, folder=True)
    known = [p for p in training_problems(load_problems(problems)) if p.reference is not None]
    if not known:
        raise UserError(f"{problems}: no problem has a reference program to learn from (field `reference`)")
    examples = [(p.prompt, p.reference or "") for p in known]
    model, start = _start(generator, config, [prompt + completion for prompt, completion in examples])
    decides = [config.sft.model_dump(), config.compute.model_dump(), config.seed, start, examples]
    with checkpointed(out, decides) as checkpoint:
        history = train(
            model, examples, config.sft, seed=config.seed, checkpoint=checkpoint, compute=config.compute
        )
        with atomic_directory(out) as folder:
            model.save(folder)
            write_json(folder / "history.json", history)
    typer.echo(f"trained on {len(examples)} programs; wrote {out}", err=True)


def train_reward(
    pairs: Annotated[Path, typer.Argument(help="Preferences: of `mine`, `export`, TRL, DebugBench.")],
    out: OutOption,
    generator: StartOption = None,
    language: Annotated[str, typer.Option(help="For data sets of several languages.")] = "python",
    recipe: RecipeOption = "micro",
    assignments: SetOption = [],  # noqa: B006 - typer reads the default, nobody mutates it
) -> None:
    """Train a ranker on right and wrong programs of the same problems; report held-out accuracy.

    Training that was stopped goes on where it was with the same command.

    Example: rewardranker train-reward pairs.jsonl --generator ./my-model --set reward.head=scalar -o ranker
    """
    from dataclasses import asdict

    from rewardranker.files import atomic_directory, write_json
    from rewardranker.problems.preferences import load_preferences
    from rewardranker.recipe import load_recipe
    from rewardranker.run import checkpointed
    from rewardranker.training.reward import train_reward as train

    config = load_recipe(recipe, tuple(assignments))
    check_out(out, folder=True)
    groups = load_preferences(pairs, language=language)
    texts = [group.prompt + text for group in groups for text in (*group.chosen, *group.rejected)]
    model, start = _start(generator, config, texts)
    decides = [config.reward.model_dump(), config.compute.model_dump(), config.seed, start]
    with checkpointed(out, [*decides, [asdict(group) for group in groups]]) as checkpoint:
        ranker, report = train(
            model, groups, config.reward, seed=config.seed, checkpoint=checkpoint, compute=config.compute
        )
        with atomic_directory(out) as folder:
            ranker.save(folder, report)
            write_json(folder / "report.json", report)
    typer.echo(json.dumps({k: v for k, v in report.items() if not isinstance(v, list)}, indent=2))


def train_ppo(
    problems: ProblemsArgument,
    generator: GeneratorOption,
    ranker: RankerOption,
    out: OutOption,
    recipe: RecipeOption = "micro",
    assignments: SetOption = [],  # noqa: B006 - typer reads the default, nobody mutates it
) -> None:
    """Align a generator with a ranker by PPO, on the problems' prompts.

    Every ppo.check_every rounds the policy's programs for ppo.check_problems problems are executed: problems
    of the split development, or where there is none, those that are trained on. PPO stops when the score
    rises while fewer programs pass. Training that was stopped goes on where it was with the same command.

    Example: rewardranker train-ppo problems.jsonl --generator sft --ranker ranker -o aligned
    """
    from dataclasses import asdict

    from rewardranker.evaluation.policy import executed_candidates
    from rewardranker.files import atomic_directory, digests, write_json
    from rewardranker.models.generator import Generator
    from rewardranker.models.lora import weights_dtype
    from rewardranker.models.ranker import RewardRanker
    from rewardranker.problems.loaders import load_problems
    from rewardranker.problems.split import training_problems
    from rewardranker.recipe import load_recipe
    from rewardranker.run import checkpointed
    from rewardranker.training.ppo import train_ppo as train

    config = load_recipe(recipe, tuple(assignments))
    check_out(out, folder=True)
    known = load_problems(problems)
    trained_on = training_problems(known)
    development = [p for p in known if p.split == "development"]
    checked = (development or trained_on)[: config.ppo.check_problems]
    dtype = weights_dtype(config.compute, trained=True)
    policy = Generator.from_pretrained(generator, dtype=dtype)
    judge = RewardRanker.from_pretrained(ranker, dtype=dtype)

    def pass_rate(current: Generator) -> float:
        candidates = executed_candidates(
            current,
            "ppo",
            checked,
            n=config.ppo.samples,
            sampling=config.sampling,
            execution=config.execution,
            seed=config.seed,
        )
        return sum(c.passed for c in candidates) / len(candidates)

    sections = [section.model_dump() for section in (config.ppo, config.compute, config.sampling)]
    inputs = [digests(generator), digests(ranker), [asdict(p) for p in (*trained_on, *checked)]]
    with checkpointed(out, [*sections, config.execution.decisive(), config.seed, *inputs]) as checkpoint:
        history = train(
            policy,
            judge,
            trained_on,
            config.ppo,
            seed=config.seed,
            max_new_tokens=config.sampling.max_new_tokens,
            pass_rate=pass_rate if checked else None,
            checkpoint=checkpoint,
            compute=config.compute,
        )
        with atomic_directory(out) as folder:
            policy.save(folder)
            write_json(folder / "history.json", history)
    typer.echo(f"{len(history)} rounds; last: {json.dumps(history[-1])}; wrote {out}", err=True)


def _start(generator: Path | None, config: "Recipe", texts: list[str]) -> tuple["Generator", Any]:
    """The checkpoint to start from, or the recipe's decoder with a tokenizer trained on `texts`.

    Returns:
        the model; and what, beside `texts`, decides which it is, JSON-able.
    """
    from rewardranker.files import digests
    from rewardranker.models.decoder import build_decoder
    from rewardranker.models.generator import Generator
    from rewardranker.models.lora import weights_dtype
    from rewardranker.models.tokenizer import train_tokenizer

    source = config.generator
    if generator is not None or source.decoder is None:
        folder = generator or Path(source.checkpoint)
        model = Generator.from_pretrained(
            folder, source.prompt, source.system, dtype=weights_dtype(config.compute, trained=True)
        )
        return model, [source.prompt, source.system, digests(folder)]
    tokenizer = train_tokenizer(texts, source.decoder.vocabulary)
    model = Generator(build_decoder(source.decoder, tokenizer, config.seed), tokenizer)
    return model, source.decoder.model_dump()
