"""Each training stage by a step or two, on the architectures and tokenizers of real models."""

from pathlib import Path

import pytest
import torch
from real import FAMILIES, write_checkpoint

from rewardranker.errors import UserError
from rewardranker.models.generator import Generator
from rewardranker.models.ranker import RewardRanker
from rewardranker.problems.preference import PreferenceGroup
from rewardranker.problems.problem import Problem
from rewardranker.recipe import PPO, SFT, Compute, Reward
from rewardranker.training.ppo import train_ppo
from rewardranker.training.reward import train_reward
from rewardranker.training.sft import train_sft

PROMPTS = [f'def f(xs):\n    """Return {k}, not {k + 1}."""\n' for k in range(8)]
RIGHT = [f"    return {k}\n" for k in range(8)]


@pytest.fixture(scope="module", params=[(f, p) for f in FAMILIES for p in ("completion", "chat")][:5])
def start(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    """Of each family, shown prompts plainly and (but for StarCoder2, which has no template) as a chat."""
    family, prompt = request.param
    folder = tmp_path_factory.mktemp("checkpoints") / family
    write_checkpoint(folder, family, PROMPTS + RIGHT, instruct=prompt == "chat", scale=3.0, window=32)
    return Generator.from_pretrained(folder, prompt)


def weights(model: torch.nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def test_sft_lowers_the_loss(start: Generator) -> None:
    generator = start.copy()
    config = SFT(epochs=6, batch_size=4, learning_rate=3e-3)
    history = train_sft(generator, list(zip(PROMPTS, RIGHT, strict=True)), config, seed=1)
    assert history[-1]["loss"] < history[0]["loss"]


@pytest.mark.parametrize("head", ["likelihood", "scalar"])
def test_ranker_and_ppo(start: Generator, tmp_path: Path, head) -> None:
    groups = [
        PreferenceGroup(f"p{k}", PROMPTS[k], (RIGHT[k],), ("    pass\n",), ("sft",), ("sft",), "initial")
        for k in range(8)
    ]
    before = weights(start.model)
    config = Reward(head=head, epochs=3, groups_per_batch=4, learning_rate=3e-3, validation=0.25)
    ranker, report = train_reward(start, groups, config, seed=1)
    assert report["history"][-1]["loss"] < report["history"][0]["loss"]
    ranker.save(tmp_path / "ranker")
    problems = [Problem(f"p{k}", "python", PROMPTS[k], "") for k in range(8)]
    policy = start.copy()
    history = train_ppo(
        policy,
        RewardRanker.from_pretrained(tmp_path / "ranker"),
        problems,
        PPO(iterations=1, prompts=4, samples=2, minibatch=4, learning_rate=1e-3),
        seed=1,
        max_new_tokens=8,
    )
    assert history[0]["kl"] == pytest.approx(0.0, abs=1e-3)
    assert history[0]["approx_kl"] >= 0 and history[0]["value_loss"] > 0
    assert any(not torch.equal(a, b) for a, b in zip(before, policy.model.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(before, start.model.parameters(), strict=True))


def test_dropout_stays_off_where_activations_are_computed_again(start: Generator) -> None:
    """As published, StarCoder2 drops embeddings and residuals out, too."""
    policy, ranker = start.copy(), RewardRanker.from_generator(start, "likelihood", 0)
    one_step = PPO(iterations=1, prompts=4, samples=2, minibatch=8, epochs=1)
    problems = [Problem(f"p{k}", "python", PROMPTS[k], "") for k in range(8)]
    compute = Compute(gradient_checkpointing=True)
    history = train_ppo(policy, ranker, problems, one_step, seed=1, max_new_tokens=8, compute=compute)
    assert history[0]["approx_kl"] == pytest.approx(0.0, abs=1e-6)  # of a policy to itself


def test_a_critic_must_be_shown_prompts_as_the_policy_is(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", "qwen2.5-coder", PROMPTS + RIGHT, instruct=True)
    plain, chat = (Generator.from_pretrained(folder, form) for form in ("completion", "chat"))
    other_chat = Generator.from_pretrained(folder, "chat", "Be brief.")
    problems = [Problem("p0", "python", PROMPTS[0], "")]
    for policy, start in ((plain, chat), (chat, plain), (chat, other_chat)):
        ranker = RewardRanker.from_generator(start, "likelihood", 0)
        with pytest.raises(UserError, match="prompts in the policy's form"):
            train_ppo(policy, ranker, problems, PPO(), seed=1, max_new_tokens=4)
    ranker.save(tmp_path / "ranker")
    ranker, few = RewardRanker.from_pretrained(tmp_path / "ranker"), {"iterations": 1, "samples": 2}
    train_ppo(other_chat, ranker, problems, PPO(**few), seed=1, max_new_tokens=4)
    train_ppo(plain, ranker, problems, PPO(advantage="rloo", **few), seed=1, max_new_tokens=4)
