"""Run by the interpreter of an environment with TRL: loads an exported folder as its users would, and trains.

Arguments: the folder, and an empty one for what is written. Prints what it found as JSON.
"""

import json
import os
import sys
from pathlib import Path

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_CACHE": f"{sys.argv[2]}/cache",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}

import pandas as pd
from datasets import get_dataset_config_names, load_dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer
from trl.experimental.kto import KTOConfig, KTOTrainer

folder, work = sys.argv[1:]
loaded = {name: load_dataset(folder, name) for name in get_dataset_config_names(folder)}
found = {
    name: {split: [rows.column_names, len(rows), rows[0]] for split, rows in splits.items()}
    for name, splits in loaded.items()
}
(candidates,) = map(str, Path(folder, "candidates").glob("train.*"))
if candidates.endswith(".parquet"):
    parquet = load_dataset("parquet", data_files=candidates)["train"]
    assert parquet[:] == loaded["candidates"]["train"][:]
    assert len(pd.read_parquet(candidates)) == len(parquet)
assert str(loaded["preference"]["train"].features["source"]) == "Value('string')"

alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
bytes_ = Tokenizer(models.BPE({token: i for i, token in enumerate(["<eos>", "<pad>", *alphabet])}, []))
bytes_.pre_tokenizer, bytes_.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_, eos_token="<eos>", pad_token="<pad>")
config = LlamaConfig(
    vocab_size=len(tokenizer),
    hidden_size=16,
    intermediate_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_labels=1,
    pad_token_id=tokenizer.pad_token_id,
    eos_token_id=tokenizer.eos_token_id,
)
for trainer, settings, model, name in (
    (DPOTrainer, DPOConfig, LlamaForCausalLM, "preference"),
    (RewardTrainer, RewardConfig, LlamaForSequenceClassification, "preference"),
    (KTOTrainer, KTOConfig, LlamaForCausalLM, "unpaired-preference"),
    (SFTTrainer, SFTConfig, LlamaForCausalLM, "prompt-completion"),
):
    args = settings(
        output_dir=str(Path(work, trainer.__name__)),
        max_steps=1,
        per_device_train_batch_size=2,
        use_cpu=True,
        bf16=False,
        report_to="none",
        save_strategy="no",
        gradient_checkpointing=False,
    )
    start = Path(work, model.__name__)  # a folder: KTO and DPO load their reference model from it
    model(config).save_pretrained(start)
    made = trainer(
        model.from_pretrained(start),
        args=args,
        train_dataset=loaded[name]["train"],
        processing_class=tokenizer,
    )
    made.train()
    found[trainer.__name__] = made.state.log_history[-1]["train_loss"]
print(json.dumps(found))
