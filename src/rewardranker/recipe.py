"""A recipe says what a run is: typed TOML, every field documented, unknown keys refused, all errors told."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rewardranker.errors import UserError

Align = Literal["ppo", "rft", "rft+ppo"]
Variant = Literal["selftraining", "hardnegatives", "random", "mix", "fresh"]
Head = Literal["likelihood", "scalar", "scalar-mean"]
PromptForm = Literal["completion", "chat"]
MicroLanguage = Literal["python", "cpp", "java", "php", "typescript", "csharp", "bash", "javascript"]

PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, attribute docstrings are the documentation."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True, allow_inf_nan=False)


class MicroProblems(Section):
    """Sizes of the procedural micro task set (`rewardranker.problems.micro`)."""

    reference: PositiveInt = 1200
    """Problems with a reference program."""
    pool: PositiveInt = 8000
    """Problems with tests only."""
    development: PositiveInt = 400
    """Problems on which choices are made."""
    test: PositiveInt = 1000
    """Tasks on which claims are made: as many problems in each of the languages."""
    languages: Annotated[tuple[MicroLanguage, ...], Field(min_length=1)] = ("python",)
    """The other splits' problems take turns in them."""
    step_weights: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1)] = (1, 4, 5, 1)
    """Weights of the tasks with 1, 2, 3, ... steps before the reducer: longer tasks are harder."""

    @model_validator(mode="after")
    def _each_language_once(self) -> "MicroProblems":
        if len(set(self.languages)) != len(self.languages):
            raise ValueError("languages names one twice")
        return self


class Problems(Section):
    """Where problems come from: exactly one of `micro` and `files`."""

    micro: MicroProblems | None = None
    """Procedural tasks, made from the run's seed."""
    files: tuple[str, ...] = ()
    """Files that `rewardranker.load_problems` reads; relative to the recipe's folder."""
    development: Fraction = 0.1
    """Share of the problems of `files` without a split of their own that are held out for choices."""
    test: Fraction = 0.2
    """Share of the problems of `files` without a split of their own that are held out for claims."""
    verify_references: bool = True
    """Run every reference program in the sandbox first; those that fail are left out and reported."""

    @model_validator(mode="after")
    def _one_source(self) -> "Problems":
        if (self.micro is None) == (not self.files):
            raise ValueError("give either [problems.micro] or files = [...]")
        if self.development + self.test >= 1:
            raise ValueError("development + test must leave problems to train on")
        return self


class Decoder(Section):
    """A decoder built from this config and trained from scratch."""

    family: Literal["llama", "gpt_neox"] = "llama"
    """llama: RMSNorm and a gated feed-forward layer, one after the other. gpt_neox: LayerNorm with biases,
    attention and a plain feed-forward layer side by side. Both with rotary positions and tied embeddings."""
    vocabulary: PositiveInt = 1024
    """Entries of the BPE tokenizer trained on the problems."""
    hidden: PositiveInt = 128
    """Width of the residual stream."""
    layers: PositiveInt = 3
    heads: PositiveInt = 2
    intermediate: PositiveInt = 384
    """Width of the feed-forward layer."""
    context: PositiveInt = 512
    """Most tokens of prompt and completion together."""
    dropout: Fraction = 0.0
    """Dropout on attention weights."""

    @model_validator(mode="after")
    def _head_size(self) -> "Decoder":
        if self.hidden % (2 * self.heads):
            raise ValueError("hidden must be an even multiple of heads (rotary positions turn pairs)")
        return self


