r"""Make a small T5 of one's own from the texts of a data set, to have a seq2seq where no Hub is.

    python scripts/pretrain_text_t5.py --data DIR --out DIR \
        --columns meaning_representation,human_reference

Learns a vocabulary of word pieces from the training rows (``train.jsonl`` or ``train.jsonl.gz``
of the folder), then spans of single texts that were left out (T5's denoising, Raffel et al. 2020,
section 3.1.4: 15 % of the tokens, three in a row). A text of one column is never seen beside that
of another, so nothing of the task itself is learned.
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

SENTINELS = [f"<extra_id_{i}>" for i in range(20)]
PAD, EOS, UNK = "<pad>", "</s>", "<unk>"
IGNORED = -100


def read_texts(folder: Path, columns: Sequence[str]) -> list[str]:
    """Return all training texts of all columns, each once."""
    rows = pandas.read_json(next(folder.glob("train.jsonl*")), lines=True)
    texts = [str(text) for column in columns for text in rows[column]]
    return list(dict.fromkeys(texts))


def build_tokenizer(texts: Sequence[str], size: int) -> PreTrainedTokenizerFast:
    """Learn byte pairs: pad 0, end 1, unknown 2, sentinels, pieces."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = [PAD, EOS, UNK, *SENTINELS]
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", pair=f"$A {EOS} $B {EOS}", special_tokens=[(EOS, 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS, unk_token=UNK,
        additional_special_tokens=SENTINELS, model_max_length=512,
    )  # fmt: skip


def build_model(vocab_size: int) -> T5ForConditionalGeneration:
    """Return an untrained T5: 2 encoder and 2 decoder layers of width 128, gated GELU."""
    config = T5Config(
        vocab_size=vocab_size, d_model=128, d_kv=32, d_ff=256, num_layers=2, num_decoder_layers=2,
        num_heads=4, dropout_rate=0.0, feed_forward_proj="gated-gelu", pad_token_id=0,
        eos_token_id=1, decoder_start_token_id=0,
    )  # fmt: skip
    return T5ForConditionalGeneration(config)


def denoised(ids: Sequence[int], rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Leave spans out of a text; return what is left and what was left out, sentinels between."""
    spans = max(1, round(0.15 * len(ids) / 3))
    starts = np.sort(rng.choice(len(ids), size=min(spans, len(ids)), replace=False))
    source: list[int] = []
    target: list[int] = []
    at = 0
    for k, start in enumerate(starts[: len(SENTINELS)]):
        begin = max(int(start), at)
        source += [*ids[at:begin], 3 + k]
        target += [3 + k, *ids[begin : begin + 3]]
        at = begin + 3
    return [*source, *ids[at:], 1], [*target, 1]


def batch(rows: Sequence[Sequence[int]], rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """Return a batch of denoised texts."""
    pairs = [denoised(row, rng) for row in rows]
    sources = [torch.tensor(source) for source, _ in pairs]
    targets = [torch.tensor(target) for _, target in pairs]
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
    parser.add_argument("--steps", type=int, default=1500)
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
