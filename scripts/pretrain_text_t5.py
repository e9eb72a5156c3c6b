r"""Make a small T5 of one's own from the texts of a data set, to have a seq2seq where no Hub is.

    python scripts/pretrain_text_t5.py --data DIR --out DIR \
        --columns meaning_representation,human_reference

Learns a vocabulary of word pieces from the training rows (``train.jsonl`` or ``train.jsonl.gz``
of the folder), then to write single texts of which spans were left out (text infilling, Lewis et
al. 2020, BART, section 2.2: spans of three tokens, a third of the text, each replaced by one mark).
A text of one column is never seen beside that of another, so nothing of the task itself is learned.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas
import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

SPECIAL = PAD, EOS, UNK, GAP = "<pad>", "</s>", "<unk>", "<mask>"
END, MASK = 1, 3
IGNORED = -100


def read_texts(folder: Path, columns: Sequence[str]) -> list[str]:
    """Return all training texts of all columns, each once."""
    rows = pandas.read_json(next(folder.glob("train.jsonl*")), lines=True)
    texts = [str(text) for column in columns for text in rows[column]]
    return list(dict.fromkeys(texts))


def build_tokenizer(texts: Sequence[str], size: int) -> PreTrainedTokenizerFast:
    """Learn byte pairs: pad 0, end 1, unknown 2, gap 3, pieces."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(SPECIAL))
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", pair=f"$A {EOS} $B {EOS}", special_tokens=[(EOS, END)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS, unk_token=UNK,
        mask_token=GAP, model_max_length=512,
    )  # fmt: skip


def build_model(vocab_size: int) -> T5ForConditionalGeneration:
    """Return an untrained T5: 2 encoder and 2 decoder layers of width 128, gated GELU."""
    config = T5Config(
        vocab_size=vocab_size, d_model=128, d_kv=32, d_ff=256, num_layers=2, num_decoder_layers=2,
        num_heads=4, dropout_rate=0.0, feed_forward_proj="gated-gelu", pad_token_id=0,
        eos_token_id=1, decoder_start_token_id=0,
    )  # fmt: skip
    return T5ForConditionalGeneration(config)


def with_gaps(ids: Sequence[int], rng: np.random.Generator) -> list[int]:
    """Replace a third of a text, in spans, by marks."""
    spans = max(1, len(ids) // 9)
    starts = set(rng.choice(len(ids), size=spans, replace=False).tolist())
    found: list[int] = []
    left = 0
    for place, token in enumerate(ids):
        if place in starts and not left:
            found.append(MASK)
            left = 3
        if not left:
            found.append(token)
        left = max(0, left - 1)
    return found


def batch(rows: Sequence[Sequence[int]], rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """Return a batch of texts with gaps, and the whole texts as labels."""
    sources = [torch.tensor([*with_gaps(row, rng), END]) for row in rows]
    targets = [torch.tensor([*row, END]) for row in rows]
    padded = torch.nn.utils.rnn.pad_sequence(sources, batch_first=True)
    labels = torch.nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=IGNORED)
    return {"input_ids": padded, "attention_mask": (padded != 0).long(), "labels": labels}


def main() -> None:
    """Read the options, learn, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with train.jsonl")
    parser.add_argument("--columns", required=True, help="columns with texts, with commas")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vocabulary", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=4000)
    typed = parser.parse_args()
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    texts = read_texts(typed.data, typed.columns.split(","))
    tokenizer = build_tokenizer(texts, typed.vocabulary)
    rows = [ids for ids in tokenizer(texts, add_special_tokens=False)["input_ids"] if len(ids) > 1]
    model = build_model(len(tokenizer)).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=typed.steps)
    for step in range(1, typed.steps + 1):
        drawn = [rows[i] for i in rng.integers(len(rows), size=32)]
        loss = model(**batch(drawn, rng), use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        if step % 100 == 0:
            sys.stderr.write(f"{step}/{typed.steps}  loss {loss.item():.3f}\n")
    model.save_pretrained(typed.out)
    tokenizer.save_pretrained(typed.out)
    sys.stdout.write(f"{typed.out}: {model.num_parameters():,} parameters, {len(rows):,} texts\n")


if __name__ == "__main__":
    main()