class GeneratorSource(Section):
    """The generator, and what the ranker starts from: exactly one of `decoder` and `checkpoint`."""

    decoder: Decoder | None = None
    checkpoint: str = ""
    """A local folder with a Hugging Face causal language model and its tokenizer."""
    prompt: PromptForm | None = None
    """How the checkpoint is shown a problem's prompt, and the rankers that start from it. completion: as it
    is, to be continued. chat: by the tokenizer's chat template, a user's turn with an instruction and the
    prompt in a code block; the assistant's turn begins with a code block and the prompt, and goes on from
    there. Without it: as the folder was trained by this project; completion for any other."""
    system: str = ""
    """Content of the chat's system turn; empty: none, or what the chat template puts there itself."""

    @model_validator(mode="after")
    def _one_source(self) -> "GeneratorSource":
        if (self.decoder is None) == (not self.checkpoint):
            raise ValueError("give either [generator.decoder] or checkpoint = '...'")
        if self.decoder is not None and self.prompt == "chat":
            raise ValueError("prompt = 'chat' needs a checkpoint: a new decoder has no chat template")
        if self.system and self.prompt != "chat":
            raise ValueError("system needs prompt = 'chat'")
        return self


class SFT(Section):
    """Supervised fine-tuning: cross-entropy of the completion given the prompt (paper, stage A)."""

    epochs: PositiveInt = 40
    batch_size: PositiveInt = 32
    """Examples a step."""
    learning_rate: PositiveFloat = 1.5e-3
    """Peak of a cosine schedule that ends at 0."""
    warmup: Fraction = 0.05
    """Share of the steps over which the learning rate rises from 0."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    prompt_loss_weight: Fraction = 0.1
    """Weight of the prompt's tokens in the loss beside 1 for the completion's."""
    max_grad_norm: PositiveFloat = 1.0
    tokens_at_once: Annotated[int, Field(ge=0)] = 0
    """Most tokens in one forward, padding included: a step's gradient is accumulated; 0: all in one."""


class Sampling(Section):
    """How candidates are drawn."""

    n: PositiveInt = 5
    """Candidates a problem."""
    temperature: PositiveFloat = 1.0
    max_new_tokens: PositiveInt = 128
    batch_size: PositiveInt = 512
    """Rows decoded together."""


class Reward(Section):
    """The ranker: Bradley-Terry on right and wrong programs of the same problem (paper, stage B)."""

    head: Head = "likelihood"
    """likelihood: score = mean log-probability of the program under the ranker's own weights.
    scalar: the paper's, a linear head on the last token. scalar-mean: its mean over the program's tokens."""
    start: Literal["sft", "aligned"] = "sft"
    """Which policy's weights rankers after the first start from (the first always from the SFT's)."""
    epochs: PositiveInt = 2
    groups_per_batch: PositiveInt = 16
    """Problems a step."""
    max_per_side: PositiveInt = 4
    """At most so many right and so many wrong programs of a problem and source; drawn at random beyond."""
    learning_rate: PositiveFloat = 4e-4
    warmup: Fraction = 0.05
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    validation: Fraction = 0.05
    """Share of the problems held out to measure AUC, pairwise accuracy and calibration."""
    max_grad_norm: PositiveFloat = 1.0
    tokens_at_once: Annotated[int, Field(ge=0)] = 0
    """Most tokens in one forward, padding included: a step's gradient is accumulated; 0: all in one."""
    margin: Annotated[float, Field(ge=0)] = 0.0
    """What a right program's score should lead a wrong one's by."""
    centering: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the mean squared sum of a pair's scores, which keeps scores near 0 (0.01 is usual)."""
    lm_weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of an auxiliary language-model loss on right programs, which keeps scalar heads from forgetting
    what the generator knows; for models whose input and output embeddings are tied."""
    mean_epochs: Annotated[int, Field(ge=0)] = 0
    """For head = "scalar": in so many epochs at first the score is the mean over the program's tokens. So the
    head learns to find what is wrong where it is, before the last token has to gather it from all of them."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Stop after so many epochs without a lower validation loss, and keep the best; 0: train all epochs."""

    @model_validator(mode="after")
    def _auxiliary(self) -> "Reward":
        if self.lm_weight and self.head == "likelihood":
            raise ValueError("lm_weight is for scalar heads: the likelihood head is a language model's own")
        if self.mean_epochs and self.head != "scalar":
            raise ValueError("mean_epochs is for head = 'scalar'")
        if self.mean_epochs >= self.epochs:
            raise ValueError("mean_epochs must leave epochs for the last token: raise epochs or lower it")
        if self.mean_epochs and self.patience:
            raise ValueError("patience would stop while the last token learns nothing yet: set it to 0")
        return self


