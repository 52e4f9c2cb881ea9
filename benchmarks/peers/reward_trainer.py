"""Trains a sequence classifier with TRL's RewardTrainer, in an environment that has it; see `serve`.

A request: `model`, a folder; `pairs`, a JSON file with [chosen, rejected] tokens in the order they are
trained on; `step`, pairs a step; `batch`, pairs computed together; `attention`; `onednn`, whether float32
products go to oneDNN; `rate` and `decay`, of AdamW under a cosine schedule. The answer: the seconds of the
steps, from the first batch to the end of training, each step's loss, and all tokens computed, padding too.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset  # type: ignore[import-not-found]
from serve import clock, serve
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
from trl import RewardConfig, RewardTrainer  # type: ignore[import-not-found]


class Clock(TrainerCallback):  # type: ignore[misc]
    start = end = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.start = self.start or clock()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.end = clock()


def train(
    *,
    model: str,
    pairs: str,
    step: int,
    batch: int,
    attention: str,
    onednn: bool,
    rate: float,
    decay: float,
    threads: int,
) -> dict[str, Any]:
    torch.set_num_threads(threads)
    torch.backends.mkldnn.matmul.fp32_precision = "bf16" if onednn else "ieee"
    rows = json.loads(Path(pairs).read_text())
    network = AutoModelForSequenceClassification.from_pretrained(
        model, dtype=torch.float32, attn_implementation=attention
    )
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = RewardTrainer(
            model=network,
            processing_class=AutoTokenizer.from_pretrained(model),
            train_dataset=Dataset.from_dict(
                {"chosen_ids": [c for c, _ in rows], "rejected_ids": [r for _, r in rows]}
            ),
            args=RewardConfig(
                output_dir=folder,
                per_device_train_batch_size=batch,
                gradient_accumulation_steps=step // batch,
                num_train_epochs=1,
                train_sampling_strategy="sequential",
                learning_rate=rate,
                weight_decay=decay,
                max_grad_norm=1.0,
                lr_scheduler_type="cosine",
                warmup_steps=0,
                max_length=None,
                bf16=False,
                gradient_checkpointing=False,
                use_cpu=True,
                dataloader_num_workers=0,
                dataloader_pin_memory=False,
                logging_steps=1,
                save_strategy="no",
                eval_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            callbacks=[clock],
        )
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    padded = [
        2 * batch * max(len(ids) for pair in rows[i : i + batch] for ids in pair)
        for i in range(0, len(rows), batch)
    ]
    return {"seconds": clock.end - clock.start, "losses": losses, "padded_tokens": sum(padded)}


if __name__ == "__main__":
    print(f"RewardTrainer of {sys.prefix}", file=sys.stderr)
    serve(train)
