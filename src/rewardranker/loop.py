"""The method, stages A to E in the order of the paper (arXiv 2504.09643, section 3).

A. `sft`: the generator learns from reference programs. Its samples are executed (`sample`).
B. `reward`: the ranker learns from right and wrong programs of the same problem (Bradley-Terry).
C. `align`: the SFT policy is aligned with the ranker (PPO, rejection-sampling fine-tuning, or both).
D. `mine`: the aligned policy samples again, everything is executed; hard negatives and new positives join
   the preference groups; B and C are repeated, C from the SFT policy.
E. `evaluate`: best of N on problems that nothing was trained or chosen on, beside every cheap neighbour.

Each stage reads the artifacts of earlier stages and writes its own folder in the run directory (`run.py`).
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from rewardranker import mining, progress
from rewardranker.errors import UserError
from rewardranker.evaluation.policy import evaluated_candidates, scored_candidates
from rewardranker.evaluation.records import EvaluatedCandidate, ScoredCandidate
from rewardranker.evaluation.summary import Policy, summarise
from rewardranker.execution.pool import Program, execute
from rewardranker.execution.verdict import Verdict
from rewardranker.files import atomic_path, write_json
from rewardranker.models.checkpoints import default_device
from rewardranker.models.decoder import build_decoder
from rewardranker.models.generator import Generator
from rewardranker.models.lora import weights_dtype
from rewardranker.models.ranker import RewardRanker
from rewardranker.models.tokenizer import train_tokenizer
from rewardranker.problems.candidate import ExecutedCandidate
from rewardranker.problems.loaders import load_problems
from rewardranker.problems.micro.generate import micro_problems
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.problems.problem import Problem
from rewardranker.problems.split import assign_splits, refuse_evaluation_only
from rewardranker.recipe import SFT, Recipe, to_toml
from rewardranker.run import Checkpoint, Cost, Run, Stage, environment, seed_for
from rewardranker.tables import read_table, write_table
from rewardranker.training.ppo import train_ppo
from rewardranker.training.reward import train_reward
from rewardranker.training.rft import rft_examples
from rewardranker.training.sft import train_sft


class Loop:
    """A run of the loop in its directory; `run` is the whole of it, and goes on where it stopped."""

    def __init__(self, recipe: Recipe, directory: Path) -> None:
        self.recipe = recipe
        self.run = Run(directory)
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        self.read_in = weights_dtype(recipe.compute, trained=False)
        self.train_in = weights_dtype(recipe.compute, trained=True)
        with atomic_path(directory / "recipe.toml") as path:
            path.write_text(to_toml(recipe))
        gpu = torch.cuda.get_device_name() if default_device().type == "cuda" else None
        write_json(directory / "environment.json", {**environment(recipe), "gpu": gpu})

    def execute(self) -> dict[str, Any]:
        """Run every stage that isn't done; return what metrics.json holds."""
        problems = self.problems()
        sft = self.sft(problems)
        sampled = [self.sample("0-sample", sft, "sft", n=self.recipe.sampling.n, problems=problems)]
        rankers: list[Stage] = []
        aligned: list[Stage] = []
        mined: list[Stage] = []
        for i in range(1, self.recipe.iterations + 1):
            start = aligned[-1] if aligned and self.recipe.reward.start == "aligned" else sft
            rankers.append(self.reward(i, start, problems, sampled[0], mined))
            aligned.append(self.align(i, sft, rankers[-1], problems, sampled))
            if i < self.recipe.iterations:
                new = self.sample_again(i, sft, aligned[-1], problems)
                mined.append(self.mine(i, rankers[-1], problems, sampled, new))
                sampled.append(new)
        policies = [(Policy("sft", "sft", 0), sft)]
        if self.recipe.evaluation.longer_sft_epochs:
            policies.append((Policy("sft-longer", "sft-longer", 0), self.sft_longer(sft, problems)))
        policies += [(Policy(f"aligned-{i}", "aligned", i), stage) for i, stage in enumerate(aligned, 1)]
        tested = [(policy, self.test(policy, stage, problems)) for policy, stage in policies]
        return self.evaluate(problems, tested, rankers, aligned)

    def problems(self) -> Stage:
        """The problems of the run, each in a split; reference programs are verified in the sandbox."""
        recipe = self.recipe.problems
        seed = seed_for(self.recipe.seed, "problems")

        def work(folder: Path, cost: Cost, _: Checkpoint) -> None:
            if recipe.micro:
                problems = micro_problems(recipe.micro, self.recipe.seed)
            else:
                problems = assign_splits(load_problems(*recipe.files), recipe, seed)
            if recipe.verify_references:
                problems = self._verify(problems, cost)
            if not any(p.split == "reference" for p in problems):
                raise UserError(
                    "no problem with a reference program is left to train on; SFT needs some (field "
                    '`reference` of your problems, split "reference")'
                )
            if not any(p.split == "test" for p in problems):
                raise UserError("no problem has the split test; raise problems.test in the recipe")
            refuse_evaluation_only([p for p in problems if p.split != "test"])
            write_table(folder / "problems.parquet", Problem, problems)

        files = {file: _digest(Path(file)) for file in recipe.files}
        config = {
            **recipe.model_dump(mode="json"),
            "files": files,
            "seed": self.recipe.seed,
            "execution": self._execution_config(),
        }
        return self.run.stage("problems", work, config=config)

    def _verify(self, problems: Sequence[Problem], cost: Cost) -> list[Problem]:
        """`problems` without those whose reference fails; a few of the failures are printed."""
        known = [p for p in problems if p.reference is not None]
        verdicts = self._run(
            [Program.of(p, p.reference or "", self.recipe.execution.judge) for p in known], "references", cost
        )
        wrong = {p.id: v for p, v in zip(known, verdicts, strict=True) if not v.passed}
        progress.console.print(
            f"  {len(known) - len(wrong)} of {len(known)} reference programs pass their tests"
        )
        for problem_id, verdict in list(wrong.items())[:5]:
            progress.console.print(
                f"  left out: {problem_id}: {verdict.strict_status} {verdict.reason}", markup=False
            )
        return [p for p in problems if p.id not in wrong]

    def sft(self, problems: Stage) -> Stage:
        """Stage A: fine-tune the generator on reference programs, loss on the completion."""
        recipe, seed = self.recipe, seed_for(self.recipe.seed, "sft")

        def work(folder: Path, cost: Cost, checkpoint: Checkpoint) -> None:
            known = _problems(problems)
            generator = self._new_generator([p for p in known if p.split == "reference"], seed)
            examples = _references(known, "reference")
            self._fine_tune(generator, examples, recipe.sft, seed, known, folder, cost, checkpoint)

        config = [
            recipe.sft.model_dump(),
            recipe.compute.model_dump(),
            recipe.generator.model_dump(),
            _digest_checkpoint(recipe.generator.checkpoint),
            seed,
        ]
        return self.run.stage("0-sft", work, config=config, inputs=[problems])

    def _new_generator(self, problems: Sequence[Problem], seed: int) -> Generator:
        source = self.recipe.generator
        if source.decoder is None:
            return Generator.from_pretrained(
                Path(source.checkpoint), source.prompt, source.system, dtype=self.train_in
            )
        tokenizer = train_tokenizer(
            (p.prompt + (p.reference or "") for p in problems), source.decoder.vocabulary
        )
        return Generator(build_decoder(source.decoder, tokenizer, seed), tokenizer)

    def sft_longer(self, sft: Stage, problems: Stage) -> Stage:
        """Control: the loop's compute spent on more epochs of SFT."""
        epochs, seed = self.recipe.evaluation.longer_sft_epochs, seed_for(self.recipe.seed, "sft-longer")
        config = self.recipe.sft.model_copy(update={"epochs": epochs})

        def work(folder: Path, cost: Cost, checkpoint: Checkpoint) -> None:
            generator = Generator.from_pretrained(sft.path / "model", dtype=self.train_in)
            known = _problems(problems)
            examples = _references(known, "reference")
            self._fine_tune(generator, examples, config, seed, known, folder, cost, checkpoint)

        return self.run.stage(
            "0-sft-longer",
            work,
            config=[config.model_dump(), self.recipe.compute.model_dump(), seed],
            inputs=[sft, problems],
        )

    def sample(self, name: str, policy: Stage, policy_name: str, *, n: int, problems: Stage) -> Stage:
        """A policy's candidates for the training problems, executed."""
        seed = seed_for(self.recipe.seed, name)

        def work(folder: Path, cost: Cost, _: Checkpoint) -> None:
            generator = Generator.from_pretrained(policy.path / "model", dtype=self.read_in)
            candidates = self._candidates(
                generator, _training(problems), policy_name, n=n, seed=seed, cost=cost
            )
            write_table(folder / "candidates.parquet", ExecutedCandidate, candidates)

        sampling = self.recipe.sampling.model_copy(update={"n": n})
        config = [sampling.model_dump(), self._execution_config(), seed]
        return self.run.stage(name, work, config=config, inputs=[problems, policy])

    def sample_again(self, i: int, sft: Stage, aligned: Stage, problems: Stage) -> Stage:
        """Stage D, first half: policy `i` samples (in the variant "fresh" the SFT policy, as a control)."""
        n = self.recipe.mining.n
        if self.recipe.variant == "fresh":
            return self.sample(f"{i}-sample-sft", sft, "sft", n=n, problems=problems)
        return self.sample(f"{i}-sample", aligned, f"aligned-{i}", n=n, problems=problems)

    def reward(self, i: int, start: Stage, problems: Stage, sampled: Stage, mined: Sequence[Stage]) -> Stage:
        """Stage B: train ranker `i` on everything known so far."""
        recipe, seed = self.recipe.reward, seed_for(self.recipe.seed, f"reward-{i}")

        def work(folder: Path, cost: Cost, checkpoint: Checkpoint) -> None:
            candidates = _candidates_of([sampled])
            training = _training(problems)
            if not mining.solved_and_failed(candidates):
                raise UserError(_no_groups(len(training), candidates))
            groups = mining.initial_groups(training, candidates)
            for stage in mined:
                groups += read_table(stage.path / "groups.parquet", PreferenceGroup)
            ranker, report = train_reward(
                Generator.from_pretrained(start.path / "model", dtype=self.train_in),
                groups,
                recipe,
                seed=seed,
                checkpoint=checkpoint,
                compute=self.recipe.compute,
            )
            cost.tokens += report.pop("tokens")
            ranker.save(folder / "model", report)
            write_json(folder / "report.json", report)

        inputs = [start, problems, sampled, *mined]
        config = [recipe.model_dump(), self.recipe.compute.model_dump(), seed]
        return self.run.stage(f"{i}-reward", work, config=config, inputs=inputs)

    def align(self, i: int, sft: Stage, ranker: Stage, problems: Stage, sampled: Sequence[Stage]) -> Stage:
        """Stage C: from the SFT policy to policy `i`, as the recipe's `align` says."""
        if self.recipe.align == "ppo":
            return self.ppo(i, sft, ranker, problems)
        policy = self.rft(i, sft, problems, sampled)
        return self.ppo(i, policy, ranker, problems) if self.recipe.align == "rft+ppo" else policy

    def rft(self, i: int, sft: Stage, problems: Stage, sampled: Sequence[Stage]) -> Stage:
        """Rejection-sampling fine-tuning: SFT on references and on the candidates that passed."""
        recipe, seed = self.recipe.rft, seed_for(self.recipe.seed, f"rft-{i}")

        def work(folder: Path, cost: Cost, checkpoint: Checkpoint) -> None:
            known = _problems(problems)
            candidates = _candidates_of(sampled)
            examples = rft_examples(known, candidates, recipe.max_per_problem, seed)
            generator = Generator.from_pretrained(sft.path / "model", dtype=self.train_in)
            self._fine_tune(generator, examples, recipe, seed, known, folder, cost, checkpoint)

        config = [recipe.model_dump(), self.recipe.compute.model_dump(), seed]
        return self.run.stage(f"{i}-rft", work, config=config, inputs=[sft, problems, *sampled])

    def ppo(self, i: int, start: Stage, ranker: Stage, problems: Stage) -> Stage:
        """Proximal policy optimisation against ranker `i`, with a KL penalty to the policy it starts from."""
        recipe, seed = self.recipe.ppo, seed_for(self.recipe.seed, f"ppo-{i}")

        def work(folder: Path, cost: Cost, checkpoint: Checkpoint) -> None:
            known = _problems(problems)
            checked = [p for p in known if p.split == "development"][: recipe.check_problems]
            policy = Generator.from_pretrained(start.path / "model", dtype=self.train_in)

            def pass_rate(current: Generator) -> float:
                found = self._candidates(current, checked, f"ppo-{i}", n=recipe.samples, seed=seed, cost=cost)
                return sum(c.passed for c in found) / max(len(found), 1)

            history = train_ppo(
                policy,
                RewardRanker.from_pretrained(ranker.path / "model", dtype=self.train_in),
                _training(problems),
                recipe,
                seed=seed,
                max_new_tokens=self.recipe.sampling.max_new_tokens,
                pass_rate=pass_rate if checked else None,
                checkpoint=checkpoint,
                compute=self.recipe.compute,
            )
            cost.tokens += sum(int(row.get("tokens", 0)) for row in history)
            policy.save(folder / "model")
            write_json(folder / "history.json", history)

        config = [
            recipe.model_dump(),
            self.recipe.compute.model_dump(),
            self.recipe.sampling.max_new_tokens,
            seed,
        ]
        return self.run.stage(f"{i}-ppo", work, config=config, inputs=[start, ranker, problems])

    def mine(self, i: int, ranker: Stage, problems: Stage, earlier: Sequence[Stage], new: Stage) -> Stage:
        """Stage D, second half: ranker `i` scores the new candidates; what is hard or newly right is kept."""
        recipe, variant = self.recipe.mining, self.recipe.variant
        seed = seed_for(self.recipe.seed, f"mine-{i}")

        def work(folder: Path, cost: Cost, _: Checkpoint) -> None:
            training = _training(problems)
            candidates = _candidates_of([new])
            judge = RewardRanker.from_pretrained(ranker.path / "model", dtype=self.read_in)
            scores = self._score(judge, training, candidates, cost)
            groups, mined = mining.mine(
                training,
                _candidates_of(earlier),
                candidates,
                scores,
                recipe,
                variant=variant,
                source=f"{variant}-{i}",
                seed=seed,
            )
            write_table(folder / "groups.parquet", PreferenceGroup, groups)
            write_table(folder / "mined.parquet", mining.MinedProgram, mined)
            counts = Counter(m.kind for m in mined)
            passed = sum(c.passed for c in candidates)
            write_json(
                folder / "summary.json",
                {"sampled": len(candidates), "passed": passed, "groups": len(groups), **counts},
            )

        config = [recipe.model_dump(), variant, seed]
        return self.run.stage(f"{i}-mine", work, config=config, inputs=[ranker, problems, *earlier, new])

    def test(self, policy: Policy, stage: Stage, problems: Stage) -> Stage:
        """Stage E, first half: a policy samples the test problems, everything is executed."""
        recipe, seed = self.recipe.evaluation, seed_for(self.recipe.seed, f"test-{policy.name}")

        def work(folder: Path, cost: Cost, _: Checkpoint) -> None:
            test = _test(problems)
            generator = Generator.from_pretrained(stage.path / "model", dtype=self.read_in)
            candidates = evaluated_candidates(
                generator,
                policy.name,
                test,
                evaluation=recipe,
                sampling=self.recipe.sampling,
                execution=self.recipe.execution,
                seed=seed,
            )
            cost.tokens += sum(c.n_tokens for c in candidates)
            cost.executions += len(candidates) + sum(bool(c.behaviour) for c in candidates)
            write_table(folder / "candidates.parquet", EvaluatedCandidate, candidates)

        drawn = recipe.model_dump(exclude={"bootstrap", "longer_sft_epochs"})
        config = [drawn, self.recipe.sampling.model_dump(exclude={"n"}), self._execution_config(), seed]
        return self.run.stage(f"test-{policy.name}", work, config=config, inputs=[problems, stage])

    def evaluate(
        self,
        problems: Stage,
        tested: Sequence[tuple[Policy, Stage]],
        rankers: Sequence[Stage],
        aligned: Sequence[Stage],
    ) -> dict[str, Any]:
        """Stage E, second half: every ranker scores, every selector selects."""
        recipe = self.recipe.evaluation
        variant = self.recipe.variant if self.recipe.iterations > 1 else None

        def work(folder: Path, cost: Cost, _: Checkpoint) -> None:
            test = _test(problems)
            candidates = [
                c for _, s in tested for c in read_table(s.path / "candidates.parquet", EvaluatedCandidate)
            ]
            ranked = {policy.name for policy, _ in tested if policy.system != "sft-longer"}
            scored = [c for c in candidates if c.temperature == recipe.temperature and c.policy in ranked]
            scores: list[ScoredCandidate] = []
            for i, stage in enumerate(rankers, 1):
                judge = RewardRanker.from_pretrained(stage.path / "model", dtype=self.read_in)
                scores += scored_candidates(judge, i, test, scored)
                cost.tokens += sum(c.n_tokens for c in scored)
            write_table(folder / "candidates.parquet", EvaluatedCandidate, candidates)
            write_table(folder / "scores.parquet", ScoredCandidate, scores)
            metrics = summarise(
                test,
                candidates,
                scores,
                policies=[policy for policy, _ in tested],
                variant=variant,
                align=self.recipe.align,
                temperature=recipe.temperature,
                cool_temperature=recipe.cool_temperature,
                bootstrap=recipe.bootstrap,
                seed=seed_for(self.recipe.seed, "bootstrap"),
            )
            write_json(folder / "metrics.json", metrics)

        config = [recipe.model_dump(), self.recipe.seed, variant, self.recipe.align]
        inputs = [problems, *(stage for _, stage in tested), *rankers]
        stage = self.run.stage("evaluate", work, config=config, inputs=inputs)
        self.run.write_cost()
        total = json.loads((self.run.directory / "cost.json").read_text())["total"]
        metrics: dict[str, Any] = {
            "recipe": self.recipe.name,
            "seed": self.recipe.seed,
            "wall_s": round(total["wall_s"], 1),
            **json.loads((stage.path / "metrics.json").read_text()),
            "ppo": [_ppo_summary(i, s) for i, s in enumerate(aligned, 1) if s.name.endswith("-ppo")],
        }
        write_json(self.run.directory / "metrics.json", metrics)
        return metrics

    def _execution_config(self) -> dict[str, Any]:
        """What decides verdicts: the number of workers doesn't."""
        return self.recipe.execution.model_dump(exclude={"workers"})

    def _fine_tune(
        self,
        generator: Generator,
        examples: Sequence[tuple[str, str]],
        config: SFT,
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
            config,
            seed=seed,
            validation=_references(problems, "development"),
            checkpoint=checkpoint,
            compute=self.recipe.compute,
        )
        cost.tokens += config.epochs * generator.count_tokens(examples)
        generator.save(folder / "model")
        write_json(folder / "history.json", history)

    def _candidates(
        self, generator: Generator, problems: Sequence[Problem], name: str, *, n: int, seed: int, cost: Cost
    ) -> list[ExecutedCandidate]:
        """`n` candidates a problem at the recipe's sampling temperature, executed."""
        sampling = self.recipe.sampling
        with progress.task(f"sample {name}", len(problems) * n) as bar:
            drawn = generator.sample(
                problems,
                n=n,
                temperature=sampling.temperature,
                max_new_tokens=sampling.max_new_tokens,
                seed=seed,
                policy=name,
                batch_size=sampling.batch_size,
                on_progress=bar.advance,
            )
        cost.tokens += sum(c.n_tokens for c in drawn)
        by_id = {p.id: p for p in problems}
        judge = self.recipe.execution.judge
        programs = [Program.of(by_id[c.problem_id], c.text, judge) for c in drawn]
        verdicts = self._run(programs, "run", cost)
        return [
            ExecutedCandidate(
                problem_id=c.problem_id,
                index=c.index,
                text=c.text,
                logprob_sum=c.logprob_sum,
                n_tokens=c.n_tokens,
                finish_reason=c.finish_reason,
                policy=c.policy,
                status=v.status,
                strict_status=v.strict_status,
                reason=v.reason,
            )
            for c, v in zip(drawn, verdicts, strict=True)
        ]

    def _run(self, programs: Sequence[Program], what: str, cost: Cost) -> list[Verdict]:
        config = self.recipe.execution
        cost.executions += len(programs)
        with progress.task(what, len(programs)) as bar:
            return execute(
                programs,
                timeout_s=config.timeout_s,
                memory_mb=config.memory_mb,
                workers=config.workers,
                isolation=config.isolation,
                on_progress=bar.advance,
            )

    def _score(
        self,
        ranker: RewardRanker,
        problems: Sequence[Problem],
        candidates: Sequence[ExecutedCandidate],
        cost: Cost,
    ) -> Sequence[float]:
        prompts = {p.id: p.prompt for p in problems}
        with progress.task("score", len(candidates)) as bar:
            raw = ranker.score(
                [prompts[c.problem_id] for c in candidates],
                [c.text for c in candidates],
                on_progress=bar.advance,
            )
        cost.tokens += sum(c.n_tokens for c in candidates)
        return list(map(float, raw))


