"""Train the architecture beside this file: python train.py [--max_steps 2 ...].

Every key of trl.yaml can be given as an option. Decoders are trained by TRL's SFTTrainer. It knows
no encoder-decoders; those are trained by Seq2SeqTrainer of transformers, which it builds upon.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from datasets import load_dataset
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    HfArgumentParser,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
)

ORDER = "load_order.json"


@dataclass
class Start:
    """What is trained, and on what."""

    model: str
    rows: str
    encoder_decoder: bool


@dataclass
class EncoderDecoderStart(Start):
    """An encoder-decoder reads at most so many tokens, and writes at most so many."""

    max_length: int


def arguments(folder: Path, options: Sequence[str] = ()) -> tuple[Any, Any]:
    """Read trl.yaml, and options, which come before it."""
    given = yaml.safe_load((folder / "trl.yaml").read_text(encoding="utf-8"))
    kinds: list[Any]
    if given["encoder_decoder"]:
        kinds = [EncoderDecoderStart, Seq2SeqTrainingArguments]
    else:
        from trl import SFTConfig

        kinds = [Start, SFTConfig]
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    parser = HfArgumentParser(kinds)
    start, settings = parser.parse_args_into_dataclasses([*words, *options])
    start.rows = str(folder / start.rows)
    settings.output_dir = str(folder / settings.output_dir)
    return start, settings


def order(folder: Path) -> list[Path]:
    """Return the adapters in a folder, in the order in which they are loaded."""
    names = json.loads((folder / ORDER).read_text(encoding="utf-8"))["load_order"]
    return [folder / name for name in names]


def adapted(model: Any, folder: Path) -> Any:
    """Return a model with all adapters of a folder, every one of them trainable."""
    found = model
    for path in order(folder):
        found = PeftModel.from_pretrained(model, str(path), is_trainable=True)
        model = found.get_base_model()
    return found


def trainer_of(start: Any, settings: Any, model: Any) -> Any:
    """Return the trainer of a model with adapters."""
    tokenizer = AutoTokenizer.from_pretrained(start.model)
    rows = load_dataset("json", data_files=start.rows, split="train")
    common = {"model": model, "args": settings, "processing_class": tokenizer}
    if not start.encoder_decoder:
        from trl import SFTTrainer

        return SFTTrainer(train_dataset=rows, **common)

    def tokens(row: dict[str, str]) -> dict[str, list[int]]:
        limit = {"truncation": True, "max_length": start.max_length}
        written = tokenizer(text_target=row["completion"], **limit)
        return {
            "input_ids": tokenizer(row["prompt"], **limit)["input_ids"],
            "labels": written["input_ids"],
        }

    rows = rows.map(tokens, remove_columns=rows.column_names)
    return Seq2SeqTrainer(
        train_dataset=rows, data_collator=DataCollatorForSeq2Seq(tokenizer), **common
    )


def save(model: Any, source: Path, folder: Path) -> None:
    """Save the adapters as they were, with trained weights.

    Of adapters on each other PEFT itself saves the last one alone, and names its modules by those
    around them.
    """
    trained = {
        key.replace(".base_layer", "").replace(".default", ""): tensor.contiguous()
        for key, tensor in model.state_dict().items()
    }
    shutil.copytree(source, folder, dirs_exist_ok=True)
    for path in order(folder):
        file = path / "adapter_model.safetensors"
        save_file({key: trained[key] for key in load_file(file)}, file, {"format": "pt"})


def main(folder: Path, options: Sequence[str] = ()) -> Any:
    """Train, save, and return the trainer."""
    start, settings = arguments(folder, options)
    kind: Any = AutoModelForSeq2SeqLM if start.encoder_decoder else AutoModelForCausalLM
    model = adapted(kind.from_pretrained(start.model, dtype="float32"), folder / "adapter")
    trainer = trainer_of(start, settings, model)
    trainer.train()
    save(model, folder / "adapter", Path(settings.output_dir))
    return trainer


if __name__ == "__main__":
    main(Path(__file__).absolute().parent, sys.argv[1:])
