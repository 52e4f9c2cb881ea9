"""Stage A: the generator learns from reference programs, loss on the completion."""

from collections.abc import Sequence
from pathlib import Path

from rewardranker.errors import UserError
from rewardranker.files import digests, write_json
from rewardranker.models.decoder import build_decoder
from rewardranker.models.generator import Generator
from rewardranker.models.lora import weights_dtype
from rewardranker.models.ranker import check_head
from rewardranker.models.tokenizer import train_tokenizer
from rewardranker.problems.problem import Problem
from rewardranker.recipe import SFT, Compute, Recipe
from rewardranker.run import Checkpoint, Cost, Run, Stage, seed_for
from rewardranker.stages.problems import all_problems, references
from rewardranker.training.sft import train_sft


def sft_stage(run: Run, recipe: Recipe, problems: Stage) -> Stage:
    """Fine-tune the recipe's generator on the reference programs."""
    seed = seed_for(recipe.seed, "sft")

    def work(folder: Path, cost: Cost, checkpoint: Checkpoint) -> None:
        known = all_problems(problems)
        generator = _new_generator(recipe, [p for p in known if p.split == "reference"], seed)
        check_head(generator.model.config, recipe.reward.head)  # before hours of training, not after
        examples = references(known, "reference")
        fine_tune(generator, examples, recipe.sft, recipe.compute, seed, known, folder, cost, checkpoint)

    config = [
        recipe.sft.model_dump(),
        recipe.compute.model_dump(),
        recipe.generator.model_dump(),
        _checkpoint_digests(recipe.generator.checkpoint),
        seed,
    ]
    return run.stage("0-sft", work, config=config, inputs=[problems])


def sft_longer_stage(run: Run, recipe: Recipe, sft: Stage, problems: Stage) -> Stage:
    """Control: the loop's compute spent on more epochs of SFT."""
    seed = seed_for(recipe.seed, "sft-longer")
    settings = recipe.sft.model_copy(update={"epochs": recipe.evaluation.longer_sft_epochs})

    def work(folder: Path, cost: Cost, checkpoint: Checkpoint) -> None:
        known = all_problems(problems)
        generator = Generator.from_pretrained(
            sft.path / "model", dtype=weights_dtype(recipe.compute, trained=True)
        )
        examples = references(known, "reference")
        fine_tune(generator, examples, settings, recipe.compute, seed, known, folder, cost, checkpoint)

    config = [settings.model_dump(), recipe.compute.model_dump(), seed]
    return run.stage("0-sft-longer", work, config=config, inputs=[sft, problems])


def fine_tune(
    generator: Generator,
    examples: Sequence[tuple[str, str]],
    settings: SFT,
    compute: Compute,
    seed: int,
    problems: Sequence[Problem],
    folder: Path,
    cost: Cost,
    checkpoint: Checkpoint,
) -> None:
    """Train `generator` on `examples`; write it and its curve, held out on development problems."""
    history = train_sft(
        generator,
        examples,
        settings,
        seed=seed,
        validation=references(problems, "development"),
        checkpoint=checkpoint,
        compute=compute,
    )
    cost.tokens += sum(int(row["tokens"]) for row in history)
    generator.save(folder / "model")
    write_json(folder / "history.json", history)


def _new_generator(recipe: Recipe, problems: Sequence[Problem], seed: int) -> Generator:
    source = recipe.generator
    if source.decoder is None:
        return Generator.from_pretrained(
            Path(source.checkpoint),
            source.prompt,
            source.system,
            dtype=weights_dtype(recipe.compute, trained=True),
        )
    tokenizer = train_tokenizer((p.prompt + (p.reference or "") for p in problems), source.decoder.vocabulary)
    return Generator(build_decoder(source.decoder, tokenizer, seed), tokenizer)


def _checkpoint_digests(folder: str) -> dict[str, str]:
    if not folder:
        return {}
    if not Path(folder).is_dir():
        raise UserError(
            f"{folder}: no such folder; generator.checkpoint must be a local Hugging Face checkpoint"
        )
    return digests(Path(folder))
