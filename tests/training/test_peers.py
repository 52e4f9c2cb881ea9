"""Losses, log-probabilities, values and advantages against TRL's own code, on one batch and equal weights.

TRL 1.12 is the last release with PPO. What it does otherwise, and the comparison allows for: a score is added
on the place behind the last token where there is one, whose value counts as well; the variance of whitening
is the unbiased one.
"""

import copy
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rewardranker.models.generator import Generator
from rewardranker.models.prefix import completion_logprobs
from rewardranker.models.ranker import RewardRanker
from rewardranker.recipe import PLAIN
from rewardranker.training.losses import (
    bradley_terry_group,
    centering_group,
    generalized_advantages,
    kl_k1,
    policy_loss,
    token_rewards,
    value_loss,
    whiten,
)
from rewardranker.training.ppo import _Batch, _Critic

# Read before the session's own cache takes its place.
PEERS = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "rewardranker", "peers")
PYTHON = PEERS / "trl-1.12.0" / "bin" / "python"
pytestmark = pytest.mark.skipif(
    not (PEERS / "trl-1.12.0" / "ready").exists(),
    reason=f"no TRL in {PEERS / 'trl-1.12.0'}; it is made by "
    """(cd benchmarks && python -c 'import side_by_side; side_by_side.trl("1.12.0")')""",
)
PAD, BOS, EOS, VOCABULARY, HIDDEN = 0, 1, 2, 24, 32
PROMPTS = [[BOS, *range(3, 3 + n)] for n in (2, 5, 3, 8, 4, 4, 6, 1)]
CHOSEN, REJECTED = [[7, 8, EOS], [9, EOS]], [[10, 11, 12, 13, EOS], [14, EOS], [EOS]]
MARGIN, CENTERING = 0.3, 0.01
SETTINGS: dict[str, Any] = {
    "temperature": 0.9,
    "kl_coef": 0.2,
    "gamma": 0.97,
    "lam": 0.9,
    "cliprange": 0.1,
    "cliprange_value": 0.1,
    "vf_coef": 0.5,
}


def make_tokenizer() -> PreTrainedTokenizerFast:
    words = {"<pad>": PAD, "<bos>": BOS, "<eos>": EOS} | {f"w{i}": i for i in range(3, VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )


def make_policy(seed: int) -> Generator:
    """Random weights; pad and bos are never drawn, and every few tokens eos."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=HIDDEN,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            initializer_range=0.2,
            mlp_bias=True,
            pad_token_id=PAD,
            bos_token_id=BOS,
            eos_token_id=EOS,
        )
    )
    with torch.no_grad():  # one direction is in all states
        model.model.layers[-1].mlp.down_proj.bias[0] = 10.0
        model.lm_head.weight[:, 0] = 0.0
        model.lm_head.weight[[PAD, BOS], 0] = -20.0
        model.lm_head.weight[EOS, 0] = 0.1
    return Generator(model, make_tokenizer())


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """TRL's figures; `models` are ours with the same weights, as they were before TRL trained them."""
    folder = tmp_path_factory.mktemp("peer")
    policy, reference = make_policy(0), make_policy(0)
    with torch.no_grad():
        for p in reference.model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    ranker = RewardRanker.from_generator(make_policy(2), "scalar", 2)
    critic = RewardRanker.from_generator(make_policy(3), "scalar", 3)
    made = {"policy": policy, "reference": reference, "ranker": ranker, "critic": critic}
    for name, model in made.items():
        model.save(folder / name)
    batch = {
        "prompts": PROMPTS,
        "pairs": [([*PROMPTS[1], *c], [*PROMPTS[1], *r]) for c in CHOSEN for r in REJECTED],
        "margin": MARGIN,
        "centering": CENTERING,
        "ppo": {
            **SETTINGS,
            "response_length": 8,
            "num_ppo_epochs": 3,
            "num_mini_batches": 2,
            "learning_rate": 0.02,
            "seed": 1,
        },
    }
    (folder / "batch.json").write_text(json.dumps(batch))
    script = Path(__file__).with_name("trl_on_a_batch.py")
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(PYTHON), str(script), str(folder)], capture_output=True, text=True, env=environ, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = {name: torch.load(folder / f"{name}.pt", weights_only=True) for name in ("ppo", "reward")}
    return {**found, "models": made}


@pytest.fixture
def ppo(peer: dict[str, Any]) -> dict[str, Any]:
    return peer["ppo"]