class RFT(SFT):
    """Rejection-sampling fine-tuning: SFT on the references and the candidates that passed."""

    epochs: PositiveInt = 4
    batch_size: PositiveInt = 64
    learning_rate: PositiveFloat = 1e-3
    max_per_problem: PositiveInt = 2
    """At most so many distinct passing programs of a problem; drawn at random beyond."""


class PPO(Section):
    """Proximal policy optimisation of the generator against the ranker (paper, stage C)."""

    iterations: PositiveInt = 40
    """Rounds of rollout and update."""
    prompts: PositiveInt = 64
    """Prompts a round."""
    samples: PositiveInt = 4
    """Rollouts a prompt."""
    advantage: Literal["gae", "rloo"] = "gae"
    """gae: a separate critic that starts from the ranker, as in the paper's PPO. rloo: leave-one-out."""
    epochs: PositiveInt = 2
    """Passes over each round's rollouts."""
    minibatch: PositiveInt = 128
    """Rollouts a step."""
    learning_rate: PositiveFloat = 1e-4
    critic_learning_rate: PositiveFloat = 1e-3
    clip: PositiveFloat = 0.2
    """Ratio clip of the policy loss."""
    value_clip: PositiveFloat = 0.2
    value_weight: PositiveFloat = 0.5
    gamma: Fraction = 1.0
    lam: Fraction = 0.95
    """Lambda of the generalised advantage estimate."""
    kl: Annotated[float, Field(ge=0)] = 0.05
    """Weight of the KL penalty to the SFT policy in the reward."""
    kl_target: Annotated[float, Field(ge=0)] = 0.0
    """KL to the SFT policy (nats a completion) that the penalty's weight is adapted to; 0: it stays `kl`."""
    max_kl: PositiveFloat = 6.0
    """Stop when the mean KL to the SFT policy, summed over a completion (nats), exceeds this."""
    max_update_kl: Annotated[float, Field(ge=0)] = 0.0
    """Leave out a step whose minibatch has moved further from the policy that sampled it (nats a token,
    estimated); 0: take all."""
    max_pass_drop: Annotated[float, Field(ge=0)] = 0.1
    """Stop as hacking its reward when the measured pass rate has fallen by more than this since the start
    although the score has risen; 0: go on all the same."""
    reward_clip: PositiveFloat = 5.0
    """Normalised scores are clamped to plus and minus this."""
    missing_eos: float = -1.0
    """Reward, in normalised units, of a rollout that never ended."""
    temperature: PositiveFloat = 1.0
    max_grad_norm: PositiveFloat = 1.0
    tokens_at_once: Annotated[int, Field(ge=0)] = 0
    """Most tokens in one forward, padding included: a step's gradient is accumulated; 0: all in one."""
    check_every: PositiveInt = 10
    """Rounds between measurements of the true pass rate on development problems."""
    check_problems: Annotated[int, Field(ge=0)] = 64
    """Development problems in each of those measurements; 0: none is made, and no sandbox needed."""


class Mining(Section):
    """Hard negatives and new positives from the aligned policy's samples (paper, stage D)."""

    n: PositiveInt = 6
    """Candidates a pool problem from the aligned policy."""
    threshold: Literal["rank", "passing"] = "rank"
    """Which failures count as hard. rank: they are among their problem's `top` highest-scored candidates.
    passing: they score at least the lowest-scored passing candidate of their problem."""
    top: PositiveInt = 4
    """For threshold = "rank"."""
    max_per_side: PositiveInt = 4
    """At most so many mined negatives, and so many new positives, a problem."""
    match: bool = False
    """Add only as many groups as the poorest variant could, so that variants can be compared."""