def _problems(stage: Stage) -> list[Problem]:
    return read_table(stage.path / "problems.parquet", Problem)


def _training(stage: Stage) -> list[Problem]:
    """The problems that the loop samples: the pool; without one, the problems with references."""
    problems = _problems(stage)
    pool = [p for p in problems if p.split == "pool"]
    return pool or [p for p in problems if p.split == "reference"]


def _test(stage: Stage) -> list[Problem]:
    return [p for p in _problems(stage) if p.split == "test"]


def _candidates_of(stages: Sequence[Stage]) -> list[ExecutedCandidate]:
    return [c for s in stages for c in read_table(s.path / "candidates.parquet", ExecutedCandidate)]


def _references(
    problems: Sequence[Problem], split: Literal["reference", "development"]
) -> list[tuple[str, str]]:
    return [(p.prompt, p.reference) for p in problems if p.split == split and p.reference is not None]


def _digest(path: Path) -> str:
    """Hash of a file's content, so that a changed file makes a new run of what depends on it."""
    try:
        with path.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    except OSError as e:
        raise UserError(f"{path}: cannot read it ({e.strerror})") from e


def _digest_checkpoint(folder: str) -> dict[str, str]:
    """Hashes of a checkpoint's files, by name."""
    if not folder:
        return {}
    if not Path(folder).is_dir():
        raise UserError(
            f"{folder}: no such folder; generator.checkpoint must be a local Hugging Face checkpoint"
        )
    return {path.name: _digest(path) for path in sorted(Path(folder).iterdir()) if path.is_file()}


