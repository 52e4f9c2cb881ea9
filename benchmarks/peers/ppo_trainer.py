"""Proximal policy optimisation with TRL's PPOTrainer, in an environment that has it; see `serve`.

A request: `policy` and `ranker`, folders; `prompts`, a JSON file with the tokens of each rollout's prompt,
of one round; `checked`, a JSON file with [prompt, completion] tokens to score; `updates`; `batch`, rollouts a
round; `minibatches`, `epochs`, `response`, `rate`, as in PPOConfig; `rollout_batch`, rollouts computed
together without gradients; `attention`; `onednn`, whether float32 products go to oneDNN. The answer: when
training began and each update ended, what was logged of the first, the checked completions' scores, and the
process's peak memory over what it had before the first model was loaded.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset  # type: ignore[import-not-found]
from serve import clock, memory_mb, serve
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    TrainerCallback,
)
from trl.experimental.ppo import PPOConfig, PPOTrainer  # type: ignore[import-not-found]
from trl.experimental.utils import get_reward  # type: ignore[import-not-found]

BASELINE_MB = memory_mb("VmRSS")


class Clock(TrainerCallback):  # type: ignore[misc]
    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.times.append(clock())

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.times.append(clock())


def train(
    *,
    policy: str,
    ranker: str,
    prompts: str,
    checked: str,
    updates: int,
    batch: int,
    minibatches: int,
    epochs: int,
    response: int,
    rate: float,
    rollout_batch: int,
    attention: str,
    onednn: bool,
    threads: int,
) -> dict[str, Any]:
    torch.set_num_threads(threads)
    torch.backends.mkldnn.matmul.fp32_precision = "bf16" if onednn else "ieee"

    def load(kind: Any, path: str) -> PreTrainedModel:
        return kind.from_pretrained(path, dtype=torch.float32, attn_implementation=attention)

    tokenizer = AutoTokenizer.from_pretrained(policy, padding_side="left")
    reward_model = load(AutoModelForSequenceClassification, ranker)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = PPOTrainer(
            args=PPOConfig(
                output_dir=folder,
                total_episodes=updates * batch,
                per_device_train_batch_size=batch,  # so that each minibatch is one step
                gradient_accumulation_steps=1,
                num_mini_batches=minibatches,
                num_ppo_epochs=epochs,
                local_rollout_forward_batch_size=rollout_batch,
                response_length=response,
                stop_token="eos",
                temperature=1.0,
                learning_rate=rate,
                kl_coef=0.05,
                vf_coef=0.5,
                cliprange=0.2,
                cliprange_value=0.2,
                gamma=1.0,
                lam=0.95,
                num_sample_generations=0,
                bf16=False,
                gradient_checkpointing=False,
                use_cpu=True,
                dataloader_pin_memory=False,
                logging_steps=1,
                save_strategy="no",
                eval_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            processing_class=tokenizer,
            model=load(AutoModelForCausalLM, policy),
            ref_model=load(AutoModelForCausalLM, policy),
            reward_model=reward_model,
            value_model=load(AutoModelForSequenceClassification, ranker),
            train_dataset=Dataset.from_dict({"input_ids": json.loads(Path(prompts).read_text())}),
            callbacks=[clock],
        )
        trainer.train()
    logged = [entry for entry in trainer.state.log_history if "objective/scores" in entry]
    return {
        "times": clock.times,
        "first": {key: float(value) for key, value in logged[0].items()},
        "peak_mb": memory_mb("VmHWM") - BASELINE_MB,
        "scores": [
            float(get_reward(reward_model, torch.tensor([p + c]), tokenizer.pad_token_id, len(p))[1])
            for p, c in json.loads(Path(checked).read_text())
        ],
    }


if __name__ == "__main__":
    serve(train)