class Evaluation(Section):
    """What is measured on the test problems."""

    n: PositiveInt = 10
    """Candidates a problem."""
    temperature: PositiveFloat = 1.0
    cool_temperature: PositiveFloat = 0.5
    """A second, lower temperature whose pass@1 is printed as a row of its own."""
    majority: bool = True
    """Also group candidates by what they return (needs problems with an output probe)."""
    longer_sft_epochs: Annotated[int, Field(ge=0)] = 0
    """Further SFT epochs of the control that spends the loop's compute on SFT; 0: no such row."""
    bootstrap: PositiveInt = 2000
    """Resamples of the problems for intervals."""


class Execution(Section):
    """How programs are run."""

    timeout_s: PositiveFloat = 3.0
    memory_mb: PositiveInt = 512
    workers: Annotated[int, Field(ge=0)] = 0
    """Sandboxes that run side by side; 0: as many as suit the machine."""
    isolation: Annotated[str, Field(pattern=r"^(namespaces|landlock|[\w.]+:\w+)$")] = "namespaces"
    """What keeps programs in: namespaces; landlock, weaker, where user namespaces are refused; or the factory
    package.module:name of a sandbox of one's own."""
    judge: Literal["inside", "outside"] = "inside"
    """outside: the candidate's process gets the arguments of the tests' calls and returns results; what is
    expected never enters it. For Python problems whose tests are `assert f(...) == ...`. A generator that is
    trained against the verdict can't learn to fool tests that it never meets; it costs no more."""

    def decisive(self) -> dict[str, Any]:
        """What decides verdicts: all but the number of workers."""
        return self.model_dump(exclude={"workers"})


class Compute(Section):
    """How training computes: what a large model needs to fit into memory."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: matrices are multiplied in it, and with LoRA the frozen weights are kept in it; what is
    trained stays in float32."""
    gradient_checkpointing: bool = False
    """Keep only each layer's input for the backward pass, and compute the rest again: a third slower."""
    lora_rank: Annotated[int, Field(ge=0)] = 0
    """Train low-rank adapters of this rank on all linear layers in place of the weights (LoRA), of generator,
    ranker, policy and critic; they are merged when a stage ends. 0: train all weights."""
    lora_alpha: PositiveInt = 32
    """An adapter's product is scaled by lora_alpha / lora_rank."""
    lora_dropout: Fraction = 0.0


PLAIN = Compute()
"""In float32, all weights, everything kept for the backward pass."""


class Recipe(Section):
    """Everything that decides a run."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]
    """The run directory is runs/<name> unless --dir says otherwise."""
    description: str = ""
    seed: int = 1
    iterations: PositiveInt = 2
    """Rankers trained: 1 is the paper's first iteration, 2 its self-training row."""
    align: Align = "rft"
    """How the generator is aligned: the paper's PPO, rejection-sampling fine-tuning, or both in turn."""
    variant: Variant = "selftraining"
    """What mining adds: hard negatives and new positives; hard negatives only; as many random failures; half
    hard ones and half random; or, as a control, as many fresh samples of the SFT policy."""
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads of the training library; 0: all cores."""
    problems: Problems
    generator: GeneratorSource
    sft: SFT = SFT()
    sampling: Sampling = Sampling()
    reward: Reward = Reward()
    rft: RFT = RFT()
    ppo: PPO = PPO()
    mining: Mining = Mining()
    evaluation: Evaluation = Evaluation()
    execution: Execution = Execution()
    compute: Compute = Compute()


def shipped() -> dict[str, Path]:
    """The recipes that come with the package, by name."""
    folder = Path(str(resources.files("rewardranker") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def _overlay(data: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {assignment}: expected key=value, for example --set sft.epochs=10")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word is a string: --set align=ppo
    *parents, leaf = key.strip().split(".")
    for parent in parents:
        data = data.setdefault(parent, {})
        if not isinstance(data, dict):
            raise UserError(f"--set {assignment}: {parent} is a value, not a section")
    data[leaf] = value


def shipped_results() -> list[Path]:
    """metrics.json files of runs that come with the package, to stand beside a user's own."""
    folder = Path(str(resources.files("rewardranker") / "recipes" / "results"))
    return sorted(folder.glob("*.json"))