def _no_groups(problems: int, candidates: Sequence[ExecutedCandidate]) -> str:
    """Why there is nothing to train a ranker on, and what to do."""
    passed = sum(c.passed for c in candidates)
    statuses = Counter(c.strict_status for c in candidates)
    counts = ", ".join(f"{n} {status}" for status, n in statuses.most_common())
    if "unavailable" in statuses:
        advice = "install the toolchain that `rewardranker doctor` names"
    elif passed == 0:
        advice = (
            "the generator solved nothing: start from a stronger checkpoint (generator.checkpoint), give it "
            "more reference programs or epochs (sft.epochs), or draw more candidates (sampling.n)"
        )
    else:
        advice = (
            "no failure beside a success: raise sampling.n or sampling.temperature, or add harder problems"
        )
    return (
        "no problem has both a sampled program that passed and one that failed, so nothing to train a\n"
        "ranker on (reference programs against failures would teach it whose style is whose, not what is\n"
        "right).\n"
        f"  {problems} problems, {len(candidates)} candidates: {counts}\n  What to do: {advice}"
    )


def _ppo_summary(i: int, stage: Stage) -> dict[str, Any]:
    history = json.loads((stage.path / "history.json").read_text())
    passes = [row["pass"] for row in history if row.get("pass") is not None]
    return {
        "iteration": i,
        "kl": history[-1]["kl"],
        "score_before": history[0]["score"],
        "score_after": history[-1]["score"],
        "pass_before": passes[0] if passes else None,
        "pass_after": passes[-1] if passes else None,
    }