def rollouts(ppo: dict[str, Any]) -> tuple[list[list[int]], list[list[int]]]:
    """Prompts and completions of TRL's batch, whose prompts are padded on the left."""
    prompts = [[t for t in row if t != PAD] for row in ppo["queries"].tolist()]
    lengths = (ppo["sequence_lengths"] + 1).tolist()
    return prompts, [row[:n] for row, n in zip(ppo["responses"].tolist(), lengths, strict=True)]


def close(ours: torch.Tensor, theirs: torch.Tensor, mask: torch.Tensor) -> None:
    wide = ours.shape[1]
    assert not mask[:, wide:].any()
    torch.testing.assert_close(
        ours[mask[:, :wide]].detach(), theirs[:, :wide][mask[:, :wide]], atol=2e-5, rtol=1e-4
    )


def test_the_group_loss_and_its_gradient_are_those_of_reward_trainer_on_all_pairs(peer) -> None:
    ranker = copy.deepcopy(peer["models"]["ranker"])
    scores = ranker.forward([PROMPTS[1]], [*CHOSEN, *REJECTED], [0] * 5)
    chosen, rejected = scores.split([2, 3])
    loss = bradley_terry_group(chosen, rejected, MARGIN) + CENTERING * centering_group(chosen, rejected)
    loss.backward()
    torch.testing.assert_close(loss.detach(), peer["reward"]["loss"], atol=1e-6, rtol=1e-5)
    for name, parameter in ranker.model.named_parameters():
        theirs = peer["reward"]["gradients"][name]
        scale = float(theirs.abs().max())
        torch.testing.assert_close(parameter.grad, theirs, atol=1e-5 * scale + 1e-9, rtol=1e-3)


def test_log_probabilities_scores_and_values_are_those_of_ppo_trainer(peer, ppo) -> None:
    prompts, completions = rollouts(ppo)
    assert {c[-1] == EOS for c in completions} == {True, False}
    assert len({len(c) for c in completions}) > 2
    owners, mask = list(range(len(prompts))), ~ppo["padding_mask"]
    models = peer["models"]
    for name, theirs in (("policy", "logprobs"), ("reference", "ref_logprobs")):
        ours, _ = completion_logprobs(
            models[name].model, prompts, completions, owners, SETTINGS["temperature"]
        )
        close(ours, ppo[theirs], mask)
    scores = models["ranker"].forward(prompts, completions, owners)
    torch.testing.assert_close(scores.detach(), ppo["scores"], atol=1e-5, rtol=1e-4)
    critic = _Critic(models["critic"], PLAIN)
    with torch.no_grad():
        critic.head.weight.copy_(models["critic"].model.score.weight)
    close(critic.values(_Batch(prompts, completions, owners)), ppo["values"], mask)


def test_kl_rewards_advantages_and_returns_are_those_of_ppo_trainer(ppo) -> None:
    mask, with_end = ~ppo["padding_mask"], ~ppo["padding_mask_p1"]
    kl = kl_k1(ppo["logprobs"], ppo["ref_logprobs"])
    assert float(kl.abs().sum()) > 0.1
    close(kl, ppo["kl"], mask)
    rewards = token_rewards(ppo["scores"], kl * mask, with_end, SETTINGS["kl_coef"])
    close(rewards, ppo["rewards"], with_end)
    advantages, returns = generalized_advantages(
        rewards, ppo["values"], with_end, SETTINGS["gamma"], SETTINGS["lam"]
    )
    close(advantages, ppo["advantages"], with_end)
    close(returns, ppo["returns"], with_end)
    n = int(mask.sum())
    close(whiten(advantages * mask, mask) * ((n - 1) / n) ** 0.5, ppo["whitened"], mask)


def test_policy_and_value_loss_are_those_of_ppo_trainer(ppo) -> None:
    step = ppo["step"]
    rows = torch.as_tensor(step["micro_batch_inds"])
    mask, with_end = ~ppo["padding_mask"][rows], ~ppo["padding_mask_p1"][rows]
    loss, clipped = policy_loss(
        step["new_logprobs"], step["mb_logprobs"], step["mb_advantage"], mask, SETTINGS["cliprange"]
    )
    assert 0 < int(clipped) < int(mask.sum())
    torch.testing.assert_close(loss / mask.sum(), step["pg_loss"], atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(clipped / mask.sum(), step["clipped"])
    loss = value_loss(
        step["vpred"], step["mb_values"], step["mb_return"], with_end, SETTINGS["cliprange_value"]
    )
    torch.testing.assert_close(loss / with_end.sum(), step["vf_loss"], atol=1e-6, rtol=1e-4)