def load_recipe(recipe: str, assignments: tuple[str, ...] = ()) -> Recipe:
    """Read a recipe by shipped name or path, with `key=value` assignments on top.

    A recipe may begin with `extends = "<recipe>"`, a shipped name or a path: what it states then lies over
    that recipe, key by key. Relative paths inside a recipe are resolved against its own folder, those of
    assignments against the current one.

    Raises:
        UserError: no such recipe, or it is wrong; the message lists every error at once.
    """
    path = shipped().get(recipe, Path(recipe))
    data = _read(path, ())
    for assignment in assignments:
        _overlay(data, assignment)
    _resolve_paths(data, Path.cwd())
    try:
        return Recipe.model_validate(data)
    except ValidationError as e:
        lines = [
            f"  {'.'.join(map(str, error['loc'])) or '(recipe)'}: {error['msg']}" for error in e.errors()
        ]
        raise UserError(f"{path}: {len(lines)} error(s)\n" + "\n".join(lines)) from e


def changed(recipe: Recipe, **settings: Any) -> Recipe:
    """The recipe with other settings, sections merged key by key, checked like any recipe.

    Example:
        >>> changed(load_recipe("micro"), seed=2, sft={"epochs": 1}).sft.epochs
        1
    """
    return Recipe.model_validate(_merged(recipe.model_dump(), settings))


def missing_inputs(recipe: Recipe) -> list[str]:
    """What the recipe names and is not there: a line each, with the setting to change."""
    lines = [
        f"{file}: cannot read it (no such file); give your problems: --set 'problems.files=[\"FILE\"]'"
        for file in recipe.problems.files
        if not Path(file).is_file()
    ]
    checkpoint = recipe.generator.checkpoint
    if checkpoint and not Path(checkpoint).is_dir():
        lines.append(
            f"{checkpoint}: no such folder; give your copy of the model: --set generator.checkpoint=FOLDER"
        )
    return lines


def _read(path: Path, extending: tuple[Path, ...]) -> dict[str, Any]:
    """The TOML of `path` over that of the recipe it extends; `extending`: the recipes that led here."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as e:
        by = f"{extending[-1]}: extends: " if extending else ""
        raise UserError(f"{by}{path}: no such file or shipped recipe; shipped: {', '.join(shipped())}") from e
    except OSError as e:
        raise UserError(f"{path}: cannot read it ({e.strerror})") from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise UserError(f"{path}: not TOML ({e})") from e
    _resolve_paths(data, path.resolve().parent)
    base = data.pop("extends", None)
    if base is None:
        return data
    if not isinstance(base, str):
        raise UserError(f"{path}: extends must be the name or path of one recipe")
    base_path = shipped().get(base, (path.parent / base).resolve())
    chain = (*extending, path.resolve())
    if base_path in chain:
        raise UserError(f"{path}: extends: the recipe extends itself by way of {base}")
    return _merged(_read(base_path, chain), data)


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid on `under`: sections are merged, values replaced."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        is_section = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = _merged(cast(dict[str, Any], below), value) if is_section else value
    return merged


def _resolve_paths(data: dict[str, Any], folder: Path) -> None:
    """Make the paths in a recipe's TOML absolute, in place; what has a wrong type is left to validation."""

    def absolute(name: object) -> object:
        return str(folder / Path(name).expanduser()) if isinstance(name, str) and name else name

    problems, generator = data.get("problems"), data.get("generator")
    if isinstance(problems, dict) and isinstance(problems.get("files"), list):
        problems["files"] = [absolute(name) for name in problems["files"]]
    if isinstance(generator, dict) and "checkpoint" in generator:
        generator["checkpoint"] = absolute(generator["checkpoint"])


def to_toml(recipe: Recipe) -> str:
    """The recipe in full, defaults written out; `load_recipe` reads it back to an equal one."""
    return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))
