"""An architecture trained in a loop of one's own with Accelerate, offline.

    python examples/accelerate_loop.py --out out    # --resume goes on from the last state

Inserted layers are parameters of the model like any other, so states hold them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.data import DataLoader
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, DataCollatorForSeq2Seq

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
    accelerator = Accelerator(cpu=True)
    tokenizer = AutoTokenizer.from_pretrained(MODEL_DIRS["micro-t5"])
    model = AutoModelForSeq2SeqLM.from_pretrained(MODEL_DIRS["micro-t5"])
    peftsearch.apply(model, peftsearch.Architecture.load(ARCHITECTURE))
    model.train()

    rows = [
        {
            "input_ids": tokenizer(PROMPT.format(**row))["input_ids"],
            "labels": tokenizer(LABEL_WORDS[int(row["label"])])["input_ids"],
        }
        for row in nli_rows("train")
    ]
    batches = DataLoader(rows, batch_size=16, collate_fn=DataCollatorForSeq2Seq(tokenizer))  # type: ignore[arg-type]
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-3)
    model, optimizer, batches = accelerator.prepare(model, optimizer, batches)

    half, done = max(1, given.steps // 2), 0
    if given.resume:
        accelerator.load_state(str(given.out / "state"))
        done = half
    for step, batch in enumerate(accelerator.skip_first_batches(batches, done), start=done + 1):
        accelerator.backward(model(**batch).loss)
        optimizer.step()
        optimizer.zero_grad()
        if step == half:
            accelerator.save_state(str(given.out / "state"))
        if step == given.steps:
            break
    plain = accelerator.unwrap_model(model)
    plain.save_pretrained(given.out / "trained")
    tokenizer.save_pretrained(given.out / "trained")


if __name__ == "__main__":
    main()
