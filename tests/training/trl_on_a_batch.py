"""What TRL 1.12's own trainers compute on one batch, in an environment that has it; see test_peers.py.

    python trl_on_a_batch.py FOLDER

FOLDER holds the models `policy`, `reference`, `ranker` and `critic`, and `batch.json`. PPOTrainer samples,
evaluates and trains; the local variables of its `train` are read where it calls functions of its module, and
written to FOLDER/ppo.pt. RewardTrainer's loss and gradients are written to FOLDER/reward.pt.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl import RewardConfig, RewardTrainer
from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

QUIET = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": "none"}
QUIET |= {"save_strategy": "no", "eval_strategy": "no", "disable_tqdm": True, "dataloader_pin_memory": False}


def load(kind: Any, path: Path) -> Any:
    return kind.from_pretrained(path, dtype=torch.float32)


def ppo(folder: Path, batch: dict[str, Any], tokenizer: Any) -> dict[str, Any]:
    """Locals of PPOTrainer.train: of the evaluation, and (`step`) of the last minibatch."""
    seen: dict[str, Any] = {}

    def watch(name: str, keep: Any) -> None:
        plain = getattr(ppo_trainer, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            result = plain(*args, **kwargs)
            caller = sys._getframe(1)
            if caller.f_code.co_name == "train":
                keep(
                    {
                        name: torch.as_tensor(value).detach().clone()
                        for name, value in caller.f_locals.items()
                        if isinstance(value, torch.Tensor | np.ndarray)
                    },
                    result.detach().clone(),
                )
            return result

        setattr(ppo_trainer, name, watched)

    def evaluated(tensors: dict[str, Any], whitened: torch.Tensor) -> None:
        seen.update(tensors, whitened=whitened)

    def stepped(tensors: dict[str, Any], result: torch.Tensor) -> None:
        if "pg_loss" in tensors:  # of a minibatch's four means the last: which tokens are clipped
            seen["step"] = {**tensors, "clipped": result}

    watch("masked_whiten", evaluated)
    watch("masked_mean", stepped)
    n = len(batch["prompts"])
    trainer = PPOTrainer(
        args=PPOConfig(
            output_dir=str(folder / "out"),
            total_episodes=n,
            per_device_train_batch_size=n,
            num_sample_generations=0,
            stop_token="eos",
            **QUIET,
            **batch["ppo"],
        ),
        processing_class=tokenizer,
        model=load(AutoModelForCausalLM, folder / "policy"),
        ref_model=load(AutoModelForCausalLM, folder / "reference"),
        reward_model=load(AutoModelForSequenceClassification, folder / "ranker"),
        value_model=load(AutoModelForSequenceClassification, folder / "critic"),
        train_dataset=Dataset.from_dict({"input_ids": batch["prompts"]}),
    )
    trainer.train()
    return seen


def reward(folder: Path, batch: dict[str, Any], tokenizer: Any) -> dict[str, Any]:
    """RewardTrainer's loss of all pairs, and its gradient."""
    model = load(AutoModelForSequenceClassification, folder / "ranker")
    pairs = batch["pairs"]
    rows = {"chosen_ids": [c for c, _ in pairs], "rejected_ids": [r for _, r in pairs]}
    rows["margin"] = [batch["margin"]] * len(pairs)
    trainer = RewardTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict(rows),
        args=RewardConfig(
            output_dir=str(folder / "out"),
            center_rewards_coefficient=batch["centering"],
            max_length=None,
            **QUIET,
        ),
    )
    inputs = trainer.data_collator([trainer.train_dataset[i] for i in range(len(pairs))])
    loss = trainer.compute_loss(model, inputs)
    loss.backward()
    return {
        "loss": loss.detach(),
        "gradients": {name: p.grad for name, p in model.named_parameters()},
    }


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    batch = json.loads((folder / "batch.json").read_text())
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(folder / "policy", padding_side="left")
    torch.save(reward(folder, batch, tokenizer), folder / "reward.pt")
    torch.save(ppo(folder, batch, tokenizer), folder / "ppo.pt")
