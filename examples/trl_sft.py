"""An architecture trained by TRL's SFTTrainer, offline, after ``pip install trl``.

    python examples/trl_sft.py --out out            # --resume goes on from the last checkpoint

SFTTrainer trains models that write from left to right. Of the supported families these are BERT
and RoBERTa read as decoders, and the decoders of BART and mBART alone; it does not know
encoder-decoders, which examples/trainer.py trains. Here it is the built-in BERT.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
from trl import SFTConfig, SFTTrainer

import peftsearch
from peftsearch.micro import MODEL_DIRS
from peftsearch.micro.nli import LABEL_WORDS, PROMPT, nli_rows

ARCHITECTURE = Path(__file__).with_name("micro-bert.json")


def main(words: Sequence[str] | None = None) -> None:
    """Train, and save what was trained."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args(words)

    set_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(MODEL_DIRS["micro-bert"])
    model = AutoModelForCausalLM.from_pretrained(MODEL_DIRS["micro-bert"], is_decoder=True)
    peftsearch.apply(model, peftsearch.Architecture.load(ARCHITECTURE))

    rows = [
        {"text": f"{PROMPT.format(**row)} {LABEL_WORDS[int(row['label'])]}"}
        for row in nli_rows("train")[:800]
    ]
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(given.out),
            max_steps=given.steps,
            save_steps=max(1, given.steps // 2),
            per_device_train_batch_size=16,
            learning_rate=5e-3,
            eos_token=tokenizer.sep_token,
            bf16=False,
            report_to="none",
            use_cpu=True,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    trainer.train(resume_from_checkpoint=given.resume or None)
    # A clean checkpoint of the backbone, and the trained layers beside it.
    trainer.save_model(str(given.out / "trained"))


if __name__ == "__main__":
    main()
