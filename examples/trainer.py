"""An architecture trained by transformers.Trainer, offline.

    python examples/trainer.py --out out            # --resume goes on from the last checkpoint

The built-in T5 learns the built-in task. Put your own architecture.json, model and rows in the
place of these: nothing of the training knows of peftsearch.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    Trainer,
    TrainingArguments,
    set_seed,
)

import peftsearch
from peftsearch.micro import MODEL_DIRS
from peftsearch.micro.nli import LABEL_WORDS, PROMPT, nli_rows

ARCHITECTURE = Path(__file__).with_name("micro-t5.json")


def main(words: Sequence[str] | None = None) -> None:
    """Train, and save what was trained."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args(words)

    set_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(MODEL_DIRS["micro-t5"])
    model = AutoModelForSeq2SeqLM.from_pretrained(MODEL_DIRS["micro-t5"])
    peftsearch.apply(model, peftsearch.Architecture.load(ARCHITECTURE))

    rows = [
        {
            "input_ids": tokenizer(PROMPT.format(**row))["input_ids"],
            "labels": tokenizer(LABEL_WORDS[int(row["label"])])["input_ids"],
        }
        for row in nli_rows("train")
    ]
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(given.out),
            max_steps=given.steps,
            save_steps=max(1, given.steps // 2),
            per_device_train_batch_size=16,
            learning_rate=5e-3,
            report_to="none",
            use_cpu=True,
        ),
        train_dataset=rows,
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        processing_class=tokenizer,
    )
    trainer.train(resume_from_checkpoint=given.resume or None)
    # A clean checkpoint of the backbone, and the trained layers beside it: peftsearch.load(DIR).
    trainer.save_model(str(given.out / "trained"))


if __name__ == "__main__":
    main()
